// The requests: the list of the latest, the search, and the details of one request.

import { byId, element, plural, setText } from "./elements.js";
import { ask } from "./server.js";

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});
const SEARCH_PAUSE_MS = 250;
const DETAIL_PAUSE_MS = 500;

/** The outcome of a request in words, and its look (good, bad, odd or open). */
function outcome(request) {
  const { processed, wrong, fault, status, over } = request;
  if (wrong) return { words: `refused: ${plural(wrong, "problem")}`, looks: "bad" };
  if (fault) {
    const waits = over ? "" : " (waiting)";
    return { words: `${processed ? "processed, then" : "not processed:"} ${fault}${waits}`, looks: "odd" };
  }
  if (!over) return { words: processed ? "processed, not answered yet" : "arriving", looks: "open" };
  if (request.number === null) return { words: "processed earlier", looks: "good" };
  if (status === null) return { words: processed ? "processed, but the caller left" : "the caller left", looks: "odd" };
  return processed ? { words: "processed", looks: "good" } : { words: "not processed", looks: "bad" };
}

function answer({ number, status, over }) {
  if (status !== null) return String(status);
  if (number === null) return "–";
  return over ? "none" : "…";
}

const at = (request) => CLOCK.format(new Date(request.at));

export class Requests {
  #entries = new Map();
  #rows = new Map();
  #kept = 200;
  #numbers = false;
  #paused = false;
  #missed = new Set();
  #shown = null;
  #opened = 0;
  #searching = 0;
  #searchTimer = null;
  #detailTimer = null;
  #list = byId("requests");
  #text = byId("text");
  #dialog = byId("detail");

  /** @param {(shown: boolean) => void} onNumbers called when callers' numbers are shown or hidden */
  constructor(onNumbers) {
    const { protocol, hostname, port } = location;
    byId("own-host").textContent = `${protocol}//${hostname}`;
    byId("own-port").textContent = port || (protocol === "https:" ? "443" : "80");
    byId("own-endpoint").textContent = new URL("calldata/logCallData", location.href).href;

    byId("numbers").addEventListener("change", (event) => {
      this.#showNumbers(event.target.checked);
      onNumbers(this.#numbers);
    });
    byId("detail-numbers").addEventListener("click", () => {
      this.#showNumbers(!this.#numbers);
      onNumbers(this.#numbers);
    });
    byId("pause").addEventListener("click", () => this.#pause(!this.#paused));
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
    this.#text.addEventListener("input", () => {
      clearTimeout(this.#searchTimer);
      this.#searchTimer = setTimeout(() => this.#search(), SEARCH_PAUSE_MS);
    });
    byId("detail-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#dialog.addEventListener("close", () => {
      this.#shown = null;
      byId("detail-body").replaceChildren();
    });
    this.#confirmForgetting();
  }

  /** Take the changed requests or, if afresh, all requests. */
  take({ requests, kept }, afresh) {
    this.#kept = kept;
    if (afresh) {
      this.#entries.clear();
      this.#missed.clear();
    }
    for (const request of requests) {
      if (!this.#entries.has(request.number)) this.#missed.add(request.number);
      this.#entries.set(request.number, request);
    }
    for (const number of this.#entries.keys()) {
      if (this.#entries.size <= this.#kept) break;
      this.#entries.delete(number);
    }
    if (this.#text.value.trim()) this.#searchSoon();
    else if (!this.#paused) this.#draw(requests, afresh);
    this.#describe();
    if (this.#shown && requests.some(({ path }) => path === this.#shown)) this.#detailSoon();
  }

  #draw(changed, afresh) {
    this.#missed.clear();
    if (afresh) {
      this.#rows.clear();
      this.#list.replaceChildren();
    }
    const newest = document.createDocumentFragment();
    for (const request of changed) {
      if (!this.#entries.has(request.number)) continue;
      const row = this.#row(request);
      const old = this.#rows.get(request.number);
      this.#rows.set(request.number, row);
      if (old) {
        const focused = old.contains(document.activeElement);
        old.replaceWith(row);
        if (focused) row.querySelector("button").focus();
      } else newest.prepend(row);
    }
    this.#list.prepend(newest);
    for (const [number, row] of this.#rows) {
      if (this.#entries.has(number)) continue;
      this.#rows.delete(number);
      row.remove();
    }
  }

  #row(request) {
    const { words, looks } = outcome(request);
    const id = request.CallSessionId || (request.CallSessionId === "" ? "(empty)" : "(none)");
    return element(
      "li",
      { "data-looks": looks },
      element("time", { class: "note", datetime: request.at }, at(request)),
      element("button", { type: "button", class: "link id", onclick: () => this.#open(request.path) }, id),
      element("span", { class: "mono caller" }, request.CallerId ?? "–"),
      element("span", { class: "badge" }, answer(request)),
      element("span", { class: "outcome" }, words),
    );
  }

  #describe() {
    const searched = this.#text.value.trim();
    const empty = byId("empty");
    empty.hidden = this.#entries.size > 0 || searched !== "";
    if (searched) return;
    if (this.#paused) setText(byId("about"), `Paused. ${plural(this.#missed.size, "new request")}.`);
    else if (this.#entries.size < this.#kept) setText(byId("about"), "Newest first.");
    else
      setText(
        byId("about"),
        `The latest ${this.#kept}, newest first. The search also finds processed calls of older requests.`,
      );
  }

  #redraw() {
    this.#draw([...this.#entries.values()], true);
    this.#describe();
  }

  #pause(paused) {
    this.#paused = paused;
    this.#missed.clear();
    byId("pause").setAttribute("aria-pressed", String(paused));
    byId("pause").textContent = paused ? "Go on" : "Pause";
    if (!this.#text.value.trim()) paused ? this.#describe() : this.#redraw();
  }

  #showNumbers(shown) {
    this.#numbers = shown;
    byId("numbers").checked = shown;
    byId("detail-numbers").setAttribute("aria-pressed", String(shown));
    byId("detail-numbers").textContent = shown ? "Hide number" : "Show number";
    if (this.#text.value.trim()) this.#search();
    if (this.#shown) this.#detail();
  }

  #suffix(first) {
    return this.#numbers ? `${first}numbers=shown` : "";
  }

  #searchSoon() {
    this.#searchTimer ??= setTimeout(() => this.#search(), 1000);
  }

  async #search() {
    clearTimeout(this.#searchTimer);
    this.#searchTimer = null;
    const text = this.#text.value.trim();
    const turn = ++this.#searching;
    if (!text) return this.#redraw();
    let said;
    let found = [];
    try {
      const answered = await ask(`page/requests?CallSessionId=${encodeURIComponent(text)}${this.#suffix("&")}`);
      found = answered.requests;
      said = answered.more ? `The newest ${found.length}; more were found.` : `${found.length || "None"} found.`;
    } catch (error) {
      said = error.message;
    }
    // A newer search has started, because the person typed on.
    if (turn !== this.#searching) return;
    this.#rows.clear();
    this.#list.replaceChildren(...found.map((request) => this.#row(request)));
    setText(byId("about"), said);
    this.#describe();
  }

  #open(path) {
    this.#shown = path;
    byId("detail-title").textContent = "Request";
    byId("detail-body").replaceChildren();
    this.#dialog.showModal();
    this.#detail();
  }

  #detailSoon() {
    this.#detailTimer ??= setTimeout(() => this.#detail(), DETAIL_PAUSE_MS);
  }

  async #detail() {
    clearTimeout(this.#detailTimer);
    this.#detailTimer = null;
    const turn = ++this.#opened;
    const path = this.#shown;
    if (!path) return;
    let content;
    try {
      content = details(await ask(`page/${path}${this.#suffix("?")}`));
    } catch (error) {
      content = [element("p", { class: "message error" }, error.message)];
    }
    if (turn === this.#opened && this.#shown === path) byId("detail-body").replaceChildren(...content);
  }

  #confirmForgetting() {
    const dialog = byId("forgetting");
    byId("forget").addEventListener("click", () => dialog.showModal());
    byId("forget-no").addEventListener("click", () => dialog.close());
    byId("forget-yes").addEventListener("click", async () => {
      dialog.close();
      try {
        await ask("calls", { method: "DELETE" });
        this.#text.value = "";
      } catch (error) {
        setText(byId("about"), error.message);
      }
    });
  }
}

function details(request) {
  byId("detail-title").textContent = request.CallSessionId || (request.number ? `Request ${request.number}` : "Call");
  const { words, looks } = outcome(request);
  const facts = [
    ["Arrived", new Date(request.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })],
    ["Answer", answer(request)],
    ["Outcome", words],
    ...(request.number ? [["Request", `no. ${request.number}, ${request.method}`]] : []),
  ];
  const wrong = new Map();
  for (const { parameter, message } of request.problems) wrong.set(parameter, message);
  return [
    element(
      "dl",
      { class: "facts", "data-looks": looks },
      ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
    ),
    request.problems.length ? problems(request) : null,
    request.too_long ? element("p", { class: "about note" }, "The request was too long to keep its parameters.") : null,
    request.parameters.length ? parameters(request, wrong) : element("p", { class: "about note" }, "No parameters."),
  ].filter((part) => part !== null);
}

function problems({ wrong, problems }) {
  const more = wrong - problems.length;
  return element(
    "section",
    { class: "message problems", "aria-labelledby": "problems-title" },
    element("h3", { id: "problems-title" }, `What was wrong: ${plural(wrong, "problem")}`),
    element(
      "ul",
      {},
      ...problems.map(({ parameter, message }) => element("li", {}, element("code", {}, parameter), ` ${message}`)),
      more > 0 ? element("li", {}, `and ${more} more`) : null,
    ),
  );
}

function parameters({ parameters }, wrong) {
  const rows = parameters.map(({ name, value, hidden }) =>
    element(
      "tr",
      wrong.has(name) ? { class: "wrong" } : {},
      element("th", { scope: "row" }, name, wrong.has(name) ? element("span", { class: "unseen" }, " (wrong)") : null),
      element(
        "td",
        { class: "mono" },
        value === "" ? element("em", { class: "muted" }, "empty") : value,
        hidden ? element("span", { class: "unseen" }, " (masked)") : null,
      ),
    ),
  );
  return element(
    "table",
    {},
    element("caption", {}, plural(parameters.length, "parameter")),
    element(
      "thead",
      { class: "unseen" },
      element("tr", {}, element("th", { scope: "col" }, "Parameter"), element("th", { scope: "col" }, "Value")),
    ),
    element("tbody", {}, ...rows),
  );
}
