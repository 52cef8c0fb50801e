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
    render: (row) => [
      swatch(looks.get(row.label)),
      h("span", {}, row.name),
      row.isReference && h("span", { class: "tag" }, "reference"),
    ],
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
      sorts: true,
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

/** What is said of the rows beside their metrics; ranks and costs only where there are any. */
function verdictColumns(comparison) {
  const { rows } = comparison;
  const priced = rows.some((row) => row.cost.value !== null);
  return [
    ...scoreColumns(comparison),
    ...VERDICT.filter((item) => rows.some((row) => row[item.key].value !== null)).map((item) =>
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
      name: names.size > 1 ? `${column.task} ${column.metric}` : column.task,
      group: names.size > 1 ? column.task : `test ${column.metric}`,
      unit: `${column.unit} ${column.higher ? "↑" : "↓"}`.trim(),
      about: `${column.task} ${column.metric}, ${column.higher ? "higher" : "lower"} is better`,
    }),
  );
}

/** What sets a comparison apart, where there are several. */
function settingOf(comparison, results) {
  const title = comparison.ablations ? `Variants, ${comparison.setting}` : comparison.setting;
  return results.comparisons.length > 1 && h("h3", {}, title);
}

/**
 * The table of a comparison, best row first. A switch adds the variants of the same setting: the
 * ranks are then those of all rows, and what is marked stays the best of the methods.
 */
function comparisonTable(caption, comparison, results, columnsOf) {
  const names = new Set(comparison.rows.map((row) => row.name));
  const variants = comparison.ablations
    ? []
    : rowsOf(results, comparison.setting).filter((row) => !names.has(row.name)).map(unmarked);
  const place = h("div");

  function fill(withVariants) {
    const rows = withVariants
      ? [...comparison.rows, ...variants].map((row) => ({ ...row, mean_rank: rankCell(row.rank_of_all) }))
      : comparison.rows;
    const shown = rows.map((row) => {
      const isReference = comparison.score.relative && row.label === "stl";
      return { ...row, isReference, rowClass: isReference && "reference" };
    });
    place.replaceChildren(sortableTable(caption, columnsOf({ ...comparison, rows: shown }), shown));
  }

  fill(false);
  return [
    variants.length > 0 &&
      h("div", { class: "controls" }, checkBox(`with ${count(variants.length, "variant")}`, false, fill)),
    place,
  ];
}

function rankCell(value) {
  return { value, text: value === null ? NOTHING : value.toFixed(2) };
}

/** The rows of methods and variants in one setting, each once. */
function rowsOf(results, setting) {
  const own = results.comparisons.filter((comparison) => comparison.setting === setting);
  const rows = new Map(own.flatMap((comparison) => comparison.rows).map((row) => [row.name, row]));
  return [...rows.values()];
}

/** A control that chooses between settings where there are several; "show" gets one, at once too. */
function settingPicker(results, show) {
  const settings = [...new Set(results.comparisons.map((comparison) => comparison.setting))];
  show(settings[0]);
  const options = settings.map((name) => [name, name]);
  return options.length > 1 && selectBox("Setting", options, settings[0], show).node;
}

function isVariant(row) {
  return row.label.includes("-");
}

/**
 * Controls for the setting, where there are several, and for variants beside the methods.
 * "show" gets the rows and a comparison of the setting, at once and at each change.
 */
function rowPicker(results, show) {
  const state = { setting: null, variants: false };
  const slot = h("span", { class: "control-slot" });

  function change() {
    const every = rowsOf(results, state.setting);
    const methods = every.filter((row) => !isVariant(row));
    const comparison = results.comparisons.find((one) => one.setting === state.setting);
    const variants = every.length - methods.length;
    const box = checkBox(`with ${count(variants, "variant")}`, state.variants, (on) => {
      state.variants = on;
      show(on ? every : methods, comparison);
    });
    const optional = variants > 0 && methods.length > 1;
    slot.replaceChildren(...(optional ? [box] : []));
    show(optional && !state.variants ? methods : every, comparison);
  }

  const settings = settingPicker(results, (setting) => {
    state.setting = setting;
    change();
  });
  return [settings, slot].filter(Boolean);
}

/** A row without the marks that it has among other rows. */
function unmarked(row) {
  const plain = (cell) => ({ ...cell, mark: undefined });
  return { ...row, score: plain(row.score), metrics: row.metrics.map(plain) };
}

/** Tables of one data set under one selection rule, with their notes. */
function resultTables(results, looks) {
  return results.comparisons.map((comparison) => {
    const columnsOf = (shown) => [
      methodColumn(looks),
      ...verdictColumns(shown),
      ...publishedColumns(shown),
      ...metricColumns(shown),
    ];
    return h(
      "div",
      { class: "comparison" },
      settingOf(comparison, results),
      comparisonTable("Results, mean and standard deviation over seeds", comparison, results, columnsOf),
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
