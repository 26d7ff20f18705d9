// Airflow's theme: as on the page around this page, else as the system prefers.

const own = document.documentElement;

function around() {
  try {
    return window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    return null; // The parent is of another origin.
  }
}

const airflow = around();

function follow() {
  const theme = ["dark", "light"].find((name) => airflow.classList.contains(name));
  if (theme === undefined) {
    delete own.dataset.theme;
  } else {
    own.dataset.theme = theme;
  }
}

if (airflow !== null) {
  follow();
  new MutationObserver(follow).observe(airflow, { attributeFilter: ["class"] });
}
