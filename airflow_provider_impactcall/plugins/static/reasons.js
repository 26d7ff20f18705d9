// Calls and rows that did not arrive, by reason, with what to do about each.

import { change } from "./address.js";
import { byId, goTo, make } from "./dom.js";
import { icon } from "./marks.js";
import { nothing } from "./part.js";
import { remedy } from "./remedy.js";
import { ago, counted, number, reasonName } from "./words.js";

const FIRST = 5;

// Sentences of rows have no count: there is one for each column.
function sentence({ reason, calls = null }, all) {
  return make("li", {}, make("q", {}, reason), calls === all || calls === null ? null : ` (${counted(calls, "call")})`);
}

const FIRST_PARAMETERS = 6;

function amount({ calls, rows, not_kept: notKept }) {
  if (rows === undefined) return counted(calls, "call");
  return notKept > 0 ? `${counted(rows, "row")}, and ${number(notKept)} that runs only counted` : counted(rows, "row");
}

function columns(parameters) {
  if (!parameters) return null;
  const named = parameters.slice(0, FIRST_PARAMETERS).map((each) => `${each.parameter || "other"} (${amount(each)})`);
  const rest = parameters.length - named.length;
  return make(
    "p",
    {},
    "In ",
    make("strong", {}, named.join(", ")),
    rest > 0 ? `, and ${counted(rest, "more column")}` : "",
    ".",
  );
}

function item(state, found) {
  const { reason_code: code, status, reasons: sentences, last_at: lastAt, what_to_do: whatToDo, command } = found;
  const ofRows = found.rows !== undefined;
  const shown = ofRows ? found.rows : found.calls;
  const title = reasonName(code, status);
  const show = () => {
    change({ state, reason_code: code, status: ofRows ? "" : (status ?? 0) });
    goTo(byId("calls"));
  };
  const told = ofRows ? sentences.map((reason) => ({ reason })) : sentences.filter(({ reason }) => reason !== "");
  const forAll = command !== "" && (told.length > 1 || found.parameters?.length > 1);
  const these = ofRows ? ["this row", "these rows"] : ["this call", "these calls"];
  return make(
    "li",
    { class: "reason" },
    make(
      "div",
      { class: "reason-head" },
      icon(state),
      make(
        "div",
        { class: "row" },
        make("h3", {}, title),
        make("span", { class: "muted" }, `${amount(found)}, ${shown === 1 ? "" : "the latest "}${ago(lastAt)}`),
      ),
    ),
    columns(found.parameters),
    told.length === 0
      ? null
      : make(
          "ul",
          { class: "sentences" },
          told.map((each) => sentence(each, shown)),
        ),
    make("p", {}, forAll ? `${whatToDo} The command is for all of these.` : whatToDo),
    command === "" ? null : remedy(command, title),
    shown === 0
      ? null
      : make("button", { type: "button", class: "link", click: show }, `Show ${these[shown === 1 ? 0 : 1]}`),
  );
}

/**
 * @param state the state of these calls, or invalid
 * @param found of api/rejected, api/unknown or api/invalid
 * @param none what to say if there are none
 */
export function reasons(state, found, none) {
  if (found.length === 0) return nothing(none);
  const list = make(
    "ul",
    { class: "reasons" },
    found.slice(0, FIRST).map((each) => item(state, each)),
  );
  const rest = found.slice(FIRST);
  if (rest.length === 0) return list;
  const more = make("button", { type: "button" }, `Show ${counted(rest.length, "more reason")}`);
  more.addEventListener("click", () => {
    const items = rest.map((each) => item(state, each));
    list.append(...items);
    items[0].querySelector("button").focus();
    more.remove();
  });
  return make("div", {}, list, more);
}
