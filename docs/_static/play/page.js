// What all pages with Python share: a line of status, a box for errors, settings in the address.

const root = document.documentElement;

// The state of the page, "loading", "ready", "busy" or "failed": its style and the tests read it.
export function state(name) {
  root.dataset.play = name;
}

// The two elements of a page in which it speaks: [data-status], and [data-error] with a button.
export function voice(page, { again }) {
  const line = page.querySelector("[data-status]");
  const box = page.querySelector("[data-error]");
  const button = box.querySelector("button");
  button.addEventListener("click", () => {
    box.hidden = true;
    again();
  });
  return {
    status(text) {
      line.textContent = text;
    },
    failed(sentence) {
      line.textContent = "";
      box.querySelector("p").textContent = sentence;
      box.hidden = false;
      state("failed");
    },
    clear() {
      box.hidden = true;
    },
  };
}

// Settings from the address, such as #c=1&angle=30. `known` gives for each its {initial} and
// either {least, most} or {choices}; what is not understood becomes a sentence in `ignored`.
export function fromAddress(known) {
  const anchor = !location.hash.includes("="); // such as that of a heading
  const given = new URLSearchParams(anchor ? "" : location.hash.slice(1));
  const settings = Object.fromEntries(Object.entries(known).map(([k, v]) => [k, v.initial]));
  const ignored = [];
  for (const [name, text] of given) {
    const rule = known[name];
    const number = Number(text);
    if (rule?.choices?.includes(text)) settings[name] = text;
    else if (rule && !rule.choices && text.trim() && number >= rule.least && number <= rule.most) {
      settings[name] = number;
    } else ignored.push(`${name}=${text}`.slice(0, 40));
  }
  const sentence = ignored.length
    ? `The link asks for ${ignored.join(", ")}, which this page does not have; the rest was used.`
    : "";
  return { settings, ignored: sentence };
}

// Write settings to the address, so that the link carries them; the history stays as it is.
export function toAddress(settings) {
  history.replaceState(null, "", `#${new URLSearchParams(settings)}`);
}

// A button that copies the address, and says so; where it may not, it shows what to copy.
export function copyButton(button) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy it from the address bar";
    }
    setTimeout(() => (button.textContent = label), 2000);
  });
}
