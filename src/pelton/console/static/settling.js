// What the pages of dead letters share: having them settled, and saying what came of it.

import { ask, plural } from "./dom.js";

/** Settling joins a group, which takes seconds on Kafka, and longer while somebody else is about to leave it. */
const SETTLE_MS = 90000;

/** Returns whether it was done, and what to say of it. what: "replay" or "discard". */
export async function settle(what, request) {
  const [status, answer] = await ask(`/api/dlq/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(SETTLE_MS),
  });
  if (status === 0) return [false, "The worker does not answer: look whether it was done before you try again."];
  if (status === 409) return [false, "Somebody else has begun to settle letters, and took over: look again what is left."];
  if (status !== 200) return [false, `${answer.error}${answer.hint ? ` (${answer.hint})` : ""}`];
  const past = what === "replay" ? "replayed" : "discarded";
  const said = [`${plural(answer.settled, "letter")} ${past}.`];
  for (const one of answer.before) said.push(`${one.number} had been ${one.how} already${one.reason ? `: ${one.reason}` : ""}.`);
  for (const one of answer.missing) said.push(`There is no letter ${one}.`);
  return [answer.settled > 0 && !answer.before.length && !answer.missing.length, said.join(" ")];
}

export function say(place, good, text) {
  place.className = good ? "good" : "bad";
  place.textContent = text;
}
