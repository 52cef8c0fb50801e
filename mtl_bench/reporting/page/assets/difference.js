/* In what the configurations of two runs differ. */

function differenceSection(page) {
  const groups = page.datasets.flatMap((dataset) =>
    [...new Set(dataset.runs.map((run) => run.label))].map((label) => ({
      dataset,
      label,
      runs: dataset.runs.filter((run) => run.label === label),
    })),
  );
  if (page.datasets.every((dataset) => dataset.runs.length < 2)) return null;
  const host = h("div", { "aria-live": "polite" });
  const chosen = {};
  const choose = (key) => (run) => {
    chosen[key] = run;
    if (chosen.first && chosen.second) host.replaceChildren(...differenceOf(chosen.first, chosen.second));
  };
  const other = Math.max(0, groups.findIndex(({ label }) => label !== "stl"));
  const last = groups.findLastIndex(({ dataset }) => dataset === groups[0].dataset);
  const sides = [
    runChoice("Run", groups, other, choose("first")),
    runChoice("and run", groups, last, choose("second")),
  ];
  return h(
    "details",
    { class: "card text", id: "difference" },
    h("summary", {}, "Difference of configuration between two runs"),
    h("p", { class: "about" }, "The settings in which they differ, of all that can change a number."),
    h("div", { class: "controls" }, sides),
    host,
  );
}

/** Controls for a method of a data set and one of its runs; "onChange" gets {dataset, run}. */
function runChoice(title, groups, start, onChange) {
  const runs = h("span", { class: "control-slot" });

  function pick({ dataset, runs: own }) {
    const box = selectBox(
      "of",
      own.map((run, index) => [String(index), runTitle(run, own)]),
      "0",
      (index) => onChange({ dataset, run: own[Number(index)] }),
    );
    runs.replaceChildren(box.node);
    onChange({ dataset, run: own[0] });
  }

  const options = groups.map(({ dataset, label }, index) => [String(index), `${dataset.name}, ${label}`]);
  const methods = selectBox(title, options, String(start), (index) => pick(groups[Number(index)]));
  pick(groups[start]);
  return [methods.node, runs];
}

function settingsOf({ dataset, run }) {
  const { usual, others } = dataset.settings;
  const all = { ...usual, ...others[run.configuration] };
  return new Map(Object.entries(all).filter(([, text]) => text !== null));
}

function differenceOf(first, second) {
  const [a, b] = [first, second].map(settingsOf);
  const unread = [first, second].find((_, side) => [a, b][side].size === 0);
  if (unread) {
    const { label, seed } = unread.run;
    return [h("p", { class: "empty" }, `The configuration of ${label}, seed ${seed}, can't be read.`)];
  }
  const keys = [...new Set([...a.keys(), ...b.keys()])].sort();
  const rows = [
    { key: "data set", a: first.dataset.name, b: second.dataset.name },
    { key: "seed", a: String(first.run.seed), b: String(second.run.seed) },
    ...keys.map((key) => ({ key, a: a.get(key) ?? NOTHING, b: b.get(key) ?? NOTHING })),
  ];
  const differing = rows.filter((row) => row.a !== row.b);
  const same = keys.length - differing.filter((row) => keys.includes(row.key)).length;
  const side = (key, { run }) => ({
    title: `${run.label}, seed ${run.seed}`,
    class: "value",
    value: (row) => row[key],
    render: (row) => row[key],
  });
  return [
    differing.length > 0 &&
      sortableTable(
        "Settings in which the runs differ",
        [
          { title: "setting", text: true, value: (row) => row.key, render: (row) => row.key },
          side("a", first),
          side("b", second),
        ],
        differing,
      ),
    h(
      "p",
      { class: "conditions" },
      differing.length > 0
        ? `${count(same, "further setting")} ${same === 1 ? "is" : "are"} the same.`
        : `They are the same in ${count(same, "setting")}, seed included.`,
    ),
  ].filter(Boolean);
}
