// One part of the page: it waits, then shows its answer or its error, independently of the other parts.

import { make } from "./dom.js";

// After so many milliseconds of waiting, the part says that it is still reading.
const LONG = 5_000;

/**
 * @param section whose element of the class "part" is filled
 */
export class Part {
  constructor(section) {
    this.section = section;
    this.place = section.querySelector(".part");
    this.asked = null;
  }

  /**
   * Ask, and show the answer. An earlier request of this part is aborted.
   * @param read takes an AbortSignal, and promises the answer
   * @param render makes a node of the answer
   * @return the answer, or null if a later request replaced this one
   * @throws the error of read, after it is shown
   */
  async show(read, render) {
    this.asked?.abort();
    const asked = new AbortController();
    this.asked = asked;
    this.#wait();
    const slow = window.setTimeout(() => this.#stillWaiting(), LONG);
    try {
      const answer = await read(asked.signal);
      if (asked.signal.aborted) return null;
      this.place.replaceChildren(render(answer));
      return answer;
    } catch (error) {
      if (asked.signal.aborted) return null;
      this.place.replaceChildren(this.#apology(error, () => this.show(read, render).catch(() => {})));
      throw error;
    } finally {
      window.clearTimeout(slow);
      if (this.asked === asked) this.section.setAttribute("aria-busy", "false");
    }
  }

  #wait() {
    this.section.setAttribute("aria-busy", "true");
    if (this.place.childElementCount === 0 || this.place.querySelector(".apology")) {
      this.place.replaceChildren(
        make("div", { class: "skeleton", "aria-hidden": "true" }, make("span"), make("span"), make("span")),
      );
    }
  }

  #stillWaiting() {
    this.place
      .querySelector(".skeleton")
      ?.replaceWith(make("p", { class: "skeleton muted" }, "Still reading: a large ledger takes a while …"));
  }

  #apology(error, again) {
    return make(
      "div",
      { class: "apology message row between", role: "alert" },
      make("p", {}, make("strong", {}, "This part could not be read. "), error.message),
      make("button", { type: "button", click: again }, "Try again"),
    );
  }
}

/** What a part shows if there is no data. */
export function nothing(text) {
  return make("p", { class: "muted" }, text);
}
