// The last hour of payments, by event time, the latest cases, and how right the alerts are.

import { ask, byId, element, keep, link, number, plural, svg, when } from "/static/console/dom.js";
import { connection, watch } from "/static/console/live.js";

const PERIOD_MS = 2000;
// ?merchant=…, ?country=… or ?channel=… in this page's address, which the API takes as it is.
const chosen = new URLSearchParams(location.search).toString();
const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`);
const change = (share) => (share === null || share === undefined ? "–" : `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)} %`);
const euros = (cents) => number(cents / 100);
const right = (text) => element("td", "right", text);
const heading = (...names) => element("tr", "", ...names.map((name, index) => element("th", index === 0 ? "" : name === "EUR" ? "right wide" : "right", name)));

function drawMinutes(traffic) {
  const most = Math.max(1, ...traffic.minutes.map((one) => one.cents));
  const step = 100 / traffic.minutes.length;
  const bars = traffic.minutes.map((one, index) => {
    const tall = (one.cents / most) * 100;
    const title = `${when(one.minute)}: ${plural(one.count, "payment")}, ${euros(one.cents)} EUR`;
    return svg("rect", { class: "bar", x: index * step, y: 100 - tall, width: step * 0.8, height: tall }, svg("title", {}, title));
  });
  byId("minutes").setAttribute("aria-label", `value of ${traffic.minutes.length} minutes, at most ${euros(most)} EUR`);
  byId("minutes").replaceChildren(...bars);
  if (traffic.minutes_of) byId("minutes-of").textContent = `Only of the ${traffic.minutes_of.dimension} ${traffic.minutes_of.name}.`;
  byId("minutes-all").hidden = !traffic.minutes_of;
  byId("first").textContent = when(traffic.from);
  byId("most").textContent = `at most ${euros(most)} EUR a minute`;
  byId("last").textContent = when(traffic.to);
}

function drawTop(name, rows) {
  const made = rows.map((one) => element("tr", "", element("td", "", link(`/analytics?${new URLSearchParams({ [name]: one.name })}`, one.name)), right(one.count_per_minute.toFixed(1)), right(euros(one.cents_per_minute)),
    element("td", "right wide", euros(one.cents)), right(change(one.against_hour_before)), right(change(one.against_yesterday))));
  byId(name).tBodies[0].replaceChildren(heading(name, "a minute", "EUR a minute", "EUR", "hour before", "day before"), ...made);
}

function drawTraffic(traffic) {
  if (!traffic.minutes.length) return;
  byId("count").textContent = number(traffic.count);
  byId("value").textContent = euros(traffic.cents);
  byId("customers").textContent = number(traffic.customers);
  byId("before").textContent = change(traffic.against_hour_before);
  byId("yesterday").textContent = change(traffic.against_yesterday);
  byId("percentiles").textContent = Object.values(traffic.percentiles).map(number).join(" · ");
  drawMinutes(traffic);
  for (const [name, rows] of Object.entries(traffic.top)) drawTop(name, rows);
}

function caseItem(one) {
  const rules = Object.entries(one.rules).map(([rule, count]) => `${rule.replace("_", " ")}${count > 1 ? ` × ${count}` : ""}`);
  const head = element("div", "head", element("span", "rule", rules.join(", ")), element("span", "", one.account),
    element("span", "soft", `${when(one.opened)} event time`));
  return element("li", "", head, element("div", "", `score ${one.score.toFixed(2)}, ${plural(one.payments, "payment")}`));
}

function qualityRow(one) {
  return element("tr", "", element("td", "", one.rule.replace("_", " ")), right(number(one.alerts)), right(percent(one.precision)),
    right(number(one.crimes)), right(percent(one.recall)));
}

async function poll() {
  if (!document.hidden) {
    const [status, found] = await ask(`/api/analytics${chosen ? `?${chosen}` : ""}`);
    if (status === 200) {
      connection.heard();
      drawTraffic(found.traffic);
      byId("no-cases").hidden = found.cases.length > 0;
      keep(byId("cases"), found.cases, (one) => `${one.account} ${one.opened}`, caseItem);
      keep(byId("quality").tBodies[0], found.quality, (one) => one.rule, qualityRow);
    }
  }
  setTimeout(poll, PERIOD_MS);
}

poll();
watch();
