// The small pictures below the planes: what the synapses remember, and what c does.
import { add, Diagram, line, put } from "./svg.js";

const BOTTOM = 0.01; // the smallest loss that the curve shows

// The loss of task 1 along one synapse, and the parabola that the rule keeps of it.
export class Slice {
  constructor(holder, k, about) {
    const range = about.view.slice(2 * k, 2 * k + 2);
    const name = `θ${"₁₂"[k]}`;
    this.k = k;
    this.diagram = new Diagram(holder, {
      x: range, y: [-0.4, 6], width: 225, height: 170, names: [name, "loss of task 1"],
      label: `The loss of task 1 along ${name}, and the parabola that the rule keeps of it.`,
      ticks: [[-2, 0, 2].filter((v) => v > range[0] && v < range[1]).map((v) => [v, v]),
        [0, 2, 4].map((v) => [v, v])],
    });
    const { inside } = this.diagram;
    const curve = (name, look) => add(inside, "polyline", { fill: "none", "data-curve": name, ...look });
    this.old = add(inside, "line", { class: "reference" });
    this.truth = curve("loss", { stroke: about.colours.exact, "stroke-width": 2 });
    this.parabola = curve("surrogate", {
      stroke: about.colours.surrogate, "stroke-width": 2.5, "stroke-dasharray": "7 4",
    });
    this.marks = ["free", "held"].map((name) =>
      add(inside, "path", { d: "M-6 -12 L6 -12 L0 -2 Z", "data-mark": name, class: "edge" }),
    );
    this.free = about.colours["fine-tuning"];
  }

  remember(memory) {
    for (const element of [this.old, this.truth, this.parabola]) element.toggleAttribute("hidden", !memory);
    if (!memory) return;
    const n = memory.slices.shape[2];
    const rows = [0, 1, 2].map((i) => {
      const from = (3 * this.k + i) * n;
      return [...memory.slices.data.slice(from, from + n)];
    });
    const curve = (row) => line(rows[0].map((x, i) => this.diagram.at([x, Math.min(row[i], 99)])));
    put(this.truth, { points: curve(rows[1]) });
    put(this.parabola, { points: curve(rows[2]) });
    const x = this.diagram.x(memory.theta_ref.data[this.k]);
    put(this.old, { x1: x, x2: x, y1: 0, y2: 200 });
  }

  // Mark where task 2 has taken this synapse: without the rule, and with it.
  end(free, held, ink) {
    [[free, this.free], [held, ink]].forEach(([theta, fill], i) => {
      this.marks[i].toggleAttribute("hidden", !theta);
      if (!theta) return;
      const [x, y] = this.diagram.at([theta[this.k], 0]);
      put(this.marks[i], { transform: `translate(${x.toFixed(1)} ${(y + 12).toFixed(1)})`, fill });
    });
  }
}

// The losses after task 2 against the strength c, on logarithmic axes.
export class Curve {
  constructor(holder, about) {
    this.about = about;
    const logs = about.strengths.slice(1).map(Math.log10);
    this.first = logs[0] - 0.4; // c = 0 has no logarithm: it stands left of the others
    this.logs = [this.first, ...logs];
    const decades = [0.01, 0.1, 1, 10];
    this.diagram = new Diagram(holder, {
      x: [this.first - 0.15, logs.at(-1)], y: [-2, 1.2], width: 420, height: 240,
      names: ["strength c", "loss after task 2"],
      label: "The losses after task 2 against the strength c.",
      ticks: [[[this.first, 0], ...[0.01, 0.1, 1, 10, 100].map((c) => [Math.log10(c), c])],
        decades.map((loss) => [Math.log10(loss), loss])],
    });
    const { inside } = this.diagram;
    this.wild = add(inside, "rect", { class: "wild", y: 0, height: 240 });
    this.word = add(inside, "text", { class: "point middle" }, "overshoots");
    this.best = add(inside, "line", { class: "best", x1: 0, x2: 420, stroke: about.colours.joint });
    this.now = add(inside, "line", { class: "now", y1: 0, y2: 240 });
    this.lines = ["4 3", "1 3", "none"].map((dashes, i) =>
      add(inside, "polyline", {
        fill: "none", "stroke-width": i === 2 ? 3 : 2, "stroke-dasharray": dashes,
        "data-curve": ["old", "new", "sum"][i],
      }),
    );
    this.dot = add(inside, "circle", { r: 5.5, class: "edge" });
  }

  height(loss) {
    return this.diagram.y(Math.log10(Math.max(loss, BOTTOM)));
  }

  draw(ends, joint, ink) {
    const stable = ends.flatMap((end, k) => (end ? [k] : []));
    for (let i = 0; i < 3; i += 1) {
      const points = stable.map((k) => [this.diagram.x(this.logs[k]), this.height(ends[k][2 + i])]);
      put(this.lines[i], { points: line(points), stroke: i === 2 ? ink : this.about.colours.chance });
    }
    put(this.best, { y1: this.height(joint[4]), y2: this.height(joint[4]) });
    const x = stable.length ? this.diagram.x(this.logs[stable.at(-1)]) : 0;
    const room = stable.length < ends.length ? this.diagram.right - x : 0;
    put(this.wild, { x, width: room });
    const middle = x + room / 2;
    put(this.word, { x: middle, y: 110, transform: `rotate(-90 ${middle.toFixed(1)} 105)` });
    this.word.toggleAttribute("hidden", room < 20);
  }

  // Mark the present strength, the k-th.
  mark(k, end, ink) {
    const x = this.diagram.x(this.logs[k]);
    put(this.now, { x1: x, x2: x });
    this.dot.toggleAttribute("hidden", !end);
    if (end) put(this.dot, { cx: x, cy: this.height(end[4]), fill: ink });
  }
}
