"use strict";
// Filters and sorts the table of labels; the page is whole without it.
(() => {
  const table = document.getElementById("labels-table");
  if (!table) return;
  document.documentElement.classList.add("live");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const support = heads.findIndex((head) => head.textContent === "support");
  const bar = document.createElement("div");
  bar.className = "filter";
  const input = (named, type) => {
    const label = document.createElement("label");
    const field = document.createElement("input");
    field.type = type;
    label.append(named + " ", field);
    bar.append(label);
    field.addEventListener("input", show);
    return field;
  };
  const words = input("Labels with", "search");
  const least = input("Support at least", "number");
  least.min = "0";
  const told = document.createElement("output");
  bar.append(told);
  table.before(bar);

  const number = (row, column) => Number(row.cells[column].dataset.value ?? NaN);

  function show() {
    const wanted = words.value.trim().toLowerCase();
    let left = 0;
    for (const row of rows) {
      const kept =
        row.textContent.toLowerCase().includes(wanted) &&
        (support < 0 || !least.value || number(row, support) >= Number(least.value));
      row.hidden = !kept;
      left += kept;
    }
    told.textContent = `${left} of ${rows.length} rows`;
  }

  heads.forEach((head, column) => {
    if (!head.textContent) return;
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const numeric = head.classList.contains("number");
      const order = (a, b) =>
        numeric
          ? (number(a, column) || 0) - (number(b, column) || 0)
          : b.cells[column].textContent.localeCompare(a.cells[column].textContent);
      rows.sort((a, b) => (up ? order(a, b) : order(b, a)));
      body.append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        sort();
      }
    });
  });
  show();
})();
