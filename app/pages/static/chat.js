// Asks, and shows the answer as it comes. Everything that comes from the server is put in as text, never as markup.

import { byId, csrfHeaders } from "/static/console/dom.js";

let waits = false; // whether the conversation waits for a person
let shown = ""; // what the server said of the conversation that is shown
let looking = Promise.resolve(); // ends when no answer to a look at the conversation is on its way

function turn(kind, text) {
  const item = document.createElement("li");
  item.className = kind;
  const said = document.createElement("p");
  said.textContent = text;
  item.append(said);
  byId("turns").append(item);
  item.scrollIntoView({ block: "nearest" });
  return item;
}

function note(item, answer) {
  const parts = [`answered by ${answer.by === "faq" ? "the FAQ and your own data, without a model" : answer.by}`];
  if (answer.why) parts.push(answer.why);
  if (answer.looked_up.length) parts.push(`looked up: ${answer.looked_up.join(", ").replaceAll("_", " ")}`);
  if (answer.hand_over) parts.push(`a person goes on: ${answer.hand_over}`);
  if (answer.hand_over) waits = true;
  signed(item, parts.join(" · "));
}

function signed(item, text) {
  const line = document.createElement("p");
  line.className = "soft";
  line.textContent = text;
  item.append(line);
}

// ---- server-sent events of a POST, which EventSource cannot do

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffered += value;
    let end;
    while ((end = buffered.indexOf("\n\n")) >= 0) {
      const fields = Object.fromEntries(buffered.slice(0, end).split("\n").filter((line) => !line.startsWith(":"))
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      buffered = buffered.slice(end + 2);
      if (fields.data) yield { kind: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

async function ask(account, text) {
  turn("asked", text);
  const item = turn("answered", "…");
  const said = item.firstChild;
  let shown = "";
  const response = await fetch("/chat", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream", ...csrfHeaders() },
    body: JSON.stringify({ account, text }),
  });
  if (!response.ok) {
    said.textContent = (await response.json()).error;
    return;
  }
  for await (const { kind, data } of events(response.body)) {
    if (kind === "text") said.textContent = shown += data.text;
    if (kind === "void") said.textContent = (shown = "") || "…";
    if (kind === "late") said.textContent = "The answer takes longer. It will be here when you open the page again.";
    if (kind === "error") said.textContent = data.error;
    if (kind === "answer") {
      said.textContent = data.text;
      note(item, data.answer);
    }
  }
}

async function show(account) {
  const response = await fetch(`/api/chat?account=${encodeURIComponent(account)}`);
  const told = await response.text();
  if (!response.ok || account !== byId("account").value.trim()) return; // another account was chosen meanwhile
  const found = JSON.parse(told);
  waits = found.waits_for_person !== "";
  if (told === shown) return; // untouched, so that selection and scrolling stay
  shown = told;
  byId("turns").replaceChildren();
  for (const one of found.turns) {
    if (one.asked) turn("asked", one.asked);
    const item = turn("answered", one.answered);
    if (one.by === "a person") signed(item, "a person of the bank said this");
  }
}

function look() {
  looking = show(byId("account").value.trim()).catch((error) => console.warn("no answer:", error));
}

// Who waits for a person looks now and then whether there is an answer.
setInterval(() => {
  if (waits && !document.hidden && !byId("send").disabled) look();
}, 3_000);

byId("ask").addEventListener("submit", async (submission) => {
  submission.preventDefault();
  const text = byId("text").value.trim();
  if (!text) return;
  byId("text").value = "";
  byId("send").disabled = true;
  byId("state").textContent = "asking";
  await looking; // or what is asked now would be overwritten by what was said before
  shown = "";
  try {
    await ask(byId("account").value.trim(), text);
    byId("state").textContent = "";
  } catch (error) {
    console.warn("no answer:", error);
    byId("state").textContent = "the worker does not answer";
  }
  byId("send").disabled = false;
  byId("text").focus();
});
// The account is in the address too, so that the page comes back to this conversation, and may be linked to.
byId("account").addEventListener("change", () => {
  history.replaceState(null, "", `?${new URLSearchParams({ account: byId("account").value.trim() })}`);
  look();
});
const asked = new URLSearchParams(location.search).get("account");
if (asked) byId("account").value = asked;
look();
