// The drawing area: a pen for a pointer, and one for the keyboard.

const SIDE = 140; // five times MNIST's 28 pixels
const PEN = 13; // as wide as the strokes of MNIST
const STEP = 5; // of the arrow keys

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Paint {
  // `pen` is an element that shows where the keyboard's pen is; `changed` is called after strokes.
  constructor(canvas, pen, changed) {
    Object.assign(this, { canvas, pen, changed, empty: true });
    Object.assign(canvas, { width: SIDE, height: SIDE });
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(this.context, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    this.home();
    this.listen();
  }

  home() {
    this.at = [SIDE / 2, SIDE / 4];
    this.down = false;
    this.show();
  }

  listen() {
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top].map((x) => (x * SIDE) / box.width);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.canvas.setPointerCapture(event.pointerId);
      this.last = place(event);
      this.stroke(this.last, this.last);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      const to = place(event);
      this.stroke(this.last, to);
      this.last = to;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, () => (this.last = null));
    }
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.home());
  }

  key(event) {
    const arrow = ARROWS[event.key];
    if (event.key === " ") {
      this.down = !this.down;
      if (this.down) this.stroke(this.at, this.at);
    } else if (arrow) {
      const to = this.at.map((x, i) => Math.min(Math.max(x + STEP * arrow[i], 0), SIDE));
      if (this.down) this.stroke(this.at, to);
      this.at = to;
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
    this.show();
  }

  show() {
    this.pen.style.left = `${(100 * this.at[0]) / SIDE}%`;
    this.pen.style.top = `${(100 * this.at[1]) / SIDE}%`;
    this.pen.toggleAttribute("data-down", this.down);
  }

  stroke(from, to) {
    this.context.beginPath();
    this.context.moveTo(...from);
    this.context.lineTo(...to);
    this.context.stroke();
    this.context.beginPath(); // a line without length leaves no ink
    this.context.arc(...to, PEN / 2, 0, 2 * Math.PI);
    this.context.fill();
    this.empty = false;
    this.changed();
  }

  clear() {
    this.context.clearRect(0, 0, SIDE, SIDE);
    this.empty = true;
    this.home();
    this.changed();
  }

  // Show an image {shape, data} in place of the drawing.
  load({ shape, data }) {
    this.context.clearRect(0, 0, SIDE, SIDE);
    const size = SIDE / shape[0];
    data.forEach((ink, i) => {
      this.context.globalAlpha = ink / 255;
      this.context.fillRect(size * (i % shape[1]), size * Math.floor(i / shape[1]), size, size);
    });
    this.context.globalAlpha = 1;
    this.empty = false;
    this.changed();
  }

  // The drawing as numbers, 0 to 255, row by row.
  get ink() {
    const { data } = this.context.getImageData(0, 0, SIDE, SIDE);
    return Array.from({ length: SIDE * SIDE }, (_, i) => data[4 * i + 3]);
  }
}
