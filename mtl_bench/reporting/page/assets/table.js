/* Tables that sort by a button in each header; empty cells stay last in either direction. */

/**
 * Make a sortable table.
 * columns: {title, name: where the title needs its group, unit, group, about, text: true for names, render(row) -> node or text,
 *           value(row) -> number, text or null, first: "descending" for what is better when higher,
           sorts: true for the column that the rows are sorted by at first}
 */
function sortableTable(caption, columns, rows) {
  const body = h("tbody");
  const order = { column: null, descending: false };
  const heads = columns.map((column, index) =>
    h(
      "th",
      {
        scope: "col",
        class: cellClass(column),
        "aria-sort": "none",
      },
      column.title === ""
        ? h("span", { class: "hidden-text" }, column.about)
        : h(
            "button",
            { type: "button", class: "sort", title: column.about, onclick: () => sortBy(index) },
            h("span", { class: "head" }, column.title),
            column.unit && h("span", { class: "unit" }, column.unit),
          ),
    ),
  );

  function cellClass(column) {
    return [column.text ? "name" : "number", column.class].filter(Boolean).join(" ");
  }

  function sortBy(index) {
    const first = columns[index].first === "descending";
    order.descending = order.column === index ? !order.descending : first;
    order.column = index;
    heads.forEach((head, other) =>
      head.setAttribute(
        "aria-sort",
        other !== index ? "none" : order.descending ? "descending" : "ascending",
      ),
    );
    fill();
  }

  function compare(a, b) {
    const [x, y] = [a, b].map((row) => columns[order.column].value(row));
    if (x === null || y === null) return (x === null) - (y === null);
    const sign = order.descending ? -1 : 1;
    return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
  }

  function fill() {
    const shown = order.column === null ? rows : [...rows].sort(compare);
    body.replaceChildren(
      ...shown.map((row) =>
        h(
          "tr",
          { class: row.rowClass },
          columns.map((column) =>
            h(
              column.text ? "th" : "td",
              { scope: column.text && "row", class: cellClass(column) },
              column.render(row),
            ),
          ),
        ),
      ),
    );
  }

  const initial = columns.findIndex((column) => column.sorts);
  if (initial >= 0) sortBy(initial);
  else fill();
  const groups = groupRow(columns);
  const copied = columns.filter((column) => column.title !== "");
  const read = () => ({
    columns: copied,
    rows: [...body.children].map((row) => copied.map((column) => row.children[columns.indexOf(column)])),
  });
  const scroll = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "hidden-text" }, caption),
      h("thead", {}, groups, h("tr", {}, heads)),
      body,
    ),
  );
  return h("div", { class: "table" }, scroll, copyButtons(read));
}

/** A row above the headers that names neighbouring columns with the same group. */
function groupRow(columns) {
  if (!columns.some((column) => column.group)) return null;
  const cells = [];
  for (const column of columns) {
    const last = cells[cells.length - 1];
    if (last && last.group === column.group) last.span += 1;
    else cells.push({ group: column.group, span: 1, class: column.class, text: column.text });
  }
  return h(
    "tr",
    { class: "groups" },
    cells.map((cell) =>
      cell.group
        ? h("th", { colspan: cell.span, scope: "colgroup", class: cell.class }, cell.group)
        : h("td", { colspan: cell.span, class: [cell.text && "name", cell.class].filter(Boolean).join(" ") }),
    ),
  );
}

/** Mean and, smaller, the standard deviation. */
function measured(cell) {
  if (cell.value === null) return h("span", { class: "nothing" }, NOTHING);
  return [
    h({ best: "strong", second: "em" }[cell.mark] || "span", {}, cell.text),
    cell.sd && h("span", { class: "sd" }, `± ${cell.sd}`),
  ];
}
