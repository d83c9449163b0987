// One of the two planes: the loss of a task over both synapses, and the paths on it.
import { add, Diagram, line, put } from "./svg.js";

const LEVELS = 13; // steps of ½ in √L

export class Plane {
  constructor(holder, task, about) {
    const [x0, x1, y0, y1] = about.view;
    Object.assign(this, { task, about });
    this.diagram = new Diagram(holder, {
      x: [x0, x1], y: [y0, y1], width: 396, height: 312,
      label: `The loss of task ${task + 1} over both synapses, and the paths of both networks.`,
      ticks: [[-2, 0, 2].map((v) => [v, v]), [-1, 0, 1, 2].map((v) => [v, v])],
      names: ["θ₁", "θ₂"],
    });
    const { inside, over } = this.diagram;
    this.valley = add(inside, "g", { class: "valley" });
    this.levels = Array.from({ length: LEVELS }, (_, i) => {
      const step = (LEVELS - i) / 2; // from the outermost to the floor
      return [step, add(this.valley, "ellipse", { style: `fill: hsl(0 0% ${100 - 8 * step}%)` })];
    });
    const stroke = { fill: "none", "stroke-linejoin": "round" };
    this.lines = ["shared", "free", "held"].map((name) =>
      add(inside, "polyline", { ...stroke, "stroke-width": 2.4, "data-path": name }),
    );
    this.dots = Object.fromEntries(
      ["joint", "start", "t1", "free", "held"].map((name) => [name, this.mark(over, name)]),
    );
    this.place(this.dots.start, about.start);
  }

  mark(parent, name) {
    const { colours } = this.about;
    const texts = { start: "θ(t₀)", t1: "θ(t₁)", joint: "", free: "", held: "" };
    const group = add(parent, "g", { "data-point": name, hidden: "" });
    if (name === "joint") {
      const star = Array.from({ length: 10 }, (_, i) => {
        const [angle, r] = [(i * Math.PI) / 5, i % 2 ? 5 : 12];
        return [r * Math.sin(angle), -r * Math.cos(angle)];
      });
      add(group, "polygon", { points: line(star), fill: "white", stroke: colours.joint });
    } else {
      const ink = name === "free" ? colours["fine-tuning"] : colours.exact;
      add(group, "circle", { r: 5.5, fill: ink, class: "edge" });
      if (texts[name]) add(group, "text", { x: 9, y: 4, class: "point" }, texts[name]);
    }
    return group;
  }

  // Put a mark at a point, or hide it where there is none or it lies outside.
  place(mark, point) {
    const [x0, x1, y0, y1] = this.about.view;
    const seen = point && point[0] > x0 && point[0] < x1 && point[1] > y0 && point[1] < y1;
    mark.toggleAttribute("hidden", !seen);
    if (!seen) return;
    const [x, y] = this.diagram.at(point);
    put(mark, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` });
  }

  // Draw the valley as it runs at this angle: lines of equal loss are ellipses around its minimum.
  turn(angle) {
    const { along, across, best } = this.about;
    const scale = this.diagram.x(1) - this.diagram.x(0);
    const radius = (step, curvature) => step * Math.sqrt(2 / curvature) * scale;
    for (const [step, ellipse] of this.levels) {
      put(ellipse, { rx: radius(step, along[this.task]), ry: radius(step, across) });
    }
    const [x, y] = this.diagram.at(best[this.task]);
    put(this.valley, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${-angle})` });
  }

  // Draw the path of task 1, and of task 2 without and with the rule; `ends` are known at the end.
  draw({ shared, free, held, ink, ends }) {
    const { colours } = this.about;
    const points = [shared, free, held].map((path) => path.map((point) => this.diagram.at(point)));
    [colours.exact, colours["fine-tuning"], ink].forEach((stroke, i) => {
      put(this.lines[i], { points: line(points[i]), stroke });
    });
    put(this.dots.held.firstChild, { fill: ink });
    this.place(this.dots.t1, free[0]);
    this.place(this.dots.free, free.length > 1 && free.at(-1));
    this.place(this.dots.held, held.length > 1 && held.at(-1));
    this.place(this.dots.joint, ends);
  }
}
