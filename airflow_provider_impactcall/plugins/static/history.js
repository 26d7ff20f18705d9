// One call: whether it arrived, and everything that happened to it.

import { change } from "./address.js";
import { copyButton } from "./copying.js";
import { make } from "./dom.js";
import { badge } from "./marks.js";
import { actionOf, counted, duration, meaning, moment, number, reasonName, stateName } from "./words.js";

const FACTS = ["MediaId", "CampaignId", "ActionTrackerId", "CallProvider", "EventDate"];

// What the ledger keeps of a row that was rejected here.
function rowVerdict(row) {
  const facts = {
    MediaId: row.MediaId || "–",
    "Row of its input": number(row.row),
    "First read": moment(row.first_at),
    "Last read": moment(row.changed_at),
    Read: `${number(row.times)} ×`,
  };
  return make(
    "div",
    { class: "verdict message invalid" },
    make("p", { class: "verdict-line row" }, badge("invalid"), make("strong", {}, meaning("invalid"))),
    make("p", {}, "Reason: ", make("q", {}, row.reason)),
    make(
      "ul",
      { class: "sentences" },
      row.problems.map(({ parameter, code }) => make("li", {}, `${parameter}: ${reasonName(code, 0)}`)),
    ),
    make(
      "dl",
      { class: "facts" },
      Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
    ),
  );
}

function cameAgain({ changed_at: delivered, came_again_at: again, came_again_times: times }) {
  if (again === null) return null;
  const words = `Delivered ${moment(delivered)}; came again with other content ${moment(again)}, ${counted(times, "time")} in all. The ledger keeps no values, so it cannot say how they differ. No run sends it again by itself.`;
  return make("p", {}, badge("changed"), ` ${words}`);
}

// What became of a delivered call at impact.com. Amounts only if the ledger was told to keep them.
function payout(call) {
  if (call.action_state === null) return [];
  const amount = (value) => (value === null ? null : `${value} ${call.currency ?? ""}`.trim());
  const facts = {
    "At impact.com": actionOf(call),
    Action: call.action_id,
    Created: call.action_created_at && moment(call.action_created_at),
    Locking: call.action_locking_at && moment(call.action_locking_at),
    Cleared: call.action_cleared_at && moment(call.action_cleared_at),
    "Last change seen": moment(call.action_changed_at),
    Payout: amount(call.payout),
    Amount: amount(call.amount),
  };
  return Object.entries(facts)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
}

function verdict(call) {
  if (call.state === "invalid") return rowVerdict(call);
  const facts = FACTS.map((name) => make("div", {}, make("dt", {}, name), make("dd", {}, call[name] || "–")));
  return make(
    "div",
    { class: `verdict message ${call.state}` },
    make("p", { class: "verdict-line row" }, badge(call.state), make("strong", {}, meaning(call.state))),
    cameAgain(call),
    call.reason ? make("p", {}, "Reason: ", make("q", {}, call.reason)) : null,
    make(
      "dl",
      { class: "facts" },
      facts,
      make("div", {}, make("dt", {}, "Last changed"), make("dd", {}, moment(call.changed_at))),
      payout(call),
    ),
  );
}

function what({ state, status, reason, actor, attempt }) {
  const parts = [];
  if (state === "open") parts.push(`Attempt ${attempt} begins`);
  else parts.push(status ? `Attempt ${attempt}: HTTP ${status}` : actor ? "" : `Attempt ${attempt}`);
  if (reason && reason !== String(status)) parts.push(reason);
  if (actor) parts.push(`by ${actor}`);
  return parts.filter(Boolean).join(" · ");
}

function event(each, before) {
  const since = before ? (new Date(each.at) - new Date(before.at)) / 1000 : null;
  const run = each.run_id
    ? make(
        "button",
        { type: "button", class: "link", click: () => change({ call: "", run: each.run_id, source: "", dag_run: "" }) },
        "Its run",
      )
    : null;
  return make(
    "li",
    {},
    make(
      "div",
      { class: "event-time" },
      moment(each.at),
      since === null ? null : make("span", { class: "muted" }, ` +${duration(since)}`),
    ),
    make("div", { class: "event-what row" }, badge(each.state), make("span", {}, what(each)), run),
  );
}

function events(history, call) {
  const own = history.filter((each) => each.key === call.key);
  if (own.length === 0) return null;
  return make(
    "div",
    {},
    make("h3", {}, `All that happened: ${own.length === 1 ? "1 entry" : `${own.length} entries`}`),
    make(
      "ol",
      { class: "events" },
      own.map((each, index) => event(each, own[index - 1])),
    ),
  );
}

function others(namespaces) {
  if (namespaces.length === 0) return null;
  const buttons = namespaces.map((namespace) =>
    make("button", { type: "button", class: "link", click: () => change({ namespace }) }, namespace),
  );
  return make(
    "p",
    {},
    "The ledger has this id among the calls to ",
    buttons.flatMap((each, index) => (index === 0 ? [each] : [", ", each])),
    ".",
  );
}

/**
 * @param answer of api/history
 * @param id the CallSessionId that was asked for
 */
export function history({ calls: found, history: happened, elsewhere }, id) {
  const title = make(
    "p",
    { class: "heading row tight" },
    make("code", { class: "id" }, id),
    copyButton(id, "the CallSessionId"),
  );
  if (found.length === 0) {
    return make(
      "div",
      {},
      title,
      make(
        "p",
        {},
        make(
          "strong",
          {},
          elsewhere.length === 0
            ? "The ledger has no call with this CallSessionId."
            : "No call with this CallSessionId went to the endpoint that is shown.",
        ),
      ),
      others(elsewhere),
      make(
        "ul",
        { class: "hints muted" },
        make("li", {}, "Ids are compared whole, and in their exact case."),
        make("li", {}, "Perhaps no run has read its row yet, or the query leaves the row out."),
        make(
          "li",
          {},
          "Its row may have been rejected here without an id that can be shown: choose the state Rejected here below.",
        ),
        make("li", {}, "It may have gone to another endpoint, or be in another ledger."),
      ),
    );
  }
  const several =
    found.length > 1
      ? make(
          "p",
          {},
          `${found.length} have this id; they differ in campaign, action tracker or provider, or are rows that never became calls.`,
        )
      : null;
  return make(
    "div",
    {},
    title,
    several,
    others(elsewhere),
    found.map((call) => make("div", { class: "one" }, verdict(call), events(happened, call))),
  );
}

/** The calls in a few words, for screen readers. */
export function inShort({ calls: found }) {
  return found.length === 0
    ? "No such call"
    : found.map((call) => `${stateName(call.state)}${call.came_again_at === null ? "" : " and changed"}`).join(", ");
}
