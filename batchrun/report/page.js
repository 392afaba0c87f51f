"use strict";
// The table of rows: search, filter, order, pages. Texts from answers are set only as text.
{
  const PAGE_ROWS = matchMedia("(max-width: 40rem)").matches ? 10 : 25;
  const MOST_COLUMNS = 40; // of answers side by side
  const NUMBERS = new Set(["row", "sample", "completion_tokens", "latency_s", "cost_usd"]);
  const ANSWER = "(answer)"; // not a column: the input may have one named answer
  const HEADS = { [ANSWER]: "answer", custom_id: "id", completion_tokens: "tokens", latency_s: "latency, s", cost_usd: "USD" };
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const { promptColumns, answerColumns, typed, evaluated, compared } = data;
  const places = (names) => Object.fromEntries(names.map((name, number) => [name, number]));
  const [ofPrompt, ofAnswer] = [places(promptColumns), places(answerColumns)];
  const textOf = (value) => (value === null ? "" : String(value));

  const prompts = data.prompts.map(([cells, answers, difference]) => {
    const prompt = { cells, difference, answers: [], haystack: [cells, ...answers].flat().map(textOf).join("\n").toLowerCase() };
    prompt.answers = answers.map((own) => ({ own, prompt }));
    return prompt;
  });
  const answers = prompts.flatMap((prompt) => prompt.answers);
  const isWide = prompts.some((prompt) => prompt.answers.length > 1);
  const inPrompt = (prompt, name) => (name in ofPrompt ? prompt.cells[ofPrompt[name]] : null);
  const inAnswer = (answer, name) => (name in ofAnswer ? answer.own[ofAnswer[name]] : inPrompt(answer.prompt, name));
  const distinct = (name) => [...new Set(answers.map((answer) => inAnswer(answer, name)))].filter((value) => value !== null);
  const hasFailed = (answer) => inAnswer(answer, "status") === "failed";
  const isKnown = (name) => name in ofPrompt || name in ofAnswer;
  const shortModel = (model) => {
    const short = (name) => textOf(name).split("/").pop();
    return data.models.filter((each) => short(each) === short(model)).length > 1 ? textOf(model) : short(model);
  };

  const element = (name, text = "", className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    made.className = className;
    return made;
  };

  const statusOf = (answer) => inAnswer(answer, "error_kind") ?? inAnswer(answer, "status");
  const answerOf = (answer) =>
    ["error", "response", "refusal", "tool_calls", "reasoning"].map((name) => inAnswer(answer, name)).find((text) => text !== null && text !== "") ?? null;
  // A list of plain values without brackets and quotes.
  const listText = (value) => {
    if (typeof value !== "string" || !value.startsWith("[")) return textOf(value);
    try {
      const list = JSON.parse(value);
      return list.some((each) => typeof each === "object") ? value : list.join(", ");
    } catch {
      return value; // cut, or only similar to a list
    }
  };
  const cellText = (value, name) => {
    if (typeof value !== "number") return typed.includes(name) ? listText(value) : textOf(value);
    if (name === "latency_s") return value.toFixed(2);
    if (name === "cost_usd") return value.toFixed(6);
    if (evaluated.includes(name)) return String(Number(value.toPrecision(4)));
    if (typed.includes(name) && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
    return NUMBERS.has(name) ? value.toLocaleString("en") : String(value);
  };

  // The columns of the input come first, then those of the answer.
  const isStated = (name) => isKnown(name) && distinct(name).length > 0;
  const ids = ["row", "custom_id"].filter(isStated).filter((name) => name !== "custom_id" || answers.some((each) => textOf(inAnswer(each, name)) !== textOf(inAnswer(each, "row"))));
  const asked = [...data.texts, ...(data.target === null ? [] : [data.target])].filter(isStated);
  const shownTyped = typed.filter((name) => name in ofAnswer).slice(0, 8);
  const answerHeads = shownTyped.length ? shownTyped : [ANSWER];
  const flat = [...ids, ...asked]
    .concat(["model", "sample"].filter((name) => isStated(name) && distinct(name).length > 1))
    .concat(answers.some(hasFailed) ? ["status"] : [], answerHeads)
    .concat([...evaluated, "completion_tokens", "latency_s", "cost_usd"].filter(isStated));
  const numeric = new Set([...NUMBERS, ...typed, ...evaluated].filter((name) => NUMBERS.has(name) || answers.some((each) => typeof inAnswer(each, name) === "number")));

  const lengths = new Map();
  const isLong = (name) => {
    if (!lengths.has(name)) lengths.set(name, Math.max(...answers.map((answer) => textOf(cellOf(answer, name)).length)));
    return lengths.get(name) > 30;
  };
  const looksOf = (name) => (isLong(name) ? "long" : lengths.get(name) > 20 ? "" : "short");

  // Side by side: one column for each model and sample.
  const keyOf = (answer) => `${inAnswer(answer, "sample")} ${inAnswer(answer, "model")}`;
  const order = (answer) => [data.models.indexOf(inAnswer(answer, "model")), inAnswer(answer, "sample")];
  const columns = [...new Map(answers.map((answer) => [keyOf(answer), answer])).values()]
    .sort((a, b) => order(a)[0] - order(b)[0] || order(a)[1] - order(b)[1])
    .slice(0, MOST_COLUMNS);

  const state = { page: 0, sort: null, descending: false, open: new Set() };

  const usual = (values) => {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    return [...counts].reduce((best, each) => (each[1] > best[1] ? each : best), [null, 0])[0];
  };

  const cellOf = (answer, name) =>
    name === "status" ? statusOf(answer) : name === ANSWER ? answerOf(answer) : inAnswer(answer, name);

  const found = () => {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [status, model] = [byId("status").value, byId("model").value];
    const fits = (answer) =>
      (!status || status === `status ${inAnswer(answer, "status")}` || status === `kind ${inAnswer(answer, "error_kind")}`) &&
      (!model || model === inAnswer(answer, "model"));
    return prompts.filter((prompt) => prompt.answers.some(fits) && words.every((word) => prompt.haystack.includes(word)));
  };

  const compareCells = (one, two, name) => {
    const [a, b] = [cellOf(one, name), cellOf(two, name)];
    if (a === null || b === null) return a === null ? (b === null ? 0 : 1) : -1;
    return (state.descending ? -1 : 1) * (typeof a === "string" || typeof b === "string" ? String(a).localeCompare(b) : a - b);
  };
  const meanScore = (prompt) => {
    const scores = prompt.answers.map((answer) => inAnswer(answer, "score")).filter((score) => score !== null);
    return scores.length ? scores.reduce((sum, score) => sum + score, 0) / scores.length : Infinity;
  };
  const matches = () => {
    const all = found();
    if (state.sort !== null) all.sort((a, b) => compareCells(a.answers[0], b.answers[0], state.sort));
    if (byId("order").value === "differences") all.sort((a, b) => b.difference - a.difference);
    if (byId("order").value === "scores") all.sort((a, b) => (meanScore(a) < meanScore(b) ? -1 : meanScore(a) > meanScore(b) ? 1 : 0));
    return all;
  };

  const listOf = (names, cells) => {
    const list = element("dl");
    names.forEach((name, number) => {
      if (cells[number] !== null) list.append(element("dt", name), element("dd", textOf(cells[number])));
    });
    return list;
  };
  const detailsOf = (prompt, width) => {
    const cell = element("td");
    cell.colSpan = width;
    cell.append(listOf(promptColumns, prompt.cells));
    for (const answer of prompt.answers) {
      if (isWide) cell.append(element("h3", `${inAnswer(answer, "model")}, sample ${inAnswer(answer, "sample")}`));
      cell.append(listOf(answerColumns, answer.own));
    }
    const line = element("tr", "", "more");
    line.append(cell);
    return line;
  };

  // A cell of a row; on a phone its name stands before it.
  const cellNamed = (name, looks, text = null) => {
    const cell = element("td", "", looks);
    cell.dataset.name = HEADS[name] ?? name;
    if (text !== null) cell.append(element("span", text, "clip"));
    if (text === "") cell.classList.add("empty");
    return cell;
  };
  const lineOf = (prompt, cells) => {
    const line = element("tr", "", "row");
    line.append(...cells);
    const toggle = () => {
      if (!state.open.delete(prompt)) state.open.add(prompt);
      draw();
    };
    line.tabIndex = 0;
    line.setAttribute("aria-expanded", String(state.open.has(prompt)));
    line.addEventListener("click", toggle);
    line.addEventListener("keydown", (event) => {
      if (event.key === "Enter") toggle();
    });
    return line;
  };

  const inputCells = (prompt, names) =>
    names.map((name) => {
      const looks = NUMBERS.has(name) ? "n" : looksOf(name);
      return cellNamed(name, looks, cellText(inPrompt(prompt, name), name));
    });

  const flatCells = (prompt) => {
    const [answer] = prompt.answers;
    const cells = inputCells(prompt, [...ids, ...asked]);
    for (const name of flat.slice(cells.length)) {
      if (hasFailed(answer) && answerHeads.includes(name)) {
        if (name !== answerHeads[0]) continue;
        const cell = cellNamed("error", "answer failed", textOf(answerOf(answer)));
        cell.colSpan = answerHeads.length;
        cells.push(cell);
        continue;
      }
      const isFailed = name === "status" && hasFailed(answer);
      const looks = isFailed ? "failed" : numeric.has(name) ? "n" : isLong(name) && name === ANSWER ? "answer" : looksOf(name);
      cells.push(cellNamed(name, looks, cellText(cellOf(answer, name), name)));
    }
    return cells;
  };

  const isRightOrWrong = distinct("score").every((score) => score === 0 || score === 1);
  // What one answer says. What differs from most answers to the prompt is marked.
  const saying = (answer, usuals) => {
    const box = element("div");
    if (hasFailed(answer)) {
      box.append(element("span", statusOf(answer), "failed"));
      return box;
    }
    const score = inAnswer(answer, "score");
    if (score !== null) {
      const right = !isRightOrWrong ? cellText(score, "score") : score === 1 ? "✓" : "✗";
      const differs = "score" in usuals && usuals.score !== score;
      box.append(element("span", right, `score ${!isRightOrWrong ? "" : score === 1 ? "good" : "failed"} ${differs ? "differs" : ""}`));
    }
    const parts = shownTyped.length ? shownTyped.map((each) => [each, inAnswer(answer, each)]) : [["response", answerOf(answer)]];
    for (const [name, value] of parts) {
      const differs = name in usuals && usuals[name] !== inAnswer(answer, name);  // not a refusal's text
      const part = element("span", cellText(value, name) || "–", `clip part${differs ? " differs" : ""}`);
      if (shownTyped.length) part.title = name;
      box.append(part);
    }
    return box;
  };
  const sideCell = (answer, usuals, name) => {
    const cell = cellNamed(name, answerHeads.some(isLong) ? "side long" : "side");
    if (answer !== undefined) cell.append(saying(answer, usuals));
    return cell;
  };
  const sideCells = (prompt) => {
    const completed = prompt.answers.filter((answer) => !hasFailed(answer));
    const usuals = Object.fromEntries(compared.map((name) => [name, usual(completed.map((answer) => inAnswer(answer, name)))]));
    const its = new Map(prompt.answers.map((answer) => [keyOf(answer), answer]));
    return [
      ...inputCells(prompt, [...ids, ...asked]),
      ...columns.map((column) => sideCell(its.get(keyOf(column)), usuals, columnName(column))),
    ];
  };
  const hasSamples = columns.some((column) => inAnswer(column, "sample") > 0);
  const columnName = (column) =>
    `${shortModel(inAnswer(column, "model"))}${hasSamples ? ` #${inAnswer(column, "sample")}` : ""}`;

  const draw = () => {
    const all = matches();
    const pages = Math.max(1, Math.ceil(all.length / PAGE_ROWS));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * PAGE_ROWS;
    const here = all.slice(first, first + PAGE_ROWS);
    const body = document.querySelector("#rows tbody");
    body.replaceChildren(
      ...here.flatMap((prompt) => {
        const cells = isWide ? sideCells(prompt) : flatCells(prompt);
        return state.open.has(prompt) ? [lineOf(prompt, cells), detailsOf(prompt, cells.length)] : [lineOf(prompt, cells)];
      }),
    );
    const last = (first + here.length).toLocaleString("en");
    byId("place").textContent = here.length ? `${(first + 1).toLocaleString("en")} – ${last} of ${all.length.toLocaleString("en")}` : "no matching rows";
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

  const headOf = (name) => {
    const head = element("th", "", numeric.has(name) ? "n" : "");
    head.scope = "col";
    if (state.sort === name) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    const button = element("button", HEADS[name] ?? name);
    button.type = "button";
    button.addEventListener("click", () => {
      state.descending = state.sort === name && !state.descending;
      state.sort = name;
      byId("order").value = "";
      drawHead();
      restart();
    });
    head.append(button);
    return head;
  };
  const drawHead = () => {
    const line = element("tr");
    if (!isWide) line.append(...flat.map(headOf));
    else {
      line.append(...[...ids, ...asked].map(headOf));
      for (const column of columns) {
        const head = element("th", columnName(column), "side");
        head.scope = "col";
        head.title = textOf(inAnswer(column, "model"));
        line.append(head);
      }
    }
    document.querySelector("#rows thead").replaceChildren(line);
  };

  const offer = (select, options, least = 2) => {
    for (const [value, text] of options) {
      const option = element("option", text);
      option.value = value;
      select.append(option);
    }
    select.hidden = options.length <= least;
    select.addEventListener("change", restart);
  };

  if (byId("rows")) {
    offer(byId("status"), [
      ["", isWide ? "all prompts" : "all rows"],
      ...distinct("status").map((name) => [`status ${name}`, name]),
      ...distinct("error_kind").sort().map((name) => [`kind ${name}`, `failed: ${name}`]),
    ]);
    offer(byId("model"), [["", "all models"], ...distinct("model").map((name) => [name, name])]);
    if (isWide) {
      byId("model").hidden = true;
      const differ = prompts.some((prompt) => prompt.difference > 0);
      const scored = "score" in ofAnswer && distinct("score").length > 0;
      offer(
        byId("order"),
        [...(differ ? [["differences", "largest differences first"]] : []), ...(scored ? [["scores", "lowest scores first"]] : []), ["", "in the order of the input"]],
        1,
      );
      if (!differ) byId("order").value = "";
    }
    byId("search").addEventListener("input", restart);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("previous").addEventListener("click", () => turn(-1));
    byId("next").addEventListener("click", () => turn(1));
    byId("filters").hidden = byId("pages").hidden = false;
    drawHead();
    draw();
  }
}
