// Rows of a table, a page at a time. Where a page begins is a cursor of the server's: nothing is counted, nothing skipped.

import { byId, element, link, number, plural, untouched } from "./dom.js";
import { asked, cell, header, seconds, text, utc } from "./values.js";

const CHOICE = ["prefix", "from", "to", "since", "until", "at", "limit"];
const api = `/api${location.pathname}`;
const name = decodeURIComponent(location.pathname.split("/")[2]);
let table = null;
let next = null;
let draws = 0; // so far: an answer that comes behind a later one is passed over

function chosen() {
  const given = new URLSearchParams(location.search);
  const asks = new URLSearchParams();
  for (const one of CHOICE) if (given.get(one)) asks.set(one, given.get(one));
  return asks;
}

async function begin() {
  const answer = await asked("/api/tables", byId("trouble"), begin);
  if (!answer) return;
  table = answer.tables.find((one) => one.name === name);
  if (!table) {
    byId("trouble").replaceChildren(element("p", "bad", `There is no table "${name}".`), link("/tables", "All tables"));
    return;
  }
  const kind = table.window_ms ? "windows" : "keys";
  for (const field of document.querySelectorAll("[data-for]")) {
    field.hidden = field.dataset.for === "history" ? !table.history : field.dataset.for !== kind || (kind === "keys" && table.keys === "other" && field.querySelector("#prefix"));
  }
  byId("latest").hidden = !table.window_ms;
  const keys = { text: "Keys are text.", json: 'Keys are JSON: 42, "alice", ["a", 1].', other: "Keys are asked for as JSON." }[table.keys];
  byId("about").textContent = [table.help, keys, table.window_ms ? "Rows are in order of their windows' time, then of their keys." : "Rows are in the order of their keys' bytes."].filter(Boolean).join(" ");
  await draw();
}

/** Puts what the address says into the fields that may be written to. */
function fill(may = () => true) {
  const given = new URLSearchParams(location.search);
  for (const one of CHOICE) if (may(byId(one)) && (one !== "limit" || given.get(one))) byId(one).value = given.get(one) ?? "";
}

/** Shows the rows of the address. The fields stay as they are: somebody may be typing while the answer is on its way. */
async function draw() {
  const mine = (draws += 1);
  const given = new URLSearchParams(location.search);
  const asks = chosen();
  if (!asks.get("limit")) asks.set("limit", byId("limit").value);
  const files = new URLSearchParams(asks);
  files.delete("limit");
  for (const format of ["csv", "ndjson", "parquet"]) byId(format).href = `/api/exports/${encodeURIComponent(name)}?${new URLSearchParams([...files, ["format", format]])}`;
  if (given.get("cursor")) asks.set("cursor", given.get("cursor"));
  const page = await asked(`${api}?${asks}`, byId("trouble"), draw);
  if (mine !== draws) return;
  document.querySelector("#rows").classList.toggle("old", !page);
  if (!page) return;
  next = page.next;
  const place = history.state?.page ?? 0;
  byId("first").disabled = !given.get("cursor");
  byId("previous").disabled = place === 0;
  byId("next").disabled = next === null;
  said(page, given);
  rows(page.rows);
}

function said(page, given) {
  const copies = page.partitions.filter((one) => one.role === "standby");
  const parts = [page.rows.length ? plural(page.rows.length, "row") : "No rows here", next === null ? "the last" : "there are more"];
  if (given.get("at")) parts.push(`as of ${given.get("at")}`);
  byId("said").replaceChildren(`${parts.join(", ")}. `);
  for (const one of copies) {
    byId("said").append(element("span", "warn", `Partition ${one.partition} is told by a standby, ${plural(one.records_behind, "record")} behind ${one.heard_s.toFixed(1)} s ago. `));
  }
}

/** The page of a row's key; of a window, at that window. */
function pageOf(row) {
  const page = row.href.slice("/api".length);
  return row.start_ms === undefined ? page : `${page}${page.includes("?") ? "&" : "?"}window=${seconds(row.start_ms)}`;
}

function rows(found) {
  const spread = table.columns !== null && found.every((row) => row.value !== null && typeof row.value === "object" && !("undecodable" in row.value));
  const columns = spread ? table.columns : [{ name: "value", type: table.value_type }];
  const right = (column) => found.length > 0 && found.every((row) => ["number", "undefined"].includes(typeof (spread ? row.value[column.name] : row.value)) && cell(column.name, column.type, spread ? row.value[column.name] : row.value).className === "right");
  const heads = [header("Key"), ...(table.window_ms ? [header("Window")] : []), ...columns.map((one) => header(one.name, right(one))), header("Partition", true)];
  document.querySelector("#rows thead").replaceChildren(element("tr", "", ...heads));
  document.querySelector("#rows tbody").replaceChildren(...found.map((row) => {
    const key = element("td", "key", link(pageOf(row), text(row.key) || "(empty)"));
    const windows = table.window_ms ? [element("td", "time", utc(row.start_ms))] : [];
    const values = columns.map((one) => cell(one.name, one.type, spread ? row.value[one.name] : row.value));
    return element("tr", "", key, ...windows, ...values, element("td", "right soft", number(row.partition)));
  }));
}

function go(parameters, page) {
  history.pushState({ page }, "", parameters.size ? `?${parameters}` : location.pathname);
  fill();
  draw();
}

byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key").value;
  const plain = ![".", "..", ""].includes(key);
  location.href = plain ? `${location.pathname}/${encodeURIComponent(key)}` : `${location.pathname}/${encodeURIComponent(JSON.stringify(key))}?keys=json`;
});

byId("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = new URLSearchParams();
  for (const one of CHOICE) if (byId(one).value && !byId(one).closest("[hidden]")) wanted.set(one, byId(one).value);
  go(wanted, 0);
});

byId("latest").addEventListener("click", async () => {
  const answer = await asked("/api/sizes", byId("trouble"), () => byId("latest").click());
  const parts = answer?.tables.find((one) => one.name === name)?.partitions ?? [];
  const latest = Math.max(...parts.map((one) => one.latest_ms ?? -Infinity));
  if (Number.isFinite(latest)) go(new URLSearchParams({ since: seconds(latest), limit: byId("limit").value }), 0);
});

byId("next").addEventListener("click", () => {
  const wanted = chosen();
  wanted.set("cursor", next);
  go(wanted, (history.state?.page ?? 0) + 1);
});

byId("previous").addEventListener("click", () => history.back());
byId("first").addEventListener("click", () => go(chosen(), 0));
addEventListener("popstate", () => {
  fill();
  draw();
});
if (location.search) fill(untouched); // somebody may have begun to type before this script had come
await begin();
