"use strict";
/* Small helpers. Text of records only ever becomes text nodes and attributes, never markup. */

const NOTHING = "–";

/** Make an element; a property "on…" is a listener; false, null and undefined are left out. */
function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

/** Make an SVG element. */
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Four significant digits, a dash for what isn't a number. */
function format(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The sample standard deviation, null of a single value. */
function deviation(values) {
  if (values.length < 2) return null;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** A number with its sign, none of a zero. */
function signed(value, decimals) {
  const text = value.toFixed(decimals);
  if (Number(text) === 0) return (0).toFixed(decimals);
  return value > 0 ? `+${text}` : text;
}

/** "1 run", "2 runs". */
function count(number, one, many = one + "s") {
  return `${number} ${number === 1 ? one : many}`;
}

/** An entry of "curves" as an array; one number stands for a constant curve. */
function expand(curve, bins) {
  if (Array.isArray(curve)) return curve;
  return new Array(bins).fill(curve === undefined ? null : curve);
}

/** Centres of the bins: position 1 is the first, each bin has "width" positions. */
function centres(width, bins) {
  return Array.from({ length: bins }, (_, bin) => bin * width + (width + 1) / 2);
}

/** A section with a heading and an explanation. */
function section(title, about, ...children) {
  return h(
    "section",
    { class: "card" },
    h("h2", {}, title),
    about && h("p", { class: "about" }, about),
    ...children,
  );
}
