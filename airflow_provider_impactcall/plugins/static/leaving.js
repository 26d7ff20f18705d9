// Links to Airflow's own pages, and downloads. The frame in which Airflow shows this page can do neither by itself.

import { make } from "./dom.js";

/** Clicks a twin link in the parent frame: the sandboxed frame of this page may not navigate. */
export function throughAirflow(event) {
  if (window.top === window) return;
  try {
    const twin = window.top.document.createElement("a");
    twin.href = event.currentTarget.href;
    if (event.currentTarget.hasAttribute("download")) twin.download = "";
    if (event.ctrlKey || event.metaKey || event.shiftKey) twin.target = "_blank";
    event.preventDefault();
    twin.click();
  } catch {
    // The parent is of another origin: the browser decides.
  }
}

/**
 * @param url relative to this page; a URL outside Airflow becomes plain text
 */
export function airflowLink(url, text) {
  const target = new URL(url, document.baseURI);
  if (target.origin !== window.location.origin) return make("span", {}, text);
  return make("a", { href: target.href, target: "_top", click: throughAirflow }, text);
}
