/* Figures as files: SVG, or PNG of twice the size. */

/** Buttons that save a figure; "make" returns it as an SVG element, or a promise of one. */
function saveButtons(title, make) {
  const button = (kind, encode) =>
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-label": `Save as ${kind}: ${title}`,
        onclick: async () => {
          const file = await encode(await make());
          saveFile(`${fileName(title)}.${kind.toLowerCase()}`, file);
        },
      },
      kind,
    );
  return h("div", { class: "tools save" }, button("SVG", asSvgFile), button("PNG", asPngFile));
}

function fileName(title) {
  const words = title.normalize("NFKD").toLowerCase().match(/[\p{L}\p{N}]+/gu) || ["figure"];
  return words.join("-");
}

function saveFile(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function asSvgFile(figure) {
  return new Blob([new XMLSerializer().serializeToString(figure)], { type: "image/svg+xml" });
}

async function asPngFile(figure) {
  const text = new XMLSerializer().serializeToString(figure);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = new OffscreenCanvas(2 * image.width, 2 * image.height);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/png" });
}

/** The plot that "host" shows, with its title and a legend, drawn again as SVG. */
async function plotFigure(host) {
  const { plot, figure } = drawn.get(host);
  const context = await drawAgain(plot, figure);
  const ratio = devicePixelRatio;
  const keys = legendRows(figure.entries, plot.width - 20, context.ruler);
  const height = 30 + plot.height + 20 * keys.length + 10;
  const content = svg("g", { transform: `translate(0 30) scale(${1 / ratio})` }, context.node);
  const ink = cssColour("--ink");
  const root = figureRoot(plot.width, height);
  root.append(svgText(figure.title, 10, 20, 14, { fill: ink, "font-weight": "bold" }), content);
  keys.forEach((row, number) => {
    const y = 30 + plot.height + 20 * number + 10;
    for (const { x, entry } of row) {
      root.append(
        svg("line", {
          ...{ x1: x, x2: x + 30, y1: y, y2: y, stroke: cssColour(entry.look.colour), "stroke-width": 2 },
          ...(entry.look.dash.length ? { "stroke-dasharray": entry.look.dash.join(" ") } : {}),
        }),
        svgText(entry.label, x + 36, y + 4, 12, { fill: ink }),
      );
    }
  });
  return root;
}

function figureRoot(width, height) {
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  root.append(svg("rect", { width, height, fill: cssColour("--surface") }));
  return root;
}

/** Let uPlot draw a copy of a plot into a context that writes SVG. */
function drawAgain(plot, { options, data }) {
  const context = new SvgContext();
  const { getContext } = HTMLCanvasElement.prototype;
  const usual = globalThis.Path2D;
  const { width, height } = plot;
  return new Promise((done) => {
    const finish = (copy) => {
      globalThis.Path2D = usual;
      done(context);
      queueMicrotask(() => copy.destroy());
    };
    const draw = [...(options.hooks.draw || []), finish];
    HTMLCanvasElement.prototype.getContext = () => context;
    globalThis.Path2D = RecordedPath;
    try {
      const plain = { ...options, width, height, hooks: { draw }, cursor: { show: false } };
      const copy = new uPlot(plain, data, h("div"));
      const { min, max } = plot.scales.x;
      copy.setScale("x", { min, max });
    } finally {
      HTMLCanvasElement.prototype.getContext = getContext;
    }
  });
}

/** Entries in rows of a width, each with its place. */
function legendRows(entries, width, ruler) {
  ruler.font = "12px system-ui, sans-serif";
  const rows = [];
  let x = Infinity;
  for (const entry of entries) {
    const wide = 36 + ruler.measureText(entry.label).width + 18;
    if (x + wide > width) {
      rows.push([]);
      x = 10;
    }
    rows[rows.length - 1].push({ x, entry });
    x += wide;
  }
  return rows;
}

/** A table as it is shown, with its colours and samples of lines, as SVG. */
function tableFigure(table, title) {
  const frame = table.getBoundingClientRect();
  const root = figureRoot(Math.ceil(frame.width) + 20, Math.ceil(frame.height) + 50);
  const content = svg("g", { transform: "translate(10 40)" });
  root.append(svgText(title, 10, 22, 14, { fill: cssColour("--ink"), "font-weight": "bold" }), content);
  for (const node of table.querySelectorAll(".shade, line")) {
    const [box, style] = [node.getBoundingClientRect(), getComputedStyle(node)];
    const at = { x: place(box.x - frame.x), y: place(box.y - frame.y) };
    content.append(
      node instanceof SVGElement
        ? svg("line", {
            ...{ x1: at.x, x2: at.x + box.width, y1: at.y, y2: at.y, stroke: opaque(style.stroke)[0] },
            ...{ "stroke-width": 2, "stroke-dasharray": style.strokeDasharray.replaceAll("px", "") },
          })
        : svg("rect", {
            ...{ ...at, width: place(box.width), height: place(box.height), rx: 3 },
            fill: opaque(style.backgroundColor)[0],
          }),
    );
  }
  const texts = document.createTreeWalker(table, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(texts.currentNode);
    const box = range.getBoundingClientRect();
    const style = getComputedStyle(texts.currentNode.parentElement);
    if (box.width < 2 || texts.currentNode.parentElement.closest(".hidden-text")) continue;
    const size = parseFloat(style.fontSize);
    const middle = (box.y + box.bottom) / 2 - frame.y;
    content.append(
      svgText(texts.currentNode.data, box.x - frame.x, middle + 0.35 * size, size, {
        fill: opaque(style.color)[0],
        ...(Number(style.fontWeight) >= 550 ? { "font-weight": "bold" } : {}),
      }),
    );
  }
  return root;
}
