// From delivered calls to their payout, by partner and campaign.

import { change } from "./address.js";
import { byId, goTo, make } from "./dom.js";
import { nothing } from "./part.js";
import { table } from "./table.js";
import { actionName, ago, counted, number, share } from "./words.js";

const FIRST = 8;
const ACTIONS = ["pending", "approved", "cleared", "reversed"];
// Shown only if there are any.
const SOMETIMES = ["other", "ambiguous", "not_followed"];

function show(way, action) {
  return () => {
    const { MediaId, CampaignId } = way;
    change({ action, MediaId, CampaignId, state: action === "" ? "delivered" : "", reason_code: "", status: "" });
    goTo(byId("calls"));
  };
}

function figure(way, name, action, words) {
  if (way[name] === 0) return make("span", { class: "zero" }, number(0));
  const label = `Show the calls of partner ${way.MediaId} and campaign ${way.CampaignId}: ${words}`;
  const button = { type: "button", class: "link", click: show(way, action), "aria-label": label };
  return make("button", button, number(way[name]));
}

function became(way) {
  return way.delivered === way.not_followed ? "–" : share(way.actions, way.delivered - way.not_followed);
}

function none(way) {
  if (way.none === 0) return figure(way, "none", "none", "");
  const since = make("span", { class: "muted since" }, `oldest ${ago(way.none_since)}`);
  return make("span", {}, figure(way, "none", "none", "no action"), " ", since);
}

function headline(found) {
  const sum = (name) => found.reduce((total, way) => total + way[name], 0);
  const followed = sum("delivered") - sum("not_followed");
  if (followed === 0) {
    return make(
      "p",
      {},
      `Nobody has looked for these ${counted(sum("delivered"), "delivered call")} among impact.com's actions yet: `,
      make("code", {}, "impactcall follow"),
      ", or FollowActionsOperator, does.",
    );
  }
  const cleared = make("strong", {}, `${number(sum("cleared"))} cleared`);
  const more = ["pending", "approved", "reversed"].map((name) => `${number(sum(name))} ${name}`).join(", ");
  return make(
    "p",
    {},
    `${number(sum("actions"))} of ${counted(followed, "delivered call")} that ${followed === 1 ? "was" : "were"} followed became actions: ${more}, of the approved `,
    cleared,
    ".",
  );
}

const number_ = (title, cell) => ({ title, number: true, cell });

/**
 * @param found of api/actions
 * @param nobody what to say if there are none
 */
export function ways(found, nobody) {
  if (found.length === 0) return nothing(nobody);
  const sometimes = SOMETIMES.filter((name) => found.some((way) => way[name] > 0));
  const columns = [
    { title: "MediaId", head: true, class: "id", cell: (way) => way.MediaId },
    { title: "CampaignId", class: "id", cell: (way) => way.CampaignId },
    number_("Delivered", (way) => figure(way, "delivered", "", "delivered")),
    number_("Actions", (way) => number(way.actions)),
    number_("Became one", became),
    ...ACTIONS.map((name) => number_(actionName(name), (way) => figure(way, name, name, actionName(name)))),
    number_("No action", none),
    ...sometimes.map((name) => number_(actionName(name), (way) => figure(way, name, name, actionName(name)))),
  ];
  const caption = "From delivered calls to their payout, by partner and campaign, most calls first";
  const place = make("div", { class: "cards ways" }, table(caption, columns, found.slice(0, FIRST)));
  const parts = [headline(found), place];
  if (found.length > FIRST) {
    const more = make("button", { type: "button" }, `Show all ${number(found.length)}`);
    more.addEventListener("click", () => {
      place.replaceChildren(table(caption, columns, found));
      place.querySelectorAll("tbody tr")[FIRST].querySelector("button")?.focus();
      more.remove();
    });
    parts.push(more);
  }
  return make("div", {}, parts);
}
