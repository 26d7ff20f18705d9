// What did not arrive, by reason, with what to do about each.

import { change } from "./address.js";
import { copyButton } from "./copying.js";
import { byId, goTo, make } from "./dom.js";
import { icon } from "./marks.js";
import { nothing } from "./part.js";
import { ago, counted, reasonName } from "./words.js";

const FIRST = 5;

function sentence({ reason, calls }, all) {
  return make("li", {}, make("q", {}, reason), calls === all ? null : ` (${counted(calls, "call")})`);
}

function item(state, found) {
  const {
    reason_code: code,
    status,
    calls,
    reasons: sentences,
    last_at: lastAt,
    what_to_do: whatToDo,
    command,
  } = found;
  const title = reasonName(code, status);
  const show = () => {
    change({ state, reason_code: code, status: status ?? 0 });
    goTo(byId("calls"));
  };
  return make(
    "li",
    { class: "reason" },
    make(
      "div",
      { class: "reason-head" },
      icon(state),
      make(
        "div",
        {},
        make("h3", {}, title),
        make(
          "span",
          { class: "muted" },
          `${counted(calls, "call")}, ${calls === 1 ? "" : "the latest "}${ago(lastAt)}`,
        ),
      ),
    ),
    make(
      "ul",
      { class: "sentences" },
      sentences.filter(({ reason }) => reason !== "").map((each) => sentence(each, calls)),
    ),
    make("p", {}, sentences.length > 1 ? `${whatToDo} The command is for all of these sentences.` : whatToDo),
    make("div", { class: "command" }, make("code", {}, command), copyButton(command, `the command for: ${title}`)),
    make("button", { type: "button", class: "link", click: show }, `Show ${calls === 1 ? "this call" : "these calls"}`),
  );
}

/**
 * @param state that these calls are in
 * @param found of api/rejected or api/unknown
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
