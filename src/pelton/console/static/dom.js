// What the pages' scripts share. Whatever comes from the server is put in as text, never as markup.

export const byId = (id) => document.getElementById(id);
export const number = (value) => Math.round(value).toLocaleString("en");
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
/** A time in seconds since the epoch, in UTC, to the second. */
export function when(ts) {
  const time = new Date(ts * 1000);
  if (Number.isNaN(time.getTime())) return `${ts} s`; // outside of the calendar, as a record's may be
  return time.toISOString().slice(0, 19).replace("T", " ");
}


/** A duration in words that fit a column: 0.4 s, 12 s, 3 min, 5 h. */
export function duration(seconds) {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** A size in binary units. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function link(path, text, className = "") {
  const made = element("a", className, text);
  made.href = path;
  return made;
}

export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** What a change must bring beside the cookie; nothing where no session is open. */
export function csrfHeaders() {
  const meta = document.querySelector('meta[name="csrf-token"]');
  return meta ? { "X-CSRF-Token": meta.content } : {};
}

const ANSWER_MS = 12000;

/** Returns [status, JSON], or [0, null] when the server does not answer. */
export async function ask(path, options = {}) {
  const headers = { ...csrfHeaders(), ...options.headers };
  try {
    const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS), ...options, headers });
    return [answer.status, await answer.json()];
  } catch (error) {
    console.warn(`no answer to ${path}:`, error); // the state line says so to the reader
    return [0, null];
  }
}

/**
 * Brings a parent's children in line with items: what has not changed is left alone, so that focus and selection stay.
 * key: tells items apart. make: returns the element of an item.
 */
export function keep(parent, items, key, make) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const name = String(key(item));
    const told = JSON.stringify(item);
    const old = known.get(name);
    if (old && old.dataset.told === told) return old;
    const made = make(item);
    made.dataset.key = name;
    made.dataset.told = told;
    return made;
  });
  const focused = document.activeElement;
  const lost = parent.contains(focused) ? named(focused) : null;
  wanted.forEach((one, index) => {
    if (parent.children[index] !== one) parent.insertBefore(one, parent.children[index] ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
  if (lost !== null && !parent.contains(focused)) [...parent.querySelectorAll("a, button, summary")].find((one) => named(one) === lost)?.focus();
}

/** What a link or a button goes by, so that the one that takes its place is known. */
const named = (one) => `${one.localName} ${one.getAttribute("href") ?? one.getAttribute("aria-label") ?? one.textContent}`;

/** Whether nobody has changed a field since the page came. */
export function untouched(field) {
  if (field.options) return [...field.options].every((one) => one.selected === one.defaultSelected);
  return field.value === field.defaultValue && field !== document.activeElement;
}
