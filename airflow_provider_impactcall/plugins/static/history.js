// One call: whether it arrived, and everything that happened to it.

import { change } from "./address.js";
import { copyButton } from "./copying.js";
import { make } from "./dom.js";
import { badge } from "./marks.js";
import { duration, meaning, moment, stateName } from "./words.js";

const FACTS = ["MediaId", "CampaignId", "ActionTrackerId", "CallProvider", "EventDate"];

function verdict(call) {
  const facts = FACTS.map((name) => make("div", {}, make("dt", {}, name), make("dd", {}, call[name] || "–")));
  return make(
    "div",
    { class: `verdict ${call.state}` },
    make("p", { class: "verdict-line" }, badge(call.state), make("strong", {}, meaning(call.state))),
    call.reason ? make("p", {}, "Reason: ", make("q", {}, call.reason)) : null,
    make(
      "dl",
      { class: "facts" },
      facts,
      make("div", {}, make("dt", {}, "Last changed"), make("dd", {}, moment(call.changed_at))),
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
    make("div", { class: "event-what" }, badge(each.state), make("span", {}, what(each)), run),
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
  const title = make("p", { class: "id-line" }, make("code", { class: "id" }, id), copyButton(id, "the CallSessionId"));
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
        { class: "hints" },
        make("li", {}, "Ids are compared whole, and in their exact case."),
        make("li", {}, "No run may have read its row yet, or the query leaves it out."),
        make(
          "li",
          {},
          "Its row may have been invalid, and never become a call: see the task's log, or its rejects_path.",
        ),
        make("li", {}, "It may have gone to another endpoint, or be in another ledger."),
      ),
    );
  }
  const several =
    found.length > 1
      ? make("p", {}, `${found.length} calls have this id; they differ in campaign, action tracker or provider.`)
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

/** For those who do not see the page. */
export function inShort({ calls: found }) {
  return found.length === 0 ? "No such call" : found.map((call) => stateName(call.state)).join(", ");
}
