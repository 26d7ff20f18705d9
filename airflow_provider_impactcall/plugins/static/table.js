// Tables that a screen reader still reads as tables when a narrow screen shows each row as a card.

import { make } from "./dom.js";

/**
 * @param caption what the table holds, for screen readers
 * @param columns `{title, cell, number?, head?, class?}`: cell makes a node or text of a row, number aligns it right, head
 *   makes it the row's header
 * @param rows anything that the columns' cells understand
 */
export function table(caption, columns, rows) {
  // Explicit roles, as CSS that lays rows out differently takes away their implied roles.
  const heads = columns.map((column) =>
    make("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null }, column.title),
  );
  const body = rows.map((row) =>
    make(
      "tr",
      { role: "row" },
      columns.map((column) => {
        const [tag, meant] = column.head ? ["th", { scope: "row", role: "rowheader" }] : ["td", { role: "cell" }];
        const classes = [column.number && "number", column.class].filter(Boolean).join(" ");
        return make(tag, { ...meant, class: classes || null, "data-title": column.title }, column.cell(row));
      }),
    ),
  );
  return make(
    "table",
    { role: "table" },
    make("caption", { class: "unseen" }, caption),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, heads)),
    make("tbody", { role: "rowgroup" }, body),
  );
}
