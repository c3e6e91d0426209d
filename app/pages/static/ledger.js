// An account's events, its balance over time, and its state at any time.

import { ask, byId, element, keep, number, plural, svg, untouched, when } from "/static/console/dom.js";
import { connection, watch } from "/static/console/live.js";

const PERIOD_MS = 2000;
const ROWS_SHOWN = 100;
const LATER_SHOWN = 10; // events behind the moment that is looked at
const money = (cents) => (cents / 100).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

let shown = null; // the account that is shown
let events = []; // its events, oldest first
let at = null; // the moment that is looked at, in seconds; null for now
let asked = 0; // questions about the past so far, so that a late answer to an old one is passed over

// ---- in words

const WORDS = {
  Opened: (e) => `opened by ${e.owner}`,
  Deposited: (e) => `paid in${e.note ? `: ${e.note}` : ""}`,
  Withdrawn: (e) => `taken out${e.note ? `: ${e.note}` : ""}`,
  TransferSent: (e) => `transfer ${e.number} to ${e.to}${e.note ? `: ${e.note}` : ""}`,
  TransferReceived: (e) => `from ${e.sender}${e.note ? `: ${e.note}` : ""}`,
  TransferRefused: (e) => `refused ${money(e.amount_cents)} from ${e.sender}: ${e.reason}`,
  TransferSettled: (e) => `transfer ${e.number} arrived at ${e.to}`,
  TransferReturned: (e) => `transfer ${e.number} came back from ${e.to}: ${e.reason}`,
  Frozen: (e) => `frozen${e.reason ? `: ${e.reason}` : ""}`,
  Unfrozen: () => "unfrozen",
  Closed: () => "closed",
};

function inWords(event) {
  const words = WORDS[event.type];
  return words ? words(event) : JSON.stringify(event);
}

// ---- all accounts

function drawAll(all) {
  const { totals } = all;
  byId("balance").textContent = number(totals.balance_cents / 100);
  byId("cash").textContent = number((totals.deposited_cents - totals.withdrawn_cents) / 100);
  byId("under-way").textContent = money(totals.under_way_cents);
  byId("count").textContent = number(totals.accounts);
  byId("events-count").textContent = number(totals.events);
  const names = all.accounts.map((one) => one.account);
  if (byId("accounts").dataset.names !== names.join()) {
    byId("accounts").dataset.names = names.join();
    byId("accounts").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
  }
  if (!shown && all.accounts.length) {
    const busiest = all.accounts.reduce((a, b) => (b.version > a.version ? b : a)).account;
    if (untouched(byId("account"))) byId("account").value = busiest; // somebody may be typing another one
    show(busiest);
  }
}

// ---- one account

function span() {
  const first = events[0].time;
  const last = events[events.length - 1].time;
  return [first, Math.max(last, first + 1)];
}

function drawChart() {
  const [first, last] = span();
  const most = Math.max(1, ...events.map((one) => one.balance_cents));
  const x = (time) => ((time - first) / (last - first)) * 1000;
  const y = (cents) => 98 - (cents / most) * 96;
  const steps = events.map((one, index) => `${index ? `H${x(one.time)}V` : `M0 `}${y(one.balance_cents)}`);
  const line = svg("path", { class: "line", d: `${steps.join("")}H1000` });
  const moment = at === null ? last : at;
  const mark = svg("line", { class: "mark", x1: x(moment), x2: x(moment), y1: 0, y2: 100 });
  byId("chart").setAttribute("aria-label", `balance over ${plural(events.length, "event")}, at most ${money(most)} EUR`);
  byId("chart").replaceChildren(line, mark);
  byId("first").textContent = when(first);
  byId("last").textContent = `at most ${money(most)} EUR · ${when(last)}`;
  byId("time").value = String(Math.round(x(moment)));
  byId("time").setAttribute("aria-valuetext", when(moment));
}

function row(one) {
  const change = one.change_cents ? (one.change_cents > 0 ? "+" : "−") + money(Math.abs(one.change_cents)) : "";
  const made = element("tr", one.later ? "later" : "",
    element("td", "right soft", String(one.version)), element("td", "soft time", when(one.time)), element("td", "", inWords(one.event)),
    element("td", one.change_cents < 0 ? "right out" : "right", change), element("td", "right", money(one.balance_cents)));
  return made;
}

function drawEvents() {
  const until = at === null ? events : events.slice(0, events.filter((one) => one.time <= at).length + LATER_SHOWN);
  byId("events").hidden = !events.length;
  byId("no-events").hidden = events.length > 0;
  const rows = until.slice(-ROWS_SHOWN).reverse().map((one) => ({ ...one, later: at !== null && one.time > at }));
  keep(byId("events").tBodies[0], rows, (one) => `${shown} ${one.version}`, row);
}

function drawThen(state) {
  byId("then-time").textContent = at === null ? "EUR now" : `EUR at ${when(at)}`;
  byId("then-balance").textContent = state ? money(state.balance_cents) : "–";
  byId("then-status").textContent = state ? state.status : "not open yet";
  const then = at === null ? events : events.filter((one) => one.time <= at);
  byId("then-version").textContent = String(then.length ? then[then.length - 1].version : 0);
  byId("then-pending").textContent = state ? String(state.under_way.length) : "–";
  if (state) byId("owner").textContent = state.owner;
}

async function refresh() {
  if (!shown) return;
  const account = shown;
  const question = ++asked;
  const path = `/accounts/${encodeURIComponent(account)}`;
  const [told, found] = await ask(`${path}/events`);
  const known = told === 200 && found.events.length > 0;
  const [status, state] = known ? await ask(at === null ? path : `${path}?at=${at}`) : [0, null];
  if (account !== shown || question !== asked) return;
  const trouble = !told ? "The worker does not answer." : found.error || (known ? "" : `Nothing has happened to ${account} yet.`);
  byId("trouble").textContent = trouble;
  byId("found").hidden = !known;
  events = known ? found.events : [];
  byId("name").textContent = account;
  drawEvents();
  if (!known) return;
  drawChart();
  drawThen(status === 200 ? state : null);
}

function show(account) {
  [shown, at, events] = [account, null, []];
  byId("owner").textContent = "";
  return refresh();
}

function look(time) {
  if (!events.length) return;
  const last = events[events.length - 1].time;
  at = time >= last ? null : time;
  drawChart();
  drawEvents();
  refresh();
}

function step(direction) {
  if (!events.length) return;
  const now = at === null ? Infinity : at;
  const times = [...new Set(events.map((one) => one.time))];
  const place = times.filter((time) => time <= now).length - 1 + direction;
  look(times[Math.min(Math.max(place, 0), times.length - 1)]);
}

// ---- commands

const WITH_AMOUNT = new Set(["deposit", "withdraw", "transfer"]);

function fields(kind) {
  const cents = Math.round(Number(byId("amount").value) * 100);
  if (kind === "transfer") return { to: byId("other").value.trim(), amount_cents: cents };
  if (WITH_AMOUNT.has(kind)) return { amount_cents: cents };
  return kind === "open" ? { owner: byId("other").value.trim() } : {};
}

function fitForm() {
  const kind = byId("kind").value;
  byId("amount").disabled = !WITH_AMOUNT.has(kind);
  byId("other").disabled = kind !== "transfer" && kind !== "open";
  byId("other-label").textContent = kind === "open" ? "owner" : "to";
  byId("other").placeholder = kind === "open" ? "Ada Berg" : "acc-00008";
}

async function send(submission) {
  submission.preventDefault();
  const [kind, account] = [byId("kind").value, shown || byId("account").value.trim()];
  byId("done").textContent = `${kind} …`;
  const headers = { "Content-Type": "application/json", "Idempotency-Key": `page-${Date.now()}-${Math.random().toString(36).slice(2)}` };
  const [status, done] = await ask(`/accounts/${encodeURIComponent(account)}/${kind}`, { method: "POST", headers, body: JSON.stringify(fields(kind)) });
  if (status === 200) byId("done").textContent = `${kind}: done, ${account} is at version ${done.version}`;
  else byId("done").textContent = done ? `${kind}: ${done.error}` : "The worker does not answer.";
  await show(account);
}

// ---- keeping current

async function poll() {
  const [status, all] = await ask("/accounts");
  if (status === 200) {
    connection.heard();
    drawAll(all);
  }
  if (!document.hidden) await refresh();
  setTimeout(poll, PERIOD_MS);
}

byId("search").addEventListener("submit", (submission) => {
  submission.preventDefault();
  show(byId("account").value.trim());
});
byId("order").addEventListener("submit", send);
byId("kind").addEventListener("change", fitForm);
byId("time").addEventListener("input", () => {
  if (!events.length) return;
  const [first, last] = span();
  look(first + (Number(byId("time").value) / 1000) * (last - first));
});
byId("back").addEventListener("click", () => step(-1));
byId("forth").addEventListener("click", () => step(1));
fitForm();
poll();
watch();
