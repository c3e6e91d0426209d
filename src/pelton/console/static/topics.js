// The list of topics: filtered by name, and by whether the engine keeps them.

import { byId } from "./dom.js";

const rows = [...document.querySelectorAll("#topics tbody tr")];

function draw() {
  const wanted = byId("name").value.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    row.hidden = !row.dataset.name.toLowerCase().includes(wanted) || ("closed" in row.dataset && !byId("engines").checked);
    shown += row.hidden ? 0 : 1;
  }
  byId("none").hidden = shown > 0;
}

byId("filter").addEventListener("input", draw);
byId("filter").addEventListener("submit", (event) => event.preventDefault());
draw();
