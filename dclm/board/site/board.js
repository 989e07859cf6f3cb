"use strict";
(() => {
  const bodies = [...document.querySelectorAll("tbody")];
  const rows = bodies.flatMap((body) => [...body.querySelectorAll("tr[data-id]")]);
  const home = new Map(rows.map((row) => [row, row.parentElement]));
  const heads = [...document.querySelectorAll("thead th[scope=col]")];
  const byId = (id) => document.getElementById(id);
  const {tasks, scores, lines, part} = JSON.parse(byId("data").textContent);
  const points = new Map([...document.querySelectorAll("svg g[data-id]")].map((g) => [g.dataset.id, g]));
  const choices = ["search", "scale", "track", "tokens", "source", "baseline"].map(byId);
  const columnOf = (text) => heads.findIndex((head) => head.textContent === text);
  const times = columnOf("× FLOPs"), compute = columnOf("FLOPs");
  const first = {column: columnOf("CORE"), descending: true};
  let order = {...first};
  let picked = [];

  const cell = (row, column) => row.cells[column + 2];
  const value = (row, column) => cell(row, column).dataset.v;
  const label = (row) => value(row, 0);
  const make = (name, text, kind) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const draw = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, text] of Object.entries(attributes)) element.setAttribute(key, text);
    return element;
  };

  function compare(column, numeric, sign) {
    return (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");  // unknown values come last in both orders
      return sign * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
    };
  }

  function sort() {
    const numeric = !heads[order.column].classList.contains("text");
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[order.column].setAttribute("aria-sort", order.descending ? "descending" : "ascending");
    rows.sort(compare(order.column, numeric, order.descending ? -1 : 1));
    const together = byId("together").checked;
    const target = (row) => (together ? bodies[0] : home.get(row));
    const parts = new Map(bodies.map((body) => [body, document.createDocumentFragment()]));
    rows.forEach((row) => parts.get(target(row)).append(row));
    parts.forEach((part, body) => body.append(part));
  }

  // How many times the FLOPs of a run a baseline needs for the same CORE: as dclm/board/multiplier.py computes it.
  function multiplier(core, flops, line) {
    const gap = core - line.level, own = Math.log10(flops), needed = line.center + gap / lines.slope;
    const noise = lines.reach ** 2 * lines.variance, square = lines.slope ** 2 - noise / lines.spread;
    const middle = lines.slope * gap / square;
    const half = Math.sqrt(Math.max(middle ** 2 - (gap ** 2 - noise * (1 + 1 / line.runs)) / square, 0));
    const ends = [middle - half, middle + half].map((end) => (10 ** (line.center + end - own)).toFixed(2));
    return {
      value: 10 ** (needed - own),
      said: square > 0 ? `95 % ${ends[0]} to ${ends[1]}` : "no bounds",
      beyond: needed < line.low - 1e-3 || needed > line.high + 1e-3,
    };
  }

  function weigh() {
    const line = lines.baselines[byId("baseline").value || byId("baseline").options[0].textContent];
    for (const row of rows) {
      const core = value(row, first.column), flops = value(row, compute), where = cell(row, times);
      if (core === "" || flops === "" || part.includes(row.dataset.id)) continue;
      const found = multiplier(Number(core), Number(flops), line);
      where.dataset.v = String(found.value);
      where.textContent = found.value.toFixed(2);
      where.title = found.said + (found.beyond ? ", extrapolated" : "");
      where.toggleAttribute("data-beyond", found.beyond);
    }
  }

  function filter() {
    const [search, scale, track, tokens, source] = choices.map((choice) => choice.value);
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    const [low, high] = tokens ? tokens.split("-").map(Number) : [];
    let shown = 0;
    for (const row of rows) {
      const data = row.dataset;
      const fits = (!scale || data.scale === scale) && (!track || data.track === track)
        && (!source || data.source === source) && words.every((word) => data.words.includes(word))
        && (!tokens || (data.tokens !== "" && Number(data.tokens) >= low && Number(data.tokens) < high));
      row.hidden = !fits;
      points.get(data.id)?.toggleAttribute("hidden", !fits);
      shown += fits;
    }
    const together = byId("together").checked;
    for (const body of bodies) {
      body.querySelector(".group").hidden = together;
      body.hidden = !body.querySelector("tr[data-id]:not([hidden])");
    }
    byId("shown").textContent = `${shown} of ${rows.length}`;
  }

  function pick() {
    rows.forEach((row) => { row.cells[0].firstChild.checked = picked.includes(row.dataset.id); });
    const pair = picked.map((id) => rows.find((row) => row.dataset.id === id)).filter(Boolean);
    const panel = byId("compare");
    panel.hidden = pair.length === 0;
    panel.replaceChildren();
    if (pair.length === 1) panel.append(make("p", `${label(pair[0])} is selected. Select a second row to compare them.`, "note"));
    if (pair.length === 2) fill(panel, pair);
    mark(picked);
  }

  const packed = (id, i) => [scores[id][i]].flat();
  const known = (pair, i) => pair.every((row) => scores[row.dataset.id][i] !== null);

  function fill(panel, pair) {
    panel.append(make("h2", `${label(pair[0])} against ${label(pair[1])}`));
    const [a, b] = pair.map((row) => Number(value(row, first.column)));
    const errors = pair.map((row) => value(row, first.column + 1));
    const both = pair.every((row) => value(row, first.column) !== "");
    if (both) {
      const error = errors.includes("") ? null : Math.hypot(...errors.map(Number)), gap = 100 * (a - b);
      const said = error === null ? ". The error of one of them is unknown."
        : ` ± ${(100 * error).toFixed(2)}, ${Math.abs(a - b) < 2 * error ? "which may be due to chance"
          : "which is unlikely to be due to chance"}. The error treats the two as independent and does not include the variance between seeds.`;
      panel.append(make("p", `CORE ${(100 * a).toFixed(2)} and ${(100 * b).toFixed(2)}: a difference of `
        + `${gap >= 0 ? "+" : "−"}${Math.abs(gap).toFixed(2)}${said}`));
    } else panel.append(make("p", "At least one of the two has no CORE, because tasks are missing."));
    const scroll = make("div", undefined, "scroll"), table = make("table", undefined, "plain"), head = make("tr", undefined, "head");
    for (const text of ["Task", label(pair[0]), label(pair[1]), "Difference", "±", ""]) head.append(make("th", text));
    table.append(head);
    const found = tasks.map((task, i) => [task, i]).filter(([, i]) => known(pair, i)).map(([task, i]) => {
      const [x, y] = pair.map((row) => packed(row.dataset.id, i));
      const error = x.length > 1 && y.length > 1 ? Math.hypot(x[1], y[1]) / 1000 : null;
      return {task: task[0], core: task[2], x: x[0] / 100, y: y[0] / 100, gap: (x[0] - y[0]) / 100, error};
    }).sort((p, q) => q.core - p.core || q.gap - p.gap);
    const widest = Math.max(1, ...found.map((f) => Math.abs(f.gap) + (f.error ?? 0)));
    for (const f of found) table.append(line(f, widest));
    scroll.tabIndex = 0;
    scroll.append(table);
    panel.append(scroll);
    const absent = tasks.length - found.length;
    if (absent) panel.append(make("p", `${absent} tasks have no score in one of the two.`, "note"));
    const close = make("button", "Close the comparison");
    close.type = "button";
    close.addEventListener("click", () => { picked = []; pick(); remember(); });
    panel.append(close);
  }

  function line(f, widest) {
    const row = make("tr"), name = make("th", f.task);
    name.scope = "row";
    if (!f.core) name.className = "soft";
    row.append(name);
    for (const text of [f.x.toFixed(1), f.y.toFixed(1), (f.gap > 0 ? "+" : "") + f.gap.toFixed(1), f.error === null ? "—" : f.error.toFixed(1)]) row.append(make("td", text));
    const at = (x) => 100 + 95 * x / widest;
    const svg = draw("svg", {viewBox: "0 0 200 14", class: "gap", "aria-hidden": "true"});
    svg.append(draw("line", {x1: 100, x2: 100, y1: 0, y2: 14, class: "zero"}));
    svg.append(draw("rect", {x: Math.min(100, at(f.gap)), width: Math.abs(at(f.gap) - 100), y: 3, height: 8, class: f.gap >= 0 ? "more" : "less"}));
    if (f.error !== null) svg.append(draw("line", {x1: at(f.gap - f.error), x2: at(f.gap + f.error), y1: 7, y2: 7, class: "error"}));
    const holder = make("td");
    holder.append(svg);
    row.append(holder);
    return row;
  }

  function mark(ids) {
    for (const item of document.querySelectorAll(".marked")) item.classList.remove("marked");
    for (const id of ids) {
      points.get(id)?.classList.add("marked");
      rows.find((row) => row.dataset.id === id)?.classList.add("marked");
    }
  }

  function remember() {
    const state = new URLSearchParams();
    choices.forEach((choice) => choice.value && state.set(choice.id, choice.value));
    if (byId("together").checked) state.set("together", "1");
    if (order.column !== first.column || !order.descending) {
      state.set("sort", heads[order.column].textContent);
      state.set("order", order.descending ? "down" : "up");
    }
    if (picked.length) state.set("compare", picked.join(","));
    history.replaceState(null, "", state.size || String(state) ? `#${state}` : location.pathname + location.search);
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    choices.forEach((choice) => {
      choice.value = state.get(choice.id) ?? "";
      if (choice.selectedIndex === -1) choice.value = "";
    });
    byId("together").checked = state.get("together") === "1";
    const sorted = columnOf(state.get("sort"));
    order = sorted < 0 ? {...first} : {column: sorted, descending: state.get("order") !== "up"};
    picked = (state.get("compare") ?? "").split(",").filter((id) => id in scores).slice(0, 2);
    weigh(); sort(); filter(); pick();
  }

  function save(text, kind, name) {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], {type: kind}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function shownRows() {
    const names = heads.map((head) => head.textContent);
    return bodies.flatMap((body) => [...body.querySelectorAll("tr[data-id]:not([hidden])")]).map((row) => {
      const plain = {id: row.dataset.id, source: row.dataset.source};
      heads.forEach((head, i) => {
        const text = value(row, i);
        plain[names[i]] = head.classList.contains("text") ? text : text === "" ? null : Number(text);
      });
      tasks.forEach(([task], i) => { plain[task] = scores[row.dataset.id][i] === null ? null : packed(row.dataset.id, i)[0] / 1e4; });
      return plain;
    });
  }

  function csv(table) {
    const quote = (item) => {
      let text = String(item ?? "");
      if (typeof item === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;  // otherwise a spreadsheet reads a formula
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const names = Object.keys(table[0] ?? {});
    return [names, ...table.map((row) => names.map((name) => row[name]))].map((line) => line.map(quote).join(",")).join("\n") + "\n";
  }

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const fresh = head.classList.contains("text") ? false : head.dataset.best !== "low";
    order = {column, descending: order.column === column ? !order.descending : fresh};
    sort(); remember();
  }));
  choices.forEach((choice) => choice.addEventListener(choice.id === "search" ? "input" : "change", () => {
    if (choice.id === "baseline") { weigh(); sort(); }
    filter(); remember();
  }));
  byId("together").addEventListener("change", () => { sort(); filter(); remember(); });
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  rows.forEach((row) => row.cells[0].firstChild.addEventListener("change", (event) => {
    picked = event.target.checked ? [...picked.slice(-1), row.dataset.id] : picked.filter((id) => id !== row.dataset.id);
    pick(); remember();
  }));
  byId("csv").addEventListener("click", () => save(csv(shownRows()), "text/csv", "dclm-board.csv"));
  byId("json").addEventListener("click", () => save(JSON.stringify(shownRows(), null, 1), "application/json", "dclm-board.json"));
  byId("reset").addEventListener("click", () => { history.replaceState(null, "", "#"); recall(); });
  ["csv", "json", "reset"].forEach((id) => { byId(id).hidden = false; });
  document.addEventListener("mouseover", (event) => {
    const over = event.target.closest("[data-id]");
    mark(over ? [...picked, over.dataset.id] : picked);
  });
  document.addEventListener("click", (event) => {
    const point = event.target.closest("svg g[data-id]");
    if (point) rows.find((row) => row.dataset.id === point.dataset.id)?.scrollIntoView({block: "center"});
  });
  addEventListener("hashchange", recall);
  recall();
})();
