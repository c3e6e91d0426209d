// Keeps the page current. Everything that comes from the server is put in as text, never as markup.

import { ask, byId, element, number, plural, svg, when } from "/static/console/dom.js";
import { connection, watch } from "/static/console/live.js";

const PERIOD_MS = 1000;

let shownAccount = null;
let shownText = null; // the answer that is drawn now

// ---- one sentence of evidence for each rule

const EVIDENCE = {
  velocity: (e) => `${plural(e.count, "payment")} in one minute, ${e.total.toFixed(2)} in all`,
  amount: (e) => `${e.amount.toFixed(2)}, where ${e.typical.toFixed(2)} is usual (${e.z.toFixed(1)} deviations, ${plural(e.payments, "payment")} known)`,
  impossible_travel: (e) => `${e.from_country} to ${e.to_country}: ${number(e.km)} km in ${e.minutes} min (${number(e.km_per_h)} km/h)${e.new_country ? ", a new country" : ""}`,
  card_testing: (e) => `${plural(e.tests, "tiny payment")} at ${plural(e.merchants.length, "online merchant")}, now ${e.amount.toFixed(2)}`,
};

function alertItem(alert) {
  const account = element("button", "link", alert.account);
  account.type = "button";
  account.addEventListener("click", () => show(alert.account));
  const head = element("div", "head", element("span", "rule", alert.rule.replace("_", " ")), account,
    element("span", "soft", `${when(alert.ts)} event time`));
  const describe = EVIDENCE[alert.evidence.type];
  return element("li", "", head, element("div", "", describe ? describe(alert.evidence) : JSON.stringify(alert.evidence)));
}

function fill(list, alerts) {
  const ids = alerts.map((alert) => alert.id).join();
  if (list.dataset.ids === ids) return; // untouched, so that focus and selection stay
  list.dataset.ids = ids;
  list.replaceChildren(...alerts.map(alertItem));
}

// ---- progress

function draw(all, { alerts }) {
  byId("throughput").textContent = number(all.rate);
  byId("lag").textContent = number(all.lag);
  byId("workers").textContent = number(all.workers.length);
  byId("partitions").textContent = number(all.workers.reduce((sum, one) => sum + one.partitions.length, 0));
  byId("none").hidden = alerts.length > 0;
  fill(byId("alerts"), alerts);
}

async function poll() {
  const [[told, all], [status, found]] = await Promise.all([ask("/api/console/home"), ask("/alerts?limit=25")]);
  if (told === 200 && status === 200) {
    draw(all, found);
    connection.heard();
  }
  if (shownAccount && connection.heardAt && !document.hidden) await refreshAccount();
  setTimeout(poll, PERIOD_MS);
}

// ---- one account

const MANY = 5; // payments in a minute that the velocity rule speaks at

function chart(windows) {
  const most = Math.max(...windows.map((window) => window.total));
  const step = 100 / Math.max(windows.length, 12);
  const bars = windows.map((window, index) => {
    const tall = Math.max(1, (window.total / most) * 100);
    const title = `${when(window.start)}: ${plural(window.count, "payment")}, ${window.total.toFixed(2)}`;
    return svg("rect", { class: window.count >= MANY ? "bar many" : "bar", x: index * step, y: 100 - tall, width: step * 0.8, height: tall },
      svg("title", {}, title));
  });
  const label = `amount per minute of ${windows.length} minutes, at most ${most.toFixed(2)}`;
  const drawing = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": label }, ...bars);
  const [first, last] = [windows[0], windows[windows.length - 1]];
  return element("figure", "", element("figcaption", "soft", `Amount in each minute with payments, at most ${most.toFixed(2)}; red: ${MANY} payments or more`),
    drawing, element("div", "ends soft", element("span", "", when(first.start)), element("span", "", when(last.start))));
}

async function refreshAccount() {
  const account = shownAccount;
  try {
    const answer = await fetch(`/api/account?id=${encodeURIComponent(account)}`, { signal: AbortSignal.timeout(3000) });
    const text = await answer.text();
    if (account !== shownAccount || text === shownText) return; // untouched, so that focus and selection stay
    const found = JSON.parse(text);
    byId("found").replaceChildren(...(answer.ok ? accountParts(found) : [element("p", "", found.error)]));
    shownText = text;
  } catch (error) {
    console.warn("no account:", error);
    byId("found").replaceChildren(element("p", "", "The worker does not answer."));
    shownText = null;
  }
}

function accountParts(found) {
  if (!found.payments) return [element("p", "", `Nothing is known of account ${found.account}.`)];
  const paid = `${plural(found.payments, "payment")} seen, usually ${found.typical_amount.toFixed(2)}, in ${found.countries.join(", ")}`;
  const parts = [element("p", "", element("strong", "", found.account), ` – ${paid}`)];
  if (found.windows.length) parts.push(chart(found.windows));
  if (found.alerts.length) {
    const list = element("ul", "alerts");
    fill(list, found.alerts);
    parts.push(list);
  }
  return parts;
}

function show(account) {
  byId("account").value = account;
  shownAccount = account;
  shownText = null;
  refreshAccount();
}

byId("search").addEventListener("submit", (submission) => {
  submission.preventDefault();
  show(byId("account").value.trim());
});
poll();
watch();
