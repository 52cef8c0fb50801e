/* A drawing context that writes SVG: what uPlot and the page draw on a canvas, as vectors. */

/** A path that remembers what it is made of. */
class RecordedPath extends Path2D {
  constructor(path) {
    super(path);
    this.d = path ? path.d : "";
  }

  moveTo(x, y) {
    super.moveTo(x, y);
    this.d += `M${place(x)} ${place(y)}`;
  }

  lineTo(x, y) {
    super.lineTo(x, y);
    this.d += `${this.d ? "L" : "M"}${place(x)} ${place(y)}`;
  }

  rect(x, y, width, height) {
    super.rect(x, y, width, height);
    this.d += `M${place(x)} ${place(y)}h${place(width)}v${place(height)}h${place(-width)}z`;
  }

  /** A whole circle, which is all that is drawn. */
  arc(x, y, r, ...angles) {
    super.arc(x, y, r, ...angles);
    const [across, back] = [place(2 * r), place(-2 * r)];
    this.d += `M${place(x - r)} ${place(y)}a${r} ${r} 0 1 0 ${across} 0a${r} ${r} 0 1 0 ${back} 0z`;
  }

  closePath() {
    super.closePath();
    this.d += "z";
  }
}

function place(value) {
  return Math.round(value * 100) / 100;
}

const STATE = ["fillStyle", "strokeStyle", "lineWidth", "globalAlpha", "font", "textAlign", "textBaseline"];
const ANCHORS = { center: "middle", right: "end", end: "end" };
const BASELINES = { top: 0.8, middle: 0.35 }; // in heights of the text

class SvgContext {
  constructor() {
    this.ruler = new OffscreenCanvas(1, 1).getContext("2d");
    this.clearRect();
  }

  clearRect() {
    this.node = svg("g");
    this.states = [];
    this.transform = "";
    this.clipping = "";
    this.clips = 0;
    this.dash = [];
    this.globalAlpha = 1;
    this.beginPath();
  }

  save() {
    const kept = Object.fromEntries(STATE.map((key) => [key, this[key]]));
    this.states.push({ ...kept, transform: this.transform, clipping: this.clipping, dash: this.dash });
  }

  restore() {
    Object.assign(this, this.states.pop());
  }

  translate(x, y) {
    this.transform += `translate(${place(x)} ${place(y)})`;
  }

  rotate(angle) {
    this.transform += `rotate(${place((angle * 180) / Math.PI)})`;
  }

  setLineDash(dash) {
    this.dash = dash;
  }

  beginPath() {
    this.path = new RecordedPath();
  }

  moveTo(...at) {
    this.path.moveTo(...at);
  }

  lineTo(...at) {
    this.path.lineTo(...at);
  }

  rect(...sides) {
    this.path.rect(...sides);
  }

  arc(...circle) {
    this.path.arc(...circle);
  }

  closePath() {
    this.path.closePath();
  }

  clip(path = this.path) {
    this.clips += 1;
    const id = `clip-${this.clips}`;
    this.node.append(svg("clipPath", { id, ...this.around() }, svg("path", { d: path.d })));
    this.clipping = `url(#${id})`;
  }

  /** What holds for everything that is drawn now. */
  around() {
    return {
      ...(this.clipping ? { "clip-path": this.clipping } : {}),
      ...(this.transform ? { transform: this.transform } : {}),
    };
  }

  draw(path, colours) {
    if (path.d) this.node.append(svg("path", { d: path.d, ...colours, ...this.around() }));
  }

  stroke(path = this.path) {
    const dash = this.dash.length ? { "stroke-dasharray": this.dash.join(" ") } : {};
    const paint = this.paint("stroke", this.strokeStyle);
    if (paint) this.draw(path, { fill: "none", ...paint, "stroke-width": this.lineWidth, ...dash });
  }

  fill(path = this.path) {
    const paint = this.paint("fill", this.fillStyle);
    if (paint) this.draw(path, paint);
  }

  /** A colour and its opacity apart, as programs for drawings read them. */
  paint(kind, style) {
    if (!style || style === "transparent") return null;
    const [colour, opacity] = opaque(style);
    const alpha = place(opacity * this.globalAlpha);
    return { [kind]: colour, ...(alpha < 1 ? { [`${kind}-opacity`]: alpha } : {}) };
  }

  measureText(text) {
    this.ruler.font = this.font;
    return this.ruler.measureText(text);
  }

  fillText(text, x, y) {
    const [, size] = /([\d.]+)px/.exec(this.font);
    const lowered = y + (BASELINES[this.textBaseline] || 0) * Number(size);
    this.node.append(
      svgText(text, x, lowered, Number(size), {
        ...this.paint("fill", this.fillStyle),
        ...(/bold|[6-9]00/.test(this.font) ? { "font-weight": "bold" } : {}),
        ...(ANCHORS[this.textAlign] ? { "text-anchor": ANCHORS[this.textAlign] } : {}),
        ...this.around(),
      }),
    );
  }
}

/** "#rrggbb" and the opacity of any colour. */
function opaque(style) {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d");
  pixel.fillStyle = style;
  pixel.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data;
  const digits = [red, green, blue].map((part) => part.toString(16).padStart(2, "0"));
  return [`#${digits.join("")}`, alpha / 255];
}

function svgText(text, x, y, size, more) {
  const at = { x: place(x), y: place(y) };
  return svg("text", { ...at, "font-size": size, "font-family": "system-ui, sans-serif", ...more }, text);
}
