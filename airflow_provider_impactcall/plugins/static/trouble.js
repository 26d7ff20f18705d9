// If nothing can be shown: why, and who can help.

import { byId, make } from "./dom.js";
import { airflowLink } from "./leaving.js";

const again = () =>
  make("button", { type: "button", class: "solid", click: () => window.location.reload() }, "Try again");

const KINDS = {
  401: () => ({
    title: "You are not logged in",
    body: [
      make("p", {}, "The session has ended, or never began."),
      make("p", {}, airflowLink("../", "Log in to Airflow")),
    ],
  }),
  403: (detail) => ({
    title: "You may not see the deliveries",
    body: [
      make("p", {}, detail),
      make("p", { class: "muted" }, "The administrator of this Airflow can give you the right."),
    ],
  }),
  503: (detail) => ({
    title: "There is no ledger to read",
    body: [
      make("p", {}, detail),
      make("p", { class: "muted" }, "No call is lost by that: a delivery stops if it cannot write to its ledger."),
      again(),
    ],
  }),
};

const OTHER = (detail) => ({ title: "The deliveries cannot be shown", body: [make("p", {}, detail), again()] });

/** @param error a Refused that every part met */
export function showTrouble(error) {
  const { title, body } = (KINDS[error.status] ?? OTHER)(error.message);
  byId("trouble-title").textContent = title;
  byId("trouble-body").replaceChildren(...body);
  byId("trouble").hidden = false;
  document.body.classList.add("troubled");
  byId("trouble-title").focus();
}

export function hideTrouble() {
  byId("trouble").hidden = true;
  document.body.classList.remove("troubled");
}
