/* Every method and task as a coloured table: blue is better, orange is worse, and the number says it. */

const STRONGEST = 55; // percent of a colour behind a number, which stays readable

function heatSection(results, looks, score) {
  const host = h("div");
  const title = score.relative ? "Relative change per task" : `${score.label} per task`;
  const picker = rowPicker(results, (rows, { tasks }) => {
    host.replaceChildren(...heatMap(rows, tasks, looks, score));
    const save = saveButtons(title, () => tableFigure(host.querySelector("table"), title));
    host.querySelector(".tools").append(save);
  });
  return section(
    title,
    score.relative
      ? "Mean change of a task's metrics against our STL, in percent; a positive one is worse. A stronger colour is farther from STL, up to the ends of the scale."
      : `Mean over seeds; ${score.higher ? "higher" : "lower"} is better.`,
    h("div", { class: "controls" }, picker),
    host,
  );
}

function heatMap(rows, tasks, looks, score) {
  const values = rows
    .filter((row) => !score.relative || row.label !== "stl")
    .flatMap((row) => row.tasks.map(([value]) => value))
    .filter((value) => value !== null);
  const shade = score.relative ? divergingShade(values) : sequentialShade(values, score.higher);
  const table = sortableTable(
    "Tasks and methods",
    [
      methodColumn(looks),
      measureColumn((row) => ({ ...row.score, sd: undefined }), score.higher, {
        title: score.label,
        unit: `${score.unit} ${score.higher ? "↑" : "↓"}`.trim(),
        sorts: true,
        about: score.about,
      }),
      ...tasks.map((task, index) => ({
        title: task,
        class: "heat",
        about: `${score.label} of ${task}`,
        first: score.higher ? "descending" : undefined,
        value: (row) => row.tasks[index][0],
        render: (row) => heatCell(row.tasks[index], shade, score),
      })),
    ],
    rows,
  );
  return [scaleOf(shade, score), h("div", { class: "comparison" }, table)];
}

function heatCell([value, sd], shade, score) {
  if (value === null) return h("span", { class: "shade" }, NOTHING);
  const text = score.relative ? signed(value, 1) : value.toFixed(score.decimals);
  const title = sd === null ? null : `± ${sd.toFixed(score.relative ? 1 : score.decimals)} over seeds`;
  return shaded(h("span", { class: "shade", title }, text), shade.at(value));
}

/** Colour a node: -1 is the worst, 0 neither, 1 the best. */
function shaded(node, goodness) {
  node.classList.add(goodness < 0 ? "warm" : "cool");
  node.style.setProperty("--strength", `${Math.round(STRONGEST * Math.abs(goodness))}%`);
  return node;
}

/**
 * Zero has no colour. The scale goes by the root and ends where nine of ten changes do, as a few large
 * ones would leave the others pale.
 */
function divergingShade(values) {
  const sizes = values.map(Math.abs).sort((a, b) => a - b);
  const most = sizes.length ? sizes[Math.floor(0.9 * (sizes.length - 1))] : 1;
  const end = Number((most || 1).toPrecision(1));
  return {
    ticks: [-end, -end / 4, 0, end / 4, end],
    at: (value) => -Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value) / end)),
  };
}

function sequentialShade(values, higher) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const share = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  return {
    ticks: high > low ? [0, 0.5, 1].map((part) => low + part * (high - low)) : [low],
    at: (value) => (higher ? share(value) : 1 - share(value)),
  };
}

function scaleOf(shade, score) {
  const text = (value) => (score.relative && value > 0 ? `+${format(value)}` : format(value));
  const ends = score.relative ? ["better", "worse"] : ["", ""];
  return h(
    "p",
    { class: "scale" },
    ends[0],
    shade.ticks.map((value) => shaded(h("span", { class: "shade" }, text(value)), shade.at(value))),
    ends[1],
  );
}
