// One topic: its records, searched or as they come, and writing one.

import { ask, byId, bytes, element, link, number, plural, when } from "./dom.js";

const topic = byId("records").dataset.topic;
const base = `/topics/${encodeURIComponent(topic)}`;
const form = byId("search");
const body = byId("found").tBodies[0];

/** Rows on the page while it tails; the oldest go. */
const TAIL_ROWS = 500;

/** The search that is under way: what was asked, where it goes on, and whether to. */
let search = null;
let source = null;

const START = { offset: ["Offset", "0"], since: ["Time", "2026-07-01T12:00"], until: ["Time", "2026-07-01T12:00"] };

function told(data) {
  if (data === null) return element("span", "soft", "null");
  const text = data.text ?? data.hex;
  const shown = text.length > 300 ? `${text.slice(0, 300)}…` : text;
  return element("span", data.text === null ? "mono cell" : "cell", shown || "(empty)");
}

function row(record) {
  const place = `${record.partition}:${record.offset}`;
  const value = element("td", "value", told(record.value));
  const made = element(
    "tr",
    "",
    element("td", "time", when(record.timestamp_ms / 1000)),
    element("td", "time", link(`${base}/${record.partition}/${record.offset}`, place)),
    element("td", "", told(record.key)),
    value,
    element("td", "right wide", bytes(record.bytes)),
  );
  made.dataset.place = place;
  return made;
}

function parameters() {
  const given = new FormData(form);
  const query = new URLSearchParams();
  for (const name of ["key", "text", "header", "partition"]) if (given.get(name)) query.set(name, given.get(name));
  return query;
}

function searchQuery() {
  const query = parameters();
  const [start, at] = [form.elements.start.value, form.elements.at.value.trim()];
  query.set("order", start === "newest" || start === "until" ? "newest" : "oldest");
  if (start in START && at) query.set(start, at);
  return query;
}

function buttons(running, more) {
  byId("stop").hidden = !running;
  byId("progress").hidden = !running;
  byId("more").hidden = running || !more;
}

/** Searches on until there is a page more, all is searched, or somebody says stop. */
async function go(mine) {
  buttons(true, false);
  const wanted = mine.found + 50;
  let reason = "";
  while (search === mine && mine.running) {
    const query = new URLSearchParams(mine.query);
    if (mine.next) query.set("cursor", mine.next);
    query.set("limit", String(Math.max(1, wanted - mine.found)));
    const [status, answer] = await ask(`/api${base}/records?${query}`);
    if (search !== mine) return;
    if (status !== 200) {
      reason = answer ? `${answer.error}${answer.hint ? `: ${answer.hint}` : ""}` : "the worker does not answer";
      break;
    }
    for (const record of answer.records) body.append(row(record));
    mine.found += answer.records.length;
    mine.records += answer.searched.records;
    mine.bytes += answer.searched.bytes;
    mine.next = answer.next;
    byId("progress").value = answer.searched.progress;
    byId("searched").textContent = `${plural(mine.found, "record")} found in ${percent(answer.searched.progress)} (${number(mine.records)} read, ${bytes(mine.bytes)})`;
    if (!answer.next || mine.found >= wanted) break;
  }
  mine.running = false;
  byId("searched").classList.toggle("bad", reason !== "");
  if (reason) byId("searched").textContent = reason;
  buttons(false, mine.next !== null && !reason);
}

function percent(part) {
  return part >= 1 ? "all of it" : `${Math.floor(part * 1000) / 10} % of it`;
}

function begin() {
  stopTail();
  body.replaceChildren();
  search = { query: searchQuery(), next: null, found: 0, records: 0, bytes: 0, running: true };
  go(search);
}

function startTail() {
  search = null;
  buttons(false, false);
  body.replaceChildren();
  byId("tail").setAttribute("aria-pressed", "true");
  byId("searched").classList.remove("bad");
  const said = { records: 0, dropped: 0, passed: 0, open: false };
  const tell = () => {
    const left = said.dropped + said.passed;
    const more = left ? `; too fast to show: ${said.dropped ? `${number(said.dropped)} found and left out` : ""}${said.dropped && said.passed ? ", " : ""}${said.passed ? `${number(said.passed)} not looked at` : ""}` : "";
    byId("searched").textContent = `${said.open ? "Live" : "Connecting"}: ${plural(said.records, "record")}${more}`;
  };
  source = new EventSource(`/api${base}/tail?${parameters()}`);
  source.onmessage = (event) => {
    const look = JSON.parse(event.data);
    said.open = true;
    said.records += look.records.length;
    said.dropped += look.dropped;
    said.passed += look.passed;
    for (const record of look.records) body.prepend(row(record));
    while (body.rows.length > TAIL_ROWS) body.lastChild.remove();
    tell();
  };
  source.onerror = async () => {
    said.open = false;
    tell();
    if (source?.readyState !== EventSource.CLOSED) return; // the browser asks again by itself
    stopTail();
    byId("searched").textContent = "The worker ended it: too many watch, or what is asked for is wrong.";
    byId("searched").classList.add("bad");
  };
  tell();
}

function stopTail() {
  source?.close();
  source = null;
  byId("tail").setAttribute("aria-pressed", "false");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
form.elements.start.addEventListener("change", () => {
  const start = form.elements.start.value;
  byId("at-label").hidden = !(start in START);
  if (!(start in START)) return;
  byId("at-label").firstElementChild.textContent = START[start][0];
  form.elements.at.placeholder = START[start][1];
});
byId("more").addEventListener("click", () => {
  search.running = true;
  go(search);
});
byId("stop").addEventListener("click", () => {
  search.running = false;
});
byId("tail").addEventListener("click", () => {
  if (source) {
    stopTail();
    byId("searched").textContent = `${byId("searched").textContent} (stopped)`;
  } else startTail();
});
addEventListener("pagehide", stopTail);

byId("write")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = byId("written");
  const headers = byId("new-headers").value.split("\n").filter((line) => line.trim());
  const record = {
    key: byId("new-key").value === "" ? null : byId("new-key").value,
    value: byId("tombstone").checked ? null : byId("new-value").value,
    headers: headers.map((line) => {
      const at = line.indexOf("=");
      return at < 0 ? { name: line.trim() } : { name: line.slice(0, at).trim(), value: line.slice(at + 1) };
    }),
    partition: byId("new-partition").value === "" ? null : Number(byId("new-partition").value),
  };
  const [status, answer] = await ask(`/api${base}/records`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(record),
  });
  const done = status === 201;
  said.className = done ? "good" : "bad";
  if (!done) {
    said.textContent = answer ? `${answer.error}${answer.hint ? ` (${answer.hint})` : ""}` : "The worker does not answer: look whether the record is there before you try again.";
    return;
  }
  said.replaceChildren("Written: ", link(`${base}/${answer.partition}/${answer.offset}`, `${answer.partition}:${answer.offset}`));
});

begin();
