// Small charts in SVG, of our own: a sparkline, bars, and lines with axes and a tooltip. Their colours are the style sheet's.

import { element, svg } from "./dom.js";

const WIDTH = 720;
const HEIGHT = 220;
const MARGIN = { left: 56, right: 12, top: 10, bottom: 24 };

/** Draws values into an <svg class="spark">, oldest first. label: what it says to those who do not see it. */
export function sparkline(drawing, values, label) {
  const [width, height] = [112, 26];
  const most = Math.max(...values, 1e-9);
  const step = width / Math.max(values.length - 1, 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", label);
  drawing.replaceChildren(...(points.length > 1 ? [svg("path", { d: `M${points.join("L")}` })] : []));
  return drawing;
}

/** Returns round numbers from 0, or from the least, to the most of some values. */
export function ticks(least, most, count = 4) {
  const low = Math.min(0, least);
  const raw = (most - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= raw);
  const found = [];
  for (let value = Math.floor(low / step) * step; value <= most + step * 0.001; value += step) found.push(value);
  if (found.at(-1) < most) found.push(found.at(-1) + step);
  return found;
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/**
 * Returns a <figure> with bars. points: [{label, value, title?}]. caption: what is shown.
 * options.format: writes a value.
 */
export function bars(points, caption, options = {}) {
  const format = options.format ?? short.format;
  const { drawing, y, zero, inner } = plot(points.map((one) => one.value), caption, format);
  const step = inner / Math.max(points.length, 1);
  points.forEach((one, index) => {
    const top = Math.min(y(one.value), zero);
    const shape = { class: "bar", x: MARGIN.left + index * step + step * 0.1, y: top, width: step * 0.8, height: Math.max(Math.abs(y(one.value) - zero), 0.5) };
    drawing.append(svg("rect", shape, svg("title", {}, one.title ?? `${one.label}: ${format(one.value)}`)));
  });
  labels(drawing, points.map((one) => one.label), (index) => MARGIN.left + (index + 0.5) * step);
  return figure(caption, drawing, points, (index) => MARGIN.left + (index + 0.5) * step, (one) => one.title ?? `${one.label}: ${format(one.value)}`);
}

/**
 * Returns a <figure> with lines over time. series: [{name, points: [[seconds, value]]}]. caption: what is shown.
 * options.format: writes a value; options.when: writes a time.
 */
export function lines(series, caption, options = {}) {
  const format = options.format ?? short.format;
  const when = options.when ?? ((seconds) => new Date(seconds * 1000).toISOString().slice(11, 19));
  const all = series.flatMap((one) => one.points);
  const { drawing, y, inner } = plot(all.map((point) => point[1]), caption, format);
  const times = all.map((point) => point[0]);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const x = (seconds) => MARGIN.left + ((seconds - first) / (last - first || 1)) * inner;
  series.forEach((one, index) => {
    const path = one.points.map(([seconds, value]) => `${x(seconds).toFixed(1)},${y(value).toFixed(1)}`).join("L");
    drawing.append(svg("path", { class: `line series-${index + 1}`, d: `M${path}` }));
  });
  if (all.length) labels(drawing, [when(first), when((first + last) / 2), when(last)], (index) => MARGIN.left + (index * inner) / 2);
  const rows = (series[0]?.points ?? []).map(([seconds], at) => ({ seconds, values: series.map((one) => [one.name, one.points[at]?.[1]]) }));
  const text = (row) => `${when(row.seconds)} · ${row.values.filter((one) => one[1] !== undefined).map(([name, value]) => `${name ? `${name} ` : ""}${format(value)}`).join(" · ")}`;
  return figure(caption, drawing, rows, (index) => x(rows[index].seconds), text);
}

function plot(values, caption, format) {
  const marks = ticks(Math.min(0, ...values), Math.max(0, ...values));
  const inner = WIDTH - MARGIN.left - MARGIN.right;
  const [low, high] = [marks[0], marks.at(-1)];
  const y = (value) => HEIGHT - MARGIN.bottom - ((value - low) / (high - low || 1)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": caption });
  for (const mark of marks) {
    drawing.append(svg("line", { class: "grid", x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(mark), y2: y(mark) }));
    drawing.append(svg("text", { x: MARGIN.left - 6, y: y(mark) + 4, "text-anchor": "end" }, format(mark)));
  }
  return { drawing, y, zero: y(0), inner };
}

/** Writes some of the labels below, so that they do not run into each other. */
function labels(drawing, texts, x) {
  const widest = Math.max(...texts.map((text) => text.length), 1) * 7 + 12;
  const every = Math.max(1, Math.ceil((texts.length * widest) / (WIDTH - MARGIN.left)));
  texts.forEach((text, index) => {
    if (index % every) return;
    const at = Math.min(Math.max(x(index), MARGIN.left + widest / 3), WIDTH - widest / 2);
    drawing.append(svg("text", { x: at, y: HEIGHT - 6, "text-anchor": "middle" }, text));
  });
}

/** Puts a drawing under its caption, with a tooltip that follows the pointer, or the arrow keys. */
function figure(caption, drawing, rows, x, text) {
  const tip = element("div", "tip");
  tip.hidden = true;
  const made = element("figure", "", element("figcaption", "", caption), drawing, tip);
  const cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
  drawing.append(cursor);
  if (!rows.length) return made;
  drawing.setAttribute("tabindex", "0");
  let at = rows.length - 1;
  const show = (index) => {
    at = Math.min(Math.max(index, 0), rows.length - 1);
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    cursor.setAttribute("visibility", "visible");
    tip.textContent = text(rows[at]);
    tip.hidden = false;
    const box = drawing.getBoundingClientRect();
    const left = (x(at) / WIDTH) * box.width;
    tip.style.left = `${Math.max(0, Math.min(left + 8, box.width - tip.offsetWidth))}px`;
    tip.style.top = `${drawing.offsetTop + 4}px`;
  };
  const hide = () => {
    tip.hidden = true;
    cursor.setAttribute("visibility", "hidden");
  };
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * WIDTH;
    let best = 0;
    rows.forEach((_, index) => {
      if (Math.abs(x(index) - wanted) < Math.abs(x(best) - wanted)) best = index;
    });
    show(best);
  });
  drawing.addEventListener("pointerleave", hide);
  drawing.addEventListener("focus", () => show(at));
  drawing.addEventListener("blur", hide);
  drawing.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    show(at + move);
  });
  return made;
}
