/* Which colour, dash and mark a line has. All of them come with the data, as the figures have them. */

const LINES = [];

function lookOf(index) {
  return LINES[index % LINES.length];
}

function taskLooks(tasks) {
  return new Map(tasks.map((task, index) => [task.name, lookOf(index)]));
}

/** The present value of a custom property of the page, for canvases. */
function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A short sample of a line, for legends. */
function swatch(look) {
  const line = svg("line", {
    x1: 1,
    x2: 29,
    y1: 5,
    y2: 5,
    "stroke-width": look.width + 0.5,
    "stroke-dasharray": look.dash.join(" ") || "none",
  });
  line.style.stroke = `var(${look.colour})`;
  const node = svg("svg", { width: 30, height: 10, viewBox: "0 0 30 10", "aria-hidden": "true" }, line);
  node.classList.add("swatch");
  return node;
}
