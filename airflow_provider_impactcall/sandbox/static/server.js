// The connection to the sandbox: its live feed, and requests to it. All addresses are relative.

const RETRY_MS = [500, 1000, 2000, 4000];
const LOST_AFTER = 3;

/** @throws {Error} with a sentence for a person */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new Error("The sandbox does not answer.");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const text = await answer.text();
  let detail = text.trim();
  try {
    detail = JSON.parse(text).detail ?? detail;
  } catch {
    // The answer is plain text.
  }
  throw new Error(detail || `The sandbox answered ${answer.status}.`);
}

export function change(settings) {
  const headers = { "Content-Type": "application/json" };
  return ask("page/faults", { method: "PATCH", headers, body: JSON.stringify(settings) });
}

/**
 * The live feed. It reconnects after the connection is lost.
 *
 * A hidden page closes its feed: a browser has only six connections for all pages of one sandbox.
 */
export class Feed {
  #source = null;
  #timer = null;
  #failures = 0;
  #numbers = false;

  /**
   * @param {(state: "connecting" | "live" | "reconnecting" | "disconnected") => void} onState
   * @param {(news: object, afresh: boolean) => void} onNews
   */
  constructor(onState, onNews) {
    this.onState = onState;
    this.onNews = onNews;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()));
    this.#open();
  }

  /** @param {boolean} shown whether to show callers' numbers */
  set numbers(shown) {
    this.#numbers = shown;
    this.#open();
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#close();
    const source = new EventSource(`page/feed${this.#numbers ? "?numbers=shown" : ""}`);
    this.#source = source;
    const heard = (afresh) => (event) => {
      this.#failures = 0;
      this.onState("live");
      this.onNews(JSON.parse(event.data), afresh);
    };
    source.addEventListener("all", heard(true));
    source.addEventListener("news", heard(false));
    // Browsers differ in when they reconnect on their own, and some never do.
    source.onerror = () => {
      this.#close();
      this.#failures += 1;
      this.onState(this.#failures < LOST_AFTER ? "reconnecting" : "disconnected");
      this.#timer = setTimeout(() => this.#open(), RETRY_MS[Math.min(this.#failures, RETRY_MS.length) - 1]);
    };
  }
}
