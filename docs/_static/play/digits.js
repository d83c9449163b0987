// The page where two networks learn digits: its controls, and what is shown when Python answers.
import { Curves } from "./curves.js";
import { Python } from "./client.js";
import { INK, drawImage } from "./heatmap.js";
import { copyButton, fromAddress, state, toAddress, voice } from "./page.js";
import { Paint } from "./paint.js";
import { element, said, showAnswers, showOwn } from "./readings.js";

const page = document.getElementById("digits");
const part = (name) => page.querySelector(`[data-${name}]`);
const { status, failed, clear } = voice(page, { again: () => begin() });
export const python = new Python("digits", { status, failed, beside: ["ink", "two_networks"] });
const strength = part("c");

let about; // what does not change: rules, tasks, colours
let known; // the settings that a link can have
let settings; // c, rule, readout and seed, as they are set
let now; // what has been learned: Python's summary
let curves;
let taken = 0; // how many test digits were taken
let speaking; // the answers are about to be read to those who listen

const rule = () => about.rules.find(({ name }) => name === settings.rule);
const names = () => ["c = 0", rule().short];
const paint = new Paint(part("canvas"), part("pen"), () => requestAnimationFrame(see));

function busy(is) {
  state(is ? "busy" : "ready");
  for (const control of page.querySelectorAll("[data-idle]")) control.disabled = is;
  part("stop").disabled = !is;
  if (is) return;
  part("learn").disabled = !now.digits.length;
  part("back").disabled = !now.learned;
}

// Tell what could not be done; "" when something else is.
function refuse(sentence) {
  part("refused").textContent = sentence;
  part("refused").hidden = !sentence;
}

// Call Python, and tell what goes wrong; a call that was stopped is told by whoever stops.
async function ask(name, given = {}, options = {}) {
  try {
    return await python.call(name, given, options);
  } catch (error) {
    if (!python.gone && error.message !== "Stopped.") refuse(error.message);
    return undefined;
  }
}

// Show the settings in the controls and in the address.
function showSettings() {
  const { strengths, colour, short } = rule();
  const distance = (c) => Math.abs(c - settings.c);
  const at = strengths.reduce((best, c, i) => (distance(c) < distance(strengths[best]) ? i : best), 0);
  settings.c = strengths[at];
  Object.assign(strength, { min: 0, max: strengths.length - 1, step: 1, value: at });
  const words = `c = ${settings.c.toLocaleString("en", { maximumSignificantDigits: 3 })}`;
  strength.setAttribute("aria-valuetext", words);
  part("c-is").textContent = words;
  part("dark").textContent = rule().dark;
  for (const name of ["rule", "readout", "seed"]) part(name).value = settings[name];
  page.style.setProperty("--held", colour);
  curves.who([{ name: names()[0], colour: about.look.free, dash: "5 3" }, { name: short, colour, dash: "" }]);
  for (const head of page.querySelectorAll("[data-held]")) head.textContent = short;
  toAddress(settings);
}

function importance(canvas, image, words) {
  drawImage(canvas, image, about.look.importance);
  canvas.setAttribute("aria-label", words);
}

// Show what has been learned.
function show(summary) {
  now = summary;
  curves.keep(now.learned);
  const next = about.names[now.learned];
  part("learn").textContent = next ? `Learn ${next}` : "All five are learned";
  part("told").replaceChildren(...now.sentences.map((text) => element("p", { textContent: text })));
  const share = Math.round(100 * now.half);
  const words = now.half
    ? `Half of all importance lies on ${share} % of the pixels.`
    : "Nothing is important yet: no task has ended.";
  importance(part("past"), now.Omega, `Ω as an image. ${words}`);
  part("half").textContent = words;
  showOwn(part("own"), now.own, names(), (index) => change("discard", { index }));
  part("keep").replaceChildren(...now.digits.map((digit) => {
    const button = element("button", { type: "button", textContent: `Keep it as a ${digit}` });
    button.dataset.idle = "";
    button.addEventListener("click", () => {
      if (paint.empty) refuse("There is no ink yet. Paint a digit first.");
      else change("keep", { drawing: paint.ink, digit });
    });
    return button;
  }));
  see();
}

// Let Python change what it holds, and show it.
async function change(name, given = {}, options = {}) {
  const focused = document.activeElement;
  refuse("");
  busy(true);
  const summary = await ask(name, given, options);
  if (summary) show(summary);
  if (python.gone || !now) return summary;
  busy(false);
  // a control that is disabled for a while, or made anew, loses the focus
  const places = focused.isConnected ? [focused, part("learn"), part("back")] : [part("canvas")];
  if (focused !== document.body && document.activeElement === document.body) {
    places.find(({ disabled }) => !disabled).focus({ preventScroll: true });
  }
  return summary;
}

async function restart() {
  showSettings();
  status("");
  part("progress").value = 0;
  curves.keep(0);
  const { rule: chosen, readout, seed } = settings;
  part("present").hidden = chosen !== "si"; // other rules do not know before the task has ended
  importance(part("work"), { shape: [28, 28], data: new Float32Array(784) }, "ω: no task is being learned.");
  await change("start", { rule: chosen, readout, seed });
}

async function learn() {
  const name = about.names[now.learned];
  status(`Learning ${name} …`);
  const progress = (told) => {
    curves.add(told);
    part("progress").value = told.step / told.steps;
    importance(part("work"), told.omega, `ω as an image, while ${name} is learned.`);
  };
  const summary = await change("learn", { c: settings.c }, { progress });
  status(summary ? `${name} is learned.` : "");
  if (!summary && now) curves.keep(now.learned);
}

async function back() {
  status("");
  await change("back");
}

// Ask both networks what they see in the drawing.
async function see() {
  const seen = !paint.empty && about && (await ask("see", { drawing: paint.ink }, { latest: true }));
  if (seen === undefined || (seen && paint.empty)) return; // there is a later drawing, or none
  const answers = (seen && seen.answers) || [];
  showAnswers(part("answers"), answers);
  clearTimeout(speaking); // when the pen rests, and not for every stroke
  speaking = setTimeout(() => (part("said").textContent = said(answers, names())), 700);
  part("seen").hidden = !seen;
  if (seen) drawImage(part("seen"), seen.image, INK, 255);
  part("nothing").hidden = Boolean(answers.length);
}

async function example() {
  const found = await ask("example", { number: taken });
  taken += 1;
  if (found) paint.load(found.image);
}

// A link may also lead to a heading of the page, such as #try-this.
const carriesSettings = () => location.hash.includes("=");

function fromLink() {
  const found = fromAddress(known);
  const asked = new URLSearchParams(location.hash.slice(1));
  settings = { ...found.settings, seed: Math.round(found.settings.seed) };
  if (!asked.has("c")) settings.c = rule().c;
  part("ignored").textContent = carriesSettings() ? found.ignored : "";
}

async function begin() {
  state("loading");
  clear();
  if (python.gone) python.revive();
  now = undefined;
  const told = await ask("describe");
  if (!told) return;
  about = told;
  const options = (choices) => choices.map(({ name, title }) => element("option", { value: name, textContent: title }));
  part("rule").replaceChildren(...options(about.rules));
  part("readout").replaceChildren(...options(about.readouts));
  page.style.setProperty("--free", about.look.free);
  page.style.setProperty("--chance", about.look.chance);
  curves = new Curves(part("curves"), about.names);
  const choices = (list) => ({ initial: list[0].name, choices: list.map(({ name }) => name) });
  known = {
    c: { initial: 1, least: 0, most: 1e6 },
    rule: choices(about.rules),
    readout: choices(about.readouts),
    seed: { initial: 0, least: 0, most: 999 },
  };
  if (!settings) fromLink();
  page.dataset.alive = "";
  await restart();
}

strength.addEventListener("input", () => {
  settings.c = rule().strengths[strength.value];
  showSettings();
});
for (const name of ["rule", "readout", "seed"]) {
  part(name).addEventListener("change", () => {
    const value = part(name).value;
    settings[name] = name === "seed" ? Math.min(Math.max(Math.round(Number(value)) || 0, 0), 999) : value;
    if (name === "rule") settings.c = rule().c;
    restart();
  });
}
part("learn").addEventListener("click", learn);
part("back").addEventListener("click", back);
part("again").addEventListener("click", restart);
part("stop").addEventListener("click", async () => {
  python.stop();
  await begin();
  part("told").textContent = "Stopped. Python has started again, and both networks begin anew.";
});
part("clear").addEventListener("click", () => paint.clear());
part("example").addEventListener("click", example);
part("form").addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", () => {
  if (!about || !carriesSettings()) return;
  const before = settings;
  fromLink();
  const same = ["rule", "readout", "seed"].every((name) => before[name] === settings[name]);
  if (same) showSettings();
  else restart();
});
copyButton(part("copy"));
begin();
