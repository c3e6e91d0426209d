// The list of dead letters, and settling those that are selected.

import { ask, byId, element, link } from "./dom.js";
import { say, settle } from "./settling.js";

const table = byId("letters");
const body = table.tBodies[0];
const writable = table.dataset.writable === "yes";
let next = null;

function row(letter) {
  const first = letter.error.split("\n")[0] || "?";
  const from = letter.topic && !letter.result ? link(`/topics/${encodeURIComponent(letter.topic)}/${letter.partition}/${letter.offset}`, `${letter.topic} ${letter.partition}:${letter.offset}`) : letter.topic || "?";
  const error = element("td", "", element("span", "cell", first));
  if (letter.settled) error.prepend(element("span", "badge soft", letter.settled.how), " ");
  const cells = [
    element("td", "time", link(`/dlq/${letter.number}`, letter.number)),
    element("td", "time wide", letter.time.slice(0, 19).replace("T", " ")),
    element("td", "name", from),
    element("td", "wide name", letter.agent || "?"),
    error,
  ];
  if (writable) {
    const box = element("input");
    box.type = "checkbox";
    box.value = letter.number;
    box.disabled = letter.settled !== null;
    box.setAttribute("aria-label", `Select ${letter.number}`);
    cells.unshift(element("td", "", box));
  }
  return element("tr", "", ...cells);
}

function boxes() {
  return [...body.querySelectorAll("input:not(:disabled)")];
}

function chosen() {
  return boxes().filter((box) => box.checked).map((box) => box.value);
}

function enable() {
  if (!writable) return;
  const count = chosen().length;
  byId("replay").disabled = byId("discard").disabled = count === 0;
  byId("replay").textContent = count ? `Replay ${count}` : "Replay selected";
  byId("discard").textContent = count ? `Discard ${count}` : "Discard selected";
}

async function load() {
  byId("more").disabled = true; // what is on its way is not asked for twice
  await page();
  byId("more").disabled = false;
}

async function page() {
  const query = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(location.search)) if (value) query.set(name, value);
  if (next) query.set("cursor", next);
  const [status, answer] = await ask(`/api/dlq/letters?${query}`);
  if (status !== 200) {
    say(byId("outcome"), false, answer ? `${answer.error}${answer.hint ? ` (${answer.hint})` : ""}` : "The worker does not answer.");
    return;
  }
  for (const letter of answer.letters) body.append(row(letter));
  next = answer.next;
  byId("more").hidden = next === null;
  byId("none").hidden = body.rows.length > 0 || next !== null;
  table.hidden = body.rows.length === 0;
  enable();
}

async function act(what, request) {
  byId("replay").disabled = byId("discard").disabled = true;
  byId("outcome").className = "";
  byId("outcome").textContent = "Settling…";
  const [good, text] = await settle(what, request);
  next = null;
  body.replaceChildren();
  await load();
  say(byId("outcome"), good, text);
}

byId("more").addEventListener("click", load);
if (writable) {
  body.addEventListener("change", enable);
  byId("all").addEventListener("change", () => {
    for (const box of boxes()) box.checked = byId("all").checked;
    enable();
  });
  byId("replay").addEventListener("click", () => act("replay", { numbers: chosen() }));
  byId("discard").addEventListener("click", () => act("discard", { numbers: chosen(), reason: byId("reason").value }));
  byId("settle").addEventListener("submit", (event) => event.preventDefault());
}
load();
