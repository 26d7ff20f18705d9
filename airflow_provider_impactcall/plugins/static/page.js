// The page as a whole: what is asked when, and what each control does.

import { change, current, onChange } from "./address.js";
import { Refused, ask, csv } from "./api.js";
import { MOST, PAGE, calls } from "./calls.js";
import { chart } from "./chart.js";
import { announce, byId, goTo, make } from "./dom.js";
import { glance } from "./glance.js";
import { groups, suggest } from "./groups.js";
import { history, inShort } from "./history.js";
import { Part, nothing } from "./part.js";
import { reasons } from "./reasons.js";
import { runs } from "./runs.js";
import { hideTrouble, showTrouble } from "./trouble.js";
import { PERIODS, moment } from "./words.js";

const DAY = 86_400_000;
const FILTERS = ["state", "reason", "MediaId", "CampaignId"];
const EVERYTHING = { run: "", source: "" };

const sections = ["answer", "over-time", "rejected", "unknown", "partners", "campaigns", "runs", "calls", "history"];
const parts = Object.fromEntries(sections.map((id) => [id, new Part(byId(id))]));

let shown = current();
let until = new Date();
let limit = PAGE;

const period = () => PERIODS[shown.period] ?? PERIODS["7d"];
const narrowed = () => shown.run !== "" || shown.source !== "";

// One moment for all parts, so that they tell of the same calls.
function common() {
  const since = new Date(until - period().days * DAY);
  return { since: since.toISOString(), until: until.toISOString(), namespace: shown.namespace };
}

function link(id, path, parameters) {
  byId(id).querySelector(".csv").href = csv(path, parameters);
}

async function loadOverall() {
  const asked = common();
  const words = period().words;
  const overview = parts.answer.show(
    (signal) => ask("overview", asked, signal),
    (answer) => (answer.namespaces.length === 0 ? emptyLedger() : glance(answer, words)),
  );
  const simple = [
    ["over-time", "over-time", (answer) => (answer.steps.length === 0 ? nothing("Nothing happened in this period.") : chart(answer))],
    ["rejected", "rejected", (answer) => reasons("rejected", answer, `No call was rejected in ${words}.`)],
    ["unknown", "unknown", (answer) => reasons("unknown", answer, `No call of ${words} is of unknown fate.`)],
    ["partners", "partners", (answer) => groups("MediaId", "partner", answer)],
    ["campaigns", "campaigns", (answer) => groups("CampaignId", "campaign", answer)],
  ].map(([id, path, render]) => {
    link(id, path, asked);
    return parts[id].show((signal) => ask(path, asked, signal), render);
  });
  const [, , , partners, campaigns] = simple;
  partners.then((found) => found && suggest(byId("known-partners"), "MediaId", found)).catch(() => {});
  campaigns.then((found) => found && suggest(byId("known-campaigns"), "CampaignId", found)).catch(() => {});
  overview.then((answer) => answer && describe(answer)).catch(() => {});
  return [overview, ...simple];
}

function emptyLedger() {
  return make(
    "div",
    { class: "card empty" },
    make("h3", {}, "No calls yet"),
    make("p", {}, "The ledger is empty. What a task delivers with SqlToImpactCallOperator, ImpactCallOperator or @task.impactcall appears here, from its first call on."),
  );
}

function describe({ ledger, namespace, namespaces }) {
  const kept = ledger === "embedded" ? "the embedded ledger" : `ledger ${ledger}`;
  const about = namespace ? `Calls to ${namespace}, from ${kept}` : `From ${kept}`;
  byId("about").textContent = `${about}, as of ${moment(until.toISOString())}. All times are UTC.`;
  byId("namespace-field").hidden = namespaces.length < 2;
  byId("namespace").replaceChildren(...namespaces.map((each) => make("option", { value: each, selected: each === namespace }, each)));
  document.body.classList.toggle("empty-ledger", namespaces.length === 0);
}

// The runs of a task instance come first: its calls are theirs.
async function loadRunsAndCalls() {
  const of = narrowed() ? { namespace: shown.namespace, run_id: shown.run, source: shown.source } : common();
  link("runs", "runs", of);
  const found = parts.runs.show((signal) => ask("runs", of, signal), runs);
  if (shown.source === "") return [found, loadCalls()];
  return [found, found.then((answer) => answer && loadCalls(answer.map((run) => run.run_id)))];
}

function loadCalls(runIds = shown.run === "" ? [] : [shown.run]) {
  const filters = Object.fromEntries(FILTERS.map((name) => [name, shown[name]]));
  const of = runIds.length > 0 ? { namespace: shown.namespace, run_id: runIds, ...filters } : { ...common(), ...filters };
  link("calls", "calls", of);
  const more = () => {
    limit = Math.min(MOST, limit + PAGE);
    const before = byId("calls").querySelectorAll("tbody tr").length;
    loadCalls(runIds)
      .then(() => byId("calls").querySelectorAll("tbody tr")[before]?.querySelector("a").focus())
      .catch(() => {});
  };
  if (shown.source !== "" && runIds.length === 0) {
    return parts.calls.show(async () => ({ calls: [], more: false }), (answer) => calls(answer, more));
  }
  return parts.calls.show((signal) => ask("calls", { ...of, limit }, signal), (answer) => calls(answer, more));
}

async function loadHistory() {
  const id = shown.call;
  byId("history").hidden = id === "";
  if (id === "") return;
  const asked = { CallSessionId: id, namespace: shown.namespace };
  const answer = await parts.history.show((signal) => ask("history", asked, signal), (found) => history(found, id));
  if (answer) announce(inShort(answer));
}

function reflectControls() {
  for (const radio of document.querySelectorAll("[name=period]")) radio.checked = PERIODS[radio.value] === period();
  const form = byId("filters");
  for (const name of ["state", "MediaId", "CampaignId"]) form.elements[name].value = shown[name];
  byId("call").value = shown.call;
  const chips = [];
  if (shown.reason !== "") chips.push(["Reason", shown.reason, { reason: "" }]);
  if (shown.state !== "") chips.push(["State", form.elements.state.selectedOptions[0]?.textContent ?? shown.state, { state: "" }]);
  if (shown.MediaId !== "") chips.push(["Partner", shown.MediaId, { MediaId: "" }]);
  if (shown.CampaignId !== "") chips.push(["Campaign", shown.CampaignId, { CampaignId: "" }]);
  byId("chips").replaceChildren(
    ...chips.map(([name, value, without]) =>
      make(
        "button",
        { type: "button", class: "chip", click: () => change(without), "aria-label": `Remove the filter ${name}: ${value}` },
        make("span", {}, `${name}: ${value}`),
        make("span", { "aria-hidden": "true" }, "×"),
      ),
    ),
  );
  const scope = byId("scope");
  scope.hidden = !narrowed();
  for (const section of document.querySelectorAll("[data-overall]")) section.hidden = narrowed();
  scope.replaceChildren(
    make("p", {}, shown.run !== "" ? "One run: " : "The runs of one task: ", make("code", { class: "id" }, shown.run || shown.source)),
    make("button", { type: "button", click: () => change(EVERYTHING) }, "Show everything"),
  );
}

// What every part met is shown once, and not in each.
async function tellOf(loading) {
  const settled = await Promise.allSettled(loading);
  const failed = settled.filter((each) => each.status === "rejected").map((each) => each.reason);
  const [first] = failed.filter((error) => error instanceof Refused);
  const noRight = failed.find((error) => error.status === 401 || error.status === 403);
  if (noRight) showTrouble(noRight);
  else if (first && failed.length === settled.length) showTrouble(first);
  else if (failed.length > 0) announce(`Loaded, but for ${failed.length} parts`);
  else announce("Loaded");
  for (const error of failed) if (!(error instanceof Refused)) console.error(error);
}

async function load() {
  until = new Date();
  hideTrouble();
  announce("Loading");
  const overall = narrowed() ? [] : await loadOverall();
  await tellOf([...overall, ...(await loadRunsAndCalls()), loadHistory()].filter(Boolean));
}

function refilter() {
  if (shown.source === "") loadCalls().catch(() => {});
  else loadRunsAndCalls();
}

function follow() {
  const before = shown;
  shown = current();
  limit = PAGE;
  reflectControls();
  const changed = (names) => names.some((name) => before[name] !== shown[name]);
  if (changed(["period", "namespace", "run", "source"])) {
    load();
  } else {
    if (changed(FILTERS)) refilter();
    if (changed(["call"])) loadHistory().catch(() => {});
  }
  if (changed(["call"]) && shown.call !== "") goTo(byId("history"));
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
  const { state, MediaId, CampaignId } = event.target.elements;
  change({ state: state.value, MediaId: MediaId.value.trim(), CampaignId: CampaignId.value.trim() });
});
byId("filters").elements.state.addEventListener("change", ({ target }) => change({ state: target.value, reason: "" }));
onChange(follow);

reflectControls();
load();
if (shown.call !== "") goTo(byId("history"));
