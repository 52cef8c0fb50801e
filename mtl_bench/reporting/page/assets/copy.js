/* Tables as LaTeX and CSV for the clipboard: what is shown, in the order in which it is shown. */

const LATEX = {}; // character -> how it is written; comes with the data

/** Buttons that copy a table; "read" returns its columns and rows of nodes as they are shown now. */
function copyButtons(read) {
  const button = (title, write) => {
    const node = h("button", { type: "button", class: "quiet" }, title);
    node.addEventListener("click", () => copyText(write(read()), node));
    return node;
  };
  return h("div", { class: "tools", "aria-live": "polite" }, button("Copy LaTeX", asLatex), button("Copy CSV", asCsv));
}

async function copyText(text, button) {
  const title = button.textContent;
  let copied = true;
  try {
    await navigator.clipboard.writeText(text); // is missing from pages of plain HTTP
  } catch {
    copied = copySelected(text);
  }
  button.textContent = copied ? "Copied" : "The browser refused";
  setTimeout(() => (button.textContent = title), 1500);
}

function copySelected(text) {
  const area = h("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

/** "Δm [%] ↓" */
function headText({ name, title, unit = "" }) {
  const direction = /[↑↓]$/.exec(unit);
  const bare = unit.replace(/ ?[↑↓]$/, "");
  return `${name || title}${bare ? ` [${bare}]` : ""}${direction ? ` ${direction[0]}` : ""}`;
}

/** What a cell says: {text, sd, mark}; swatches, bars and tags say nothing. */
function cellParts(cell) {
  const parts = [...cell.childNodes].filter(
    (node) => !(node instanceof SVGElement) && !node.classList?.contains("tag"),
  );
  const sd = parts.find((node) => node.classList?.contains("sd"));
  return {
    text: parts
      .filter((node) => node !== sd)
      .map((node) => node.textContent)
      .join(" ")
      .trim(),
    sd: sd ? sd.textContent.replace("± ", "") : "",
    mark: cell.querySelector("strong") ? "textbf" : cell.querySelector("em") ? "textit" : "",
  };
}

function asLatex({ columns, rows }) {
  const cells = rows.map((row) =>
    row.map((cell) => {
      const { text, sd, mark } = cellParts(cell);
      const escaped = escapeLatex(sd ? `${text} ± ${sd}` : text);
      return mark ? `\\${mark}{${escaped}}` : escaped;
    }),
  );
  const line = (texts) => `${texts.join(" & ")} \\\\`;
  return [
    `\\begin{tabular}{${columns.map((column) => (column.text ? "l" : "r")).join("")}}`,
    "\\toprule",
    line(columns.map((column) => escapeLatex(headText(column)))),
    "\\midrule",
    ...cells.map(line),
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
}

function escapeLatex(text) {
  return [...text].map((character) => LATEX[character] || character).join("");
}

/** A column with deviations has a column of its own for them. */
function asCsv({ columns, rows }) {
  const parts = rows.map((row) => row.map(cellParts));
  const spread = columns.map((_, at) => parts.some((row) => row[at].sd));
  const heads = columns.flatMap((column, at) => {
    const head = headText(column);
    return spread[at] ? [head, `${head} sd`] : [head];
  });
  const lines = parts.map((row) =>
    row.flatMap(({ text, sd }, at) => [text === NOTHING ? "" : text, ...(spread[at] ? [sd] : [])]),
  );
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [heads, ...lines].map((line) => line.map(quoted).join(",") + "\n").join("");
}
