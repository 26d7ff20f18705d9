// The mark of a state. The shape alone tells the state, also without the colour.

import { draw, make } from "./dom.js";
import { stateName } from "./words.js";

const SHAPES = {
  delivered: ["M4.5 8.3l2.4 2.4 4.6-5"],
  already_delivered: ["M4.5 8.3l2.4 2.4 4.6-5"],
  rejected: ["M5.4 5.4l5.2 5.2", "M10.6 5.4l-5.2 5.2"],
  invalid: ["M5.2 10.8l5.6-5.6"],
  unknown: ["M6 6.3a2 2 0 1 1 2.8 1.8c-.6.3-.8.6-.8 1.2", "M8 11.3v.2"],
  not_sent: ["M5 8h6"],
  requeued: ["M5 9.8a3.3 3.3 0 0 0 6.2-1.1", "M11 6.2A3.3 3.3 0 0 0 4.8 7.3", "M11.3 4.6v1.8H9.5", "M4.7 11.4V9.6h1.8"],
  open: ["M8 5v3.2l2 1.3"],
  changed: ["M5 6.6h6", "M5 9.4h6", "M9.5 4.8l-3 6.4"],
};

export function icon(state) {
  const paths = (SHAPES[state] ?? ["M7.9 8h.2"]).map((d) => draw("path", { d }));
  return draw(
    "svg",
    { class: `icon ${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    draw("circle", { cx: 8, cy: 8, r: 7 }),
    paths,
  );
}

export function badge(state, words = stateName(state)) {
  return make("span", { class: `badge ${state}` }, icon(state), words);
}
