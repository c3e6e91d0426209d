// One dead letter: replayed, as it is or edited, or discarded.

import { byId } from "./dom.js";
import { say, settle } from "./settling.js";

const number = byId("settle").dataset.number;

/** What was changed in a field, for the server; nothing where it was left as it is. */
function change(field) {
  return field.disabled || field.value === field.defaultValue ? undefined : { text: field.value };
}

async function act(what, request) {
  const buttons = document.querySelectorAll("#settle button");
  for (const button of buttons) button.disabled = true;
  byId("outcome").className = "";
  byId("outcome").textContent = "Settling…";
  const [good, text] = await settle(what, { numbers: [number], ...request });
  say(byId("outcome"), good, text);
  for (const button of buttons) button.disabled = good;
}

byId("edit")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const edit = { key: change(byId("key")), value: change(byId("value")) };
  const request = edit.key || edit.value ? { edit } : {};
  if (byId("to").value) request.to = byId("to").value;
  act("replay", request);
});
byId("drop")?.addEventListener("submit", (event) => {
  event.preventDefault();
  act("discard", { reason: byId("reason").value });
});

/** Says on the button what it does. */
function nameButton() {
  byId("replay").textContent = change(byId("value")) || change(byId("key")) ? "Replay as edited" : "Replay";
}

for (const field of [byId("key"), byId("value")]) field?.addEventListener("input", nameButton);
if (byId("replay")) nameButton(); // a browser may have kept what was typed
