// The list of tables, and then their sizes, which all workers are asked for.

import { byId, bytes, element, link, number } from "./dom.js";
import { asked } from "./values.js";

const body = document.querySelector("#tables tbody");

function row(table) {
  const kinds = [table.window_ms ? `windows of ${table.window_ms / 1000} s` : null, table.history ? "history" : null, table.global ? "global" : null];
  const badges = kinds.filter(Boolean).map((kind) => element("span", "badge soft", kind));
  const made = element("tr", "", element("td", "", link(`/tables/${encodeURIComponent(table.name)}`, table.name)),
    element("td", "kinds", ...(badges.length ? badges : ["plain"])), element("td", "right", "…"), element("td", "right", "…"),
    element("td", "right", "…"), element("td", "", "…"), element("td", "wide soft", table.help.split("\n")[0]));
  made.dataset.name = table.name;
  return made;
}

function size(made, { partitions, missing }) {
  const total = (name) => partitions.reduce((sum, one) => sum + one[name], 0);
  const workers = Map.groupBy(partitions, (one) => one.worker);
  const told = [...workers].map(([worker, own]) => {
    const stale = own.some((one) => one.role === "standby") ? " (standby)" : "";
    return element("div", "", `${worker || "here"}${workers.size > 1 ? `: ${own.map((one) => one.partition).join(" ")}` : ""}${stale}`);
  });
  for (const one of missing) told.push(element("div", "bad", `partition ${one.partition}: ${one.reason}`));
  const about = (value) => (missing.length ? `≥ ${value}` : value);
  const [, , count, keys, taken, where] = made.children;
  count.textContent = number(partitions.length + missing.length);
  keys.textContent = about(number(total("keys")));
  taken.textContent = about(bytes(total("bytes")));
  where.replaceChildren(...told);
}

function filter() {
  const wanted = byId("name").value.toLowerCase();
  for (const made of body.children) made.hidden = !made.dataset.name.toLowerCase().includes(wanted);
  byId("none").hidden = [...body.children].some((made) => !made.hidden);
}

async function draw() {
  const answer = await asked("/api/tables", byId("trouble"), draw);
  if (!answer) return;
  body.replaceChildren(...answer.tables.map(row));
  filter();
  await sizes();
}

async function sizes() {
  const answer = await asked("/api/sizes", byId("trouble"), sizes);
  const rows = new Map([...body.children].map((made) => [made.dataset.name, made]));
  for (const one of answer?.tables ?? []) if (rows.has(one.name)) size(rows.get(one.name), one);
}

byId("filter").addEventListener("input", filter);
byId("filter").addEventListener("submit", (event) => event.preventDefault());
await draw();
