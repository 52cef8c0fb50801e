/* Every run: state, error, configuration, environment, and a link to its record. */

const STATES = ["finished", "running", "interrupted", "exploded", "failed"];

function runsPanel(page) {
  const state = { state: "all", words: "" };
  const list = h("div");
  const total = h("span", { class: "total", "aria-live": "polite" });
  const present = STATES.filter((name) =>
    page.datasets.some((dataset) => dataset.runs.some((run) => run.state === name)),
  );

  function fill() {
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    list.replaceChildren(
      ...page.datasets.map((dataset) => {
        const runs = dataset.runs.filter(
          (run) =>
            (state.state === "all" || run.state === state.state) &&
            words.every((word) =>
              `${dataset.name} ${run.label} seed${run.seed} ${run.hash} ${run.error || ""}`
                .toLowerCase()
                .includes(word),
            ),
        );
        shown += runs.length;
        return runs.length
          ? h(
              "section",
              { class: "card" },
              h("h2", {}, dataset.name),
              runs.map((run) => runDetails(run, page.facts, dataset.headers)),
            )
          : "";
      }),
    );
    total.textContent = `${count(shown, "run")} shown`;
  }

  const search = h("input", {
    id: "run-filter",
    type: "search",
    placeholder: "method, seed, hash, error",
    oninput: () => {
      state.words = search.value;
      fill();
    },
  });
  fill();
  return [
    h(
      "div",
      { class: "controls" },
      h("div", { class: "control" }, h("label", { for: "run-filter" }, "Find"), search),
      selectBox("State", [["all", "all states"], ...present.map((name) => [name, name])], "all", (value) => {
        state.state = value;
        fill();
      }).node,
      total,
    ),
    missingSection(page),
    differenceSection(page),
    list,
  ];
}

function runDetails(run, facts, headers) {
  const details = h(
    "details",
    { class: "run" },
    h(
      "summary",
      {},
      h("span", { class: "what" }, run.label),
      h("span", { class: "seed" }, `seed ${run.seed}`),
      h("code", {}, run.hash),
      stateMark(run),
    ),
  );
  if (run.error) details.append(h("p", { class: "error" }, run.error));
  details.addEventListener("toggle", () => {
    if (!details.open || details.dataset.built) return;
    details.dataset.built = "yes";
    details.append(
      h(
        "div",
        { class: "body" },
        h("p", {}, "Record: ", h("a", { href: run.link }, run.folder), ".", damagedText(run)),
        run.facts.length > 0 && pairsList("Facts", facts, run.facts),
        run.metrics.length > 0 && pairsList("Test metrics", headers[run.headers], run.metrics),
        run.epochs
          ? [textBlock("Configuration", run.config), textBlock("Environment", run.environment)]
          : h("p", { class: "empty" }, "Its curves, configuration and environment are in the record alone."),
      ),
    );
  });
  return details;
}

function stateMark(run) {
  return h("span", { class: `state ${run.state}` }, run.progress);
}

/** Names and texts; a name without a text is left out. */
function pairsList(title, names, texts) {
  return [
    h("h3", {}, title),
    h(
      "dl",
      {},
      texts.map((text, index) => text && h("div", {}, h("dt", {}, names[index]), h("dd", {}, text))),
    ),
  ];
}

function textBlock(title, text) {
  return h(
    "details",
    { class: "text" },
    h("summary", {}, title),
    text === null
      ? h("p", { class: "empty" }, "This file is missing from the record.")
      : h("pre", { tabindex: "0" }, text),
  );
}

/** Methods and seeds that other methods of the same data set have. */
function missingSection(page) {
  const missing = page.datasets.flatMap((dataset) =>
    dataset.grid.labels.flatMap((label, row) => {
      const seeds = dataset.grid.seeds.filter((_, column) => dataset.grid.cells[row][column].length === 0);
      return seeds.length
        ? [`${dataset.name}, ${label}: seed${seeds.length > 1 ? "s" : ""} ${seeds.join(", ")}`]
        : [];
    }),
  );
  return (
    missing.length > 0 &&
    section(
      "Missing",
      "Other methods of the same data set have these seeds, or Δm needs them.",
      h(
        "ul",
        { class: "notes" },
        missing.map((text) => h("li", {}, text)),
      ),
    )
  );
}
