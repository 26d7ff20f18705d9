// The answer first: how many calls arrived, and what needs a person.

import { change, fragment } from "./address.js";
import { byId, goTo, make } from "./dom.js";
import { icon } from "./marks.js";
import { ago, counted, moment, number, share, stateName } from "./words.js";

const ALWAYS = ["delivered", "rejected", "unknown", "not_sent"];
const SOMETIMES = ["requeued", "open", "changed"];
const FILTERS = new Set(["requeued", "open"]);

function show(state) {
  return () => {
    change({ state, reason_code: "", status: "" });
    goTo(byId("calls"));
  };
}

function tile(state, calls, total) {
  const inside = [
    make("span", { class: "tile-name" }, icon(state), stateName(state)),
    make("span", { class: "tile-number" }, number(calls)),
    make("span", { class: "muted" }, share(calls, total)),
  ];
  if (calls === 0) return make("div", { class: `tile ${state}` }, inside);
  const button = { type: "button", class: `tile ${state}`, click: show(state) };
  return make("button", button, inside, make("span", { class: "unseen" }, "Show these calls"));
}

function aside(state, calls) {
  const words = `${number(calls)} ${stateName(state).toLowerCase()}`;
  const inside = FILTERS.has(state)
    ? make("button", { type: "button", class: "link", click: show(state) }, words)
    : words;
  return make("li", {}, icon(state), inside);
}

function headline(states, total, period) {
  if (total === 0) return make("p", { class: "headline" }, `No call changed in ${period}.`);
  const delivered = states.delivered ?? 0;
  return make(
    "p",
    { class: "headline" },
    make("strong", {}, `${number(delivered)} of ${counted(total, "call")}`),
    ` arrived in ${period}`,
    total === delivered ? "." : `: ${share(delivered, total)}.`,
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

function tasks({ states, open_unknowns: unknowns, oldest_undelivered: oldest }, period) {
  const jump = (id, words) => make("button", { type: "button", class: "small", click: () => goTo(byId(id)) }, words);
  const found = [];
  if (unknowns > 0) {
    const words = `${counted(unknowns, "call")} of unknown fate`;
    found.push(
      task(
        "unknown",
        words,
        "Of any time, not only of this period. Nobody knows whether impact.com has them.",
        jump("unknown", "How to find out"),
      ),
    );
  }
  if (states.rejected > 0) {
    const words = `${counted(states.rejected, "call")} rejected in ${period}`;
    found.push(
      task(
        "rejected",
        words,
        "impact.com does not have them, and no run sends them again by itself.",
        jump("rejected", "What to do"),
      ),
    );
  }
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
  const found = tasks(overview, period);
  return make(
    "div",
    { class: "glance" },
    make(
      "div",
      { class: "card outcome" },
      headline(states, total, period),
      make(
        "div",
        { class: "tiles" },
        ALWAYS.map((state) => tile(state, states[state] ?? 0, total)),
      ),
      asides.length === 0
        ? null
        : make(
            "ul",
            { class: "asides" },
            make("li", { class: "muted" }, "and"),
            asides.map((state) => aside(state, states[state])),
          ),
    ),
    make(
      "div",
      { class: "card needs" },
      make("h3", {}, found.length === 0 ? "Nothing needs a person" : "Needs a person"),
      found.length === 0
        ? make("p", { class: "calm" }, icon("delivered"), "No call is of unknown fate, and none waits to be delivered.")
        : make("ul", { class: "tasks" }, found),
    ),
  );
}
