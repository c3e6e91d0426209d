// One key: what it holds, its windows, what it held and how that differs, who has it, and what the changelog says of it.

import { bars } from "./chart.js";
import { byId, element, number, plural, untouched } from "./dom.js";
import { connection, watch } from "./live.js";
import { Past, written } from "./past.js";
import { asked, cell, fieldsOf, header, isRecord, msOf, seconds, shown, text, utc } from "./values.js";

const WINDOWS = 120;
const PERIOD_MS = 2000;
const parameters = new URLSearchParams(location.search);
const name = decodeURIComponent(location.pathname.split("/")[2]);
const trouble = byId("trouble");
let table = null;
let place = null;
let now; // what the key holds; undefined where there is nothing
let held = null; // what it held at the time that is looked at, `at`, or that nobody knows; null while that is now

/** The address of something about this key; more: [name, value] pairs. */
function of(page, ...more) {
  const asks = new URLSearchParams([...parameters].filter(([one]) => ["keys", "partition"].includes(one)));
  for (const [one, value] of more) asks.set(one, value);
  return `/api${location.pathname}${page}${asks.size ? `?${asks}` : ""}`;
}

const typeOf = (field) => table.columns?.find((one) => one.name === field)?.type ?? (field === "value" ? table.value_type : "any");

async function begin() {
  const answer = await asked("/api/tables", trouble, begin);
  if (!answer) return;
  table = answer.tables.find((one) => one.name === name);
  if (!table) {
    trouble.replaceChildren(element("p", "bad", `There is no table "${name}".`));
    return;
  }
  const kinds = [table.window_ms ? `windows of ${table.window_ms / 1000} s` : null, table.history ? "with history" : null, table.global ? "on every worker" : null];
  byId("kind").textContent = kinds.filter(Boolean).map((kind) => `, ${kind}`).join("");
  for (const one of document.querySelectorAll("#changes .window")) one.hidden = !table.window_ms;
  await places();
  const wanted = parameters.get("window");
  if (table.window_ms) await (/^-?\d+(\.\d+)?$/.test(wanted ?? "") ? around(1000 * Number(wanted)) : windows(null));
  else await value();
  if (table.history) await versions();
  setTimeout(renew, PERIOD_MS);
}

/** Asks again for what may have changed: where the key lives, and what it holds now. What is looked at of its past stays. */
async function renew() {
  if (!document.hidden) {
    const placed = await places();
    if (!table.window_ms) await value();
    else if (latest && !searching) await newer();
    else if (placed) connection.heard();
  }
  setTimeout(renew, PERIOD_MS);
}

const drawnAs = new Map();

/** Draws a part of the page, unless it is as it was: what somebody has opened or marked in it stays. */
function fill(id, told, ...parts) {
  const text = JSON.stringify(told) ?? "nothing";
  if (drawnAs.get(id) === text) return false;
  drawnAs.set(id, text);
  byId(id).replaceChildren(...parts.flatMap((make) => make()));
  return true;
}

/** Says who told what is shown, or, where nobody could tell it again, until when it was so. */
function attribute(section, source, answer) {
  if (answer) {
    connection.heard();
    fill(source, [answer.source, answer.stale, answer.windows?.length], () => sourceWords(answer));
  } else if (!section.hidden && !section.classList.contains("old")) {
    const since = connection.heardAt === null ? "" : ` at ${new Date(connection.heardAt).toLocaleTimeString("en-GB")}`;
    byId(source).append(element("span", "warn", `That was so${since}; now nobody tells.`));
    drawnAs.delete(source);
  }
  section.classList.toggle("old", !answer);
}

// -- now ---------------------------------------------------------------------------------------------

async function value() {
  const answer = await asked(of("", ["absent", "allow"]), trouble, value);
  attribute(byId("value-section"), "source", answer);
  if (!answer) return;
  byId("value-section").hidden = false;
  now = answer.value;
  title(answer.key);
  const nothing = () => element("p", "empty", "The key holds nothing now.");
  const changed = fill("value", answer.value, () => (answer.value === undefined ? nothing() : fields(answer.value)));
  if (changed && !byId("history-section").hidden) difference();
}

function title(key) {
  if (key === undefined) return;
  document.querySelector("h1").textContent = text(key) || "(empty)";
}

function sourceWords({ source, stale }) {
  if (!source) return [];
  const words = [`Told by ${source.worker || "this worker"}, ${source.role} of partition ${source.partition}. `];
  if (stale) words.push(element("span", "warn", `A standby: ${plural(source.records_behind, "record")} behind, as heard ${source.heard_s.toFixed(1)} s ago.`));
  return words;
}

function fields(value) {
  const rows = fieldsOf(value).map(([field, one]) => element("tr", "", rowHead(field), cell(field, typeOf(field), one)));
  const made = element("table", "fields", element("tbody", "", ...rows));
  return element("div", "", made, ...(isRecord(value) ? [whole(value)] : []));
}

function rowHead(field) {
  const made = element("th", "", field);
  made.scope = "row";
  return made;
}

const whole = (value) => element("details", "", element("summary", "", "As JSON"), element("pre", "", JSON.stringify(value, null, 2)));

// -- windows -----------------------------------------------------------------------------------------

let drawn = [];
let earlier = null; // the end of the windows before these; null where there are none
let latest = true; // whether the newest are shown, and kept so
let searching = 0; // how many searches for windows are under way
let questions = 0; // so that a late answer to an old question is passed over

const windowsOf = (since, end, again) =>
  asked(of("", ["limit", "1000"], ...(since === null ? [] : [["since", seconds(since)]]), ["until", seconds(end)]), trouble, again, { about: "windows" });

/** The key's newest windows before a time: looks further and further back until there are some, and then closer where there are too many. */
async function newestWindows(end, again) {
  let [until, many] = [end, WINDOWS];
  for (;;) {
    const begin = until - many * table.window_ms;
    const since = begin > 0 ? begin : null;
    const answer = await windowsOf(since, until, again);
    if (!answer) return null;
    if (answer.more && many > 1) {
      many = Math.max(1, Math.floor(Math.min(many, until / table.window_ms) / 4));
    } else if (answer.windows.length || since === null) {
      return { ...answer, windows: answer.windows.slice(-WINDOWS) };
    } else {
      [until, many] = [since, 8 * many];
    }
  }
}

/** Shows the windows around one that somebody came for. */
const around = (start) => {
  const half = (WINDOWS / 2) * table.window_ms;
  return show(false, () => windowsOf(start - half > 0 ? start - half : null, start + half, () => around(start)));
};

const latestEnd = () => (place?.latest_ms ?? Date.now()) + table.window_ms;

/** Shows the newest windows, or the newest before a time. */
const windows = (before) => {
  return show(before === null, () => newestWindows(before ?? latestEnd(), () => windows(before)));
};

/** Shows what has come since the newest were shown. */
const newer = () => {
  const end = latestEnd();
  const since = drawn[0]?.start_ms ?? end - WINDOWS * table.window_ms;
  return show(true, async () => {
    const answer = await windowsOf(since > 0 ? since : null, end, newer);
    return answer?.more ? newestWindows(end, newer) : answer && { ...answer, windows: answer.windows.slice(-WINDOWS) };
  });
};

async function show(newestOnes, ask) {
  const mine = (questions += 1);
  latest = newestOnes;
  searching += 1;
  const answer = await ask();
  searching -= 1;
  if (mine !== questions) return;
  if (answer) {
    byId("windows-section").hidden = false;
    byId("later").disabled = latest;
    draw(answer);
  }
  attribute(byId("windows-section"), "windows-source", answer);
}

function draw(answer) {
  title(answer.key);
  drawn = answer.windows;
  earlier = drawn[0]?.start_ms ?? null;
  byId("earlier").disabled = earlier === null;
  const range = drawn.length ? ` between ${utc(earlier)} and ${utc(drawn.at(-1).end_ms)}` : "";
  if (!fill("windows-said", drawn, () => `${plural(drawn.length, "window")}${range}.`)) return;
  fieldChoice();
  chart();
  list();
}

function fieldChoice() {
  const names = new Set(drawn.flatMap((one) => (isRecord(one.value) ? Object.keys(one.value).filter((field) => typeof one.value[field] === "number") : [])));
  const before = byId("field").value;
  byId("field").replaceChildren(...[...names].map((field) => element("option", "", field)));
  if (names.has(before)) byId("field").value = before;
  byId("field").hidden = names.size === 0;
  document.querySelector('label[for="field"]').hidden = names.size === 0;
}

function chart() {
  const field = byId("field").value;
  const points = drawn
    .map((one) => ({ label: utc(one.start_ms).slice(11, 16), value: isRecord(one.value) ? one.value[field] : one.value, title: `${utc(one.start_ms)}: ${text(isRecord(one.value) ? one.value[field] : one.value)}` }))
    .filter((one) => typeof one.value === "number");
  byId("chart").replaceChildren(...(points.length ? [bars(points, `${field || "value"} of each window`)] : []));
}

function list() {
  const spread = drawn.length > 0 && drawn.every((one) => isRecord(one.value));
  const names = spread ? [...new Set(drawn.flatMap((one) => Object.keys(one.value)))] : ["value"];
  const right = (field) => drawn.every((one) => typeof (spread ? one.value[field] : one.value) === "number");
  document.querySelector("#windows thead").replaceChildren(element("tr", "", header("From"), header("To"), ...names.map((one) => header(one, right(one)))));
  document.querySelector("#windows tbody").replaceChildren(...[...drawn].reverse().map((one) => element("tr", "", element("td", "time", utc(one.start_ms)),
    element("td", "time", utc(one.end_ms)), ...names.map((field) => cell(field, typeOf(field), spread ? one.value[field] : one.value)))));
}

byId("earlier").addEventListener("click", () => windows(earlier));
byId("later").addEventListener("click", () => windows(null));
byId("field").addEventListener("change", chart);
byId("window-form").addEventListener("submit", (event) => event.preventDefault());

// -- then --------------------------------------------------------------------------------------------

let wanted = 0; // how often a time was asked for, so that a late answer is passed over
const past = new Past(travel);

/** Since when there is a history, in milliseconds; null while nobody tells. */
const kept = () => place?.past?.oldest_ms ?? null;

async function versions() {
  const answer = await asked(of("/versions", ["limit", "1000"], ["absent", "allow"]), trouble, versions);
  if (!answer || !answer.versions.length) return;
  byId("history-section").hidden = false;
  const times = answer.versions.map((one) => one.since_ms).filter((one) => one !== null);
  const last = times.length ? Math.max(...times) : null;
  const since = kept() ?? Math.min(...times, Date.now());
  past.reach(Math.max(since, times.length ? Math.min(...times) : since), Math.max(last ?? since, place?.past?.latest_ms ?? since));
  keptWords(last);
  byId("versions-said").textContent = `${plural(answer.versions.length, "version")}${answer.more ? ", the oldest; there are more" : ""}`;
  document.querySelector("#versions tbody").replaceChildren(...[...answer.versions].reverse().map((one) => element("tr", "",
    element("td", "time", one.since_ms === null ? "before the history" : utc(one.since_ms)), element("td", "time", one.until_ms === null ? "now" : utc(one.until_ms)),
    one.deleted ? element("td", "soft", "deleted") : cell("value", typeOf("value"), one.value))));
  const given = parameters.get("at");
  if (given && untouched(byId("at"))) byId("at").value = given;
  const ms = given ? msOf(given) : null;
  await travel(Number.isNaN(ms) ? given : ms);
}

/** Says how far the history goes, and where the key has not changed within it. last: its last change, where that is known. */
function keptWords(last) {
  const since = kept();
  if (since === null) return;
  const still = last === null ? " The key has not changed since." : last < since ? ` The key has not changed since: its last change is of ${utc(last)}.` : "";
  byId("kept").textContent = `The history is kept since ${utc(since)}, by the times of events.${still}`;
}

/** Shows the key as it was at a time, in milliseconds; null for now; text is no time. */
async function travel(time) {
  const mine = (wanted += 1);
  if (typeof time === "string") {
    byId("then-said").replaceChildren(element("span", "bad", `${time} is no time: write it like 2026-07-01T12:00:00`));
    return;
  }
  past.show(time);
  keepInAddress(time);
  if (time === null) held = null;
  else if (kept() !== null && time < kept()) held = { at: time, lost: true };
  else {
    const answer = await asked(of("", ["at", seconds(time)], ["absent", "allow"]), trouble, () => travel(time), { about: "then" });
    if (mine !== wanted || !answer) return;
    held = { at: time, value: answer.value };
  }
  difference();
}

function keepInAddress(time) {
  if (time === null) parameters.delete("at");
  else parameters.set("at", written(time));
  history.replaceState(history.state, "", parameters.size ? `?${parameters}` : location.pathname);
}

function difference() {
  const lost = held?.lost ?? false;
  const then = held === null ? now : held.value;
  const before = new Map(then === undefined ? [] : fieldsOf(then));
  const after = new Map(now === undefined ? [] : fieldsOf(now));
  let changed = 0;
  const rows = [...new Set([...before.keys(), ...after.keys()])].map((field) => {
    const same = lost || JSON.stringify(before.get(field)) === JSON.stringify(after.get(field));
    changed += same ? 0 : 1;
    const side = (all) => (all.has(field) ? shown(field, typeOf(field), all.get(field)) : element("span", "soft", "not there"));
    return element("tr", same ? "" : "changed", rowHead(field), element("td", "", lost ? element("span", "soft", "not known") : side(before)), element("td", "", side(after)));
  });
  document.querySelector("#difference tbody").replaceChildren(...rows);
  byId("history-section").classList.toggle("past", held !== null && !lost);
  if (lost) {
    byId("then-said").replaceChildren(element("span", "warn", `${utc(held.at)} lies before the history, which is kept since ${utc(kept())}: what the key held then is not known any more.`));
  } else {
    const state = then === undefined && held !== null ? "The key held nothing then." : changed ? `${plural(changed, "field")} changed since.` : "As it is now.";
    byId("then-said").replaceChildren(state);
  }
}

// -- where -------------------------------------------------------------------------------------------

/** Returns whether it was told. */
async function places() {
  const answer = await asked(of("/places"), trouble, places);
  document.querySelector("#places").classList.toggle("old", !answer);
  if (!answer) return false;
  place = answer.places.find((one) => one.role !== "standby") ?? answer.places[0] ?? null;
  fill("partition", answer.partition, () => `In partition ${answer.partition}.`);
  fill("places-rows", [answer.places, answer.silent], () => answer.places.map(placeRow), () => answer.silent.map(silentRow));
  return true;
}

function placeRow(one) {
  const [behind, heard] = one.role === "standby" ? [number(one.records_behind), `${one.heard_s.toFixed(1)} s ago`] : ["0", "now"];
  return element("tr", "", element("td", "", one.worker || "this worker"), element("td", "", one.role), element("td", "right", behind), element("td", "right", heard));
}

const silentRow = (one) => element("tr", "", element("td", "", one.worker), element("td", "bad", one.reason), element("td", "right", "–"), element("td", "right", "–"));

// -- changelog ---------------------------------------------------------------------------------------

let before = null;
let oldest = null;
let newest = null;

async function search() {
  byId("search").disabled = true;
  const answer = await asked(of("/changelog", ["limit", "50"], ...(before === null ? [] : [["before", before]])), trouble, search);
  byId("search").disabled = false;
  if (!answer) return;
  before = answer.next;
  newest ??= answer.searched.to;
  oldest = answer.searched.from;
  const body = document.querySelector("#changes tbody");
  body.append(...answer.changes.map((one) => element("tr", "", element("td", "time", utc(one.time_ms)), element("td", "right", number(one.offset)),
    ...(table.window_ms ? [element("td", "time window", utc(one.start_ms))] : []), one.deleted ? element("td", "soft", "deleted") : cell("value", typeOf("value"), one.value))));
  byId("changes-box").hidden = body.children.length === 0;
  const where = `Searched offsets ${number(oldest)} to ${number(newest)} of ${answer.topic}, partition ${answer.partition}`;
  byId("searched").textContent = `${where}: ${plural(body.children.length, "record")} of this key.${before === null ? " That is all of it." : ""}`;
  byId("search").textContent = "Search further back";
  byId("search").hidden = before === null;
}

byId("search").addEventListener("click", search);
watch();
await begin();
