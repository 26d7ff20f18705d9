// The page as a whole: when it asks for which data, and what each control does.

import { change, current, onChange } from "./address.js";
import { ask, csv, Refused } from "./api.js";
import { calls, MOST, PAGE } from "./calls.js";
import { chart } from "./chart.js";
import { announce, byId, goTo, make } from "./dom.js";
import { glance } from "./glance.js";
import { groups, suggest } from "./groups.js";
import { history, inShort } from "./history.js";
import { throughAirflow } from "./leaving.js";
import { nothing, Part } from "./part.js";
import { reasons } from "./reasons.js";
import { linkToDag } from "./remedy.js";
import { changed, filtered, invalid } from "./rows.js";
import { runs } from "./runs.js";
import { hideTrouble, showTrouble } from "./trouble.js";
import { ways } from "./ways.js";
import { actionName, moment, PERIODS, reasonName } from "./words.js";

const DAY = 86_400_000;
const FILTERS = ["state", "reason_code", "status", "MediaId", "CampaignId", "action"];
const EVERYTHING = { run: "", source: "", dag_run: "" };
// In days. The server counts by partner and campaign for no longer period.
const LONGEST_COUNTED = 31;

const sections = [
  ...["answer", "over-time", "invalid", "rejected", "unknown", "changed", "filtered", "partners", "campaigns"],
  "ways",
  ...["runs", "calls", "history"],
];
const parts = Object.fromEntries(sections.map((id) => [id, new Part(byId(id))]));

let shown = current();
let until = new Date();
let limit = PAGE;

const period = () => PERIODS[shown.period] ?? PERIODS["7d"];
const narrowed = () => Object.keys(EVERYTHING).some((name) => shown[name] !== "");

// One moment for all parts, so that they show the same calls.
function common() {
  const since = new Date(until - period().days * DAY);
  return { since: since.toISOString(), until: until.toISOString(), namespace: shown.namespace };
}

function link(id, path, parameters) {
  byId(id).querySelector(".csv").href = csv(path, parameters);
}

function loadOverall() {
  const asked = common();
  const words = period().words;
  const overview = parts.answer.show(
    (signal) => ask("overview", asked, signal),
    (answer) => (answer.namespaces.length === 0 ? emptyLedger() : glance(answer, words)),
  );
  const simple = [
    [
      "over-time",
      "over-time",
      (answer) => (answer.steps.length === 0 ? nothing("Nothing happened in this period.") : chart(answer)),
    ],
    ["rejected", "rejected", (answer) => reasons("rejected", answer, `impact.com rejected no call in ${words}.`)],
    ["unknown", "unknown", (answer) => reasons("unknown", answer, `No call of ${words} is of unknown fate.`)],
    ["changed", "changed", (answer) => changed(answer, `No delivered call came again with other content in ${words}.`)],
  ].map(([id, path, render]) => {
    link(id, path, asked);
    return parts[id].show((signal) => ask(path, asked, signal), render);
  });
  overview.then((answer) => answer && describe(answer)).catch(() => {});
  return [
    overview,
    ...simple,
    ...loadRows(asked, `No row was rejected here in ${words}.`),
    loadGroups("partners", "MediaId", "partner", asked),
    loadGroups("campaigns", "CampaignId", "campaign", asked),
    loadWays(asked, words),
  ];
}

// The rows of a period, or of some runs.
function loadRows(of, none) {
  const render = { invalid: (answer) => invalid(answer, none), filtered };
  return Object.keys(render).map((name) => {
    link(name, name, of);
    return parts[name].show((signal) => ask(name, of, signal), render[name]);
  });
}

// Whether the period is short enough to count calls one by one; if not, the part says so.
function countedIn(id) {
  const counted = period().days <= LONGEST_COUNTED;
  byId(id).querySelector(".csv").hidden = !counted;
  if (!counted) {
    parts[id]
      .show(
        async () => [],
        () => nothing("Counted for at most 31 days: choose a shorter period above."),
      )
      .catch(() => {});
  }
  return counted;
}

async function loadGroups(path, name, what, asked) {
  if (!countedIn(path)) return;
  link(path, path, asked);
  const found = await parts[path].show(
    (signal) => ask(path, asked, signal),
    (answer) => groups(name, what, answer),
  );
  if (found) suggest(byId(`known-${path}`), name, found);
}

async function loadWays(asked, words) {
  if (!countedIn("ways")) return;
  link("ways", "actions", asked);
  await parts.ways.show(
    (signal) => ask("actions", asked, signal),
    (answer) => ways(answer, `No call was delivered in ${words}.`),
  );
}

function emptyLedger() {
  return make(
    "div",
    { class: "card empty" },
    make("h3", {}, "No calls yet"),
    make(
      "p",
      {},
      "The ledger is empty. Calls that a task delivers with SqlToImpactCallOperator, ImpactCallOperator or @task.impactcall appear here, from the first call on.",
    ),
  );
}

function describe({ ledger, namespace, namespaces, can_be_corrected: canBeCorrected }) {
  linkToDag(canBeCorrected);
  const kept = ledger === "embedded" ? "the embedded ledger" : `ledger ${ledger}`;
  const about = namespace ? `Calls to ${namespace}, from ${kept}` : `From ${kept}`;
  byId("about").textContent = `${about}, as of ${moment(until.toISOString())}. All times are UTC.`;
  byId("namespace-field").hidden = namespaces.length < 2;
  byId("namespace").replaceChildren(
    ...namespaces.map((each) => make("option", { value: each, selected: each === namespace }, each)),
  );
  document.body.classList.toggle("empty-ledger", namespaces.length === 0);
}

// A DAG's id has no slash; a run's id may have one.
function ofDagRun() {
  const at = shown.dag_run.indexOf("/");
  return at < 0 ? {} : { dag_id: shown.dag_run.slice(0, at), dag_run_id: shown.dag_run.slice(at + 1) };
}

function loadRunsAndCalls() {
  if (!narrowed()) {
    const of = common();
    link("runs", "runs", of);
    return [parts.runs.show((signal) => ask("runs", of, signal), runs), loadCalls(of)];
  }
  const of = { run_id: shown.run, source: shown.source, ...ofDagRun() };
  link("runs", "runs", of);
  const found = parts.runs.show((signal) => ask("runs", of, signal), runs);
  // The runs come first: the calls are the calls of these runs.
  return [found, found.then((answer) => answer && loadCallsOf(answer))];
}

function loadCallsOf(found) {
  if (found.length === 0) {
    const none = () => nothing("There is no such run, so there is nothing to show.");
    return Promise.all(["invalid", "filtered", "calls"].map((name) => parts[name].show(async () => [], none)));
  }
  const of = { run_id: found.map((run) => run.run_id) };
  return Promise.all([...loadRows(of, "No row was rejected here."), loadCalls(of)]);
}

// A row may have no link.
const firstLink = (rows) => rows.map((row) => row.querySelector("a")).find((link) => link !== null);

function loadCalls(of) {
  const filtered = { ...of, ...Object.fromEntries(FILTERS.map((name) => [name, shown[name]])) };
  const more = () => {
    limit = Math.min(MOST, limit + PAGE);
    const before = byId("calls").querySelectorAll("tbody tr").length;
    loadCalls(of)
      .then(() => firstLink([...byId("calls").querySelectorAll("tbody tr")].slice(before))?.focus())
      .catch(() => {});
  };
  link("calls", "calls", filtered);
  return parts.calls.show(
    (signal) => ask("calls", { ...filtered, limit }, signal),
    (answer) => calls(answer, more),
  );
}

async function loadHistory() {
  const id = shown.call;
  byId("history").hidden = id === "";
  if (id === "") return;
  const asked = { CallSessionId: id, namespace: shown.namespace };
  const answer = await parts.history.show(
    (signal) => ask("history", asked, signal),
    (found) => history(found, id),
  );
  if (answer) announce(inShort(answer));
}

function narrowedTo() {
  if (shown.run !== "") return "One run";
  return shown.source !== "" ? "The runs of one task" : "What one DAG run delivered";
}

function reflectControls() {
  for (const radio of document.querySelectorAll("[name=period]")) radio.checked = PERIODS[radio.value] === period();
  const form = byId("filters");
  for (const name of ["state", "MediaId", "CampaignId", "action"]) form.elements[name].value = shown[name];
  byId("call").value = shown.call;
  const chips = [];
  if (shown.reason_code !== "")
    chips.push(["Reason", reasonName(shown.reason_code, shown.status), { reason_code: "", status: "" }]);
  if (shown.state !== "")
    chips.push(["State", form.elements.state.selectedOptions[0]?.textContent ?? shown.state, { state: "" }]);
  if (shown.action !== "") chips.push(["At impact.com", actionName(shown.action), { action: "" }]);
  if (shown.MediaId !== "") chips.push(["Partner", shown.MediaId, { MediaId: "" }]);
  if (shown.CampaignId !== "") chips.push(["Campaign", shown.CampaignId, { CampaignId: "" }]);
  byId("chips").replaceChildren(
    ...chips.map(([name, value, without]) =>
      make(
        "button",
        {
          type: "button",
          class: "chip",
          click: () => change(without),
          "aria-label": `Remove the filter ${name}: ${value}`,
        },
        make("span", {}, `${name}: ${value}`),
        make("span", { "aria-hidden": "true" }, "×"),
      ),
    ),
  );
  const scope = byId("scope");
  scope.hidden = !narrowed();
  for (const section of document.querySelectorAll("[data-overall]")) section.hidden = narrowed();
  document.querySelector(".segments").hidden = narrowed();
  scope.replaceChildren(
    make("p", {}, `${narrowedTo()}: `, make("code", { class: "id" }, shown.run || shown.source || shown.dag_run)),
    make("button", { type: "button", click: () => change(EVERYTHING) }, "Show everything"),
  );
}

const forbidden = (error) => error.status === 401 || error.status === 403;

// An error of all parts is shown once, not in each part.
async function tellOf(loading) {
  for (const each of loading) each.catch((error) => forbidden(error) && showTrouble(error));
  const settled = await Promise.allSettled(loading);
  const failed = settled.filter((each) => each.status === "rejected").map((each) => each.reason);
  const [first] = failed.filter((error) => error instanceof Refused);
  if (failed.some(forbidden)) return;
  if (first && failed.length === settled.length) showTrouble(first);
  else if (failed.length > 0) announce(`Loaded, except ${failed.length} parts`);
  else announce("Loaded");
  for (const error of failed) if (!(error instanceof Refused)) console.error(error);
}

async function load() {
  until = new Date();
  hideTrouble();
  announce("Loading");
  const call = shown.call === "" ? [] : [loadHistory()];
  await tellOf([...(narrowed() ? [] : loadOverall()), ...loadRunsAndCalls(), ...call]);
}

function refilter() {
  const [found, filtered] = narrowed() ? loadRunsAndCalls() : [Promise.resolve(), loadCalls(common())];
  Promise.all([found, filtered]).catch(() => {});
}

function follow() {
  const before = shown;
  shown = current();
  limit = PAGE;
  reflectControls();
  const changed = (names) => names.some((name) => before[name] !== shown[name]);
  if (changed(["period", "namespace", ...Object.keys(EVERYTHING)])) load();
  else if (changed(FILTERS)) refilter();
  if (!changed(["call"])) return;
  loadHistory().catch(() => {});
  if (shown.call !== "") goTo(byId("history"));
}

byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("controls").addEventListener("change", ({ target }) => {
  if (target.name === "period") change({ period: target.value === "7d" ? "" : target.value });
  if (target.name === "namespace") change({ namespace: target.value });
});
byId("refresh").addEventListener("click", () => load());
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("call").value.trim();
  if (id !== "" && id === shown.call) loadHistory().catch(() => {});
  else change({ call: id });
});
byId("history-close").addEventListener("click", () => {
  change({ call: "" });
  byId("call").focus();
});
byId("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  const { state, MediaId, CampaignId, action } = event.target.elements;
  const ids = { MediaId: MediaId.value.trim(), CampaignId: CampaignId.value.trim() };
  change({ state: state.value, action: action.value, ...ids });
});
byId("filters").elements.state.addEventListener("change", ({ target }) =>
  change({ state: target.value, reason_code: "", status: "" }),
);
byId("filters").elements.action.addEventListener("change", ({ target }) => change({ action: target.value }));
for (const download of document.querySelectorAll(".csv")) download.addEventListener("click", throughAirflow);
onChange(follow);

reflectControls();
load();
if (shown.call !== "") goTo(byId("history"));
