// How values of tables are shown: numbers, times, what is nested, and what went wrong. All of it as text, never as markup.

import { ask, element } from "./dom.js";

const COMPACT = 80;
const TIMES = /^(at|ts|time|timestamp|when|since|until)$|_(at|ts|ms|time)$/i;

/** A time in milliseconds since the epoch, in UTC, to the second, or finer where it is finer. */
export function utc(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return `${ms} ms`;
  return date.toISOString().replace("T", " ").replace(/(\.000)?Z$/, "");
}

/** The milliseconds of a time that somebody wrote, as addresses take times: seconds since the epoch, or ISO 8601; or NaN. */
export const msOf = (written) => (/^-?\d+(\.\d+)?$/.test(written) ? Number(written) * 1000 : isoMs(written));
const isoMs = (written) => Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(written) ? written : `${written}Z`);

/** The milliseconds that a value stands for: a time by its type, or a number that is called like one and may be one; else null. */
export function timeIn(name, type, value) {
  if (type === "time" && typeof value === "string") {
    const ms = isoMs(value);
    return Number.isNaN(ms) ? null : ms;
  }
  if (typeof value !== "number" || !TIMES.test(name)) return null;
  if (value > 1e9 && value < 4.2e9) return value * 1000;
  return value > 1e12 && value < 4.2e12 ? value : null;
}

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 20 });

export function text(value) {
  if (value === null || value === undefined) return "–";
  // What a browser cannot hold to the last digit is not shown as if it did.
  if (typeof value === "number") return Number.isSafeInteger(value) || !Number.isInteger(value) ? numbers.format(value) : `≈ ${value}`;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What a value looks like within a line: whole on demand where it is nested or long. */
export function shown(name, type, value) {
  const ms = timeIn(name, type, value);
  if (ms !== null) {
    const made = element("time", "time", utc(ms));
    made.title = String(value);
    return made;
  }
  const told = text(value);
  const nested = value !== null && typeof value === "object";
  if (!nested && told.length <= 2 * COMPACT) return element("span", value === null || value === undefined ? "soft" : "", told);
  const whole = element("details", "nested", element("summary", "mono", told.length > COMPACT ? `${[...told].slice(0, COMPACT).join("")}…` : told));
  whole.addEventListener("toggle", () => {
    if (whole.open && whole.children.length === 1) whole.append(element("pre", "", nested ? JSON.stringify(value, null, 2) : told));
  });
  return whole;
}

export function cell(name, type, value) {
  const right = typeof value === "number" && timeIn(name, type, value) === null;
  return element("td", right ? "right" : "", shown(name, type, value));
}

export const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
/** name -> value of what a value consists of: its fields, or itself. */
export const fieldsOf = (value) => (isRecord(value) ? Object.entries(value) : [["value", value]]);

export function header(name, right = false) {
  const made = element("th", right ? "right" : "", name);
  made.scope = "col";
  return made;
}

/** A number of milliseconds as an address takes times. */
export const seconds = (ms) => String(ms / 1000);

const RETRY_MS = 3000;

/**
 * Asks, and returns the answer; null where there was none, and says why in a box, offering to try again.
 * options.about: what the question is about, as what is said of one stays until that one is answered; its path when left
 * out.
 */
export async function asked(path, box, again, { about = path.split("?")[0], ...options } = {}) {
  const [status, answer] = await ask(path, options);
  const old = [...box.children].find((one) => one.dataset.about === about);
  clearTimeout(old?.retry);
  if (status === 200) {
    old?.remove();
    return answer;
  }
  const error = status === 0 ? "The server does not answer." : answer.error;
  const hint = status === 401 ? "Sign in again." : status === 0 ? "" : answer.hint;
  const lines = [element("strong", "bad", error)];
  if (hint) lines.push(element("p", "soft", hint));
  if (answer?.missing?.length) {
    lines.push(element("ul", "plain", ...answer.missing.map((one) => element("li", "", `Partition ${one.partition}: ${one.reason}.`))));
  }
  const made = element("div", "trouble", ...lines);
  made.dataset.about = about;
  if (status === 503 || status === 0) {
    const button = element("button", "", "Try again");
    button.type = "button";
    button.addEventListener("click", again);
    made.append(element("p", "soft", "This passes when the workers have settled: it is asked for again by itself. ", button));
    const later = () => {
      if (document.hidden) made.retry = setTimeout(later, RETRY_MS);
      else again();
    };
    made.retry = setTimeout(later, RETRY_MS);
  }
  if (old) old.replaceWith(made);
  else box.append(made);
  return null;
}
