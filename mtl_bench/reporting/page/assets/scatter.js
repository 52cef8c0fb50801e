/* Two numbers of every method against each other, and which methods no other beats in both. */

/**
 * The numbers of a row that can be drawn: {id, title, unit, higher, pick(row) -> cell}; those that are
 * "judged" are good or bad against STL.
 */
function quantitiesOf(comparison, rows, score) {
  const every = [
    {
      id: "score",
      title: score.label,
      unit: score.unit,
      higher: score.higher,
      judged: true,
      pick: (row) => row.score,
    },
    ...comparison.heads
      .filter((head) => !head.interval)
      .map((head) => ({
        id: head.key,
        title: head.title,
        unit: score.unit,
        higher: head.higher,
        judged: true,
        pick: (row) => row.more[head.key],
      })),
    ...VERDICT.map(({ key, title }) => ({
      id: key,
      title: key === "cost_cpu" ? "CPU time of an epoch" : key === "mean_rank" ? "mean rank" : title,
      unit: key === "mean_rank" ? "" : "× LS",
      higher: false,
      cost: key !== "mean_rank",
      pick: (row) => row[key],
    })),
    ...comparison.columns.map((column, index) => ({
      id: `metric ${index}`,
      task: column.task,
      title: comparison.columns.some((other) => other.metric !== column.metric)
        ? `${column.task} ${column.metric}`
        : column.task,
      unit: column.unit,
      higher: column.higher,
      judged: true,
      pick: (row) => row.metrics[index],
    })),
  ];
  return every.filter(({ pick }) => rows.some((row) => pick(row).value !== null));
}

function paretoSection(results, looks, score) {
  const state = { across: null, up: null };
  const picks = h("span", { class: "control-slot" });
  const said = h("p", { class: "about" });
  const host = h("div", { class: "plot" });
  const left = h("p", { class: "conditions" });
  let rows, quantities;

  function fill(shown, comparison) {
    rows = shown;
    quantities = quantitiesOf(comparison, rows, score);
    if (quantities.length < 2) {
      picks.replaceChildren();
      clearPlot(host);
      host.append(h("p", { class: "empty" }, "No method has two numbers here."));
      return;
    }
    const has = (id) => quantities.some((quantity) => quantity.id === id);
    const [first, second] = firstQuantities(quantities, rows);
    if (!has(state.across)) state.across = first.id;
    if (!has(state.up)) state.up = second.id;
    const options = quantities.map(({ id, title }) => [id, title]);
    picks.replaceChildren(
      ...[
        ["Across", "across"],
        ["Up", "up"],
      ].map(
        ([title, key]) =>
          selectBox(title, options, state[key], (id) => {
            state[key] = id;
            draw();
          }).node,
      ),
    );
    draw();
  }

  function draw() {
    const [across, up] = [state.across, state.up].map((id) => quantities.find((one) => one.id === id));
    const points = rows
      .map((row) => ({ row, name: row.name, look: looks.get(row.label) }))
      .map((point) => ({ ...point, x: across.pick(point.row), y: up.pick(point.row) }))
      .filter(({ x, y }) => x.value !== null && y.value !== null);
    const front = paretoFront(
      points.filter(({ row }) => row.label !== "stl"),
      across.higher,
      up.higher,
    );
    const stl = score.relative && points.find(({ row }) => row.label === "stl");
    clearPlot(host);
    if (points.length) drawScatter(host, points, front, { across, up, stl });
    else host.append(h("p", { class: "empty" }, `No method has both ${across.title} and ${up.title}.`));
    said.textContent =
      `${up.higher ? "Upper" : "Lower"} ${across.higher ? "right" : "left"} is better. ` +
      "The dashed line joins the multi-task methods that no other beats in both means" +
      (stl ? "; dotted lines are the single-task networks." : ".");
    const names = rows.filter((row) => !points.some((point) => point.row === row)).map((row) => row.name);
    left.textContent = names.length
      ? `Without ${across.title} or ${up.title}, and so not drawn: ${names.join(", ")}.`
      : "";
  }

  const controls = h("div", { class: "controls" });
  const node = section("Trade-offs", null, said, controls, host, left);
  requestAnimationFrame(() => controls.append(...rowPicker(results, fill), picks));
  return node;
}

/** Cost and score, else metrics of two tasks, else what there is: of what most methods have. */
function firstQuantities(every, rows) {
  const most = every.filter(({ pick }) => 2 * rows.filter((row) => pick(row).value !== null).length > rows.length);
  const quantities = most.length > 1 ? most : every;
  const cost = quantities.find(({ id }) => id === "cost");
  const metric = quantities.find(({ task }) => task);
  const other = metric && quantities.find(({ task }) => task && task !== metric.task);
  if (!cost && other) return [metric, other];
  const first = cost || quantities[0];
  return [first, quantities.find((quantity) => quantity !== first)];
}

/** The points that no other is at least as good as in both and better in one, from left to right. */
function paretoFront(points, higherX, higherY) {
  const gain = (point) => [point.x.value * (higherX ? 1 : -1), point.y.value * (higherY ? 1 : -1)];
  return points
    .filter((point) => {
      const [x, y] = gain(point);
      return !points.some((other) => {
        const [otherX, otherY] = gain(other);
        return otherX >= x && otherY >= y && (otherX > x || otherY > y);
      });
    })
    .sort((a, b) => a.x.value - b.x.value);
}

function drawScatter(host, points, front, { across, up, stl }) {
  const order = [...points].sort((a, b) => a.x.value - b.x.value);
  const xs = order.map((point) => point.x.value);
  const wide = across.cost && Math.max(...xs) / Math.min(...xs) > 8;
  const tip = h("div", { class: "tip", hidden: true });
  const title = ({ title, unit, higher }) =>
    `${title}${unit ? ` [${unit}]` : ""}, ${higher ? "higher" : "lower"} is better`;
  const options = {
    width: Math.max(120, host.clientWidth),
    height: 420,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, x: false, points: { show: false } },
    scales: {
      x: {
        time: false,
        distr: wide ? 3 : 1,
        range: () => (wide ? [Math.min(...xs) / 1.25, Math.max(...xs) * 1.6] : reachOf(order, "x")),
      },
      y: { range: () => reachOf(order, "y") },
    },
    axes: [
      {
        ...axis(title(across), true, wide),
        grid: { stroke: () => cssColour("--grid"), width: 1 },
      },
      axis(title(up), false),
    ],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: {
      draw: [(self) => drawPoints(self, points, front, stl, { across, up })],
      setCursor: [(self) => showTip(self)],
    },
  };
  const data = [xs, order.map((point) => point.y.value)];
  const plot = new uPlot(options, data, host);
  plot.over.append(tip);
  const figure = { title: `${up.title} against ${across.title}`, entries: [], options, data };
  host.append(saveButtons(figure.title, () => plotFigure(host)));
  host.setAttribute("role", "group");
  host.setAttribute(
    "aria-label",
    `${up.title} against ${across.title}: ` +
      points.map(({ name, x, y }) => `${name} ${y.text} at ${x.text}`).join("; ") +
      `. No multi-task method beats ${front.map(({ name }) => name).join(", ")} in both.`,
  );
  drawn.set(host, { plot, figure, zoom: () => null });
  sizes.observe(host);

  function showTip(self) {
    const { left, top } = self.cursor;
    const near = points
      .map((point) => [
        point,
        Math.hypot(self.valToPos(point.x.value, "x") - left, self.valToPos(point.y.value, "y") - top),
      ])
      .sort((a, b) => a[1] - b[1])[0];
    tip.hidden = left < 0 || near[1] > 30;
    if (tip.hidden) return;
    const entry = (quantity, cell) =>
      h(
        "div",
        { class: "entry" },
        h("span", {}, quantity.title),
        h("b", {}, `${cell.text}${cell.sd ? ` ± ${cell.sd}` : ""} ${quantity.unit}`),
      );
    const { name, x, y } = near[0];
    tip.replaceChildren(h("div", { class: "at" }, name), entry(up, y), entry(across, x));
    const right = left > self.over.clientWidth / 2;
    tip.style.left = right ? "" : `${left + 14}px`;
    tip.style.right = right ? `${self.over.clientWidth - left + 14}px` : "";
  }
}

/** What an axis spans: all marks with their whiskers, and room for names. */
function reachOf(points, side) {
  const ends = points.flatMap(({ [side]: { value, spread = 0 } }) => [value - spread, value + spread]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const span = high - low || Math.abs(high) || 1;
  return [low - span * 0.08, high + span * (side === "x" ? 0.14 : 0.08)];
}

function drawPoints(self, points, front, stl, { across, up }) {
  const { ctx, bbox } = self;
  const ratio = devicePixelRatio;
  const { left, top } = bbox;
  const area = { left, right: left + bbox.width, top, bottom: top + bbox.height };
  const atX = (value) => self.valToPos(value, "x", true);
  const atY = (value) => self.valToPos(value, "y", true);
  const line = (...corners) => {
    ctx.beginPath();
    corners.forEach((corner, index) => (index ? ctx.lineTo(...corner) : ctx.moveTo(...corner)));
    ctx.stroke();
  };
  ctx.save();
  ctx.lineWidth = ratio;
  ctx.strokeStyle = cssColour("--muted");
  ctx.setLineDash([2 * ratio, 3 * ratio]);
  if (stl && up.judged) line([area.left, atY(stl.y.value)], [area.right, atY(stl.y.value)]);
  if (stl && across.judged) line([atX(stl.x.value), area.top], [atX(stl.x.value), area.bottom]);
  ctx.lineWidth = 1.5 * ratio;
  ctx.strokeStyle = cssColour("--accent");
  ctx.setLineDash([6 * ratio, 4 * ratio]);
  const corners = front.map(({ x, y }) => [atX(x.value), atY(y.value)]);
  if (corners.length > 1) line(...corners);
  ctx.setLineDash([]);
  const whiskers = corners.slice(1).flatMap((corner, index) => onLeader([corners[index], corner], ratio));
  for (const { look, x, y } of points) {
    ctx.strokeStyle = ctx.fillStyle = cssColour(look.colour);
    ctx.globalAlpha = 0.4;
    const [ownX, ownY] = [atX(x.value), atY(y.value)];
    if (y.spread) {
      const [low, high] = [atY(y.value - y.spread), atY(y.value + y.spread)];
      whiskers.push(box(ownX, (low + high) / 2, 3 * ratio, low - high));
      line([ownX, low], [ownX, high]);
    }
    if (x.spread) {
      const [low, high] = [atX(x.value - x.spread), atX(x.value + x.spread)];
      whiskers.push(box((low + high) / 2, ownY, high - low, 3 * ratio));
      line([low, ownY], [high, ownY]);
    }
    ctx.globalAlpha = 1;
    drawMark(ctx, look.mark, ownX, ownY, 5 * ratio);
  }
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const font = (point) => `${front.includes(point) ? "bold " : ""}${12 * ratio}px system-ui, sans-serif`;
  const named = points.map((point) => {
    ctx.font = font(point);
    return { x: atX(point.x.value), y: atY(point.y.value), width: ctx.measureText(point.name).width };
  });
  const places = placeLabels(named, area, whiskers, ratio);
  ctx.lineWidth = ratio;
  ctx.strokeStyle = cssColour("--muted");
  for (const { leader } of places) if (leader) line(...leader);
  ctx.fillStyle = cssColour("--ink");
  places.forEach(({ place }, index) => {
    ctx.font = font(points[index]);
    ctx.fillText(points[index].name, place.left, (place.top + place.bottom) / 2);
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
