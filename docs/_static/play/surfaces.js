// The page of the two loss surfaces: its controls, and what is drawn when Python answers.
import { Curve, Slice } from "./charts.js";
import { Python } from "./client.js";
import { copyButton, fromAddress, state, toAddress, voice } from "./page.js";
import { Plane } from "./plane.js";
import { short } from "./svg.js";
import { showLosses, showMemory } from "./tables.js";

const page = document.getElementById("surfaces");
const part = (name) => page.querySelector(`[data-${name}]`);
const slider = (name) => page.querySelector(`input[name=${name}]`);
const { status, failed, clear } = voice(page, { again: () => start() });
const python = new Python("surfaces", { beside: ["two_tasks", "outcome"], status, failed });

let about; // what does not change: the ranges, the valleys, the colours
let known; // the settings that a link can have
let view; // the planes and charts
let settings; // rule, c, turn, lr, noise, as they are set
let run; // the networks that are drawn: {settings, paths, result}
let asked = 0; // how often it was begun: a run ends when another one has begun

const nearest = (values, x) =>
  values.reduce((best, value, i) => (Math.abs(value - x) < Math.abs(values[best] - x) ? i : best), 0);
const ruleOf = (name) => about.rules.find((rule) => rule.name === name);
const strength = () => nearest(about.strengths, settings.c);

// The path of the k-th network in a task, as points.
function path(task, k) {
  const points = [];
  for (const { shape, data } of run.paths[task]) {
    const moments = shape[1];
    for (let i = 0; i < moments; i += 1) {
      const at = 2 * (k * moments + i);
      points.push([data[at], data[at + 1]]);
    }
  }
  return points;
}

// Draw what depends on the chosen strength; it has been trained already, so this is quick.
function draw() {
  if (!run) return;
  const k = strength();
  const ink = ruleOf(run.settings.rule).colour;
  const { result } = run;
  page.style.setProperty("--held", ink);
  const first = [about.start, ...path(0, 0)];
  const free = run.paths[1].length ? [first.at(-1), ...path(1, 0)] : [];
  const held = run.paths[1].length ? [first.at(-1), ...path(1, k)] : [];
  const ends = result && result.joint.slice(0, 2);
  for (const plane of view.planes) plane.draw({ shared: first, free, held, ink, ends });
  if (!result) return;
  const [none, chosen] = [result.ends[0], result.ends[k]];
  for (const slice of view.slices) slice.end(none, chosen, ink);
  view.curve.mark(k, chosen, ink);
  const label = ruleOf(run.settings.rule).label;
  showLosses(part("losses"), [
    ["no rule", none, about.colours["fine-tuning"]],
    [label === "None" ? "the same" : `${label}, c = ${short(about.strengths[k])}`, chosen, ink],
    ["best for both", result.joint, about.colours.joint],
  ]);
  part("says").textContent = result.says[k];
}

// Take in what Python has sent: a part of the paths, or all that is known at the end.
function take(sent) {
  if (sent.theta) {
    run.paths[sent.task].push(sent.theta);
    if (sent.task === 0) showMemory(part("memory"), sent, about.colours);
    part("clock").textContent = `task ${sent.task + 1}, step ${sent.step} of ${about.steps}`;
  } else {
    run.result = sent;
    showMemory(part("memory"), sent.memory ?? {}, about.colours);
    for (const slice of view.slices) slice.remember(sent.memory);
    view.curve.draw(sent.ends, sent.joint, ruleOf(run.settings.rule).colour);
    part("clock").textContent = "";
  }
  draw();
}

// Train networks of all strengths anew, and draw while they learn.
async function learn() {
  const mine = (asked += 1);
  const { c, ...chosen } = settings;
  state("busy");
  page.toggleAttribute("data-stale", true);
  try {
    let sent = await python.call("begin", chosen, { latest: true });
    if (!sent) return; // another one was asked for before this one had begun
    run = { settings: chosen, paths: [[], []], result: null };
    view.planes[0].turn(chosen.turn);
    for (;;) {
      take(sent);
      if (run.result || mine !== asked) break;
      sent = await python.call("more");
      if (mine !== asked) break;
    }
  } catch (error) {
    if (!python.gone) failed(error.message);
    return;
  }
  if (mine !== asked) return;
  page.toggleAttribute("data-stale", false);
  state("ready");
}

// Say every setting in words beside its control, and write them to the address.
let later;
function tell() {
  const words = {
    c: short(about.strengths[strength()]), turn: `${settings.turn}°`,
    lr: String(settings.lr), noise: settings.noise.toFixed(2),
  };
  for (const [name, text] of Object.entries(words)) {
    page.querySelector(`output[name=${name}-is]`).textContent = text;
    slider(name).setAttribute("aria-valuetext", text);
  }
  const apart = Math.abs(((about.second - settings.turn + 90) % 180 + 180) % 180 - 90);
  part("apart").textContent = `The valleys are ${apart}° apart.`;
  part("note").textContent = ruleOf(settings.rule).note;
  clearTimeout(later); // browsers let a page write its address only so often
  later = setTimeout(() => toAddress({ ...settings, c: short(settings.c) }), 250);
}

// Set all controls from the address, and learn.
function read() {
  const { settings: found, ignored } = fromAddress(known);
  const c = about.strengths[nearest(about.strengths, found.c)];
  settings = { ...found, c, lr: about.rates[nearest(about.rates, found.lr)] };
  slider("c").value = strength();
  slider("turn").value = settings.turn;
  slider("lr").value = about.rates.indexOf(settings.lr);
  slider("noise").value = settings.noise;
  page.querySelector(`input[name=rule][value="${settings.rule}"]`).checked = true;
  part("ignored").textContent = ignored;
  tell();
  learn();
}

function change({ target }) {
  const { name, value } = target;
  if (name === "c") {
    settings.c = about.strengths[Number(value)];
    draw();
  } else {
    settings[name] = name === "rule" ? value : name === "lr" ? about.rates[value] : Number(value);
    learn();
  }
  tell();
}

// Build the controls and diagrams from what Python says of them.
function build() {
  const { ranges, defaults } = about;
  known = { rule: { initial: defaults.rule, choices: about.rules.map(({ name }) => name) } };
  for (const [name, [least, most]] of Object.entries(ranges)) {
    known[name] = { initial: defaults[name], least, most };
  }
  const limits = {
    c: [0, about.strengths.length - 1, 1], lr: [0, about.rates.length - 1, 1],
    turn: [...ranges.turn, 1], noise: [...ranges.noise, 0.01],
  };
  for (const [name, [min, max, step]] of Object.entries(limits)) {
    Object.assign(slider(name), { min, max, step });
  }
  part("rules").append(...about.rules.map(({ name, label, colour }) => {
    const choice = document.createElement("label");
    choice.style.setProperty("--ink", colour);
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "rule", value: name });
    choice.append(input, label);
    return choice;
  }));
  for (const [name, role] of [["task1", "exact"], ["free", "fine-tuning"]]) {
    page.querySelector(`.${name}`).style.setProperty("--ink", about.colours[role]);
  }
  const [planes, slices, curve] = ["planes", "slices", "curve"].map(part);
  view = {
    planes: [0, 1].map((task) => new Plane(planes.children[task], task, about)),
    slices: [0, 1].map((k) => new Slice(slices, k, about)),
    curve: new Curve(curve, about),
  };
  view.planes[1].turn(about.second);
  part("form").addEventListener("input", change);
  part("form").addEventListener("submit", (event) => event.preventDefault());
  part("reset").addEventListener("click", () => {
    location.hash = "";
    read();
  });
  window.addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return; // a heading of this page, and no settings
    read();
    planes.scrollIntoView({ block: "nearest" });
  });
  copyButton(part("copy"));
}

async function start() {
  state("loading");
  if (python.gone) python.revive();
  try {
    await python.ready;
    if (!about) {
      about = await python.call("describe");
      build();
    }
  } catch {
    return; // `failed` has told it
  }
  clear();
  page.toggleAttribute("data-alive", true);
  read();
}

start();
