// A slider over the past, and a field for a time beside it: on the page of a table, and on that of a key.

import { byId } from "./dom.js";
import { msOf, utc } from "./values.js";

const STEPS = 1000;
const PAUSE_MS = 120; // between the last step of a hand on the slider and the question

/** A time as addresses and fields have it. */
export const written = (ms) => (ms === null ? "" : utc(ms).replace(" ", "T"));

/**
 * The slider #slider with what it is at, #moment, and the field #at within the form #travel. Its right end is now.
 * travel: called with the time that somebody wants, in milliseconds; null for now; or with what was written and is none.
 */
export class Past {
  constructor(travel) {
    this.first = this.last = 0;
    this.shown = null;
    this.waiting = null; // while a hand is on the slider, it stays where that puts it
    byId("slider").max = STEPS;
    byId("slider").addEventListener("input", () => {
      const ms = this.timeAt(Number(byId("slider").value));
      this.tell(ms);
      byId("at").value = written(ms);
      this.wait();
      this.waiting = setTimeout(() => {
        this.wait();
        travel(ms);
      }, PAUSE_MS);
    });
    byId("travel").addEventListener("submit", (event) => {
      event.preventDefault();
      this.wait();
      const wanted = byId("at").value.trim();
      const ms = msOf(wanted);
      travel(wanted === "" ? null : Number.isNaN(ms) ? wanted : ms);
    });
  }

  /** Says from when to when the slider goes, in milliseconds. */
  reach(first, last) {
    [this.first, this.last] = [first, Math.max(first, last)];
    byId("slider").disabled = false;
    this.place();
  }

  /** Shows the time that is looked at; null for now. The field stays as it is: somebody may be writing there. */
  show(ms) {
    this.shown = ms;
    if (this.waiting !== null) return;
    this.place();
    this.tell(ms);
  }

  wait() {
    clearTimeout(this.waiting);
    this.waiting = null;
  }

  timeAt(step) {
    return step >= STEPS ? null : Math.round(this.first + (step / STEPS) * (this.last - this.first));
  }

  place() {
    if (this.waiting !== null) return;
    const share = this.shown === null ? 1 : this.last === this.first ? 0 : (this.shown - this.first) / (this.last - this.first);
    // A time at the very end is none of now: more may have come since.
    byId("slider").value = this.shown === null ? STEPS : Math.min(STEPS - 1, Math.round(share * STEPS));
  }

  tell(ms) {
    const told = ms === null ? "now" : utc(ms);
    byId("moment").textContent = told;
    byId("slider").setAttribute("aria-valuetext", told);
  }
}
