"use strict";
(() => {
  const body = document.querySelector("tbody");
  const rows = [...body.rows];
  const heads = [...document.querySelectorAll("thead th")];
  const value = (row, column) => row.cells[column].dataset.v;

  function compare(column, numeric, sign) {
    return (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");  // what is unknown comes last either way
      return sign * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
    };
  }

  function sort(column) {
    const head = heads[column];
    const numeric = !head.classList.contains("text");
    const before = head.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric && head.dataset.best !== "low";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    rows.sort(compare(column, numeric, descending ? -1 : 1));
    body.append(...rows);
  }

  function filter(scale) {
    let shown = 0;
    for (const item of document.querySelectorAll("[data-scale]")) {
      item.toggleAttribute("hidden", scale !== "" && item.dataset.scale !== scale);
      if (item.tagName === "TR" && !item.hasAttribute("hidden")) shown += 1;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length}`;
  }

  function mark(id) {
    for (const item of document.querySelectorAll("[data-id]")) {
      item.classList.toggle("marked", item.dataset.id === id);
    }
  }

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
  const choice = document.getElementById("scale");
  choice.addEventListener("change", () => filter(choice.value));
  document.addEventListener("mouseover", (event) => mark(event.target.closest("[data-id]")?.dataset.id));
})();
