// The summary at the top: how many calls arrived, and what needs a person.

import { change, fragment } from "./address.js";
import { byId, goTo, make } from "./dom.js";
import { icon } from "./marks.js";
import { ago, counted, fullName, moment, number, share, stateName } from "./words.js";

const SOMETIMES = ["requeued", "open"];

function show(state) {
  return () => {
    change({ state, reason_code: "", status: "" });
    goTo(byId("calls"));
  };
}

function tile(state, calls, detail) {
  const inside = [
    make("span", { class: "tile-name" }, icon(state), fullName(state)),
    make("span", { class: "tile-number" }, number(calls)),
    make("span", { class: "muted" }, detail),
  ];
  if (calls === 0) return make("div", { class: `tile ${state}` }, inside);
  const button = { type: "button", class: `tile ${state}`, click: show(state) };
  return make("button", button, inside, make("span", { class: "unseen" }, "Show these"));
}

function tiles({ states, invalid, not_kept: notKept, changed }, total) {
  const ofCalls = (state) => tile(state, states[state] ?? 0, share(states[state] ?? 0, total));
  return make(
    "div",
    { class: "tiles" },
    ofCalls("delivered"),
    tile("changed", changed, "delivered, and came again with other content"),
    ofCalls("rejected"),
    tile(
      "invalid",
      invalid,
      notKept > 0 ? `rows, and ${number(notKept)} only counted` : "rows, of which nothing was sent",
    ),
    ofCalls("unknown"),
    ofCalls("not_sent"),
  );
}

function aside(state, calls) {
  const words = `${number(calls)} ${stateName(state).toLowerCase()}`;
  return make("li", {}, icon(state), make("button", { type: "button", class: "link", click: show(state) }, words));
}

function headline({ states, invalid, not_kept: notKept }, total, period) {
  // Do not add these numbers: several runs may have counted the same row.
  const onlyCounted = notKept > 0 ? `, and ${number(notKept)} that runs only counted,` : "";
  const rejected =
    invalid + notKept > 0 ? ` ${counted(invalid, "row")} rejected here${onlyCounted} never became calls.` : "";
  if (total === 0) return make("p", { class: "headline" }, `No call changed in ${period}.${rejected}`);
  const delivered = states.delivered ?? 0;
  return make(
    "p",
    { class: "headline" },
    make("strong", {}, `${number(delivered)} of ${counted(total, "call")}`),
    ` arrived in ${period}`,
    total === delivered ? "." : `: ${share(delivered, total)}.`,
    rejected,
  );
}

function task(state, words, detail, action) {
  return make(
    "li",
    { class: `task ${state}` },
    icon(state),
    make("div", {}, make("p", {}, words), make("p", { class: "muted" }, detail)),
    action,
  );
}

// Each task: how many there are, of any time, and where to read on.
const TASKS = [
  {
    name: "unknown",
    words: (calls) => `${counted(calls, "call")} of unknown fate`,
    detail: "It is not known whether impact.com has them.",
    action: "How to find out",
  },
  {
    name: "invalid",
    words: (rows) => `${counted(rows, "row")} rejected here`,
    detail: "They are not valid calls, and nothing was sent.",
    action: "What to do",
  },
  {
    name: "refused",
    part: "rejected",
    words: (calls) => `${counted(calls, "call")} rejected by impact.com`,
    detail: "impact.com does not have them, and no run sends them again by itself.",
    action: "What to do",
  },
  {
    name: "changed",
    words: (calls) => `${counted(calls, "delivered call")} changed since`,
    detail: "They came again with other content. No run sends them again by itself.",
    action: "What to do",
  },
];

function tasks({ needs_a_person: needs, oldest_undelivered: oldest }) {
  const found = TASKS.filter(({ name }) => needs[name] > 0).map(({ name, part = name, words, detail, action }) => {
    const more = name === "changed" && needs.more_changed ? "More than " : "";
    const jump = {
      type: "button",
      class: "small",
      click: () => goTo(byId(part)),
      "aria-label": `${action}: ${fullName(part)}`,
    };
    return task(part, `${more}${words(needs[name])}`, detail, make("button", jump, action));
  });
  if (oldest !== null) {
    const id = make("a", { class: "id", href: fragment({ call: oldest.CallSessionId }) }, oldest.CallSessionId);
    const words = `The oldest undelivered call: ${stateName(oldest.state).toLowerCase()}, ${ago(oldest.changed_at)}`;
    const detail = [id, ` · ${moment(oldest.changed_at)}`, oldest.reason ? ` · ${oldest.reason}` : ""];
    found.push(task(oldest.state, words, detail, null));
  }
  return found;
}

/**
 * @param overview of api/overview
 * @param period in words
 */
export function glance(overview, period) {
  const { states } = overview;
  const total = Object.values(states).reduce((sum, calls) => sum + calls, 0);
  const asides = SOMETIMES.filter((state) => states[state] > 0);
  const found = tasks(overview);
  return make(
    "div",
    { class: "glance" },
    make(
      "div",
      { class: "card outcome" },
      headline(overview, total, period),
      tiles(overview, total),
      asides.length === 0
        ? null
        : make(
            "ul",
            { class: "asides row" },
            make("li", { class: "muted" }, "and"),
            asides.map((state) => aside(state, states[state])),
          ),
    ),
    make(
      "div",
      { class: "card needs" },
      make("h3", {}, found.length === 0 ? "Nothing needs a person" : "What needs a person"),
      found.length === 0
        ? make("p", { class: "calm" }, icon("delivered"), "No row is rejected, no call is unknown, no call waits.")
        : [
            make("p", { class: "muted" }, "Of any time, not only of this period."),
            make("ul", { class: "tasks" }, found),
          ],
    ),
  );
}
