/* Puts the parts together. */

function datasetPanel(dataset, looks) {
  const results = h("div");
  const rules = dataset.results.map((found, index) => [String(index), found.title]);

  function show(index) {
    const found = dataset.results[index];
    [...results.querySelectorAll(".plot")].forEach(clearPlot);
    results.replaceChildren(
      section(
        "Results",
        null,
        rules.length > 1 &&
          h(
            "div",
            { class: "controls" },
            selectBox("Selection rule", rules, String(index), (value) => show(Number(value))).node,
          ),
        resultTables(found, looks),
        found.comparisons.length === 0 && h("p", { class: "empty" }, "No run is finished yet."),
        found.left_out > 0 &&
          h(
            "p",
            { class: "conditions" },
            `Not shown: ${count(found.left_out, "run")} without metrics under this rule.`,
          ),
        dataset.left_out_rules.length > 0 &&
          h(
            "p",
            { class: "conditions" },
            `With so many rows those under other selection rules are left out: ${dataset.left_out_rules.join(", ")}.`,
          ),
      ),
      ...(found.comparisons.length > 0
        ? [paretoSection, heatSection, pairedSection].map((part) => part(found, looks, dataset.score))
        : []),
    );
  }

  show(0);
  return [
    h("div", { class: "title" }, h("h2", { class: "dataset" }, dataset.name), dataset.kinds.map(badge)),
    results,
    dataset.runs.some((run) => !run.epochs) && h("p", { class: "conditions" }, leftOut(dataset)),
    weightsSection(dataset),
    trainingSection(dataset, looks),
    gradientsSection(dataset),
  ];
}

/** Which runs have curves, where not all have. */
function leftOut(dataset) {
  const shown = dataset.runs.filter((run) => run.epochs).length;
  return `The page has the curves of ${shown} of ${count(dataset.runs.length, "run")}: those of the first seeds of every method.`;
}

function masthead(page) {
  const runs = page.datasets.flatMap((dataset) => dataset.runs);
  const seeds = new Set(runs.map((run) => run.seed));
  const kinds = [...new Set(page.datasets.flatMap((dataset) => dataset.kinds))];
  const methods = new Set(page.labels.map((label) => label.split("-")[0])).size;
  const facts = [
    count(page.datasets.length, "data set"),
    count(methods, "method") + (page.labels.length > methods ? ` in ${page.labels.length} variants` : ""),
    count(seeds.size, "seed"),
    count(runs.length, "run"),
  ];
  document
    .getElementById("masthead")
    .append(
      h("p", { class: "overline" }, "mtl_bench report"),
      h("h1", {}, `Profile ${page.profile}`),
      h("p", { class: "facts" }, facts.join(" · "), kinds.map(badge)),
    );
}

function start() {
  const page = JSON.parse(document.getElementById("data").textContent);
  const looks = new Map(page.labels.map((label) => [label, page.looks[label]]));
  Object.assign(LATEX, page.latex);
  LINES.push(...page.lines);
  masthead(page);
  const troubled = page.datasets
    .flatMap((dataset) => dataset.runs)
    .filter((run) => run.state !== "finished").length;
  const open = makeTabs(document.getElementById("page"), [
    { id: "overview", title: "Overview", build: () => overviewPanel(page, looks, (id) => open(id)) },
    ...page.datasets.map((dataset) => ({
      id: tabId(dataset),
      title: dataset.name,
      build: () => datasetPanel(dataset, looks),
    })),
    {
      id: "runs",
      title: "Runs",
      badge:
        troubled > 0 &&
        h("span", { class: "count" }, String(troubled), h("span", { class: "hidden-text" }, " not finished")),
      build: () => runsPanel(page),
    },
  ]);
}

start();
