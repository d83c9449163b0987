// What both networks read in a drawing, and the digits that the visitor has kept, as HTML.
import { INK, drawImage } from "./heatmap.js";

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const percent = (share) => `${Math.round(100 * share)} %`;

// A row for each question: what either network answers, and how sure it is.
export function showAnswers(body, answers) {
  body.replaceChildren(...answers.map(({ question, words, p }) => {
    const cells = p.map((shares) => {
      const best = shares.indexOf(Math.max(...shares));
      return element("td", {}, element("strong", { textContent: words[best] }), ` (${percent(shares[best])})`);
    });
    return element("tr", {}, element("th", { scope: "row", textContent: `${question}?` }), ...cells);
  }));
}

// The same in one sentence, for those who listen.
export function said(answers, names) {
  return answers.map(({ question, words, p }) => {
    const both = p.map((shares, k) => {
      const best = shares.indexOf(Math.max(...shares));
      return `${names[k]}: ${words[best]}, ${percent(shares[best])} sure`;
    });
    return `${question}? ${both.join("; ")}.`;
  }).join(" ");
}

// The kept digits: a picture, the label, and whether each network reads it correctly.
export function showOwn(list, own, names, remove) {
  list.replaceChildren(...own.map(({ digit, image, right }, index) => {
    const picture = element("canvas");
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `Your ${digit}`);
    drawImage(picture, image, INK, 255);
    const words = right
      ? names.map((name, k) => `${name}: ${right[k] ? "right" : "wrong"}`)
      : ["learned with the next pair"];
    const button = element("button", { type: "button", textContent: "Remove" });
    button.setAttribute("aria-label", `Remove your ${digit}`);
    button.addEventListener("click", () => remove(index));
    const lines = words.map((text) => element("span", { textContent: text }));
    const label = element("strong", { textContent: `${digit}` });
    return element("li", {}, picture, element("p", {}, label, ...lines), button);
  }));
}
