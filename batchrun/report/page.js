"use strict";
// The table of rows: search, filter, sort, pages. Texts from answers are set only as text.
{
  const PAGE_ROWS = 25;
  const NUMBERS = new Set(["row", "sample", "completion_tokens", "latency_s", "cost_usd", "score"]);
  const HEADS = { custom_id: "id", completion_tokens: "tokens", latency_s: "latency, s", cost_usd: "USD" };
  const byId = (id) => document.getElementById(id);
  const { columns, rows } = JSON.parse(byId("data").textContent);
  const at = Object.fromEntries(columns.map((name, number) => [name, number]));
  const valueOf = (row, name) => (name in at ? row[at[name]] : null);
  const textOf = (value) => (value === null ? "" : String(value));
  const haystacks = new Map(rows.map((row) => [row, row.map(textOf).join("\n").toLowerCase()]));
  const distinct = (name) => [...new Set(rows.map((row) => valueOf(row, name)))].filter((value) => value !== null);

  const element = (name, text = "", className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    made.className = className;
    return made;
  };

  const statusOf = (row) => valueOf(row, "error_kind") ?? valueOf(row, "status");
  const answerOf = (row) =>
    valueOf(row, "error") ?? valueOf(row, "response") ?? valueOf(row, "tool_calls") ?? valueOf(row, "reasoning");
  const shown = ["row", "custom_id", "model", "sample", "status", "answer", "score"]
    .concat(["completion_tokens", "latency_s", "cost_usd"])
    .filter((name) => ["status", "answer"].includes(name) || (name in at && distinct(name).length > 0))
    .filter((name) => !["model", "sample"].includes(name) || distinct(name).length > 1);
  const cellOf = (row, name) =>
    name === "status" ? statusOf(row) : name === "answer" ? answerOf(row) : valueOf(row, name);
  const cellText = (value, name) => {
    if (typeof value !== "number") return textOf(value);
    if (name === "latency_s") return value.toFixed(2);
    if (name === "cost_usd") return value.toFixed(6);
    return NUMBERS.has(name) ? value.toLocaleString("en") : String(value);
  };

  const state = { page: 0, sort: null, descending: false, open: new Set() };

  const matches = () => {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const status = byId("status").value;
    const model = byId("model").value;
    const found = rows.filter(
      (row) =>
        (!status || status === `status ${valueOf(row, "status")}` || status === `kind ${valueOf(row, "error_kind")}`) &&
        (!model || model === valueOf(row, "model")) &&
        words.every((word) => haystacks.get(row).includes(word)),
    );
    if (state.sort === null) return found;
    const sign = state.descending ? -1 : 1;
    const order = (a, b) => (typeof a === "string" || typeof b === "string" ? String(a).localeCompare(b) : a - b);
    return found.sort((one, two) => {
      const [a, b] = [cellOf(one, state.sort), cellOf(two, state.sort)];
      return a === null ? (b === null ? 0 : 1) : b === null ? -1 : sign * order(a, b);
    });
  };

  const detailsOf = (row) => {
    const list = element("dl");
    columns.forEach((name, number) => {
      if (row[number] !== null) list.append(element("dt", name), element("dd", textOf(row[number])));
    });
    const cell = element("td");
    cell.colSpan = shown.length;
    cell.append(list);
    const line = element("tr", "", "more");
    line.append(cell);
    return line;
  };

  const lineOf = (row) => {
    const line = element("tr", "", "row");
    for (const name of shown) {
      const failed = name === "status" && valueOf(row, "status") === "failed";
      const value = cellOf(row, name);
      line.append(element("td", cellText(value, name), failed ? "failed" : NUMBERS.has(name) ? "n" : name === "answer" ? "answer" : ""));
    }
    const toggle = () => {
      if (!state.open.delete(row)) state.open.add(row);
      draw();
    };
    line.tabIndex = 0;
    line.setAttribute("aria-expanded", String(state.open.has(row)));
    line.addEventListener("click", toggle);
    line.addEventListener("keydown", (event) => {
      if (event.key === "Enter") toggle();
    });
    return line;
  };

  const draw = () => {
    const found = matches();
    const pages = Math.max(1, Math.ceil(found.length / PAGE_ROWS));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * PAGE_ROWS;
    const here = found.slice(first, first + PAGE_ROWS);
    const body = document.querySelector("#rows tbody");
    body.replaceChildren(...here.flatMap((row) => (state.open.has(row) ? [lineOf(row), detailsOf(row)] : [lineOf(row)])));
    const last = (first + here.length).toLocaleString("en");
    const total = found.length.toLocaleString("en");
    byId("place").textContent = here.length ? `${(first + 1).toLocaleString("en")} – ${last} of ${total}` : "no matching rows";
    byId("previous").disabled = state.page === 0;
    byId("next").disabled = state.page === pages - 1;
  };

  const turn = (by) => {
    state.page += by;
    draw();
  };
  const restart = () => {
    state.page = 0;
    draw();
  };

  const drawHead = () => {
    const line = element("tr");
    for (const name of shown) {
      const head = element("th", "", NUMBERS.has(name) ? "n" : "");
      head.scope = "col";
      if (state.sort === name) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      const button = element("button", HEADS[name] ?? name);
      button.type = "button";
      button.addEventListener("click", () => {
        state.descending = state.sort === name && !state.descending;
        state.sort = name;
        drawHead();
        restart();
      });
      head.append(button);
      line.append(head);
    }
    document.querySelector("#rows thead").replaceChildren(line);
  };

  const offer = (select, all, options) => {
    for (const [value, text] of [["", all], ...options]) {
      const option = element("option", text);
      option.value = value;
      select.append(option);
    }
    select.hidden = options.length < 2;
    select.addEventListener("change", restart);
  };

  if (byId("rows")) {
    offer(byId("status"), "all rows", [
      ...distinct("status").map((name) => [`status ${name}`, name]),
      ...distinct("error_kind").sort().map((name) => [`kind ${name}`, `failed: ${name}`]),
    ]);
    offer(byId("model"), "all models", distinct("model").map((name) => [name, name]));
    byId("search").addEventListener("input", restart);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("previous").addEventListener("click", () => turn(-1));
    byId("next").addEventListener("click", () => turn(1));
    byId("filters").hidden = byId("pages").hidden = false;
    drawHead();
    draw();
  }
}
