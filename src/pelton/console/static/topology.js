// Puts what flows now on the drawing, and into the table of agents.

import { bytes, duration, number } from "./dom.js";
import { follow } from "./live.js";

const BAR_WIDTH = 164;
const nodes = new Map([...document.querySelectorAll("[data-node]")].map((node) => [node.dataset.node, node]));
const edges = [...document.querySelectorAll("[data-source]")];
const rows = new Map([...document.querySelectorAll("[data-agent]")].map((row) => [row.dataset.agent, row]));

const rate = (value) => (value >= 10 || value === 0 ? number(value) : value.toFixed(1));
const widths = (value) => (value < 0.05 ? 0 : Math.min(4, 1 + Math.floor(Math.log10(Math.max(value, 1)))));

function put(node, selector, text) {
  const place = node?.querySelector(selector);
  if (place && place.textContent !== text) place.textContent = text;
}

function drawTopic(name, now) {
  const node = nodes.get(`topic:${name}`) ?? nodes.get(`changelog:${name}`);
  const flow = now.read ?? now.written;
  const parts = flow === null || flow === undefined ? [] : [`${rate(flow)}/s`];
  if (now.lag) parts.push(`${number(now.lag)} behind, ${duration(now.lag_s)}`);
  put(node, ".now", parts.join(" · "));
  node?.classList.toggle("warn", now.status === "WARN");
  node?.classList.toggle("bad", Boolean(now.status) && now.status !== "OK" && now.status !== "WARN");
}

function drawAgent(name, now) {
  const full = now.queued_bytes_max ? Math.min(1, now.queued_bytes / now.queued_bytes_max) : 0;
  const node = nodes.get(`agent:${name}`);
  put(node, ".now", now.paused ? "paused" : `${rate(now.rate)}/s${now.queued_bytes ? ` · ${bytes(now.queued_bytes)} wait` : ""}`);
  node?.querySelector(".pressure")?.setAttribute("width", (full * BAR_WIDTH).toFixed(1));
  node?.classList.toggle("warn", now.paused || full > 0.8);
  const row = rows.get(name);
  put(row, ".rate", rate(now.rate));
  put(row, ".waits", now.paused ? "paused" : now.queued_bytes ? `${bytes(now.queued_bytes)}, ${Math.round(full * 100)} % of its share` : "nothing");
  put(row, ".failures", number(now.failures));
  put(row, ".dead", number(now.dead_lettered));
}

function drawEdges({ agents, topics }) {
  for (const edge of edges) {
    const [kind, name] = split(edge.dataset.source);
    const [, target] = split(edge.dataset.target);
    const flow = kind === "agent" ? topics[target]?.written ?? agents[name]?.rate : topics[name]?.read;
    const width = widths(flow ?? 0);
    if (edge.dataset.flow !== String(width)) edge.dataset.flow = width;
  }
}

const split = (id) => [id.slice(0, id.indexOf(":")), id.slice(id.indexOf(":") + 1)];

follow("/api/console/live/topology", (now) => {
  Object.entries(now.topics).forEach(([name, topic]) => drawTopic(name, topic));
  Object.entries(now.agents).forEach(([name, agent]) => drawAgent(name, agent));
  drawEdges(now);
});
