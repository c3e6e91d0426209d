// Keeps a page current, and tells in the frame's #state whether it is.

import { byId, duration } from "./dom.js";

const STALE_MS = 5000;

/** The line that says whether the page is current: call heard() whenever the server has answered. */
export const connection = {
  heardAt: null,
  heard() {
    this.heardAt = Date.now();
    this.tell();
  },
  tell() {
    const silent = this.heardAt === null ? Infinity : Date.now() - this.heardAt;
    const stale = silent > STALE_MS;
    document.body.classList.toggle("stale", stale && this.heardAt !== null);
    const since = this.heardAt === null ? "" : new Date(this.heardAt).toLocaleTimeString("en-GB");
    const text = !stale ? "live" : since ? `stale since ${since}, ${duration(silent / 1000)} ago` : "connecting";
    if (byId("state").textContent !== text) byId("state").textContent = text;
  },
};

/** Starts the line for a page that asks by itself. */
export function watch() {
  connection.tell();
  setInterval(() => connection.tell(), 1000);
}

/** Calls draw with what the server sends, again and again; the browser connects anew by itself, and we where it gave up. */
export function follow(path, draw) {
  watch();
  let source = null;
  const open = () => {
    source = new EventSource(path);
    source.onmessage = (event) => {
      draw(JSON.parse(event.data));
      connection.heard();
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    };
  };
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && open());
}
