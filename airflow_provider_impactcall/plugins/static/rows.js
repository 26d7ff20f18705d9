// Rows that are not calls, by column; rows that were left out, by reason; and calls whose rows changed since.

import { change, fragment } from "./address.js";
import { byId, goTo, make } from "./dom.js";
import { nothing } from "./part.js";
import { reasons } from "./reasons.js";
import { remedy } from "./remedy.js";
import { table } from "./table.js";
import { counted, moment, number, reasonName } from "./words.js";

const FIRST = 8;

const BY_COLUMN = [
  { title: "Column", head: true, class: "plain", cell: (column) => column.parameter || "other" },
  { title: "Rows", number: true, cell: (column) => number(column.rows) },
  { title: "Only counted", number: true, counted: true, cell: (column) => number(column.not_kept) },
  { title: "Reasons", class: "plain", cell: (column) => column.codes.map((code) => reasonName(code, 0)).join(", ") },
];

function byColumn(found) {
  const columns = new Map();
  for (const { reason_code: code, parameters } of found) {
    for (const { parameter, rows, not_kept: notKept } of parameters) {
      const column = columns.get(parameter) ?? { parameter, rows: 0, not_kept: 0, codes: [] };
      columns.set(parameter, column);
      column.rows += rows;
      column.not_kept += notKept;
      column.codes.push(code);
    }
  }
  return [...columns.values()].sort((one, other) => other.rows + other.not_kept - one.rows - one.not_kept);
}

/**
 * @param found of api/invalid
 * @param none what to say if there are none
 */
export function invalid(found, none) {
  if (found.length === 0) return nothing(none);
  const rows = byColumn(found);
  const columns = rows.some((column) => column.not_kept > 0)
    ? BY_COLUMN
    : BY_COLUMN.filter(({ counted: only }) => !only);
  return make(
    "div",
    {},
    reasons("invalid", found, none),
    make("h3", { class: "by-column" }, "By column"),
    make("div", { class: "numbers" }, table("Rows rejected here by column, most first", columns, rows)),
  );
}

const LEFT_OUT = [
  { title: "Why", head: true, class: "grows", cell: (group) => group.reason || reasonName(group.reason_code, 0) },
  { title: "Rows", number: true, cell: (group) => number(group.rows) },
  { title: "Runs", number: true, cell: (group) => number(group.runs) },
  { title: "Last run", class: "moment", cell: (group) => moment(group.last_at) },
];

/** @param found of api/filtered */
export function filtered(found) {
  if (found.length === 0) return nothing("No row was left out.");
  return make("div", { class: "cards" }, table("Rows left out on purpose, by reason, most first", LEFT_OUT, found));
}

const CHANGED = [
  {
    title: "CallSessionId",
    head: true,
    class: "grows",
    cell: (call) => make("a", { class: "id", href: fragment({ call: call.CallSessionId }) }, call.CallSessionId),
  },
  { title: "Delivered", class: "moment", cell: (call) => moment(call.changed_at) },
  { title: "Came again", class: "moment", cell: (call) => moment(call.came_again_at) },
  { title: "Times", number: true, cell: (call) => number(call.came_again_times) },
];

/**
 * @param answer of api/changed
 * @param none what to say if there are none
 */
export function changed({ changed: total, more_changed: more, calls, what_to_do: whatToDo, command }, none) {
  if (calls.length === 0) return nothing(none);
  const show = () => {
    change({ state: "changed", reason_code: "", status: "" });
    goTo(byId("calls"));
  };
  return make(
    "div",
    { class: "reason" },
    make("p", {}, make("strong", {}, `${more ? "More than " : ""}${counted(total, "call")}. `), whatToDo),
    remedy(command, "changed calls"),
    make("div", { class: "cards" }, table("Changed calls, the last one first", CHANGED, calls.slice(0, FIRST))),
    make("button", { type: "button", class: "link", click: show }, "Show them among the calls"),
  );
}
