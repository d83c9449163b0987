// Drawing with SVG: elements, and a small diagram with axes.

const SPACE = "http://www.w3.org/2000/svg";

// A new element of SVG inside `parent`. Attributes are set by `put`.
export function add(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(SPACE, name);
  put(element, attributes);
  if (text !== "") element.textContent = text;
  parent.append(element);
  return element;
}

// Set attributes. What is not finite never gets into the page: the element is hidden instead.
export function put(element, attributes) {
  const fine = Object.values(attributes).every((x) => typeof x !== "number" || Number.isFinite(x));
  element.toggleAttribute("hidden", !fine);
  if (!fine) return;
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  }
}

// The points of a polyline.
export const line = (points) => points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");

// Two digits, such as 0.0063, 0.25, 21 and 100.
export const short = (x) => String(Number(x.toPrecision(2)));

let clips = 0;

// A diagram on white paper: the frame of x from x0 to x1 and y from y0 to y1, in `width` × `height`.
export class Diagram {
  constructor(holder, { x, y, width, height, label, ticks = [[], []], names = ["", ""] }) {
    const [left, bottom, right, top] = [42, 32, 14, 8];
    this.box = { left, top, width: width - left - right, height: height - top - bottom };
    this.right = width - right;
    this.x = (value) => left + ((value - x[0]) / (x[1] - x[0])) * this.box.width;
    this.y = (value) => top + ((y[1] - value) / (y[1] - y[0])) * this.box.height;
    this.svg = add(holder, "svg", {
      viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "diagram",
    });
    const clip = `clip-${(clips += 1)}`;
    const frame = { x: left, y: top, width: this.box.width, height: this.box.height };
    add(add(this.svg, "clipPath", { id: clip }), "rect", frame);
    add(this.svg, "rect", { ...frame, class: "paper" });
    this.inside = add(this.svg, "g", { "clip-path": `url(#${clip})` });
    this.over = add(this.svg, "g");
    add(this.svg, "rect", { ...frame, class: "frame" });
    for (const [value, text] of ticks[0]) {
      add(this.svg, "text", { x: this.x(value), y: height - 18, class: "tick middle" }, text);
    }
    for (const [value, text] of ticks[1]) {
      add(this.svg, "text", { x: left - 5, y: this.y(value) + 4, class: "tick end" }, text);
    }
    add(this.svg, "text", { x: left + this.box.width / 2, y: height - 4, class: "name middle" }, names[0]);
    const middle = top + this.box.height / 2;
    const turned = { x: 11, y: middle, transform: `rotate(-90 11 ${middle})`, class: "name middle" };
    add(this.svg, "text", turned, names[1]);
  }

  // Where a point of the data lies in the picture.
  at([x, y]) {
    return [this.x(x), this.y(y)];
  }
}
