/* Which colour, dash and mark a method or a task has. Seven colours that the colour-blind can tell
   apart, times three dashes, times the marks of the scatter plot. */

const COLOURS = 7;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
const MARKS = ["circle", "square", "triangle", "diamond", "cross"];

function lookOf(index) {
  const round = Math.floor(index / COLOURS);
  return {
    colour: `--line-${index % COLOURS}`,
    dash: DASHES[round % DASHES.length],
    mark: MARKS[((index % COLOURS) + round * 2) % MARKS.length],
    width: 1.75,
  };
}

/** Looks of methods: the two baselines are neutral, TaskForce stands out, others count up. */
function methodLooks(labels) {
  const looks = new Map();
  const fixed = {
    stl: { colour: "--muted", dash: [2, 3], mark: "diamond", width: 1.75 },
    ls: { colour: "--ink", dash: [7, 4], mark: "square", width: 1.75 },
    taskforce: { ...lookOf(0), width: 2.75 },
  };
  let next = 1;
  for (const label of labels) {
    if (label in fixed) looks.set(label, fixed[label]);
    else {
      looks.set(label, lookOf(next));
      next += 1;
      if (next % COLOURS === 0 && next < 3 * COLOURS) next += 1; // colour 0 is TaskForce's
    }
  }
  return looks;
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
    x2: 21,
    y1: 5,
    y2: 5,
    "stroke-width": look.width + 0.5,
    "stroke-dasharray": look.dash.join(" ") || "none",
  });
  line.style.stroke = `var(${look.colour})`;
  const node = svg("svg", { width: 22, height: 10, viewBox: "0 0 22 10", "aria-hidden": "true" }, line);
  node.classList.add("swatch");
  return node;
}
