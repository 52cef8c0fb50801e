/* The table of a comparison: verdict first, then every metric. */

const VERDICT = [
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

/** The score of a comparison, and what stands beside it. */
function scoreColumns({ score, heads }) {
  const direction = score.higher ? "higher" : "lower";
  return [
    measureColumn((row) => row.score, score.higher, {
      title: score.label,
      unit: `${score.unit} ${score.higher ? "↑" : "↓"}`.trim(),
      group: "verdict",
      about: `${score.about}, ${direction} is better`,
    }),
    ...heads.map((head) => ({
      ...measureColumn((row) => row.more[head.key], head.higher, { ...head, group: "verdict" }),
      ...(head.interval
        ? { first: undefined, value: (row) => row.score.value, render: (row) => row.more[head.key].text }
        : {}),
    })),
  ];
}

/** What is said of the rows beside their metrics; costs only where there are any. */
function verdictColumns(comparison) {
  const { rows } = comparison;
  const priced = rows.some((row) => row.cost.value !== null);
  return [
    ...scoreColumns(comparison),
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
    rows.some((row) => row.exploded) && {
      title: "exploded",
      unit: "runs ↓",
      group: "verdict",
      about: "number of further runs that a loss above its bound has ended",
      value: (row) => row.exploded,
      render: (row) => String(row.exploded),
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
    const columns = [
      methodColumn(looks),
      ...verdictColumns(comparison),
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
    !KINDS.has(comparison.kind) && badge(comparison.kind),
    comparison.conditions,
    several && ` ${comparison.marks}`,
  );
}

/** Kinds of data that stand for nothing else; a reader is warned of others. */
const KINDS = new Map([
  ["real", "real data"],
  ["simulated", "simulated environments"],
]);

function badge(kind) {
  return h(
    "span",
    { class: `badge ${KINDS.has(kind) ? "real" : "procedural"}` },
    KINDS.get(kind) || `${kind.toUpperCase()} data`,
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
