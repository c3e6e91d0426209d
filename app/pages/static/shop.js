// Orders, and keeps the list current. Everything that comes from the server is put in as text, never as markup.

import { ask, byId, element, keep, number, when } from "/static/console/dom.js";
import { connection, watch } from "/static/console/live.js";

const PERIOD_MS = 2000;
const WAIT_S = 10;
const euros = (cents) => `${(cents / 100).toFixed(2)} EUR`;

function orderItem(order) {
  const head = [
    element("span", order.status === "confirmed" ? "" : "rule", order.status),
    element("span", "", `${order.quantity} × ${order.product}`),
    element("span", "soft", `${when(order.ts)}, ${order.account}${order.cents ? `, ${euros(order.cents)}` : ""}`),
  ];
  if (order.status === "requested" || order.status === "placed") {
    const cancel = element("button", "link", "cancel");
    cancel.type = "button";
    cancel.setAttribute("aria-label", `cancel order ${order.order}`);
    cancel.addEventListener("click", () => ask(`/orders/${encodeURIComponent(order.order)}/cancel`, { method: "POST" }));
    head.push(cancel);
  }
  return element("li", "", element("div", "head", ...head), element("div", "", order.told.join(" ")));
}

async function order(event) {
  event.preventDefault();
  byId("outcome").textContent = "…";
  const [status, found] = await ask("/orders", {
    method: "POST",
    headers: { "Content-Type": "application/json", Prefer: `wait=${WAIT_S}` },
    body: JSON.stringify({ account: byId("account").value, product: byId("product").value, quantity: byId("quantity").valueAsNumber }),
  });
  if (status === 0) byId("outcome").textContent = "The worker does not answer.";
  else if (found.error) byId("outcome").textContent = found.error;
  else if (status === 202) byId("outcome").textContent = `Order ${found.order} is under way.`;
  else byId("outcome").textContent = `Order ${found.order} is ${found.status}${found.reason ? `: ${found.reason}` : ""}.`;
}

async function poll() {
  const [status, found] = await ask("/orders");
  if (status === 200) {
    connection.heard();
    byId("counts").replaceChildren(...Object.entries(found.counts).map(([name, count]) => element("div", "", element("strong", "", number(count)), element("span", "", name))));
    byId("none").hidden = found.orders.length > 0;
    keep(byId("orders"), found.orders, (order) => order.order, orderItem);
  }
  setTimeout(poll, PERIOD_MS);
}

byId("order").addEventListener("submit", order);
poll();
watch();
