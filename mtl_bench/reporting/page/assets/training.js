/* Score, losses and metrics over epochs: a small plot a task, methods to choose, bands over seeds. */

const QUANTITIES = [
  ["loss", "training loss"],
  ["validation", "validation metrics"],
  ["test", "test metrics"],
  ["score", "score"],
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
  const clocks = ["epoch", ...new Set(runs.flatMap((run) => Object.keys(run.epochs.curves.clock || {})))];
  const [first] = kinds.find(([kind]) => kind === "score" && !dataset.score.relative) || kinds[0];
  const repeated = runs.some((run) => runs.some((other) => other !== run && alike(run, other)));
  const views = [
    ...(repeated ? [["mean", "mean ± sd over seeds"]] : []),
    ["all", "all seeds"],
    ...seeds.map((seed) => [String(seed), `seed ${seed}`]),
  ];
  const state = { kind: first, seed: views[0][0], log: false, clock: "epoch" };
  const named = new Map(kinds);
  const plots = h("div", { class: "plots" });
  const caption = h("p", { class: "conditions" });

  function panels() {
    const every =
      state.kind === "score"
        ? ["validation", "test"].map((split) => ({
            path: ["score", split],
            title: `${split} ${dataset.score.heading}`,
          }))
        : dataset.tasks.flatMap((task) =>
            state.kind === "loss"
              ? lossPanels(runs, task)
              : task.metrics.map(([metric, title]) => ({ path: [state.kind, task.name, metric], title })),
          );
    return every.filter((panel) => runs.some((run) => curveAt(run, panel.path) !== undefined));
  }

  function places(run) {
    const { width, bins, curves } = run.epochs;
    return state.clock === "epoch" ? centres(width, bins) : expand(curves.clock[state.clock], bins);
  }

  function has(run, path) {
    return curveAt(run, path) !== undefined && (state.clock === "epoch" || state.clock in (run.epochs.curves.clock || {}));
  }

  function linesOf(own, path) {
    const curve = (run) => expand(curveAt(run, path), run.epochs.bins);
    if (state.seed === "mean") {
      return byConfiguration(own).map((members) => ({
        label: members[0].label,
        look: methods.get(members[0].label),
        ...meanOverSeeds(members.map((run) => [places(run), curve(run)])),
      }));
    }
    return own.map((run) => ({
      label: state.seed === "all" && seeds.length > 1 ? `${run.label}, ${runTitle(run, runs)}` : run.label,
      look: methods.get(run.label),
      xs: places(run),
      ys: curve(run),
    }));
  }

  function draw() {
    const shown = runs.filter(
      (run) =>
        !hidden.has(run.label) && (["mean", "all"].includes(state.seed) || String(run.seed) === state.seed),
    );
    [...plots.querySelectorAll(".plot")].forEach(clearPlot);
    const panelNodes = panels().map((panel) => {
      const host = h("div", { class: "plot" });
      return { host, panel, node: h("figure", {}, h("figcaption", {}, panel.title), host) };
    });
    plots.replaceChildren(...panelNodes.map(({ node }) => node));
    const clock = state.clock === "epoch" ? "epochs" : state.clock;
    for (const { host, panel } of panelNodes) {
      plotLines(host, {
        label: `${panel.title}, ${named.get(state.kind)}, over ${clock}`,
        key: state.kind + state.clock,
        xLabel: state.clock,
        yLabel: null,
        log: state.log,
        height: 210,
        sync: `training-${dataset.name}`,
        marks: 15,
        empty: "No method is chosen, or none has values.",
        lines: linesOf(
          shown.filter((run) => has(run, panel.path)),
          panel.path,
        ),
      });
    }
    caption.textContent = [
      state.seed === "mean"
        ? "Mean over the seeds of a configuration; the band is one sample standard deviation to either side. Where a seed ends early it is over the others."
        : "",
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
        selectBox("Seeds", views, state.seed, (seed) => {
          state.seed = seed;
          draw();
        }).node,
      clocks.length > 1 &&
        selectBox(
          "Over",
          clocks.map((name) => [name, name]),
          state.clock,
          (clock) => {
            state.clock = clock;
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

/** Whether runs differ in their seed alone, and their curves in no position. */
function alike(run, other) {
  return run.configuration === other.configuration && run.epochs.width === other.epochs.width;
}

function byConfiguration(runs) {
  const groups = [];
  for (const run of runs) {
    const group = groups.find(([first]) => alike(first, run));
    if (group) group.push(run);
    else groups.push([run]);
  }
  return groups;
}

/** Mean and sample standard deviation at each position of curves [xs, ys], over those with a value. */
function meanOverSeeds(curves) {
  const longest = Math.max(...curves.map(([xs]) => xs.length));
  const points = Array.from({ length: longest }, (_, at) =>
    curves.map(([xs, ys]) => [xs[at], ys[at]]).filter((point) => point.every(Number.isFinite)),
  ).filter((present) => present.length > 0);
  return {
    xs: points.map((present) => mean(present.map(([x]) => x))),
    ys: points.map((present) => mean(present.map(([, y]) => y))),
    spread: points.map((present) => deviation(present.map(([, y]) => y))),
  };
}

/** One plot, or one for each component that learns the task. */
function lossPanels(runs, task) {
  const trees = runs.map((run) => curveAt(run, ["loss", task.name])).filter((tree) => tree !== undefined);
  const components = trees.filter((tree) => typeof tree === "object" && !Array.isArray(tree)).flatMap(Object.keys);
  return components.length === 0
    ? [{ path: ["loss", task.name], title: task.label }]
    : [...new Set(components)].map((name) => ({ path: ["loss", task.name, name], title: `${task.label}, ${name}` }));
}

function curveAt(run, path) {
  return path.reduce(
    (node, part) => (node && Object.hasOwn(node, part) ? node[part] : undefined),
    run.epochs.curves,
  );
}

/** The baselines, TaskForce, and the best of the others by their score. */
function firstShown(dataset, labels) {
  const rows = dataset.results[0].comparisons.flatMap((comparison) => comparison.rows);
  const rank = (label) =>
    Math.min(
      ...rows
        .filter((row) => row.label === label && row.score.value !== null)
        .map((row) => (dataset.score.higher ? -row.score.value : row.score.value)),
    );
  const fixed = ["stl", "ls", "taskforce"].filter((label) => labels.includes(label));
  const others = labels
    .filter((label) => !fixed.includes(label))
    .sort((a, b) => (rank(a) > rank(b)) - (rank(a) < rank(b)));
  return [...fixed, ...others].slice(0, FIRST_SHOWN);
}
