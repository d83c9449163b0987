// The terminal: commands go to Python, their output and the files that they wrote come back.
import { Python } from "./client.js";
import { state, voice } from "./page.js";

const page = document.getElementById("terminal");
const part = (name) => page.querySelector(`[data-${name}]`);
const output = part("output");
const form = page.querySelector("form");
const line = form.querySelector("input");
const [runButton, stopButton] = form.querySelectorAll("button");
const past = []; // commands, for the arrow keys
let at = 0;

const { status, failed, clear } = voice(page, { again: () => begin() });
const python = new Python("terminal", { status, failed, all: true });

// Text as a terminal shows it: after a carriage return the line is written anew.
function print(text) {
  const old = output.textContent;
  const cut = old.lastIndexOf("\n") + 1;
  const lines = (old.slice(cut) + text).split("\n");
  const shown = lines.map((each) => each.replace(/\r$/, "").split("\r").pop());
  output.textContent = old.slice(0, cut) + shown.slice(0, -1).concat("").join("\n") + lines.at(-1);
  output.scrollTop = output.scrollHeight;
}

const TYPES = { png: "image/png", svg: "image/svg+xml", html: "text/html", json: "application/json" };

// What a command has written: the pictures, and a link for each file.
async function show(files) {
  part("written").hidden = false;
  part("pictures").replaceChildren();
  part("files").replaceChildren();
  for (const path of files) {
    const { data } = await python.call("read", { path });
    const type = TYPES[path.split(".").pop()] ?? "application/octet-stream";
    const href = URL.createObjectURL(new Blob([data], { type }));
    if (path.endsWith(".svg")) {
      const alt = `The figure that the command has drawn: ${path}`;
      part("pictures").append(Object.assign(new Image(), { src: href, alt }));
    }
    const link = document.createElement("a");
    Object.assign(link, { href, download: path.split("/").pop(), textContent: path });
    const item = document.createElement("li");
    item.append(link);
    part("files").append(item);
  }
}

function busy(is) {
  state(is ? "busy" : "ready");
  runButton.disabled = is;
  stopButton.disabled = !is;
}

async function run(command) {
  clear();
  print(`${output.textContent && !output.textContent.endsWith("\n") ? "\n" : ""}$ ${command}\n`);
  past.push(command);
  at = past.length;
  busy(true);
  try {
    const needed = await python.call("needs", { line: command });
    if (needed.length) await python.load(needed);
    status("Running …");
    const told = { progress: ({ text }) => print(text) };
    const found = await python.call("run", { line: command }, told);
    if (found.files.length) await show(found.files);
    status(found.status ? `The command has ended with exit status ${found.status}.` : "Done.");
  } catch (error) {
    print(`${error.message}\n`);
    if (python.loaded) status("");
  }
  if (python.loaded) busy(false);
}

async function begin() {
  state("loading");
  if (python.gone) python.revive();
  try {
    await python.ready;
    busy(false);
    line.focus({ preventScroll: true });
  } catch {
    // `failed` has told it
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!runButton.disabled && line.value.trim()) run(line.value.trim());
});
stopButton.addEventListener("click", () => {
  python.stop();
  begin();
});
line.addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step || !past.length) return;
  event.preventDefault();
  at = Math.max(0, Math.min(past.length, at + step));
  line.value = past[at] ?? "";
});
for (const button of page.querySelectorAll("[data-command]")) {
  button.addEventListener("click", () => {
    line.value = button.textContent;
    line.focus();
  });
}
begin();
