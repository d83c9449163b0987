// Python for a page: it starts a worker, and calls the functions of one Python module in it.

const PATIENCE = 60_000; // milliseconds

export const MISSING = "This copy of the site was built without Python for the browser.";
export const UNABLE =
  "This browser cannot run Python: it has no WebAssembly, or may not use it. A newer browser can.";

const here = (name) => new URL(name, import.meta.url).href;

// Where the files lie that Python needs; the build of the site writes it.
async function places() {
  let answer;
  try {
    answer = await fetch(here("python.json"));
  } catch {
    throw new Error("The connection to this site was interrupted.");
  }
  if (!answer.ok) throw new Error(MISSING);
  const { runtime, wheels } = await answer.json();
  const address = (path) => new URL(path, here("python.json")).href;
  return {
    runtime: address(runtime),
    wheels: wheels.map(({ url, sha256 }) => ({ url: address(url), sha256 })),
  };
}

export class Python {
  // `status` is told in words what is being loaded, and "" when nothing is; `failed`, in a sentence,
  // that Python is gone. After `stop` or `failed` the object starts anew by itself with the next call.
  // The module may import those `beside` it. With `all`, the other wheels of the site are loaded
  // too, and not pysi's alone.
  constructor(module, { status = () => {}, failed = () => {}, beside = [], all = false } = {}) {
    Object.assign(this, { module, status, failed, beside, all, patience: PATIENCE });
    this.begin();
  }

  begin() {
    this.waiting = [];
    this.running = null;
    this.worker = null;
    this.loaded = false; // true from `ready` until `stop` or `failed`
    this.ready = this.start();
    this.ready.catch((error) => {
      this.gone = true;
      this.failed(error.message);
    });
  }

  async start() {
    if (typeof WebAssembly !== "object" || typeof Worker !== "function") throw new Error(UNABLE);
    const found = await places();
    this.worker = new Worker(here("worker.js"));
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.giveUp("Python could not be loaded: the connection was interrupted.");
    };
    if (!this.all) found.wheels.length = 1;
    const sources = ["bridge", ...this.beside, this.module].map((name) => [`${name}.py`, here(`${name}.py`)]);
    await this.ask({ start: { ...found, name: this.module, sources } });
    this.loaded = true;
    this.status("");
  }

  // Load packages of Pyodide, such as matplotlib, by name.
  async load(names) {
    await this.ready;
    await this.ask({ load: names });
    this.status("");
  }

  // Call a function of the module as f(progress, **settings). With `latest`, calls that wait and
  // are `latest` too are dropped: they resolve to undefined.
  async call(name, settings = {}, { progress = () => {}, latest = false } = {}) {
    if (this.gone) this.revive();
    await this.ready;
    if (latest) {
      const dropped = this.waiting.filter((each) => each.latest);
      this.waiting = this.waiting.filter((each) => !each.latest);
      for (const each of dropped) each.resolve(undefined);
    }
    return this.ask({ call: [name, settings] }, progress, latest);
  }

  // End what Python computes; whoever waits for it is told so.
  stop() {
    this.end("Stopped.");
    this.begin();
  }

  revive() {
    this.gone = false;
    this.begin();
  }

  ask(message, progress = () => {}, latest = false) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ message, progress, latest, resolve, reject });
      this.next();
    });
  }

  next() {
    if (this.running || !this.waiting.length) return;
    this.running = this.waiting.shift();
    this.worker.postMessage(this.running.message);
    this.watch();
  }

  watch() {
    clearTimeout(this.clock);
    if (!this.running) return;
    const sentence = `For ${this.patience / 1000} seconds nothing came from Python, so it was ended.`;
    this.clock = setTimeout(() => this.giveUp(sentence), this.patience);
  }

  hear(data) {
    if (!this.running) return;
    this.watch();
    if ("status" in data) return this.status(data.status);
    if ("progress" in data) return this.running.progress(data.progress);
    if (data.fatal) return this.giveUp(data.error);
    const { resolve, reject } = this.running;
    this.running = null;
    this.watch();
    if (data.error) reject(new Error(data.error));
    else resolve(data.result);
    this.next();
  }

  end(sentence) {
    clearTimeout(this.clock);
    this.worker?.terminate();
    const all = [this.running, ...this.waiting].filter(Boolean);
    this.running = null;
    this.waiting = [];
    this.loaded = false;
    for (const each of all) each.reject(new Error(sentence));
  }

  giveUp(sentence) {
    this.gone = true;
    const loading = Boolean(this.running?.message.start);
    this.end(sentence);
    if (!loading) this.failed(sentence); // while it loads, `ready` tells it
  }
}
