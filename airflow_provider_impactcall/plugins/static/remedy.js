// What a person can do: a command to copy, or the Airflow DAG that does the same.

import { copyButton } from "./copying.js";
import { make } from "./dom.js";
import { airflowLink } from "./leaving.js";

const DAG = "impactcall_corrections";

/**
 * @param command to copy
 * @param what the command is for, for screen readers
 */
export function remedy(command, what) {
  return make(
    "div",
    { class: "remedy" },
    make("div", { class: "command" }, make("code", {}, command), copyButton(command, `the command for: ${what}`)),
    make("p", { class: "in-airflow" }, "Without a shell: ", airflowLink(`../dags/${DAG}`, `the DAG ${DAG}`)),
  );
}

/** Show the links to the DAG, or hide them if this Airflow does not have it. */
export function linkToDag(hasDag) {
  document.body.classList.toggle("can-be-corrected", hasDag);
}
