/* Losses and metrics over epochs: a small plot a task, methods to choose. */

const QUANTITIES = [
  ["loss", "training loss"],
  ["validation", "validation metrics"],
  ["test", "test metrics"],
];
const FIRST_SHOWN = 6;

function trainingSection(dataset, methods) {
  const runs = dataset.runs.filter((run) => run.epochs && run.epochs.bins > 0);
  const kinds = QUANTITIES.filter(([kind]) => runs.some((run) => run.epochs.curves[kind]));
  if (kinds.length === 0) return section("Training curves", "No run here has finished an epoch yet.");
  const labels = [...methods.keys()].filter((label) => runs.some((run) => run.label === label));
  const seeds = [...new Set(runs.map((run) => run.seed))].sort((a, b) => a - b);
  const hidden = new Set(
    labels.length > FIRST_SHOWN ? labels.filter((label) => !firstShown(dataset, labels).includes(label)) : [],
  );
  const state = { kind: kinds[0][0], seed: "all", log: false };
  const plots = h("div", { class: "plots" });
  const caption = h("p", { class: "conditions" });

  function panels() {
    return dataset.tasks
      .flatMap((task) =>
        state.kind === "loss"
          ? [{ path: ["loss", task.name], title: task.label }]
          : task.metrics.map(([metric, title]) => ({ path: [state.kind, task.name, metric], title })),
      )
      .filter((panel) => runs.some((run) => curveAt(run, panel.path) !== undefined));
  }

  function draw() {
    const shown = runs.filter(
      (run) => !hidden.has(run.label) && (state.seed === "all" || String(run.seed) === state.seed),
    );
    [...plots.querySelectorAll(".plot")].forEach(clearPlot);
    const panelNodes = panels().map((panel) => {
      const host = h("div", { class: "plot" });
      return { host, panel, node: h("figure", {}, h("figcaption", {}, panel.title), host) };
    });
    plots.replaceChildren(...panelNodes.map(({ node }) => node));
    for (const { host, panel } of panelNodes) {
      plotLines(host, {
        label: `${panel.title} over epochs`,
        key: state.kind,
        xLabel: "epoch",
        yLabel: null,
        log: state.log,
        height: 210,
        sync: `training-${dataset.name}`,
        marks: 15,
        empty: "No method is chosen, or none has values.",
        lines: shown
          .filter((run) => curveAt(run, panel.path) !== undefined)
          .map((run) => ({
            label:
              state.seed === "all" && seeds.length > 1 ? `${run.label}, ${runTitle(run, runs)}` : run.label,
            look: methods.get(run.label),
            xs: centres(run.epochs.width, run.epochs.bins),
            ys: expand(curveAt(run, panel.path), run.epochs.bins),
          })),
      });
    }
    caption.textContent = [
      state.seed === "all" && seeds.length > 1 ? "Each seed is a line of its own." : "",
      runs.some((run) => run.epochs.width > 1) ? "Long runs: each point is the mean of several epochs." : "",
      state.kind === "test" ? "No selection rule looks at the test set." : "",
    ].join(" ");
  }

  const node = section(
    "Training curves",
    null,
    h(
      "div",
      { class: "controls" },
      selectBox("Show", kinds, state.kind, (kind) => {
        state.kind = kind;
        draw();
      }).node,
      seeds.length > 1 &&
        selectBox(
          "Seeds",
          [["all", "all seeds"], ...seeds.map((seed) => [String(seed), `seed ${seed}`])],
          "all",
          (seed) => {
            state.seed = seed;
            draw();
          },
        ).node,
      checkBox("logarithmic", false, (on) => {
        state.log = on;
        draw();
      }),
    ),
    legend(
      "Methods",
      labels.map((label) => ({ id: label, label, look: methods.get(label) })),
      hidden,
      draw,
    ),
    plots,
    caption,
  );
  requestAnimationFrame(draw);
  return node;
}

function curveAt(run, path) {
  return path.reduce(
    (node, part) => (node && Object.hasOwn(node, part) ? node[part] : undefined),
    run.epochs.curves,
  );
}

/** The baselines, TaskForce, and the best of the others by Δm. */
function firstShown(dataset, labels) {
  const rows = dataset.results[0].comparisons.flatMap((comparison) => comparison.rows);
  const rank = (label) =>
    Math.min(
      ...rows
        .filter((row) => row.label === label && row.delta_m.value !== null)
        .map((row) => row.delta_m.value),
    );
  const fixed = ["stl", "ls", "taskforce"].filter((label) => labels.includes(label));
  const others = labels
    .filter((label) => !fixed.includes(label))
    .sort((a, b) => (rank(a) > rank(b)) - (rank(a) < rank(b)));
  return [...fixed, ...others].slice(0, FIRST_SHOWN);
}
