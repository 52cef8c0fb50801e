/* Cosines between the task gradients and their lengths, of one run. */

const FIRST_PAIRS = 3;

function gradientsSection(dataset) {
  const runs = dataset.runs.filter((run) => componentsWith(run, "norm").length > 0);
  const about = "Methods that ask for the Gram matrix of the task gradients log it at every update.";
  if (runs.length === 0) return section("Task gradients", `${about} No run here has done so.`);
  const looks = taskLooks(dataset.tasks);
  const [matrix, cosineHost, cosineKeys, normHost, normKeys] = ["matrix", "plot", "", "plot", ""].map(
    (name) => h("div", { class: name }),
  );
  const heading = h("h3", {}, "Cosines");
  const caption = h("p", { class: "conditions" });
  const hidden = new Set();
  const state = { run: null, steps: null, pairs: [], chosen: [], reach: 0, log: true, update: null };
  const picker = runPicker(runs, "norm", (run, steps) => {
    Object.assign(state, { run, steps });
    fill();
  });
  const smoothing = slider(
    "Smoothing",
    30,
    (reach) => (reach ? `${2 * reach + 1} points` : "off"),
    (reach) => {
      state.reach = reach;
      draw();
    },
  );

  function fill() {
    const cosine = state.steps.cosine;
    state.pairs = cosine ? pairsOf(dataset.tasks, cosine) : [];
    const byMean = [...state.pairs].sort(
      (a, b) => meanBetween(a, -Infinity, Infinity) - meanBetween(b, -Infinity, Infinity),
    );
    state.chosen = byMean.slice(0, FIRST_PAIRS);
    const { node: table, update } = cosineTable(dataset.tasks, state.pairs, toggle);
    matrix.replaceChildren(table);
    state.update = update;
    const tasks = dataset.tasks.filter((task) => task.name in state.steps.norm.curves);
    normKeys.replaceChildren(
      legend(
        "Tasks",
        tasks.map((task) => ({ id: task.name, label: task.label, look: looks.get(task.name) })),
        hidden,
        drawNorms,
      ),
    );
    draw();
  }

  function draw() {
    drawCosines();
    drawNorms();
    const { norm, cosine } = state.steps;
    caption.textContent = binText(norm.width, cosine && cosine.width) + damagedText(state.run);
  }

  function toggle(pair) {
    const at = state.chosen.indexOf(pair);
    if (at >= 0) state.chosen.splice(at, 1);
    else state.chosen.push(pair);
    drawCosines();
  }

  function drawCosines() {
    const lines = state.chosen.map((pair, index) => ({
      label: `${pair.a.label} – ${pair.b.label}`,
      look: lookOf(index),
      xs: pair.xs,
      ys: smooth(pair.ys, state.reach),
    }));
    cosineKeys.replaceChildren(
      h(
        "div",
        { class: "legend" },
        lines.map((line) => h("span", { class: "key still" }, swatch(line.look), line.label)),
      ),
    );
    plotLines(cosineHost, {
      label: `Gradient cosines of ${state.run.label}, seed ${state.run.seed}`,
      key: state.run,
      xLabel: "update",
      yLabel: "cosine",
      height: 300,
      lines,
      empty: "Choose a pair of tasks in the matrix.",
      onZoom: (min, max) => state.update(min, max, state.chosen),
    });
    if (lines.length === 0) state.update(-Infinity, Infinity, state.chosen);
  }

  function drawNorms() {
    const { width, bins, curves } = state.steps.norm;
    const xs = centres(width, bins);
    plotLines(normHost, {
      label: `Gradient lengths of ${state.run.label}, seed ${state.run.seed}`,
      key: state.run,
      xLabel: "update",
      yLabel: "length of the gradient",
      log: state.log,
      height: 300,
      empty: "No task is chosen.",
      lines: dataset.tasks
        .filter((task) => task.name in curves && !hidden.has(task.name))
        .map((task) => ({
          label: task.label,
          look: looks.get(task.name),
          xs,
          ys: smooth(expand(curves[task.name], bins), state.reach),
        })),
    });
  }

  const node = section(
    "Task gradients",
    `${about} A cosine below 0 is a conflict. The matrix shows the mean over the updates in view; its cells choose the pairs that are drawn.`,
    h("div", { class: "controls" }, picker.nodes, smoothing.node),
    heading,
    h("div", { class: "beside" }, matrix, h("div", {}, cosineKeys, cosineHost)),
    h("h3", {}, "Lengths"),
    h(
      "div",
      { class: "controls" },
      checkBox("logarithmic", true, (on) => {
        state.log = on;
        drawNorms();
      }),
    ),
    normKeys,
    normHost,
    caption,
  );
  requestAnimationFrame(picker.start);
  return node;
}

/** What a point stands for; nothing to say if it is an update. */
function binText(norms, cosines) {
  if (norms === 1 && (cosines || 1) === 1) return "";
  const other = cosines && cosines !== norms ? `, of ${cosines} in the cosines` : "";
  return `Each point is the mean of ${count(norms, "update")}${other}.`;
}

/** Pairs of tasks with their curve, first task before second in the data set's order. */
function pairsOf(tasks, cosine) {
  const xs = centres(cosine.width, cosine.bins);
  return tasks.flatMap((a) =>
    tasks
      .filter((b) => Object.hasOwn(cosine.curves, a.name) && Object.hasOwn(cosine.curves[a.name], b.name))
      .map((b) => ({ a, b, xs, ys: expand(cosine.curves[a.name][b.name], cosine.bins) })),
  );
}

function meanBetween(pair, from, to) {
  const inside = pair.ys.filter((y, at) => y !== null && pair.xs[at] >= from && pair.xs[at] <= to);
  return inside.length ? inside.reduce((sum, y) => sum + y, 0) / inside.length : null;
}

/** The lower triangle; each cell is a button that draws its pair, "update" fills in the means. */
function cosineTable(tasks, pairs, toggle) {
  const present = tasks.filter((task) => pairs.some((pair) => pair.a === task || pair.b === task));
  const cells = pairs.map((pair) => ({
    pair,
    button: h("button", {
      type: "button",
      title: `${pair.a.label} – ${pair.b.label}`,
      onclick: () => toggle(pair),
    }),
  }));
  const cellOf = (one, other) =>
    cells.find(({ pair: { a, b } }) => (a === one && b === other) || (a === other && b === one));
  const rows = present.slice(1).map((row, index) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, row.label),
      present
        .slice(0, index + 1)
        .map((column) => h("td", {}, (cellOf(column, row) || { button: NOTHING }).button)),
    ),
  );

  function update(from, to, chosen) {
    for (const { pair, button } of cells) {
      const value = meanBetween(pair, from, to);
      button.textContent = value === null ? NOTHING : twoDigits(value);
      button.className = value < 0 ? "conflict" : "agree";
      button.setAttribute("aria-pressed", String(chosen.includes(pair)));
      button.style.setProperty("--strength", `${Math.round(75 * Math.min(1, Math.abs(value || 0)))}%`);
    }
  }

  const node = h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "cosines" },
      h("caption", { class: "hidden-text" }, "Mean cosine between the gradients of two tasks"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td"),
          present.slice(0, -1).map((task) => h("th", { scope: "col" }, task.label)),
        ),
      ),
      h("tbody", {}, rows),
    ),
  );
  return { node, update };
}

/** A true minus sign, and none before 0.00. */
function twoDigits(value) {
  const text = Math.abs(value).toFixed(2);
  return value < 0 && Number(text) > 0 ? `−${text}` : text;
}
