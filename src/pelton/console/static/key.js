// One key: what it holds, its windows, what it held and how that differs, who has it, and what the changelog says of it.

import { bars } from "./chart.js";
import { byId, element, number, plural } from "./dom.js";
import { asked, cell, fieldsOf, header, isRecord, seconds, shown, text, utc } from "./values.js";

const WINDOWS = 120;
const parameters = new URLSearchParams(location.search);
const name = decodeURIComponent(location.pathname.split("/")[2]);
const trouble = byId("trouble");
let table = null;
let place = null;
let now; // what the key holds; undefined where there is nothing

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
  if (table.window_ms) await windows(null);
  else await value();
  if (table.history) await versions();
}

// -- now ---------------------------------------------------------------------------------------------

async function value() {
  const answer = await known(of(""), value);
  if (!answer) return;
  byId("value-section").hidden = false;
  now = answer.value;
  title(answer.key);
  byId("source").replaceChildren(...sourceWords(answer));
  if (answer.value === undefined) byId("value").replaceChildren(element("p", "empty", "The key holds nothing now."));
  else byId("value").replaceChildren(fields(answer.value));
}

/** Asks about the key; that it holds nothing is an answer, too. */
const known = (path, again, options = {}) =>
  asked(path, trouble, again, { missing: { value: undefined, windows: [], versions: [], more: false }, ...options });

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
let until = null;

async function windows(before) {
  const latest = place?.latest_ms ?? null;
  const end = before ?? (latest === null ? null : latest + table.window_ms);
  const span = end === null ? [] : [["since", seconds(end - WINDOWS * table.window_ms)], ["until", seconds(end)]];
  const answer = await known(of("", ["limit", "1000"], ...span), () => windows(before));
  if (!answer) return;
  byId("windows-section").hidden = false;
  title(answer.key);
  until = end === null ? null : end - WINDOWS * table.window_ms;
  byId("earlier").disabled = until === null;
  byId("later").disabled = before === null;
  drawn = answer.windows;
  const range = end === null ? "" : `between ${utc(until)} and ${utc(end)}`;
  byId("windows-said").replaceChildren(`${plural(drawn.length, "window")} ${range}${answer.more ? ", and more" : ""}. `, ...sourceWords(answer));
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

byId("earlier").addEventListener("click", () => windows(until));
byId("later").addEventListener("click", () => windows(null));
byId("field").addEventListener("change", chart);
byId("window-form").addEventListener("submit", (event) => event.preventDefault());

// -- then --------------------------------------------------------------------------------------------

let span = [0, 0];
let wanted = 0;

async function versions() {
  const answer = await known(of("/versions", ["limit", "1000"]), versions);
  if (!answer || !answer.versions.length) return;
  byId("history-section").hidden = false;
  const times = answer.versions.map((one) => one.since_ms).filter((one) => one !== null);
  const [first, last] = [Math.min(...times, Date.now()), Math.max(...times, -Infinity)];
  span = [first, Number.isFinite(last) ? last : first];
  byId("versions-said").textContent = `${plural(answer.versions.length, "version")}${answer.more ? ", the oldest; there are more" : ""}`;
  document.querySelector("#versions tbody").replaceChildren(...[...answer.versions].reverse().map((one) => element("tr", "",
    element("td", "time", one.since_ms === null ? "before the history" : utc(one.since_ms)), element("td", "time", one.until_ms === null ? "now" : utc(one.until_ms)),
    one.deleted ? element("td", "soft", "deleted") : cell("value", typeOf("value"), one.value))));
  const given = parameters.get("at");
  if (given) await travel(given);
  else {
    byId("slider").value = 1000;
    await travel(span[1]);
  }
}

/** Shows the key as it was at a time, in milliseconds or as text. */
async function travel(time) {
  const mine = (wanted += 1);
  const ms = typeof time === "number" ? time : /^-?\d+(\.\d+)?$/.test(time) ? Number(time) * 1000 : Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(time) ? time : `${time}Z`);
  if (Number.isNaN(ms)) {
    byId("then-said").replaceChildren(element("span", "bad", `${time} is no time: write it like 2026-07-01T12:00:00`));
    return;
  }
  const share = span[1] > span[0] ? (ms - span[0]) / (span[1] - span[0]) : 1;
  if (document.activeElement !== byId("slider")) byId("slider").value = Math.round(share * 1000);
  byId("slider").setAttribute("aria-valuetext", utc(ms));
  byId("moment").textContent = utc(ms);
  byId("at").value = utc(ms).replace(" ", "T");
  const answer = await known(of("", ["at", seconds(ms)]), () => travel(ms), { about: "then" });
  if (mine !== wanted || !answer) return;
  difference(answer.value);
}

function difference(then) {
  const before = new Map(then === undefined ? [] : fieldsOf(then));
  const after = new Map(now === undefined ? [] : fieldsOf(now));
  let changed = 0;
  const rows = [...new Set([...before.keys(), ...after.keys()])].map((field) => {
    const same = JSON.stringify(before.get(field)) === JSON.stringify(after.get(field));
    changed += same ? 0 : 1;
    const side = (all) => (all.has(field) ? shown(field, typeOf(field), all.get(field)) : element("span", "soft", "not there"));
    return element("tr", same ? "" : "changed", rowHead(field), element("td", "", side(before)), element("td", "", side(after)));
  });
  document.querySelector("#difference tbody").replaceChildren(...rows);
  const state = then === undefined ? "The key held nothing then." : changed ? `${plural(changed, "field")} changed since.` : "As it is now.";
  byId("then-said").textContent = state;
}

let waiting = null;
byId("slider").addEventListener("input", () => {
  const ms = Math.round(span[0] + (byId("slider").value / 1000) * (span[1] - span[0]));
  byId("moment").textContent = utc(ms);
  byId("slider").setAttribute("aria-valuetext", utc(ms));
  clearTimeout(waiting);
  waiting = setTimeout(() => travel(ms), 120);
});
byId("travel").addEventListener("submit", (event) => {
  event.preventDefault();
  travel(byId("at").value.trim());
});

// -- where -------------------------------------------------------------------------------------------

async function places() {
  const answer = await asked(of("/places"), trouble, places);
  if (!answer) return;
  place = answer.places.find((one) => one.role !== "standby") ?? answer.places[0] ?? null;
  const rows = answer.places.map((one) => element("tr", "", element("td", "", one.worker || "this worker"), element("td", "", one.role),
    element("td", "right", one.role === "standby" ? number(one.records_behind) : "0"), element("td", "right", one.role === "standby" ? `${one.heard_s.toFixed(1)} s ago` : "now")));
  for (const one of answer.silent) rows.push(element("tr", "", element("td", "", one.worker), element("td", "bad", one.reason), element("td", "right", "–"), element("td", "right", "–")));
  byId("partition").textContent = `In partition ${answer.partition}.`;
  document.querySelector("#places tbody").replaceChildren(...rows);
}

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
await begin();
