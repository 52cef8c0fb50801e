/* The first thing to see: what was run and how it came out. */

function overviewPanel(page, looks, open) {
  return page.datasets.map((dataset) => {
    const { comparisons } = dataset.results[0];
    return h(
      "section",
      { class: "card" },
      h(
        "div",
        { class: "title" },
        h("h2", {}, dataset.name),
        dataset.kinds.map(badge),
        h(
          "button",
          { type: "button", class: "quiet more", onclick: () => open(tabId(dataset)) },
          "metrics and curves →",
        ),
      ),
      h(
        "div",
        { class: "overview" },
        h(
          "div",
          {},
          comparisons.map((comparison) => headline(comparison, dataset.results[0], looks)),
          comparisons.length === 0 && h("p", { class: "empty" }, "No run is finished yet."),
        ),
        h("div", {}, statusGrid(dataset), errorList(dataset)),
      ),
    );
  });
}

function tabId(dataset) {
  return `data-${dataset.name}`;
}

function headline(comparison, results, looks) {
  return h(
    "div",
    { class: "comparison headline" },
    settingOf(comparison, results),
    comparisonTable("Headline results", comparison, results, (shown) => headlineColumns(shown, looks)),
    conditionsOf(comparison),
    notesOf({ ...comparison, published: [] }),
  );
}

function headlineColumns(comparison, looks) {
  const { score } = comparison;
  const ends = comparison.rows.flatMap(({ score: { value, spread = 0 } }) => [
    value - spread,
    value + spread,
  ]);
  const range = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const columns = [
    methodColumn(looks),
    ...verdictColumns(comparison)
      .filter((column) => !column.interval)
      .map((column) => ({ ...column, group: null })),
  ];
  columns.splice(2, 0, {
    title: "",
    class: "bars",
    value: (row) => row.score.value,
    about: `${score.label} as a bar${score.relative ? ": left of the line is better than STL" : ""}`,
    render: (row) => scoreBar(row, range, looks),
  });
  return columns;
}

/** A bar from zero, with the standard deviation as a thin line; "range" is what all bars span. */
function scoreBar(row, [low, high], looks) {
  if (row.score.value === null || low === high) return "";
  const width = 150;
  const at = (value) => 2 + ((width - 4) * (value - low)) / (high - low);
  const { value, spread = 0 } = row.score;
  const bar = svg("rect", {
    x: Math.min(at(0), at(value)),
    width: Math.abs(at(value) - at(0)),
    y: 5,
    height: 10,
    rx: 1.5,
  });
  bar.style.fill = `var(${looks.get(row.label).colour})`;
  const whisker = svg("line", { x1: at(value - spread), x2: at(value + spread), y1: 10, y2: 10 });
  whisker.classList.add("whisker");
  const zero = svg("line", { x1: at(0), x2: at(0), y1: 0, y2: 20 });
  zero.classList.add("zero");
  const node = svg(
    "svg",
    { width, height: 20, viewBox: `0 0 ${width} 20`, "aria-hidden": "true" },
    bar,
    whisker,
    zero,
  );
  node.classList.add("bar");
  return node;
}

/** Methods and seeds; a cell says how far its runs are. */
function statusGrid(dataset) {
  const { labels, seeds, cells } = dataset.grid;
  const counts = new Map([...STATES, "missing"].map((name) => [name, 0]));
  dataset.runs.forEach((run) => counts.set(run.state, counts.get(run.state) + 1));
  counts.set("missing", cells.flat().filter((cell) => cell.length === 0).length);
  return [
    h(
      "div",
      {
        class: "scroll",
        tabindex: "0",
        role: "region",
        "aria-label": `States of the runs on ${dataset.name}`,
      },
      h(
        "table",
        { class: "grid" },
        h("caption", { class: "hidden-text" }, "State of every method and seed"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("td"),
            seeds.map((seed) => h("th", { scope: "col" }, `seed ${seed}`)),
          ),
        ),
        h(
          "tbody",
          {},
          labels.map((label, row) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, label),
              seeds.map((_, column) =>
                h(
                  "td",
                  {},
                  cells[row][column].length
                    ? cells[row][column].map((number) => stateMark(dataset.runs[number]))
                    : h("span", { class: "state missing" }, "missing"),
                ),
              ),
            ),
          ),
        ),
      ),
    ),
    h(
      "p",
      { class: "conditions" },
      [...counts]
        .filter(([, number]) => number)
        .map(([name, number]) => `${number} ${name}`)
        .join(", ") + ".",
    ),
  ];
}

function errorList(dataset) {
  const errors = dataset.runs.filter((run) => run.error);
  return (
    errors.length > 0 &&
    h(
      "ul",
      { class: "notes" },
      errors.map((run) => h("li", {}, h("b", {}, `${run.label}, seed ${run.seed}: `), run.error)),
    )
  );
}
