// The list of calls, up to the number that was asked for.

import { fragment } from "./address.js";
import { make } from "./dom.js";
import { badge } from "./marks.js";
import { nothing } from "./part.js";
import { table } from "./table.js";
import { actionOf, moment, number } from "./words.js";

export const PAGE = 50;
export const MOST = 1000;

const isRow = (call) => call.state === "invalid";

function states(call) {
  return call.came_again_at === null
    ? badge(call.state)
    : make("div", { class: "badges" }, badge(call.state), badge("changed"));
}

// A dead letter may have no id, or one that could be a phone number.
function known({ CallSessionId: id, row }) {
  return id === null
    ? make("span", { class: "muted" }, `none to show; row ${number(row)} of its input`)
    : make("a", { class: "id", href: fragment({ call: id }) }, id);
}

function why({ reason, came_again_at: again, came_again_times: times }) {
  if (again === null) return reason || "–";
  return `came again with other content ${number(times)} ×, the last time ${moment(again)}`;
}

const COLUMNS = [
  { title: "State", cell: states },
  { title: "CallSessionId", head: true, class: "grows", cell: known },
  { title: "Reason", class: "grows words", cell: why },
  { title: "MediaId", class: "plain", cell: (call) => call.MediaId || "–" },
  { title: "CampaignId", class: "plain", cell: (call) => call.CampaignId || "–" },
  { title: "At impact.com", class: "plain", cell: (call) => (call.action_state === null ? "–" : actionOf(call)) },
  { title: "EventDate", class: "moment", cell: (call) => call.EventDate || "–" },
  {
    title: "Times",
    class: "moment",
    cell: (call) => (isRow(call) ? `read ${number(call.times)} ×` : `sent ${number(call.attempts)} ×`),
  },
  { title: "Changed", class: "moment", cell: (call) => moment(call.changed_at) },
];

/**
 * @param answer of api/calls
 * @param more called to show more calls
 */
export function calls({ calls: found, more: thereAreMore }, more) {
  if (found.length === 0) return nothing("No call matches.");
  let rest = null;
  if (thereAreMore) {
    rest = make(
      "p",
      { class: "rest row" },
      make("span", { class: "muted" }, `The ${number(found.length)} that changed last are shown. The CSV has all.`),
      found.length < MOST ? make("button", { type: "button", click: more }, "Show more") : null,
    );
  }
  return make("div", { class: "cards" }, table("Calls, the last changed first", COLUMNS, found), rest);
}
