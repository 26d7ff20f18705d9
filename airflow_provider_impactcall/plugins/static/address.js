// What the page shows is kept in the address, after the #, so that a view can be sent to a colleague.

const NAMES = ["period", "namespace", "call", "run", "source", "state", "reason", "MediaId", "CampaignId"];

// Within Airflow, the address that people see and copy is that of the page around this one.
function around() {
  try {
    return window.parent === window || window.parent.location.origin !== window.location.origin ? null : window.parent;
  } catch {
    return null;
  }
}

const airflow = around();

if (airflow !== null && window.location.hash === "" && airflow.location.hash !== "") {
  window.history.replaceState(null, "", airflow.location.hash);
}

/** What the address says: text by name, '' for what it does not say. */
export function current() {
  const said = new URLSearchParams(window.location.hash.slice(1));
  return Object.fromEntries(NAMES.map((name) => [name, said.get(name) ?? ""]));
}

/** The address of the same page with some things changed, for a link. */
export function fragment(changes) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...current(), ...changes })) {
    if (value !== "") said.set(name, value);
  }
  return `#${said}`;
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
