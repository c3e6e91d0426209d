// Shows who waits for a person, and sends what a person says. Everything that comes from the server is put in as text.

import { byId, csrfHeaders } from "/static/console/dom.js";

const LOOK_MS = 3_000;
const shown = new Map(); // account -> its item; what is being written in it stays

function element(kind, className, text) {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
}

function made(account) {
  const item = document.createElement("li");
  const talk = document.createElement("ol");
  talk.className = "turns";
  const form = document.createElement("form");
  const text = document.createElement("input");
  text.className = "wide";
  text.maxLength = 2000;
  text.required = true;
  text.setAttribute("aria-label", `Answer to ${account}`);
  form.append(text, element("button", "", "Answer"));
  item.append(element("h2", "", account), element("p", "soft", ""), talk, form);
  form.addEventListener("submit", (submission) => {
    submission.preventDefault();
    say(account, text.value.trim());
  });
  return item;
}

async function say(account, text) {
  if (!text) return;
  const response = await fetch("/api/chat/person", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...csrfHeaders() },
    body: JSON.stringify({ account, text }),
  });
  byId("state").textContent = response.ok ? "" : (await response.json()).error;
  if (response.ok) look();
}

function tell(item, one) {
  const told = JSON.stringify(one);
  if (item.dataset.told === told) return; // untouched, so that a selection stays
  item.dataset.told = told;
  item.querySelector("p").textContent = `waits because: ${one.why}`;
  item.querySelector("ol").replaceChildren(...one.turns.flatMap((turn) => [
    ...(turn.asked ? [element("li", "asked", turn.asked)] : []),
    element("li", "answered", turn.answered),
  ]));
}

async function look() {
  const response = await fetch("/api/chat/waiting");
  const told = await response.json();
  byId("state").textContent = response.ok ? "" : told.error;
  if (!response.ok) return;
  const waiting = new Map(told.waiting.map((one) => [one.account, one]));
  for (const [account, item] of shown) {
    if (!waiting.has(account)) {
      item.remove();
      shown.delete(account);
    }
  }
  for (const [account, one] of waiting) {
    if (!shown.has(account)) {
      shown.set(account, made(account));
      byId("waiting").append(shown.get(account));
    }
    tell(shown.get(account), one);
  }
  byId("none").hidden = waiting.size > 0;
}

function again() {
  if (!document.hidden) look().catch((error) => {
    console.warn("no answer:", error);
    byId("state").textContent = "the worker does not answer";
  });
}

setInterval(again, LOOK_MS);
again();
