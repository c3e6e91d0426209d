// Statements over the tables. The statement is in the address, so that it can be shared.

import { byId, element, link, plural, untouched } from "./dom.js";
import { asked, cell, header } from "./values.js";

const LIMIT_MS = 25000;

function asks() {
  const wanted = new URLSearchParams({ query: byId("query").value });
  if (byId("at").value.trim()) wanted.set("at", byId("at").value.trim());
  return wanted;
}

let runs = 0; // so far: an answer that comes behind that of a later statement is passed over

async function run() {
  const mine = (runs += 1);
  const wanted = asks();
  byId("said").textContent = "Runs…";
  const answer = await asked(`/api/sql?${wanted}`, byId("trouble"), run, { signal: AbortSignal.timeout(LIMIT_MS) });
  if (mine !== runs) return;
  byId("exports").hidden = !answer;
  const [head, body] = ["thead", "tbody"].map((part) => document.querySelector(`#answer ${part}`));
  if (!answer) {
    byId("said").textContent = "";
    head.replaceChildren();
    body.replaceChildren();
    return;
  }
  for (const format of ["csv", "ndjson", "parquet"]) byId(format).href = `/api/sql?${new URLSearchParams([...wanted, ["format", format]])}`;
  const read = Object.entries(answer.read).map(([name, rows]) => `${plural(rows, "row")} of ${name}`).join(" and ");
  byId("said").textContent = `${answer.more ? `The first ${plural(answer.rows.length, "row")}` : plural(answer.rows.length, "row")}, of ${read}, in ${answer.seconds} s.`;
  const right = ({ name, type }, at) => (type === "integer" || type === "number") && (answer.rows.length === 0 || cell(name, type, answer.rows[0][at]).className === "right");
  head.replaceChildren(element("tr", "", ...answer.columns.map((one, at) => header(one.name, right(one, at)))));
  body.replaceChildren(...answer.rows.map((row) => element("tr", "", ...row.map((value, at) => cell(answer.columns[at].name, answer.columns[at].type, value)))));
}

function submit() {
  history.pushState(null, "", `?${asks()}`);
  run();
}

/** Puts what the address says into the fields that may be written to, and runs it where all may. */
function fromAddress(may = () => true) {
  const given = new URLSearchParams(location.search);
  const fields = [byId("query"), byId("at")];
  const all = fields.every((field) => may(field) || field.value === given.get(field.id));
  for (const field of fields.filter(may)) field.value = given.get(field.id) ?? field.value;
  if (given.get("query") && all) run();
}

async function tables() {
  const answer = await asked("/api/tables", byId("trouble"), tables);
  byId("tables").replaceChildren(...(answer?.tables ?? []).map((table) => {
    const columns = [["key", table.key_type], ["partition", "integer"], ...(table.window_ms ? [["window_start", "text"], ["window_end", "text"]] : []),
      ...(table.columns ?? [{ name: "value", type: table.value_type }]).map((one) => [one.name, one.type])];
    const name = /^[A-Za-z_]\w*$/.test(table.name) ? table.name : `"${table.name}"`;
    const use = element("button", "link", table.name);
    use.type = "button";
    use.addEventListener("click", () => {
      byId("query").value = `SELECT * FROM ${name} LIMIT 100`;
      byId("query").focus();
    });
    return element("div", "known", element("h3", "", use, " ", link(`/tables/${encodeURIComponent(table.name)}`, "rows", "soft")),
      element("p", "soft", columns.map(([column, type]) => `${column} ${type}`).join(", ")));
  }));
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("query").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  submit();
});
addEventListener("popstate", () => fromAddress());
fromAddress(untouched); // somebody may have begun to type before this script had come
await tables();
