/* The score against the cost of an epoch: a mark a method, with the standard deviation as a whisker. */

/** One plot per comparison that has something to draw. */
function costPlots(results, looks) {
  const plots = results.comparisons.map((comparison) => costPlot(comparison, results, looks)).filter(Boolean);
  return plots.length > 0
    ? plots
    : h(
        "p",
        { class: "empty" },
        `No method has both ${results.comparisons[0].score.label} and an epoch cost here: ` +
          `${results.comparisons[0].score.relative ? "Δm needs STL runs, " : ""}the cost LS runs under the same load.`,
      );
}

/** Draw the rows of a comparison that have both; the others are named below. */
function costPlot(comparison, results, looks) {
  const shown = comparison.rows
    .filter((row) => row.score.value !== null && row.cost.value !== null)
    .sort((a, b) => a.cost.value - b.cost.value);
  if (shown.length === 0) return null;
  const left = comparison.rows.filter((row) => !shown.includes(row)).map((row) => row.name);
  const host = h("div", { class: "plot" });
  requestAnimationFrame(() => drawScatter(host, shown, looks, comparison.score));
  return h(
    "div",
    {},
    settingOf(comparison, results),
    host,
    left.length > 0 &&
      h("p", { class: "conditions" }, `Without ${comparison.score.label} or cost, and so not drawn: ${left.join(", ")}.`),
  );
}

function drawScatter(host, rows, looks, score) {
  const name = score.unit ? `${score.label} [${score.unit}]` : score.label;
  const unit = score.unit ? ` ${score.unit}` : "";
  const xs = rows.map((row) => row.cost.value);
  const reach = (row) => row.score.spread || 0;
  const zero = score.relative ? [0] : [];
  const low = Math.min(...zero, ...rows.map((row) => row.score.value - reach(row)));
  const high = Math.max(...zero, ...rows.map((row) => row.score.value + reach(row)));
  const wide = Math.max(...xs) / Math.min(...xs) > 8;
  const margin = (high - low || 1) * 0.08;
  const span = Math.max(...xs) - Math.min(...xs) || 1;
  const range = wide
    ? [Math.min(...xs) / 1.25, Math.max(...xs) * 1.6]
    : [Math.min(...xs) - span * 0.08, Math.max(...xs) + span * 0.18];
  const tip = h("div", { class: "tip", hidden: true });
  const plot = new uPlot(
    {
      width: Math.max(120, host.clientWidth),
      height: 380,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, x: false, points: { show: false } },
      scales: {
        x: { time: false, distr: wide ? 3 : 1, range: () => range },
        y: { range: () => [low - margin, high + margin] },
      },
      axes: [
        {
          ...axis("epoch cost relative to LS", true, wide),
          grid: { stroke: () => cssColour("--grid"), width: 1 },
        },
        axis(`${name}, ${score.higher ? "higher" : "lower"} is better`, false),
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [(self) => drawRows(self, rows, looks, score)], setCursor: [(self) => showTip(self)] },
    },
    [xs, rows.map((row) => row.score.value)],
    host,
  );
  plot.over.append(tip);
  host.setAttribute("role", "img");
  host.setAttribute(
    "aria-label",
    `${score.label} against epoch cost: ` +
      rows.map((row) => `${row.name} ${row.score.text}${unit} at ${row.cost.text} times LS`).join("; "),
  );
  drawn.set(host, { plot, zoom: () => null });
  sizes.observe(host);

  function showTip(self) {
    const { left, top } = self.cursor;
    const near = rows
      .map((row) => [
        row,
        Math.hypot(self.valToPos(row.cost.value, "x") - left, self.valToPos(row.score.value, "y") - top),
      ])
      .sort((a, b) => a[1] - b[1])[0];
    tip.hidden = left < 0 || near[1] > 30;
    if (tip.hidden) return;
    const row = near[0];
    tip.replaceChildren(
      h("div", { class: "at" }, row.name),
      h(
        "div",
        { class: "entry" },
        h("span", {}, score.label),
        h("b", {}, `${row.score.text}${row.score.sd ? ` ± ${row.score.sd}` : ""}${unit}`),
      ),
      h("div", { class: "entry" }, h("span", {}, "epoch cost"), h("b", {}, `${row.cost.text} × LS`)),
    );
    const right = left > self.over.clientWidth / 2;
    tip.style.left = right ? "" : `${left + 14}px`;
    tip.style.right = right ? `${self.over.clientWidth - left + 14}px` : "";
  }
}

function drawRows(self, rows, looks, score) {
  const { ctx, bbox } = self;
  const ratio = devicePixelRatio;
  const at = (row) => [self.valToPos(row.cost.value, "x", true), self.valToPos(row.score.value, "y", true)];
  ctx.save();
  if (score.relative) {
    const zero = self.valToPos(0, "y", true);
    ctx.strokeStyle = cssColour("--muted");
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, zero);
    ctx.lineTo(bbox.left + bbox.width, zero);
    ctx.stroke();
    ctx.setLineDash([]);
  }
  ctx.lineWidth = 1.5 * ratio;
  const whiskers = [];
  for (const row of rows) {
    const [x, y] = at(row);
    ctx.strokeStyle = ctx.fillStyle = cssColour(looks.get(row.label).colour);
    if (row.score.spread) {
      const ends = [-1, 1].map((sign) => self.valToPos(row.score.value + sign * row.score.spread, "y", true));
      whiskers.push(box(x, (ends[0] + ends[1]) / 2, 3 * ratio, ends[0] - ends[1]));
      ctx.globalAlpha = 0.6;
      ctx.beginPath();
      ctx.moveTo(x, ends[0]);
      ctx.lineTo(x, ends[1]);
      ctx.stroke();
      ctx.globalAlpha = 1;
    }
    drawMark(ctx, looks.get(row.label).mark, x, y, 5 * ratio);
  }
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const points = rows.map((row) => {
    const [x, y] = at(row);
    return { x, y, width: ctx.measureText(row.name).width };
  });
  const area = { left: bbox.left, right: bbox.left + bbox.width, top: bbox.top, bottom: bbox.top + bbox.height };
  const places = placeLabels(points, area, whiskers, ratio);
  ctx.lineWidth = ratio;
  ctx.strokeStyle = cssColour("--muted");
  for (const { leader } of places) {
    if (!leader) continue;
    ctx.beginPath();
    ctx.moveTo(...leader[0]);
    ctx.lineTo(...leader[1]);
    ctx.stroke();
  }
  ctx.fillStyle = cssColour("--ink");
  places.forEach(({ place }, index) => {
    ctx.fillText(rows[index].name, place.left, (place.top + place.bottom) / 2);
  });
  ctx.restore();
}

function drawMark(ctx, mark, x, y, r) {
  ctx.beginPath();
  if (mark === "circle") ctx.arc(x, y, r, 0, 2 * Math.PI);
  else if (mark === "square") ctx.rect(x - r * 0.9, y - r * 0.9, 1.8 * r, 1.8 * r);
  else if (mark === "cross") {
    ctx.rect(x - r * 1.1, y - r * 0.4, 2.2 * r, 0.8 * r);
    ctx.rect(x - r * 0.4, y - r * 1.1, 0.8 * r, 2.2 * r);
  } else {
    const corners =
      mark === "triangle"
        ? [
            [0, -1.2],
            [1.15, 0.9],
            [-1.15, 0.9],
          ]
        : [
            [0, -1.3],
            [1.3, 0],
            [0, 1.3],
            [-1.3, 0],
          ];
    corners.forEach(([dx, dy], index) =>
      index ? ctx.lineTo(x + dx * r, y + dy * r) : ctx.moveTo(x + dx * r, y + dy * r),
    );
    ctx.closePath();
  }
  ctx.fill();
}
