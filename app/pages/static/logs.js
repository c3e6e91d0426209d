// Searches, and keeps services and alerts current. Everything that comes from the server is put in as text, never as markup.

import { ask, byId, element, keep, number, when } from "/static/console/dom.js";
import { connection, watch } from "/static/console/live.js";

const PERIOD_MS = 2000;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

let shownService = null;

function item(head, text) {
  return element("li", "", element("div", "head", ...head), element("div", "", text));
}

function lineItem(line) {
  const level = element("span", line.level === "info" || line.level === "debug" ? "soft" : "rule", line.level);
  const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${value}`).join("  ");
  const made = item([level, element("span", "", line.service), element("span", "soft", when(line.ts))], line.message);
  if (fields) made.append(element("div", "soft", fields));
  return made;
}

function minutesText(minutes) {
  if (!minutes.length) return "no lines lately";
  const last = minutes[minutes.length - 1];
  const errors = minutes.reduce((sum, minute) => sum + minute.errors, 0);
  const lines = minutes.reduce((sum, minute) => sum + minute.lines, 0);
  return `${number(last.lines)} lines and ${number(last.errors)} errors in the latest minute; ${percent(errors / lines)} errors in the ${minutes.length} minutes shown`;
}

function serviceItem(service) {
  const name = element("button", "link", service.service);
  name.type = "button";
  name.addEventListener("click", () => { shownService = service.service; showTemplates(); });
  const head = [name, element("span", "soft", `${number(service.lines)} lines, ${number(service.templates)} templates, last ${when(service.last_ts)}`)];
  if (service.silent) head.push(element("span", "rule", "silent"));
  return item(head, minutesText(service.minutes));
}

const TOLD = {
  new_template: (alert) => `says for the first time: ${alert.text}`,
  burst: (alert) => `${alert.count} times in this minute, where ${alert.usual} are usual: ${alert.text}`,
  silence: (alert) => `has said nothing since ${when(alert.ts)}`,
};

function alertItem(alert) {
  const head = [element("span", "rule", alert.kind.replace("_", " ")), element("span", "", alert.service), element("span", "soft", when(alert.ts))];
  return item(head, TOLD[alert.kind] ? TOLD[alert.kind](alert) : JSON.stringify(alert));
}

async function asked(path) {
  const [status, found] = await ask(path);
  if (status !== 200) throw new Error(found ? found.error : "The worker does not answer.");
  return found;
}

async function showTemplates() {
  try {
    const found = await asked(`/logs/templates?service=${encodeURIComponent(shownService)}`);
    byId("templates-section").hidden = false;
    byId("templates-title").textContent = `What ${found.service} says`;
    byId("templates").replaceChildren(...found.templates.map((template) =>
      item([element("span", template.errors ? "rule" : "soft", template.level), element("span", "", `${number(template.lines)} lines`),
        element("span", "soft", minutesText(template.minutes))], template.text)));
  } catch (error) {
    byId("told").textContent = String(error.message);
  }
}

async function poll() {
  try {
    const found = await asked("/logs/services");
    connection.heard();
    keep(byId("services"), found.services, (service) => service.service, serviceItem);
    byId("none").hidden = found.alerts.length > 0;
    keep(byId("alerts"), found.alerts, (alert) => `${alert.service} ${alert.kind} ${alert.ts} ${alert.text ?? ""}`, alertItem);
  } catch (error) {
    console.warn("no services:", error); // the state line says so to the reader
  }
  setTimeout(poll, PERIOD_MS);
}

byId("search").addEventListener("submit", async (submission) => {
  submission.preventDefault();
  try {
    const found = await asked(`/logs?${new URLSearchParams(new FormData(byId("search")))}`);
    byId("told").textContent = `${number(found.lines.length)} lines of ${number(found.scanned)} looked at${found.complete ? "" : "; there may be more"}`;
    byId("lines").replaceChildren(...found.lines.map(lineItem));
  } catch (error) {
    byId("told").textContent = String(error.message);
    byId("lines").replaceChildren();
  }
});
poll();
watch();
