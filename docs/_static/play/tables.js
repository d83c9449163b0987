// The two tables: what the synapses remember, and how well both tasks are solved.

// A row of a table: a heading and cells of text.
function row(heading, cells, ink) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = heading;
  if (ink) head.style.setProperty("--ink", ink);
  line.append(head, ...cells.map((cell) => {
    const data = document.createElement("td");
    data.append(cell);
    return data;
  }));
  return line;
}

// A number with a bar below it, of a length from 0 to 1.
function bar(text, share, ink) {
  const cell = document.createElement("span");
  cell.className = "bar";
  cell.textContent = text;
  cell.style.setProperty("--share", Number.isFinite(share) ? Math.min(share, 1) : 0);
  cell.style.setProperty("--ink", ink);
  return cell;
}

// What each synapse remembers of task 1; Ω is not known before the task has ended.
export function showMemory(body, { omega, Omega, theta_ref, half }, colours) {
  const values = (array) => (array ? [...(array.data ?? array)] : [undefined, undefined]);
  const [work, importance, old, halves] = [omega, Omega, theta_ref, half].map(values);
  const largest = (...numbers) => Math.max(...numbers.filter((x) => x !== undefined), 1e-12);
  const tops = [largest(...work), largest(...importance, ...halves)];
  const cell = (x, top, ink) =>
    x === undefined ? "–" : bar(x >= 1000 ? x.toPrecision(2) : x.toFixed(3), x / top, ink);
  body.replaceChildren(...[0, 1].map((k) => row(`θ${"₁₂"[k]}`, [
    cell(work[k], tops[0], colours.surrogate), cell(importance[k], tops[1], colours.surrogate),
    cell(halves[k], tops[1], colours.hessian), old[k]?.toFixed(2) ?? "–",
  ])));
}

// The losses after task 2: [name, (θ₁, θ₂, old, new, sum) or null, colour].
export function showLosses(body, rows) {
  body.replaceChildren(...rows.map(([name, end, ink]) =>
    row(name, end ? end.slice(2).map((loss) => loss.toFixed(2)) : ["overshoots", "–", "–"], ink)));
}
