// What the page shows is kept in the address, after the #, so that a view can be sent to a colleague.

const NAMES = [
  ...["period", "namespace", "call", "run", "source", "dag_run"],
  ...["state", "reason_code", "status", "MediaId", "CampaignId", "action"],
];

// Within Airflow, the address that people see and copy is that of the page around this one.
function around() {
  try {
    return window.parent === window || window.parent.location.origin !== window.location.origin ? null : window.parent;
  } catch {
    return null;
  }
}

const airflow = around();

if (airflow !== null && airflow.location.hash !== "") {
  window.history.replaceState(null, "", airflow.location.hash);
}

// Not URLSearchParams: Airflow writes a + of a run's id as it is, and does not mean a space by it.
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function said() {
  const pairs = window.location.hash.slice(1).split("&");
  return new Map(pairs.map((pair) => [pair.split("=", 1)[0], decode(pair.slice(pair.indexOf("=") + 1))]));
}

/** What the address says: text by name, '' for what it does not say. */
export function current() {
  const found = said();
  return Object.fromEntries(NAMES.map((name) => [name, found.get(name) ?? ""]));
}

/** The address of the same page with some things changed, for a link. */
export function fragment(changes) {
  const pairs = Object.entries({ ...current(), ...changes }).filter(([, value]) => value !== "");
  return `#${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&")}`;
}

function reflect() {
  if (airflow === null) return;
  const { pathname, search } = airflow.location;
  airflow.history.replaceState(airflow.history.state, "", `${pathname}${search}${window.location.hash}`);
}

let listener = () => {};

/** Change what the address says, and the page after it; one step back undoes it. */
export function change(changes) {
  const next = fragment(changes);
  if (next === (window.location.hash || "#")) return;
  window.history.pushState(null, "", next);
  reflect();
  listener();
}

/** Call back whenever the address has changed. */
export function onChange(callback) {
  listener = callback;
  window.addEventListener("popstate", () => {
    reflect();
    callback();
  });
}
