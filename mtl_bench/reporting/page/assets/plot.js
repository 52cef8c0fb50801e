/* Line plots: uPlot with the page's colours, a list of values at the cursor, zoom by mouse or key. */

const drawn = new Map(); // host -> {plot, key, zoom, figure: {title, entries, options, data}}

/**
 * Draw lines into "host", in place of what it showed.
 * spec: {label, key, xLabel, yLabel, log, height, sync, marks: lines of so few points get marks,
 *        lines: [{label, look, xs, ys, faint, spread: half the height of a band}]};
 * the zoom is kept while "key" stays the same.
 */
function plotLines(host, spec) {
  const before = drawn.get(host);
  const zoom = before && before.key === spec.key ? before.zoom() : null;
  clearPlot(host);
  const lines = spec.lines
    .map((line) => ({ ...line, ys: spec.log ? positive(line.ys) : line.ys }))
    .filter((line) => line.ys.some((y) => y !== null));
  if (lines.length === 0) {
    host.append(h("p", { class: "empty" }, spec.empty || "Nothing to draw: no values here."));
    return;
  }
  const banded = lines.filter((line) => line.spread);
  const edges = banded.flatMap((line) => [1, -1].map((sign) => [line.xs, edgeOf(line, sign, spec.log)]));
  const data = uPlot.join([...lines.map((line) => [line.xs, line.ys]), ...edges]);
  const reset = h("button", { type: "button", class: "reset", hidden: true, onclick: showAll }, "Show all");
  const tip = h("div", { class: "tip", hidden: true });
  const xs = data[0];
  const options = {
    width: Math.max(120, host.clientWidth),
    height: spec.height || 320,
    legend: { show: false },
    cursor: {
      y: false,
      sync: spec.sync ? { key: spec.sync } : undefined,
      points: { size: 7 },
      dataIdx: (self, series, index) => nearestValue(self.data[series], index),
    },
    scales: {
      x: { time: false, ...(xs.length === 1 ? { range: () => [xs[0] - 1, xs[0] + 1] } : {}) },
      y: spec.log ? { distr: 3 } : {},
    },
    axes: [axis(spec.xLabel, true), axis(spec.yLabel, false, spec.log)],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        width: line.look.width,
        dash: line.look.dash,
        spanGaps: false,
        stroke: () => cssColour(line.look.colour),
        alpha: line.faint ? 0.25 : 1,
        points: {
          show: line.ys.length <= (spec.marks || 1),
          size: 4.5,
          fill: () => cssColour(line.look.colour),
        },
      })),
      ...edges.map((_, number) => ({
        stroke: "transparent",
        points: { show: false },
        auto: number % 2 === 0 || !spec.log, // low edges would stretch a logarithmic axis
      })),
    ],
    bands: banded.map((line, number) => ({
      series: [upperEdge(number), upperEdge(number) + 1],
      fill: () => `${cssColour(line.look.colour)}26`,
    })),
    hooks: {
      setCursor: [showTip],
      setScale: [
        (_, name) => {
          if (name === "x") zoomed();
        },
      ],
    },
  };
  const plot = new uPlot(options, data, host);
  plot.over.append(tip);
  host.append(reset, saveButtons(spec.label, () => plotFigure(host)));
  host.tabIndex = 0;
  host.setAttribute("role", "group");
  host.setAttribute(
    "aria-label",
    `${spec.label}. ${count(lines.filter((line) => !line.faint).length, "line")}. ` +
      "Keys: plus and minus zoom, arrows move, 0 shows all.",
  );
  host.onkeydown = (event) => zoomByKey(event, plot, xs);
  const figure = { title: spec.label, entries: lines.filter((line) => !line.faint), options, data };
  drawn.set(host, { plot, figure, key: spec.key, zoom: () => (reset.hidden ? null : { ...plot.scales.x }) });
  sizes.observe(host);
  if (zoom) plot.setScale("x", { min: zoom.min, max: zoom.max });

  /** The number of the series that is the upper edge of a band; its lower edge is the next one. */
  function upperEdge(number) {
    return 1 + lines.length + 2 * number;
  }

  function spreadText(line, y, index) {
    if (!line.spread) return "";
    const high = plot.data[upperEdge(banded.indexOf(line))][index];
    return high > y ? ` ± ${format(high - y)}` : "";
  }

  function showAll() {
    plot.setScale("x", { min: xs[0], max: xs[xs.length - 1] });
  }

  function zoomed() {
    const { min, max } = plot ? plot.scales.x : {};
    reset.hidden = !(min > xs[0] || max < xs[xs.length - 1]);
    if (spec.onZoom && min !== undefined) spec.onZoom(min, max);
  }

  function showTip(self) {
    const { left, idx } = self.cursor;
    tip.hidden = idx === null || idx === undefined || left < 0 || !host.matches(":hover");
    if (tip.hidden) return;
    const entries = lines
      .map((line, number) => {
        const index = self.cursor.idxs[number + 1];
        const y = self.data[number + 1][index];
        return { line, y, spread: spreadText(line, y, index) };
      })
      .filter((entry) => !entry.line.faint && Number.isFinite(entry.y))
      .sort((a, b) => b.y - a.y);
    tip.replaceChildren(
      h("div", { class: "at" }, `${spec.xLabel} ${format(self.data[0][idx])}`),
      ...entries
        .slice(0, 14)
        .map(({ line, y, spread }) =>
          h(
            "div",
            { class: "entry" },
            swatch(line.look),
            h("span", {}, line.label),
            h("b", {}, format(y) + spread),
          ),
        ),
    );
    const right = left > self.over.clientWidth / 2;
    tip.style.left = right ? "" : `${left + 14}px`;
    tip.style.right = right ? `${self.over.clientWidth - left + 14}px` : "";
  }
}

function clearPlot(host) {
  const before = drawn.get(host);
  if (before) before.plot.destroy();
  drawn.delete(host);
  sizes.unobserve(host);
  host.replaceChildren();
}

/** An edge of a line's band; one that a logarithmic axis can't show lies far below the line. */
function edgeOf(line, sign, log) {
  return line.ys.map((y, at) => {
    if (y === null || line.spread[at] === null) return null;
    const edge = y + sign * line.spread[at];
    return log && edge <= 0 ? y * 1e-9 : edge;
  });
}

function positive(ys) {
  return ys.map((y) => (y > 0 ? y : null));
}

/** The index next to "index" at which a series has a value, for curves with other x. */
function nearestValue(values, index) {
  for (let away = 0; away < values.length; away += 1) {
    for (const at of [index - away, index + away]) {
      if (values[at] !== null && values[at] !== undefined) return at;
    }
  }
  return index;
}

function axis(label, horizontal, log = false) {
  return {
    label,
    labelSize: 18,
    labelFont: "12px system-ui, sans-serif",
    font: "11px system-ui, sans-serif",
    labelGap: 2,
    stroke: () => cssColour("--muted"),
    grid: { stroke: () => cssColour("--grid"), width: 1, show: !horizontal },
    ticks: { stroke: () => cssColour("--grid"), width: 1, size: 4 },
    gap: 4,
    ...(log ? { splits: (_, index, min, max) => logTicks(min, max), filter: (_, splits) => splits } : {}),
    space: horizontal ? 56 : 32,
    values: (_, splits) => splits.map((value) => (value === null ? null : format(value))),
    size: horizontal
      ? 30
      : (_, values) => 12 + 6.5 * Math.max(3, ...(values || []).map((text) => (text || "").length)),
  };
}

/** 1, 2, 5, 10, …; powers of ten alone, or every second of them, where the range is long. */
function logTicks(min, max) {
  const [first, last] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
  const decades = Math.log10(max / min);
  const ticks = [];
  for (let power = first; power <= last; power += Math.max(1, Math.ceil(decades / 8))) {
    for (const factor of decades <= 2 ? [1, 2, 5] : [1])
      ticks.push(Number((factor * 10 ** power).toPrecision(1)));
  }
  return ticks.filter((tick) => tick >= min && tick <= max);
}

function zoomByKey(event, plot, xs) {
  const { min, max } = plot.scales.x;
  const span = max - min;
  const ranges = {
    "+": [min + span / 4, max - span / 4],
    "=": [min + span / 4, max - span / 4],
    "-": [min - span / 2, max + span / 2],
    ArrowLeft: [min - span / 4, max - span / 4],
    ArrowRight: [min + span / 4, max + span / 4],
    0: [xs[0], xs[xs.length - 1]],
  };
  const range = ranges[event.key];
  if (!range || event.target !== event.currentTarget || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const [first, last] = [xs[0], xs[xs.length - 1]];
  const wide = Math.min(range[1] - range[0], last - first);
  const from = Math.min(Math.max(range[0], first), last - wide);
  plot.setScale("x", { min: from, max: from + wide });
}

const sizes = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    const own = drawn.get(target);
    const width = target.clientWidth;
    if (own && width > 0 && width !== own.plot.width) own.plot.setSize({ width, height: own.plot.height });
  }
});

function redrawAll() {
  for (const { plot } of drawn.values()) plot.redraw(false);
}

for (const query of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(query).addEventListener("change", redrawAll);
}
