// Python in a worker of its own, so that the page stays alive while it computes.
//
// The page sends {start}, {load} or {call}; the worker answers with {status}, {progress} and, once
// per message, {done}, {result} or {error}. It does one thing after the other, in their order.
"use strict";

let pyodide, module, bridge;

const say = (kind, value) => self.postMessage({ [kind]: value });

// An error whose message is meant for the visitor.
class Told extends Error {}

// Pyodide waits for ever for a file that does not come, so whoever fetches one is told here.
const fetched = self.fetch;
let tell;
const interrupted = new Promise((_, reject) => (tell = reject));
interrupted.catch(() => {}); // it is told by `start`, where it matters
self.fetch = async (address, options) => {
  const name = String(address.url ?? address).split("/").pop();
  let answer;
  try {
    answer = await fetched(address, options);
    if (!answer.ok) throw new Told(`the server answered ${answer.status}`);
  } catch (error) {
    const why =
      error instanceof Told
        ? error.message
        : "the connection was interrupted, or it is not the file that this site was built with";
    const told = new Told(`${name} could not be loaded: ${why}.`);
    tell(told);
    throw told;
  }
  return answer;
};

// A wheel, if it is the one that the site was built with: the browser compares its SHA-256.
async function wheel({ url, sha256 }) {
  const digest = btoa(String.fromCharCode(...sha256.match(/../g).map((pair) => parseInt(pair, 16))));
  const answer = await fetch(url, { integrity: `sha256-${digest}` });
  return answer.arrayBuffer();
}

async function start({ name, runtime, wheels, sources }) {
  say("status", "Loading Python …");
  const packed = Promise.all(wheels.map(wheel));
  packed.catch(() => {}); // it is told below, when it is waited for
  try {
    importScripts(`${runtime}pyodide.js`);
    pyodide = await loadPyodide({ indexURL: runtime, packages: [], stdout() {}, stderr() {} });
  } catch (error) {
    if (error instanceof Told) throw error;
    throw new Told(`Python could not be loaded: ${error.message ?? error}.`);
  }
  await packages(["numpy"]);
  say("status", "Loading pysi …");
  const extractDir = pyodide.runPython("import sysconfig; sysconfig.get_path('purelib')");
  for (const content of await packed) pyodide.unpackArchive(content, "wheel", { extractDir });
  for (const [file, address] of sources) {
    pyodide.FS.writeFile(`/home/pyodide/${file}`, await (await fetch(address)).text());
  }
  bridge = pyodide.pyimport("bridge");
  module = pyodide.pyimport(name);
}

// Packages of Pyodide, by name; it compares them with its lock file. It only logs what goes wrong.
async function packages(names) {
  const wanted = names.filter((name) => !(name in pyodide.loadedPackages));
  if (!wanted.length) return;
  say("status", `Loading ${wanted.join(", ")} …`);
  await pyodide.loadPackage(wanted, { messageCallback() {}, errorCallback() {} });
  const missing = wanted.filter((name) => !(name in pyodide.loadedPackages));
  if (missing.length) {
    throw new Told(
      `${missing.join(", ")} could not be loaded: the connection was interrupted, or it is not ` +
        "the file that this site was built with.",
    );
  }
}

function call([name, settings]) {
  const progress = (part) => say("progress", part);
  return bridge.call(module[name], pyodide.toPy(settings ?? {}), progress);
}

async function answer(message) {
  if (message.start) return { done: await Promise.race([start(message.start), interrupted]) };
  if (message.load) return { done: await packages(message.load) };
  const found = call(message.call);
  return found.error ? { error: found.error } : { result: found.result };
}

let last = Promise.resolve();
self.onmessage = ({ data }) => {
  last = last.then(async () => {
    try {
      self.postMessage({ done: true, ...(await answer(data)) });
    } catch (error) {
      const told = error instanceof Told;
      self.postMessage({ error: told ? error.message : `Python has stopped: ${error.message}`, fatal: true });
    }
  });
};
