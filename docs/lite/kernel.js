// Runs in the worker of a notebook's kernel, in the place of Pyodide's own first script. Pyodide comes
// from RUNTIME; the wheels that it lacks lie beside this script, and are added to its lock file, so
// that `import pysi` is all that a notebook needs. The results that notebooks read are unpacked into
// Python's own file system, because JupyterLite's writes 1.0 in JSON as 1, and then checksums differ.
// What happens is told to the page: see page.js.

const RUNTIME = "@RUNTIME@"; // relative to this script, or absolute
let state = "";

function tell(now, text) {
  state = now;
  self.postMessage({ pysi: state, text });
}

const fetched = self.fetch;
self.fetch = async (...request) => {
  const response = await fetched(...request);
  if (state === "loading") tell("loading"); // something has arrived
  return response;
};

async function read(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: expected a file, found status ${response.status}`);
  return response;
}

const readJSON = async (url) => (await read(url)).json();

// The names of these packages, and of all that they depend on.
function needed(packages, names, found = new Map()) {
  for (const each of names) {
    const key = each.toLowerCase().replace(/[-_.]+/g, "-");
    if (found.has(key)) continue;
    const { name, depends } = packages[key];
    found.set(key, name);
    needed(packages, depends, found);
  }
  return found;
}

async function load({ indexURL: here, ...options }) {
  const indexURL = new URL(RUNTIME, here).href;
  const course = read(`${here}course.zip`).then((response) => response.arrayBuffer());
  course.catch(() => {}); // it is told below, where it is waited for
  const [lock, own] = await Promise.all(
    [`${indexURL}pyodide-lock.json`, `${here}wheels.json`].map(readJSON),
  );
  for (const each of Object.values(own)) each.file_name = here + each.file_name;
  Object.assign(lock.packages, own);
  const lockFileURL = URL.createObjectURL(
    new Blob([JSON.stringify(lock)], { type: "application/json" }),
  );
  importScripts(`${indexURL}pyodide.js`); // it replaces self.loadPyodide
  // Pyodide says this on the console, and then waits for ever.
  const failed = new Promise((_, reject) => {
    const warn = console.warn;
    console.warn = (...said) => {
      if (/wasm instantiation failed/.test(said[0])) reject(new Error(`${said[0]}`));
      else warn(...said);
    };
  });
  const python = await Promise.race([
    self.loadPyodide({ ...options, indexURL, lockFileURL }),
    failed,
  ]);
  const wanted = [...needed(lock.packages, options.packages).values()];
  const missing = wanted.filter((name) => !(name in python.loadedPackages));
  if (missing.length) throw new Error(`these packages did not arrive: ${missing.join(", ")}`);
  python.unpackArchive(await course, "zip", { extractDir: "/" });
  // Its first message would be that it looks for fonts, which looks like an error.
  python.runPython("import logging; logging.getLogger('matplotlib.font_manager').setLevel('ERROR')");
  return python;
}

self.loadPyodide = async (options) => {
  try {
    tell("loading");
    const python = await load(options);
    let fatal = () => {};
    Object.defineProperty(python._api, "on_fatal", {
      get: () => async (error) => {
        tell("dead", `${error.message ?? error}`);
        await fatal(error);
      },
      set: (others) => (fatal = others),
    });
    tell("ready");
    return python;
  } catch (error) {
    tell("failed", `${error.message ?? error}`);
    throw error;
  }
};
