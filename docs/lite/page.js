// On every page of the notebooks: says in a sentence what the kernel's worker tells (see kernel.js),
// when that does not come to an end, and what this browser lacks.

const PATIENCE = 60; // seconds without anything that arrives
const AGAIN = "Try again";
const LOADING = "Python is being loaded: about 55 MB, the first time. You can read on.";

const bar = document.createElement("div");
bar.id = "pysi-notice";
bar.hidden = true;
bar.style.cssText =
  "position:fixed;inset:auto 0 0 0;z-index:10000;padding:0.7rem 1rem;font:1rem/1.4 sans-serif;" +
  "background:#fff4ce;color:#222;border-top:2px solid #b8860b";
document.body.append(bar);

function say(text, { alert = true, button = AGAIN } = {}) {
  bar.setAttribute("role", alert ? "alert" : "status");
  bar.textContent = `${text} `;
  bar.hidden = false;
  const close = document.createElement("button");
  close.textContent = button;
  close.style.cssText = "min-height:44px;padding:0 1rem;font:inherit";
  close.onclick = () => (button === AGAIN ? location.reload() : (bar.hidden = true));
  bar.append(close);
}

let waiting = null; // a timer, while Python is being loaded

function expectMore() {
  if (waiting === null) say(LOADING, { alert: false, button: "Close" });
  clearTimeout(waiting);
  waiting = setTimeout(
    () => say(`Nothing has arrived for ${PATIENCE} seconds: the connection may be slow or broken.`),
    1000 * PATIENCE,
  );
}

function expectNothing() {
  clearTimeout(waiting);
  waiting = null;
  bar.hidden = true;
}

const SAID = {
  loading: expectMore,
  ready: expectNothing,
  failed: (text) => {
    expectNothing();
    say(`Python could not be loaded: ${text}. Your changes are kept.`);
  },
  dead: (text) =>
    say(`Python has stopped (${text}). Restart it in the menu Kernel; your changes are kept.`, {
      button: "Close",
    }),
};

// The kernel's worker is started by JupyterLite, which passes over what it does not know.
window.Worker = class extends Worker {
  constructor(...options) {
    super(...options);
    this.addEventListener("message", ({ data }) => {
      if (data?.pysi) SAID[data.pysi](data.text);
    });
  }
};

if (typeof WebAssembly !== "object") {
  say("This browser has no WebAssembly, so Python cannot run in it. Please use a newer browser.");
}
const kernel = new URL("../pyodide/kernel.js", import.meta.url);
fetch(kernel)
  .then(async (response) => {
    await response.text();
    if (!response.ok) SAID.failed("this site has no file pyodide/kernel.js");
  })
  .catch(() => SAID.failed("the connection to this site was interrupted"));
