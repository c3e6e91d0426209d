// Keeps judgements current, and sends what people say. Everything from the server is put in as text, never as markup.

import { ask, byId, element, number, plural, when } from "/static/console/dom.js";
import { connection, watch } from "/static/console/live.js";

const PERIOD_MS = 2000;
const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(0)} %`);
const fields = (record) => Object.entries(record).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(", ");
const said = new Map(); // judgement -> right, since the page was opened: it may take a moment to come back

function sayButton(judgement, right, current) {
  const button = element("button", "", right ? "right" : "wrong");
  button.type = "button";
  button.setAttribute("aria-pressed", String(current === right));
  button.setAttribute("aria-label", `The judgement of ${judgement.id} is ${right ? "right" : "wrong"}`);
  button.addEventListener("click", async () => {
    const body = JSON.stringify({ judgement: judgement.id, key: judgement.key, right });
    const [status] = await ask("/api/anomalies/feedback", { method: "POST", body, headers: { "Content-Type": "application/json" } });
    if (status === 202) {
      said.set(judgement.id, right);
      for (const one of button.parentElement.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one === button));
    } else {
      byId("state").textContent = "this was not taken: the worker does not answer";
    }
  });
  return button;
}

function judgementItem(one) {
  const current = said.has(one.id) ? said.get(one.id) : one.said;
  const scores = `statistics ${one.score.toFixed(4)}, model ${one.model_score === null ? "none" : one.model_score.toFixed(2)}`;
  const by = one.by === "statistics" ? `judged by statistics: ${one.why}` : `judged by ${one.by}${one.why ? `: ${one.why}` : ""}`;
  const head = [
    element("span", one.anomalous ? "rule" : "soft", one.anomalous ? one.kind : one.selected ? "dismissed" : "sample"),
    element("span", "", `${one.source} of ${one.key}`),
    element("span", "soft", `${when(one.ts)}, ${scores}`),
    element("span", "say", sayButton(one, true, current), " ", sayButton(one, false, current)),
  ];
  return element("li", "", element("div", "head", ...head), element("div", "", one.explanation),
    element("div", "soft", fields(one.record)), element("div", "soft", by));
}

function countsRow(one) {
  const figures = [number(one.alerts), number(one.alerts_right), number(one.alerts_wrong), percent(one.precision), number(one.passed), percent(one.missed)];
  return element("tr", "", ...[one.source, one.choice, one.by].map((text) => element("td", "", text)),
    ...figures.map((text) => element("td", "right", text)));
}

// Nothing moves under a pointer; the button that has the focus keeps it.
function show(list, items) {
  const place = byId(list);
  if (place.matches(":hover")) return;
  const label = place.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  place.replaceChildren(...items.map(judgementItem));
  if (label) [...place.querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === label)?.focus();
}

async function poll() {
  const [status, found] = await ask("/api/anomalies");
  if (status === 200) {
    connection.heard();
    byId("told").textContent = found.model
      ? `Statistics select, ${found.model} judges at most ${plural(found.judgements_per_minute, "record")} a minute.`
      : "There is no model: statistics select and judge.";
    byId("counts").replaceChildren(...found.counts.map(countsRow));
    byId("none").hidden = found.alerts.length > 0;
    show("alerts", found.alerts);
    show("others", found.others);
  }
  setTimeout(poll, PERIOD_MS);
}

poll();
watch();
