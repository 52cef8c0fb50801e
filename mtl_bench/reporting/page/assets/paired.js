/* Two methods over the seeds that both have: differences, and what they allow to say. */

const EXACT = 12; // most seeds of which all sign patterns are tried
const LEVEL = 0.05;
const DRAWS = 10000;

function pairedSection(results, looks, score) {
  const host = h("div");
  const picks = h("span", { class: "control-slot" });
  const chosen = {};

  function show(setting) {
    const rows = rowsOf(results, setting).filter((row) => row.by_seed.some((value) => value !== null));
    if (rows.length < 2) {
      picks.replaceChildren();
      host.replaceChildren(h("p", { class: "empty" }, `No two rows here have ${score.label}.`));
      return;
    }
    Object.assign(chosen, firstPair(rows, score));
    const options = rows.map((row) => [row.name, row.name]);
    picks.replaceChildren(
      ...[
        ["Compare", "first"],
        ["with", "second"],
      ].map(
        ([title, key]) =>
          selectBox(title, options, chosen[key].name, (name) => {
            chosen[key] = rows.find((row) => row.name === name);
            fill();
          }).node,
      ),
    );
    fill();
  }

  function fill() {
    host.replaceChildren(...pairedResult(chosen.first, chosen.second, looks, score));
  }

  const settings = settingPicker(results, show);
  return section(
    "Paired comparison",
    `${score.label} of two methods over the seeds that both have${
      score.relative ? ", against the mean of all STL seeds" : ""
    }.`,
    h("div", { class: "controls" }, settings, picks),
    h("div", { "aria-live": "polite" }, host),
  );
}

/** The best of the rows with the most seeds, and LS or else the next best. */
function firstPair(rows, score) {
  const sign = score.higher ? -1 : 1;
  const ranked = rows
    .filter((row) => row.label !== "stl")
    .sort((a, b) => b.seeds.length - a.seeds.length || sign * (a.score.value - b.score.value));
  const [first, next] = [...ranked, ...rows.filter((row) => row.label === "stl")];
  const ls = rows.find((row) => row.label === "ls");
  return { first, second: ls && ls !== first ? ls : next };
}

function pairedResult(first, second, looks, score) {
  const pairs = first.seeds
    .map((seed, at) => ({ seed, a: first.by_seed[at], b: second.by_seed[second.seeds.indexOf(seed)] }))
    .filter(({ a, b }) => a !== null && b !== null && b !== undefined)
    .map((pair) => ({ ...pair, difference: pair.a - pair.b }));
  if (first === second) return [h("p", { class: "empty" }, "Choose two different rows.")];
  if (pairs.length === 0) return [h("p", { class: "empty" }, "They have no seed in common.")];
  const differences = pairs.map((pair) => pair.difference);
  const ahead = differences.filter((x) => (score.higher ? x > 0 : x < 0)).length;
  const sd = deviation(differences);
  const unit = score.unit ? ` ${score.unit}` : "";
  const text = (value) => signed(value, score.decimals);
  return [
    h(
      "p",
      { class: "said" },
      `${first.name} − ${second.name}: `,
      h("strong", {}, `${text(mean(differences))}${sd === null ? "" : ` ± ${sd.toFixed(score.decimals)}`}${unit}`),
      ` over ${count(pairs.length, "common seed")}; ${first.name} is ahead in ${ahead} of ${pairs.length}.`,
    ),
    h("p", { class: "said" }, evidence(differences, text, unit)),
    h("div", { class: "headline" }, pairedTable(first, second, pairs, looks, score, text)),
  ];
}

/** What the differences allow to say, in words. */
function evidence(differences, text, unit) {
  const seeds = differences.length;
  if (seeds > EXACT) {
    const [low, high] = bootstrapMean(differences);
    const apart = low > 0 || high < 0 ? "which leaves out 0" : "which holds 0";
    return `95 % bootstrap interval of the mean difference: ${text(low)} to ${text(high)}${unit}, ${apart}.`;
  }
  if (seeds === 1) return "One seed says nothing of the next: there is no test.";
  const { p, extreme, patterns } = signFlipTest(differences);
  const enough = 1 + Math.ceil(Math.log2(1 / LEVEL));
  const least = 2 / 2 ** seeds;
  return (
    `Exact sign-flip permutation test: p = ${format(p)}, as ${extreme} of ${patterns} sign patterns have a mean at least as far from 0. ` +
    (least > LEVEL
      ? `${seeds} seeds can't give a p below ${format(least)}, however large the difference: to show one at the 5 % level takes ${enough} seeds or more.`
      : "")
  );
}

/**
 * The two-sided test of a mean of zero: if the methods were alike, each difference could as well have
 * the other sign. p is the share of all sign patterns whose mean is at least as far from zero.
 */
function signFlipTest(differences) {
  const patterns = 2 ** differences.length;
  const sums = Array.from({ length: patterns }, (_, pattern) =>
    differences.reduce((sum, x, at) => sum + (pattern & (1 << at) ? -x : x), 0),
  );
  const size = differences.reduce((sum, x) => sum + Math.abs(x), 0);
  const extreme = sums.filter((sum) => Math.abs(sum) >= Math.abs(sums[0]) - 1e-9 * size).length;
  return { p: extreme / patterns, extreme, patterns };
}

/** The 95 % percentile bootstrap interval of a mean, the same at every call. */
function bootstrapMean(values) {
  const random = generator(0);
  const means = Array.from({ length: DRAWS }, () =>
    mean(values.map(() => values[Math.floor(random() * values.length)])),
  ).sort((a, b) => a - b);
  return [LEVEL / 2, 1 - LEVEL / 2].map((share) => means[Math.round(share * (DRAWS - 1))]);
}

/** Numbers in [0, 1) from a seed: the generator mulberry32. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pairedTable(first, second, pairs, looks, score, text) {
  const differences = pairs.map((pair) => pair.difference);
  const range = [Math.min(0, ...differences), Math.max(0, ...differences)];
  const side = (row, key) => ({
    title: row.name,
    unit: `${score.unit} ${score.higher ? "↑" : "↓"}`.trim(),
    about: `${score.label} of ${row.name}`,
    first: score.higher ? "descending" : undefined,
    value: (pair) => pair[key],
    render: (pair) => (score.relative ? text(pair[key]) : pair[key].toFixed(score.decimals)),
  });
  return sortableTable(
    `${first.name} and ${second.name}, seed by seed`,
    [
      { title: "seed", text: true, value: (pair) => pair.seed, render: (pair) => `seed ${pair.seed}` },
      side(first, "a"),
      side(second, "b"),
      {
        title: "difference",
        unit: score.unit,
        about: `${first.name} − ${second.name}`,
        value: (pair) => pair.difference,
        render: (pair) => text(pair.difference),
      },
      {
        title: "",
        class: "bars",
        about: "difference as a bar",
        value: (pair) => pair.difference,
        render: (pair) => scoreBar({ label: first.label, score: { value: pair.difference } }, range, looks),
      },
    ],
    pairs,
  );
}
