// The calls themselves, as many as are asked for.

import { fragment } from "./address.js";
import { make } from "./dom.js";
import { badge } from "./marks.js";
import { nothing } from "./part.js";
import { table } from "./table.js";
import { moment, number } from "./words.js";

export const PAGE = 50;
export const MOST = 1000;

const COLUMNS = [
  { title: "State", cell: (call) => badge(call.state) },
  {
    title: "CallSessionId",
    head: true,
    class: "grows",
    cell: (call) => make("a", { class: "id", href: fragment({ call: call.CallSessionId }) }, call.CallSessionId),
  },
  { title: "Reason", class: "grows words", cell: (call) => call.reason || "–" },
  { title: "MediaId", class: "plain", cell: (call) => call.MediaId || "–" },
  { title: "CampaignId", class: "plain", cell: (call) => call.CampaignId || "–" },
  { title: "EventDate", class: "moment", cell: (call) => call.EventDate || "–" },
  { title: "Sent", number: true, cell: (call) => `${number(call.attempts)} ×` },
  { title: "Changed", class: "moment", cell: (call) => moment(call.changed_at) },
];

/**
 * @param answer of api/calls
 * @param more called for more of them
 */
export function calls({ calls: found, more: thereAreMore }, more) {
  if (found.length === 0) return nothing("No call matches.");
  let rest = null;
  if (thereAreMore) {
    rest = make(
      "p",
      { class: "rest" },
      make("span", { class: "muted" }, `The ${number(found.length)} that changed last are shown. The CSV has all.`),
      found.length < MOST ? make("button", { type: "button", click: more }, "Show more") : null,
    );
  }
  return make("div", { class: "cards" }, table("Calls, the last changed first", COLUMNS, found), rest);
}
