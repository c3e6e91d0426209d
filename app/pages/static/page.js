"use strict";
// Keeps the page current. Everything that comes from the server is put in as text, never as markup.

const PERIOD_MS = 1000;
const STALE_MS = 3000;
const byId = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString("en");
const when = (ts) => new Date(ts * 1000).toISOString().slice(0, 19).replace("T", " ");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

let before = null; // the last overview, to tell a rate from two counts
let heardAt = null;
let shownAccount = null;

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

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

function draw(overview) {
  if (before && overview.now > before.now && overview.records_in >= before.records_in) {
    byId("throughput").textContent = number((overview.records_in - before.records_in) / (overview.now - before.now));
  }
  before = overview;
  const lags = Object.values(overview.lag);
  byId("lag").textContent = number(lags.reduce((sum, lag) => sum + lag, 0));
  byId("committed").textContent = number(overview.committed_records);
  byId("partitions").textContent = number(overview.partitions);
  byId("none").hidden = overview.alerts.length > 0;
  fill(byId("alerts"), overview.alerts);
}

function tellState() {
  const silent = heardAt === null ? Infinity : Date.now() - heardAt;
  const stale = silent > STALE_MS;
  document.body.classList.toggle("stale", stale && heardAt !== null);
  byId("state").textContent = !stale ? "live" : heardAt === null ? "connecting" : `stale: nothing heard for ${Math.round(silent / 1000)} s`;
}

async function poll() {
  try {
    const answer = await fetch("/api/overview", { signal: AbortSignal.timeout(STALE_MS) });
    if (answer.ok) {
      draw(await answer.json());
      heardAt = Date.now();
    }
  } catch (error) {
    console.warn("no overview:", error); // the state line says so to the reader
  }
  tellState();
  if (shownAccount && heardAt && !document.hidden) await refreshAccount();
  setTimeout(poll, PERIOD_MS);
}

// ---- one account

function chart(windows) {
  const namespace = "http://www.w3.org/2000/svg";
  const make = (tag, attributes, text) => {
    const made = document.createElementNS(namespace, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    return made;
  };
  const width = 600, height = 140, floor = height - 18;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "payments per minute" });
  const most = Math.max(...windows.map((window) => window.count));
  const step = width / windows.length;
  windows.forEach((window, index) => {
    const tall = (window.count / most) * (floor - 14);
    const bar = make("rect", { class: "bar", x: index * step + 1, y: floor - tall, width: Math.max(1, Math.min(40, step - 2)), height: tall, rx: 2 });
    bar.append(make("title", {}, `${when(window.start)}: ${plural(window.count, "payment")}, ${window.total.toFixed(2)}`));
    svg.append(bar);
  });
  svg.append(make("text", { x: 0, y: 11 }, `most: ${most} in a minute`));
  svg.append(make("text", { x: 0, y: height - 4 }, when(windows[0].start)));
  svg.append(make("text", { x: width, y: height - 4, "text-anchor": "end" }, when(windows[windows.length - 1].start)));
  return svg;
}

async function refreshAccount() {
  const account = shownAccount;
  try {
    const answer = await fetch(`/api/account?id=${encodeURIComponent(account)}`, { signal: AbortSignal.timeout(STALE_MS) });
    const found = await answer.json();
    if (account !== shownAccount) return;
    byId("found").replaceChildren(...(answer.ok ? accountParts(found) : [element("p", "", found.error)]));
  } catch (error) {
    console.warn("no account:", error);
    byId("found").replaceChildren(element("p", "", "The worker does not answer."));
  }
}

function accountParts(found) {
  const paid = `${plural(found.payments, "payment")} seen, usually ${found.typical_amount.toFixed(2)}, in ${found.countries.join(", ")}`;
  const parts = [element("p", "", element("strong", "", found.account), ` – ${paid}`)];
  if (found.windows.length) parts.push(element("p", "soft", "Payments per minute, the minutes that had any:"), chart(found.windows));
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
  refreshAccount();
}

byId("search").addEventListener("submit", (submission) => {
  submission.preventDefault();
  show(byId("account").value.trim());
});
setInterval(tellState, PERIOD_MS);
poll();
