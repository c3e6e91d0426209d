// Keeps Home current. Whatever comes from the server is put in as text, never as markup.

import { sparkline } from "./chart.js";
import { byId, duration, element, keep, link, number, plural, svg, when } from "./dom.js";
import { follow } from "./live.js";

const VERDICTS = { ok: "All is well", degraded: "Degraded", bad: "Not well" };
const CLASSES = { OK: "good", WARN: "warn", STALL: "bad", STOP: "bad", REWIND: "bad" };

function put(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

function draw(state) {
  drawHealth(state);
  drawFigures(state);
  drawLags(state);
  keep(byId("workers"), state.workers, (worker) => worker.address, workerRow);
  drawRestores(state.workers);
  keep(byId("cards"), state.cards, (card) => card.title, cardSection);
  byId("no-errors").hidden = state.errors.length > 0;
  keep(byId("errors"), state.errors, (error) => `${error.worker} ${error.time_ms} ${error.message}`, errorItem);
}

function drawHealth({ health, lag_s, workers }) {
  byId("health").className = `health ${health.level}`;
  put("verdict", VERDICTS[health.level]);
  const [first, ...others] = health.reasons;
  const calm = `${plural(workers.length, "worker")}, ${lag_s < 1 ? "nothing is behind" : `at most ${duration(lag_s)} behind`}`;
  put("reason", first ? first[1] : calm);
  byId("reasons").hidden = others.length === 0;
  keep(byId("reasons"), others, (reason) => reason[1], (reason) => element("li", "", reason[1]));
}

function drawFigures(state) {
  put("group", state.group);
  put("rate", number(state.rate));
  put("lag", number(state.lag));
  put("lag-s", state.lag ? duration(state.lag_s) : "0 s");
  put("dead", number(state.dead_lettered));
  const partitions = new Set(state.workers.flatMap((worker) => worker.partitions.map((one) => one.number)));
  put("workers-count", number(state.workers.length));
  put("partitions-count", `worker${state.workers.length === 1 ? "" : "s"}, ${plural(partitions.size, "partition")}`);
  const minutes = Math.round((state.throughput.length * state.trend_s) / 60);
  sparkline(byId("rate-trend"), state.throughput, `events a second in the last ${plural(minutes, "minute")}, at most ${number(Math.max(0, ...state.throughput))}`);
  const longest = Math.max(0, ...state.lags.map((one) => one.trend.length));
  const total = Array.from({ length: longest }, (_, back) => state.lags.reduce((sum, one) => sum + (one.trend.at(back - longest) ?? 0), 0));
  sparkline(byId("lag-trend"), total, `records behind in the last minutes, at most ${number(Math.max(0, ...total))}`);
  const oldest = Array.from({ length: longest }, (_, back) => Math.max(0, ...state.lags.map((one) => one.trend_s.at(back - longest) ?? 0)));
  sparkline(byId("lag-s-trend"), oldest, `behind in time in the last minutes, at most ${duration(Math.max(0, ...oldest))}`);
}

function drawLags({ lags }) {
  const told = lags.filter((one) => one.lag > 0 || one.status !== "OK" || one.trend.some((lag) => lag > 0));
  const even = lags.filter((one) => !told.includes(one));
  keep(byId("lags"), told, (one) => one.topic, lagRow);
  byId("even").hidden = even.length === 0;
  byId("even").firstElementChild.textContent = `${plural(even.length, "topic")} with nothing behind in the last minutes`;
  keep(byId("even-topics"), even.map((one) => one.topic).sort(), (topic) => topic, (topic) => element("li", "", topicLink(topic)));
}

const topicLink = (topic) => link(`/topics/${encodeURIComponent(topic)}`, topic);

function lagRow(one) {
  const before = one.trend.at(-31) ?? one.trend[0] ?? one.lag;
  const [arrow, said] = one.lag > before * 1.1 + 1 ? ["↗", "growing"] : one.lag < before * 0.9 - 1 ? ["↘", "shrinking"] : ["→", "steady"];
  const spark = sparkline(svg("svg", { class: "spark" }), one.trend, `${one.topic}: ${said}, at most ${number(Math.max(0, ...one.trend))} records`);
  const late = sparkline(svg("svg", { class: "spark" }), one.trend_s, `${one.topic}: at most ${duration(Math.max(0, ...one.trend_s))} behind`);
  return element("tr", "", element("td", "", topicLink(one.topic)), element("td", "right", number(one.lag)),
    element("td", "right", one.lag ? duration(one.lag_s) : "–"), element("td", "", element("span", "trend", spark, ` ${arrow}`, element("span", "wide", said))),
    element("td", "wide", element("span", "trend", late)),
    element("td", "", element("span", `badge ${CLASSES[one.status] ?? ""}`, one.status)), element("td", "right wide", number(one.partitions)));
}

function workerRow(worker) {
  const name = element("span", "", worker.address || "(no web server)");
  const numbers = worker.partitions.map((one) => one.number).join(" ") || "–";
  const standbys = Object.entries(worker.standbys).map(([partition, behind]) => `${partition}${behind ? ` (${number(behind)} behind)` : ""}`).join(" ") || "–";
  const state = worker.silent ? element("span", "bad", worker.silent) : worker.waiting.length ? element("span", "warn", worker.waiting[0]) : element("span", "good", "works");
  return element("tr", "", element("td", "", name, worker.here ? element("span", "soft", " (this one)") : ""), element("td", "", numbers),
    element("td", "wide", standbys), element("td", "right", worker.rate === null ? "–" : number(worker.rate)),
    element("td", "right", worker.lag === null ? "–" : number(worker.lag)), element("td", "", state));
}

function drawRestores(workers) {
  const restoring = workers.flatMap((worker) => worker.partitions.filter((one) => one.state === "restoring").map((one) => ({ ...one, worker: worker.address })));
  byId("restore-section").hidden = restoring.length === 0;
  keep(byId("restores"), restoring, (one) => `${one.worker} ${one.number}`, (one) => {
    const bar = element("progress", "");
    bar.max = one.restore_total || 1;
    bar.value = one.restored;
    const left = one.left_s === null ? "" : `, ${duration(one.left_s)} left`;
    const name = `partition ${one.number}, worker ${one.worker}`;
    bar.setAttribute("aria-label", name);
    return element("li", "", `${name}: ${number(one.restored)} of ${number(one.restore_total)} records${left} `, bar);
  });
}

function cardSection(card) {
  const title = element("h2", "", card.path ? link(card.path, card.title) : card.title);
  const list = element("ul", "plain", ...card.lines.map((line) => element("li", "",
    line.path ? link(line.path, line.text) : element("span", "", line.text), element("span", "soft", [line.detail && ` ${line.detail}`, line.ts && ` · ${when(line.ts)}`].filter(Boolean).join("")))));
  const nothing = card.error ? element("p", "bad", card.error) : element("p", "empty", "Nothing yet.");
  return element("section", "", title, card.lines.length ? list : nothing);
}

function errorItem(error) {
  const place = Object.entries(error.where).map(([name, value]) => `${name} ${value}`).join(", ");
  const times = error.times > 1 ? `, ${number(error.times)} times` : "";
  return element("li", "", element("span", `badge ${error.level === "WARNING" ? "warn" : "bad"}`, error.level.toLowerCase()), ` ${error.message} `,
    element("span", "soft", `${when(error.time_ms / 1000)}${times}, ${error.logger}${place ? `, ${place}` : ""}${error.worker ? `, ${error.worker}` : ""}`));
}

follow("/api/console/live/home", draw);
