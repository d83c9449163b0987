// The curves: for each task a diagram with the test accuracy of both networks while they learn.
import { add, line } from "./svg.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [360, 128, 40, 82, 10, 22];

const y = (accuracy) => TOP + (1 - accuracy) * (HEIGHT - TOP - BOTTOM);
const percent = (share) => `${Math.round(100 * share)} %`;

// Where two labels stand that must not touch, as near to their lines as possible.
function apart([a, b]) {
  const push = Math.max(0, 14 - Math.abs(a - b)) / 2;
  const pair = a < b ? [a - push, b + push] : [a + push, b - push];
  const inside = Math.max(0, TOP - Math.min(...pair)) - Math.max(0, Math.max(...pair) - y(0));
  return pair.map((place) => place + inside);
}

export class Curves {
  constructor(holder, names) {
    Object.assign(this, { holder, names, points: [] });
  }

  // Whose curves they are: for each network its name, its colour and how its line is dashed.
  who(networks) {
    this.networks = networks;
  }

  // Take in the accuracies of both networks on the tasks up to the present one.
  add({ task, step, steps, accuracy }) {
    this.points.push({ task, at: task + step / steps, accuracy });
    this.draw();
  }

  // Keep only what was measured while the first `learned` tasks were learned.
  keep(learned) {
    this.points = this.points.filter(({ task }) => task < learned);
    this.draw();
  }

  draw() {
    const begun = Math.max(0, ...this.points.map(({ task }) => task + 1));
    const figures = this.names.slice(0, begun).map((name, task) => this.figure(name, task, begun));
    this.holder.replaceChildren(...figures);
  }

  figure(name, task, begun) {
    const span = Math.max(2, begun);
    const x = (at) => LEFT + (at / span) * (WIDTH - LEFT - RIGHT);
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = `How much of ${name} is read correctly`;
    figure.append(caption);
    const svg = add(figure, "svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "diagram", role: "img", "data-task": task,
    });
    for (const level of [0, 0.5, 1]) {
      add(svg, "text", { x: LEFT - 4, y: y(level) + 4, class: "end" }, percent(level));
      const ends = { x1: LEFT, x2: x(span), y1: y(level), y2: y(level) };
      add(svg, "line", { ...ends, class: level === 0.5 ? "chance" : "edge" });
    }
    for (let i = 0; i < span; i += 1) {
      add(svg, "line", { x1: x(i), x2: x(i), y1: y(1), y2: y(0), class: "edge" });
      if (i >= begun) continue;
      const place = { x: x(i + 0.5), y: HEIGHT - 6, class: "middle" };
      const learned = span > 3 ? this.names[i].replace(" or ", "|") : `learns ${this.names[i]}`;
      add(svg, "text", place, learned);
    }
    this.lines(svg, task, x);
    return figure;
  }

  lines(svg, task, x) {
    const known = this.points.filter(({ accuracy }) => accuracy[task]);
    const last = known.at(-1).accuracy[task];
    const shown = this.networks.map(({ name }, k) => `${name} ${percent(last[k])}`);
    svg.setAttribute("aria-label", `Accuracy on ${this.names[task]}: ${shown.join(", ")}.`);
    svg.dataset.accuracy = last.join(" ");
    const places = apart(last.map(y));
    this.networks.forEach(({ name, colour, dash }, k) => {
      const points = line(known.map(({ at, accuracy }) => [x(at), y(accuracy[task][k])]));
      add(svg, "polyline", { points, stroke: colour, "stroke-dasharray": dash, class: "curve" });
      const label = { x: x(known.at(-1).at) + 5, y: places[k] + 4, style: `fill: ${colour}`, class: "name" };
      add(svg, "text", label, `${name}: ${percent(last[k])}`);
    });
  }
}
