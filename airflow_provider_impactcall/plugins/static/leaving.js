// Links to Airflow's own pages, and downloads. Airflow shows this page in a frame that may do neither by itself.

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
    // of another origin: the browser decides
  }
}

/**
 * @param url relative to this page; one that leads elsewhere than to Airflow becomes text
 */
export function airflowLink(url, text) {
  const target = new URL(url, document.baseURI);
  if (target.origin !== window.location.origin) return make("span", {}, text);
  return make("a", { href: target.href, target: "_top", click: throughAirflow }, text);
}
