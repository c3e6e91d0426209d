// Rows of a table, a page at a time. Where a page begins is a cursor of the server's: nothing is counted, nothing skipped.

import { byId, element, link, number, plural, untouched } from "./dom.js";
import { Past, written } from "./past.js";
import { asked, cell, header, isRecord, msOf, seconds, shown, text, utc } from "./values.js";

const CHOICE = ["prefix", "from", "to", "since", "until", "at", "limit"];
const api = `/api${location.pathname}`;
const name = decodeURIComponent(location.pathname.split("/")[2]);
let table = null;
let next = null;
let kept = null; // since when there is a history, in milliseconds
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
  if (table.history) await reach();
  await draw();
}

/** Asks how far the history goes: no further back than that of each partition does. */
async function reach() {
  const answer = await asked(`/api/sizes?table=${encodeURIComponent(name)}`, byId("trouble"), reach, { about: "history" });
  const pasts = (answer?.tables[0].partitions ?? []).map((one) => one.past).filter(Boolean);
  byId("kept").textContent = pasts.length ? "" : "There is no history yet.";
  if (!pasts.length) return;
  kept = Math.max(...pasts.map((one) => one.oldest_ms));
  const [first, last] = [Math.min(...pasts.map((one) => one.first_ms)), Math.max(...pasts.map((one) => one.latest_ms))];
  past.reach(Math.max(kept, first), last);
  byId("kept").textContent = `The history is kept since ${utc(kept)}, by the times of events; the newest change is of ${utc(last)}.`;
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
  const at = asks.has("at") ? msOf(asks.get("at")) : null;
  const lost = at !== null && kept !== null && at < kept;
  if (lost) asks.delete("at");
  past.show(Number.isNaN(at) ? null : at);
  if (!asks.get("limit")) asks.set("limit", byId("limit").value);
  const files = new URLSearchParams(asks);
  files.delete("limit");
  for (const format of ["csv", "ndjson", "parquet"]) byId(format).href = `/api/exports/${encodeURIComponent(name)}?${new URLSearchParams([...files, ["format", format]])}`;
  if (given.get("cursor")) asks.set("cursor", given.get("cursor"));
  if (asks.has("at")) asks.set("compare", "now");
  const page = await asked(`${api}?${asks}`, byId("trouble"), draw);
  if (mine !== draws) return;
  document.querySelector("#rows").classList.toggle("old", !page);
  if (!page && table.history && asks.has("at")) await reach(); // the history may have moved on
  if (!page && at !== null && !lost && at < kept) draw();
  if (!page) return;
  next = page.next;
  const place = history.state?.page ?? 0;
  byId("first").disabled = !given.get("cursor");
  byId("previous").disabled = place === 0;
  byId("next").disabled = next === null;
  said(page, lost ? null : given.get("at"));
  if (table.history) saidOfPast(page.rows, at, lost);
  rows(page.rows, asks.has("compare"));
}

function said(page, at) {
  const copies = page.partitions.filter((one) => one.role === "standby");
  const parts = [page.rows.length ? plural(page.rows.length, "row") : "No rows here", next === null ? "the last" : "there are more"];
  if (at) parts.push(`as of ${at}`);
  byId("said").replaceChildren(`${parts.join(", ")}. `);
  for (const one of copies) {
    byId("said").append(element("span", "warn", `Partition ${one.partition} is told by a standby, ${plural(one.records_behind, "record")} behind ${one.heard_s.toFixed(1)} s ago. `));
  }
}

const CHANGES = { changed: "changed", added: "added", removed: "removed", same: "–" };

/** Says whether one looks at the past, and how it differs from now. */
function saidOfPast(found, at, lost) {
  byId("rows-section").classList.toggle("past", at !== null && !lost);
  byId("to-now").hidden = at === null;
  if (at === null) byId("past-said").replaceChildren("These are the rows as they are now.");
  else if (lost) {
    byId("past-said").replaceChildren(element("span", "warn", `${utc(at)} lies before the history, which is kept since ${utc(kept)}: what the table held then is not known any more. `),
      "These are the rows as they are now.");
  } else {
    const counts = Object.keys(CHANGES).map((kind) => [kind, found.filter((row) => row.change === kind).length]);
    const words = counts.filter(([kind, count]) => kind !== "same" && count).map(([kind, count]) => `${number(count)} ${kind}`);
    byId("past-said").replaceChildren(element("strong", "warn", `You look at the past: the rows as they were at ${utc(at)} (UTC). `),
      words.length ? `Since then, of ${plural(found.length, "key")} here: ${words.join(", ")}.` : "All of them are so now.");
  }
}

/** The page of a row's key; of a window, at that window. */
function pageOf(row) {
  const page = row.href.slice("/api".length);
  return row.start_ms === undefined ? page : `${page}${page.includes("?") ? "&" : "?"}window=${seconds(row.start_ms)}`;
}

/** Shows rows. compares: whether they are of the past, beside those of now. */
function rows(found, compares) {
  const isSpread = (value) => value === undefined || (isRecord(value) && !("undecodable" in value));
  const spread = table.columns !== null && found.every((row) => isSpread(row.value) && isSpread(row.now));
  const columns = spread ? table.columns : [{ name: "value", type: table.value_type }];
  const values = found.map((row) => columns.map((one) => (compares ? bothCell(one, row, spread) : cell(one.name, one.type, partOf(row.value, one, spread)))));
  const right = (index) => found.length > 0 && values.every((cells) => cells[index].className === "right");
  const heads = [header("Key"), ...(table.window_ms ? [header("Window")] : []), ...(compares ? [header("Since then")] : []),
    ...columns.map((one, index) => header(one.name, right(index))), header("Partition", true)];
  document.querySelector("#rows thead").replaceChildren(element("tr", "", ...heads));
  document.querySelector("#rows tbody").replaceChildren(...found.map((row, index) => {
    const key = element("td", "key", link(pageOf(row), text(row.key) || "(empty)"));
    const windows = table.window_ms ? [element("td", "time", utc(row.start_ms))] : [];
    const change = compares ? [element("td", row.change === "same" ? "soft" : "", CHANGES[row.change])] : [];
    return element("tr", compares ? row.change : "", key, ...windows, ...change, ...values[index], element("td", "right soft", number(row.partition)));
  }));
}

const partOf = (value, column, spread) => (spread ? value?.[column.name] : value);

/** A cell with what a row held then, and what it holds now where that is something else. */
function bothCell(column, row, spread) {
  const [then, now] = [partOf(row.value, column, spread), partOf(row.now, column, spread)];
  const made = cell(column.name, column.type, row.change === "added" ? now : then);
  if (row.change === "added") made.replaceChildren(element("span", "soft", "–"));
  if (!["same", "removed"].includes(row.change) && JSON.stringify(then) !== JSON.stringify(now)) {
    made.append(element("div", "now", "now ", shown(column.name, column.type, now)));
  }
  return made;
}

/** Shows the same place of the table at another time; what somebody has typed into the other fields stays. */
function travel(time) {
  if (typeof time === "string") {
    byId("past-said").replaceChildren(element("span", "bad", `${time} is no time: write it like 2026-07-01T12:00:00`));
    return;
  }
  const given = new URLSearchParams(location.search);
  if (time === null) given.delete("at");
  else given.set("at", written(time));
  // One entry for all that a hand on the slider passes; what lies behind "Previous page" was of another time.
  const change = history.state?.travelled ? "replaceState" : "pushState";
  history[change]({ page: 0, travelled: true }, "", given.size ? `?${given}` : location.pathname);
  draw();
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
  const answer = await asked(`/api/sizes?table=${encodeURIComponent(name)}`, byId("trouble"), () => byId("latest").click());
  const parts = answer?.tables[0].partitions ?? [];
  const latest = Math.max(...parts.map((one) => one.latest_ms ?? -Infinity));
  if (Number.isFinite(latest)) go(new URLSearchParams({ since: seconds(latest), limit: byId("limit").value }), 0);
});

byId("next").addEventListener("click", () => {
  const wanted = chosen();
  wanted.set("cursor", next);
  go(wanted, (history.state?.page ?? 0) + 1);
});

byId("to-now").addEventListener("click", () => {
  byId("at").value = "";
  travel(null);
});
byId("previous").addEventListener("click", () => history.back());
byId("first").addEventListener("click", () => go(chosen(), 0));
addEventListener("popstate", () => {
  fill();
  draw();
});
const past = new Past(travel);
if (location.search) fill(untouched); // somebody may have begun to type before this script had come
await begin();
