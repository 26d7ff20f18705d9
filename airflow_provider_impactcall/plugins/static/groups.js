// Calls by partner and by campaign.

import { change } from "./address.js";
import { byId, draw, goTo, make } from "./dom.js";
import { nothing } from "./part.js";
import { table } from "./table.js";
import { number, share, stateName } from "./words.js";

const FIRST = 8;
const TROUBLED = ["rejected", "invalid", "unknown", "not_sent"];

function arrived({ calls, delivered }) {
  return make(
    "span",
    { class: "arrived" },
    draw(
      "svg",
      { class: "share", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("rect", { class: "rest", width: 100, height: 6 }),
      draw("rect", { class: "part-of", width: calls === 0 ? 0 : (100 * delivered) / calls, height: 6 }),
    ),
    share(delivered, calls),
  );
}

/**
 * @param name the name of the column that tells groups apart: MediaId, CampaignId
 * @param what one group is called
 * @param found of api/partners or api/campaigns
 */
export function groups(name, what, found) {
  if (found.length === 0) return nothing(`No call of any ${what} changed in this period.`);
  const show = (id) => () => {
    change({ [name]: id });
    goTo(byId("calls"));
  };
  const columns = [
    {
      title: name,
      head: true,
      cell: (group) =>
        make(
          "button",
          {
            type: "button",
            class: "link id",
            click: show(group[name]),
            "aria-label": `Show the calls of ${what} ${group[name]}`,
          },
          group[name] || "none",
        ),
    },
    { title: "Calls", number: true, cell: (group) => number(group.calls) },
    ...TROUBLED.filter((state) => state in found[0]).map((state) => ({
      title: stateName(state),
      number: true,
      cell: (group) => make("span", { class: group[state] > 0 ? state : "zero" }, number(group[state])),
    })),
    { title: "Arrived", class: "share-cell", cell: arrived },
  ];
  const caption = `Calls by ${what}, most first`;
  const place = make("div", { class: "numbers" }, table(caption, columns, found.slice(0, FIRST)));
  if (found.length <= FIRST) return place;
  const more = make("button", { type: "button" }, `Show all ${number(found.length)}`);
  more.addEventListener("click", () => {
    place.replaceChildren(table(caption, columns, found));
    place.querySelectorAll("tbody tr")[FIRST].querySelector("button").focus();
  });
  return make("div", {}, place, more);
}

/** Suggest the existing groups in a filter's field. */
export function suggest(list, name, found) {
  list.replaceChildren(...found.map((group) => make("option", { value: group[name] })));
}
