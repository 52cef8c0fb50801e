/* The table of a comparison: verdict first, then every metric. */

const VERDICT = [
  {
    key: "delta_m",
    title: "Δm",
    unit: "% ↓",
    about: "mean relative change of all metrics against our STL, lower is better",
  },
  {
    key: "delta_t",
    title: "Δt",
    unit: "% ↓",
    about: "mean over tasks of the tasks' mean change, lower is better",
  },
  {
    key: "mean_rank",
    title: "rank",
    unit: "mean ↓",
    about: "mean over metrics of the rank among the multi-task methods, lower is better",
  },
  {
    key: "cost",
    title: "epoch cost",
    unit: "× LS ↓",
    about: "training time of an epoch relative to LS with the same seed on the same device under the same load",
  },
  {
    key: "cost_cpu",
    title: "its CPU",
    unit: "× LS ↓",
    about: "CPU time of an epoch's training, likewise",
  },
];

function measureColumn(pick, higher, more) {
  return {
    ...more,
    first: higher ? "descending" : "ascending",
    value: (row) => pick(row).value,
    render: (row) => measured(pick(row)),
  };
}

function methodColumn(looks) {
  return {
    title: "method",
    text: true,
    value: (row) => row.name,
    render: (row) => [swatch(looks.get(row.label)), h("span", {}, row.name)],
  };
}

/** What is said of the rows beside their metrics; costs only where there are any. */
function verdictColumns(rows) {
  const priced = rows.some((row) => row.cost.value !== null);
  return [
    ...VERDICT.filter((item) => priced || !item.key.startsWith("cost")).map((item) =>
      measureColumn((row) => row[item.key], false, { ...item, group: "verdict" }),
    ),
    {
      title: "n",
      unit: "seeds",
      group: "verdict",
      about: "number of seeds",
      first: "descending",
      value: (row) => row.seeds.length,
      render: (row) => String(row.seeds.length),
    },
    priced && {
      title: "n of cost",
      unit: "seeds",
      group: "verdict",
      about: "number of seeds behind the cost",
      first: "descending",
      value: (row) => row.cost_seeds,
      render: (row) => String(row.cost_seeds),
    },
  ].filter(Boolean);
}

const INTERVAL = {
  title: "95 %",
  unit: "of Δm",
  group: "verdict",
  about: "bootstrap interval of Δm over seeds",
  value: (row) => row.delta_m.value,
  render: (row) => row.interval,
};

function publishedColumns(comparison) {
  return comparison.published.map((title, index) => ({
    title: `paper ${title}`,
    unit: "%",
    group: "published",
    class: "published",
    about: "as printed in the paper, not measured here",
    value: (row) => row.published[index].value,
    render: (row) => measured(row.published[index]),
  }));
}

function metricColumns(comparison) {
  const names = new Set(comparison.columns.map((column) => column.metric));
  return comparison.columns.map((column, index) =>
    measureColumn((row) => row.metrics[index], column.higher, {
      title: names.size > 1 ? column.metric : column.task,
      group: names.size > 1 ? column.task : `test ${column.metric}`,
      unit: `${column.unit} ${column.higher ? "↑" : "↓"}`.trim(),
      about: `${column.task} ${column.metric}, ${column.higher ? "higher" : "lower"} is better`,
    }),
  );
}

/** What sets a comparison apart, where there are several. */
function settingOf(comparison, results) {
  return results.comparisons.length > 1 && h("h3", {}, comparison.setting);
}

/** Tables of one data set under one selection rule, with their notes. */
function resultTables(results, looks) {
  return results.comparisons.map((comparison) => {
    const [delta, ...verdict] = verdictColumns(comparison.rows);
    const columns = [
      methodColumn(looks),
      delta,
      INTERVAL,
      ...verdict,
      ...publishedColumns(comparison),
      ...metricColumns(comparison),
    ];
    return h(
      "div",
      { class: "comparison" },
      settingOf(comparison, results),
      sortableTable("Results, mean and standard deviation over seeds", columns, comparison.rows),
      conditionsOf(comparison),
      notesOf(comparison),
    );
  });
}

function conditionsOf(comparison) {
  const several = comparison.rows.filter((row) => row.label !== "stl").length > 1;
  return h(
    "p",
    { class: "conditions" },
    comparison.procedural && badge("procedural"),
    comparison.conditions,
    several && ` ${comparison.marks}`,
  );
}

function badge(kind) {
  return h(
    "span",
    { class: `badge ${kind === "real" ? "real" : "procedural"}` },
    kind === "real" ? "real data" : "PROCEDURAL data",
  );
}

function notesOf(comparison) {
  const usual = mostCommon(comparison.rows.map((row) => row.seeds.join(", ")));
  const named = new Map(); // note -> rows
  for (const row of comparison.rows) {
    const seeds = row.seeds.join(", ");
    const other = seeds === usual ? [] : [`seed${row.seeds.length > 1 ? "s" : ""} ${seeds}`];
    for (const note of [...row.notes, ...other]) named.set(note, [...(named.get(note) || []), row.name]);
  }
  const notes = [...named].map(([note, names]) => `${names.join(", ")}: ${note}.`);
  notes.push(...comparison.cautions);
  if (comparison.published.length) {
    notes.push("Published columns: as printed in the paper for its full training; not results of this code.");
  }
  return (
    notes.length > 0 &&
    h(
      "ul",
      { class: "notes" },
      notes.map((note) => h("li", {}, note)),
    )
  );
}

function mostCommon(texts) {
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) || 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0][0];
}
