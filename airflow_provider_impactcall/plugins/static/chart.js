// Calls by outcome over time: calls that arrived above, all others below, each on its own scale.

import { draw, make } from "./dom.js";
import { icon } from "./marks.js";
import { table } from "./table.js";
import { fullName, number, step as stepName, tick } from "./words.js";

const TROUBLED = ["rejected", "invalid", "unknown", "not_sent"];
const SHOWN = ["delivered", ...TROUBLED];

const LEFT = 52;
const RIGHT = 8;
const BANDS = { delivered: { top: 10, height: 120 }, troubled: { top: 158, height: 64 } };
const HEIGHT = 250;
const WIDEST_BAR = 40;
const TICK_WIDTH = 62;
// The least height, so that a few calls are still visible.
const LEAST = 2;

const sum = (step, states) => states.reduce((total, state) => total + step[state], 0);

// The next round number above, and an even one: the axis shows its half too, and there are no half calls.
function roundUp(value) {
  if (value <= 4) return 4;
  const magnitude = 10 ** Math.floor(Math.log10(value));
  const rounds = [1, 2, 4, 5, 6, 10].map((factor) => factor * magnitude);
  return rounds.find((round) => round >= value && round % 2 === 0);
}

// Lines and dots, to tell the outcomes apart without colours.
function patterns() {
  const shapes = {
    rejected: draw("path", { d: "M0 6L6 0M-1.5 1.5L1.5-1.5M4.5 7.5L7.5 4.5" }),
    invalid: draw("path", { d: "M3 0V6" }),
    unknown: draw("circle", { cx: 3, cy: 3, r: 1.4 }),
    not_sent: draw("path", { d: "M0 3H6" }),
  };
  return draw(
    "defs",
    {},
    Object.entries(shapes).map(([state, shape]) =>
      draw(
        "pattern",
        { id: `pattern-${state}`, class: `pattern ${state}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
        draw("rect", { width: 6, height: 6 }),
        shape,
      ),
    ),
  );
}

function axis(band, most, width) {
  return [0, most / 2, most].map((value) => {
    const y = band.top + band.height * (1 - value / most);
    return [
      draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
      draw("text", { class: "axis", x: LEFT - 8, y: y + 4, "text-anchor": "end" }, number(value)),
    ];
  });
}

function bar(step, states, band, most, x, width) {
  let bottom = band.top + band.height;
  return states
    .filter((state) => step[state] > 0)
    .map((state) => {
      const height = Math.max(LEAST, (band.height * step[state]) / most);
      bottom -= height;
      const fill = state === "delivered" ? null : `url(#pattern-${state})`;
      return draw("rect", { class: `bar ${state}`, x, width, y: bottom, height, fill });
    });
}

function picture({ step: size, steps }, width) {
  const room = (width - LEFT - RIGHT) / steps.length;
  const barWidth = Math.max(1, Math.min(WIDEST_BAR, room * 0.72));
  const left = (index) => LEFT + index * room + (room - barWidth) / 2;
  const { delivered, troubled } = BANDS;
  const mostDelivered = roundUp(Math.max(...steps.map((each) => each.delivered)));
  const mostTroubled = roundUp(Math.max(...steps.map((each) => sum(each, TROUBLED))));
  const every = Math.ceil(TICK_WIDTH / room);
  return draw(
    "svg",
    { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    patterns(),
    draw("rect", { class: "cursor", x: 0, y: 0, width: room, height: HEIGHT - 22, rx: 3 }),
    axis(delivered, mostDelivered, width),
    axis(troubled, mostTroubled, width),
    steps.map((each, index) =>
      [
        ...bar(each, ["delivered"], delivered, mostDelivered, left(index), barWidth),
        ...bar(each, TROUBLED, troubled, mostTroubled, left(index), barWidth),
        index % every === 0
          ? draw(
              "text",
              { class: "axis", x: LEFT + (index + 0.5) * room, y: HEIGHT - 4, "text-anchor": "middle" },
              tick(each.at, size),
            )
          : null,
      ].filter(Boolean),
    ),
  );
}

const inSentence = (state) => `${fullName(state).charAt(0).toLowerCase()}${fullName(state).slice(1)}`;

const inWords = (step, size) =>
  `${stepName(step.at, size)}: ${SHOWN.map((state) => `${number(step[state])} ${inSentence(state)}`).join(", ")}`;

function legend(steps) {
  return make(
    "ul",
    { class: "legend row" },
    SHOWN.map((state) =>
      make(
        "li",
        {},
        icon(state),
        `${fullName(state)} `,
        make("strong", {}, number(steps.reduce((total, each) => total + each[state], 0))),
      ),
    ),
  );
}

function asTable({ step: size, steps }) {
  const columns = [
    { title: { hour: "Hour", day: "Day", month: "Month" }[size], head: true, cell: (each) => stepName(each.at, size) },
    ...SHOWN.map((state) => ({ title: fullName(state), number: true, cell: (each) => number(each[state]) })),
  ];
  return make(
    "details",
    {},
    make("summary", {}, "Show as a table"),
    make(
      "div",
      { class: "wide", role: "region", tabindex: 0, "aria-label": "Calls over time, as a table" },
      table("Calls by outcome over time", columns, steps),
    ),
  );
}

/**
 * The chart, with a legend, a line about the step under the pointer or the keyboard's focus, and a table.
 * @param answer of api/over-time, with at least one step
 */
export function chart(answer) {
  const { step: size, steps } = answer;
  const last = steps.length - 1;
  const readout = make("p", { class: "readout muted", "aria-hidden": "true" });
  // Arrow keys move along the steps; a screen reader reads each step out.
  const stage = make("div", {
    class: "chart",
    role: "slider",
    tabindex: 0,
    "aria-label": "Calls by outcome over time",
    "aria-valuemin": 0,
    "aria-valuemax": last,
  });
  let at = last;

  function point(index) {
    at = Math.min(last, Math.max(0, index));
    const said = inWords(steps[at], size);
    stage.setAttribute("aria-valuenow", at);
    stage.setAttribute("aria-valuetext", said);
    readout.textContent = said;
    const room = (stage.clientWidth - LEFT - RIGHT) / steps.length;
    stage.querySelector(".cursor")?.setAttribute("x", LEFT + at * room);
  }

  stage.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last };
    if (event.key in moves) {
      event.preventDefault();
      point(moves[event.key]);
    }
  });
  stage.addEventListener("pointermove", (event) => {
    const room = (stage.clientWidth - LEFT - RIGHT) / steps.length;
    point(Math.floor((event.clientX - stage.getBoundingClientRect().left - LEFT) / room));
  });

  let drawn = 0;
  const onResize = new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width > 0 && width !== drawn) {
      drawn = width;
      stage.replaceChildren(picture(answer, width));
      point(at);
    }
  });
  onResize.observe(stage);
  point(last);
  return make("div", {}, legend(steps), stage, readout, asTable(answer));
}
