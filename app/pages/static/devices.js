// Keeps devices and alerts current. Everything that comes from the server is put in as text, never as markup.

import { ask, byId, element, keep, plural, when } from "/static/console/dom.js";
import { connection, watch } from "/static/console/live.js";

const PERIOD_MS = 2000;
const values = (metrics) => Object.entries(metrics).map(([name, value]) => `${name} ${value}`).join(", ");

let shown = null;

function item(head, text) {
  return element("li", "", element("div", "head", ...head), element("div", "", text));
}

function deviceItem(device) {
  const name = element("button", "link", device.device);
  name.type = "button";
  name.addEventListener("click", () => { shown = device.device; showDevice(); });
  const head = [name, element("span", "soft", `${when(device.ts)}, ${plural(device.readings, "reading")}, ${device.late} late, score ${device.score.toFixed(2)}`)];
  if (device.missing) head.push(element("span", "rule", "missing"));
  if (device.anomalous) head.push(element("span", "rule", "unusual"));
  return item(head, values(device.values));
}

const TOLD = {
  anomaly: (alert) => `unusual (score ${alert.score.toFixed(2)}): ${values(alert.metrics)}`,
  drift: (alert) => `what is usual has changed: ${values(alert.metrics)}`,
  missing: (alert) => `not heard of since ${when(alert.ts)}`,
};

function alertItem(alert) {
  const head = [element("span", "rule", alert.kind), element("span", "", alert.device), element("span", "soft", when(alert.ts))];
  return item(head, TOLD[alert.kind] ? TOLD[alert.kind](alert) : JSON.stringify(alert));
}

function minuteItem(minute) {
  const metrics = Object.entries(minute.metrics).map(([name, one]) => `${name} ${one.mean.toFixed(1)} (${one.low} to ${one.high})`);
  return item([element("span", "", when(minute.start)), element("span", "soft", `${plural(minute.readings, "reading")}${minute.final ? "" : ", not final"}`)], metrics.join(", "));
}

async function asked(path) {
  const [status, found] = await ask(path);
  if (status !== 200) throw new Error(found ? found.error : "The worker does not answer.");
  return found;
}

async function showDevice() {
  try {
    const found = await asked(`/devices/device?id=${encodeURIComponent(shown)}`);
    byId("device-section").hidden = false;
    byId("device-title").textContent = `Minutes of ${found.device}`;
    byId("minutes").replaceChildren(...found.minutes.reverse().map(minuteItem));
  } catch (error) {
    byId("told").textContent = String(error.message);
  }
}

async function poll() {
  try {
    const found = await asked("/devices");
    connection.heard();
    byId("told").textContent = `${found.known} devices, the most unusual first`;
    keep(byId("devices"), found.devices, (device) => device.device, deviceItem);
    byId("none").hidden = found.alerts.length > 0;
    keep(byId("alerts"), found.alerts, (alert) => `${alert.device} ${alert.kind} ${alert.ts}`, alertItem);
  } catch (error) {
    console.warn("no devices:", error); // the state line says so to the reader
  }
  setTimeout(poll, PERIOD_MS);
}

poll();
watch();
