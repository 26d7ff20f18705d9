// Deliveries, and the changes that people made.

import { change } from "./address.js";
import { byId, goTo, make } from "./dom.js";
import { airflowLink } from "./leaving.js";
import { badge, icon } from "./marks.js";
import { nothing } from "./part.js";
import { table } from "./table.js";
import { duration, moment, number, stateName } from "./words.js";

// The server returns no more runs.
const MOST = 50;

const ENDS = ["delivered", "already_delivered", "changed", "duplicate", "filtered", "rejected", "unknown", "not_sent"];

function origin({ source, task_url: taskUrl, actor, why }) {
  const task = taskUrl ? airflowLink(taskUrl, source) : source;
  return make(
    "div",
    { class: "origin" },
    make("span", {}, task),
    actor || why ? make("span", { class: "muted" }, [actor, why].filter(Boolean).join(": ")) : null,
  );
}

function counts(run) {
  const ends = ENDS.filter((end) => run[end] > 0);
  if (ends.length === 0) return make("span", { class: "muted" }, run.ended_at ? "none" : "not counted");
  return make(
    "ul",
    { class: "counts row" },
    ends.map((end) => make("li", {}, icon(end), `${number(run[end])} ${stateName(end).toLowerCase()}`)),
  );
}

// A person's change holds no lease.
function unended(run) {
  if (run.alive) return badge("open", "Under way");
  return run.kind === "deliver" ? badge("unknown", "Died") : badge("open", "Not ended");
}

function lasted(run) {
  return make(
    "div",
    { class: "origin" },
    make("span", {}, run.ended_at ? duration(run.seconds) : unended(run)),
    run.stop ? make("span", { class: "muted" }, `Stopped early: ${run.stop}`) : null,
  );
}

const show = (run) => () => {
  change({
    run: run.run_id,
    source: "",
    dag_run: "",
    state: "",
    reason_code: "",
    status: "",
    MediaId: "",
    CampaignId: "",
  });
  goTo(byId("calls"));
};

const COLUMNS = [
  { title: "Started", class: "moment", cell: (run) => moment(run.started_at) },
  { title: "Kind", cell: (run) => run.kind },
  { title: "By", class: "grows", cell: origin },
  { title: "Rows", cell: counts },
  { title: "Took", class: "took", cell: lasted },
  {
    title: "Calls",
    cell: (run) =>
      make(
        "button",
        {
          type: "button",
          class: "small",
          click: show(run),
          "aria-label": `Show the calls of the run that started ${moment(run.started_at)}`,
        },
        "Show",
      ),
  },
];

/** @param found of api/runs */
export function runs(found) {
  if (found.length === 0) return nothing("No run began in this period.");
  const rest = `The last ${MOST} runs are shown. For one DAG run or task, the calls below are the calls of these runs. The CSV has all runs.`;
  return make(
    "div",
    { class: "cards" },
    table("Runs, the last first", COLUMNS, found),
    found.length < MOST ? null : make("p", { class: "rest row" }, make("span", { class: "muted" }, rest)),
  );
}
