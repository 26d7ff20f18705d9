// The address holds what the page shows, after the #, so that a person can send a view to a colleague.

const NAMES = [
  ...["period", "namespace", "call", "run", "source", "dag_run"],
  ...["state", "reason_code", "status", "MediaId", "CampaignId", "action"],
];

// Within Airflow, people see and copy the address of the page around this page.
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

// Not URLSearchParams, which reads a + as a space: Airflow does not encode the + of a run's id.
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

/** The values in the address by name; '' for a name that is not there. */
export function current() {
  const found = said();
  return Object.fromEntries(NAMES.map((name) => [name, found.get(name) ?? ""]));
}

/** The address of this page with some values changed, for a link. */
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

/** Change values in the address, and update the page. One step back undoes the change. */
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
