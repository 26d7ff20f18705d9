// The faults: their kinds, the rate of each kind, and how many requests have met it.

import { byId, element, plural, setText } from "./elements.js";
import { ask, change } from "./server.js";

const FIRST_PERCENT = 10;

const percent = (rate) => Number((rate * 100).toFixed(4));

export class Faults {
  #rows = new Map();
  #rates = {};
  #state = null;
  #loaded = false;

  constructor() {
    byId("faults").addEventListener("submit", (event) => event.preventDefault());
    byId("all-off").addEventListener("click", () =>
      this.#send({ faults: Object.fromEntries(Object.keys(this.#rates).map((kind) => [kind, 0])) }),
    );
    byId("latency").addEventListener("change", ({ target }) => {
      if (target.validity.valid && target.value !== "") this.#send({ latency_ms: target.valueAsNumber });
      else this.#say("The latency must be a number of milliseconds, 0 or more.");
    });
  }

  /** Show the sandbox's state: which faults are on. */
  async take(state) {
    this.#state = state;
    this.#rates = state.faults;
    if (!this.#loaded) {
      this.#loaded = true;
      try {
        this.#build(await ask("page/faults"));
      } catch (error) {
        this.#loaded = false;
        this.#say(error.message);
        return;
      }
    }
    this.#draw(this.#state);
  }

  #build({ kinds, longest_latency_ms }) {
    byId("latency").max = String(longest_latency_ms);
    for (const kind of kinds) {
      const row = this.#row(kind);
      this.#rows.set(kind.name, row);
      byId(kind.processed ? "faults-after" : "faults-before").append(row.item);
    }
  }

  #row({ name, sentence }) {
    const does = `does-${name}`;
    const on = element("input", { type: "checkbox", role: "switch", "aria-describedby": does });
    const rate = element("input", {
      type: "number",
      min: "0",
      max: "100",
      step: "any",
      inputmode: "decimal",
      value: String(FIRST_PERCENT),
      "aria-label": `Percent of requests that meet ${name}`,
    });
    const given = element("span", { class: "given" });
    const send = (value) => this.#send({ faults: { [name]: value } });
    on.addEventListener("change", () => send(on.checked ? (rate.valueAsNumber || FIRST_PERCENT) / 100 : 0));
    rate.addEventListener("change", () => {
      if (rate.value === "" || !rate.validity.valid) {
        this.#say(`The rate of ${name} must be a number from 0 to 100.`);
      } else if (on.checked || rate.valueAsNumber === 0) send(rate.valueAsNumber / 100);
    });
    const item = element(
      "li",
      {},
      element("label", { class: "switch" }, on, element("code", {}, name)),
      element("span", { class: "unit" }, rate, " %"),
      element("p", { class: "note", id: does }, sentence),
      given,
    );
    return { item, on, rate, given };
  }

  #draw({ faults, latency_ms, seed, scripted, counts }) {
    for (const [name, { item, on, rate, given }] of this.#rows) {
      const isOn = name in faults;
      item.classList.toggle("on", isOn);
      on.checked = isOn;
      // Do not overwrite the field in which a person is typing.
      if (isOn && document.activeElement !== rate) rate.value = String(percent(faults[name]));
      setText(given, counts.faults[name] ? `given ${counts.faults[name].toLocaleString("en")} ×` : "");
    }
    setText(byId("seed"), String(seed));
    const latency = byId("latency");
    if (document.activeElement !== latency) latency.value = String(Number(latency_ms.toFixed(3)));
    const rates = Object.values(faults);
    const total = percent(rates.reduce((sum, rate) => sum + rate, 0));
    byId("all-off").disabled = rates.length === 0;
    const said = rates.length
      ? `${plural(rates.length, "kind")} on: together ${total} % of the requests, from the next request on.`
      : "No fault on: every valid call is answered OK.";
    setText(
      byId("faults-about"),
      scripted ? `${said} A script decides the next ${plural(scripted, "request")}.` : said,
    );
  }

  async #send(settings) {
    const total = Object.values({ ...this.#rates, ...settings.faults }).reduce((sum, rate) => sum + rate, 0);
    try {
      if (total > 1 + 1e-9) {
        throw new Error(`All rates together must be at most 100 %; this makes ${percent(total)} %.`);
      }
      const now = await change(settings);
      this.#rates = now.faults;
      this.#say("");
    } catch (error) {
      this.#say(error.message);
    }
    this.#undo();
  }

  /** Set the switches to the sandbox's state: it may have refused a change. */
  #undo() {
    for (const [name, { item, on, rate }] of this.#rows) {
      on.checked = name in this.#rates;
      item.classList.toggle("on", on.checked);
      if (on.checked) rate.value = String(percent(this.#rates[name]));
    }
  }

  #say(text) {
    const error = byId("faults-error");
    error.hidden = text === "";
    setText(error, text);
  }
}
