// Numbers, times and states in words.

const NUMBER = new Intl.NumberFormat("en-US");
const time = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const MOMENT = time({
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const STEPS = {
  hour: time({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }),
  day: time({ weekday: "short", day: "numeric", month: "short" }),
  month: time({ month: "long", year: "numeric" }),
};
const TICKS = {
  hour: time({ hour: "2-digit", minute: "2-digit" }),
  day: time({ day: "numeric", month: "short" }),
  month: time({ month: "short", year: "2-digit" }),
};

const STATES = {
  delivered: "Delivered",
  rejected: "Rejected",
  invalid: "Rejected here",
  unknown: "Unknown",
  not_sent: "Not sent",
  requeued: "Requeued",
  open: "In flight",
  already_delivered: "Already delivered",
  changed: "Changed",
  duplicate: "Duplicate",
  filtered: "Filtered",
};

const ACTIONS = {
  pending: "Pending",
  approved: "Approved",
  cleared: "Cleared",
  reversed: "Reversed",
  other: "Another state",
  none: "No action",
  ambiguous: "Ambiguous",
  not_followed: "Not followed",
};

/** What became of a delivered call at impact.com, in words. */
export const actionName = (action) => ACTIONS[action] ?? action;

/** The same for a call: an approved action that was released for payment is cleared. */
export function actionOf({ action_state: state, action_cleared_at: cleared }) {
  return actionName(state === "approved" && cleared !== null ? "cleared" : state);
}

/** "Refused · HTTP 400", from a reason code and an answer's status, if there was one. */
export function reasonName(code, status) {
  const words = code.replaceAll("_", " ");
  const name = `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
  return !Number(status) ? name : `${name} · HTTP ${status}`;
}

const MEANINGS = {
  delivered: "impact.com has this call.",
  rejected:
    "impact.com refused this call, and does not have it. Correct the cause and requeue the call: the next run that reads it sends it again.",
  invalid: "This row is not a valid call, so nothing was sent. The row leaves this list when a run delivers its call.",
  unknown:
    "This call was sent, and no answer says whether it arrived. It is held, as a second one might pay the partner twice, until a person finds out or decides.",
  not_sent: "impact.com does not have this call. The next run that reads it sends it.",
  requeued: "This call was of unknown fate, and a person requeued it: the next run that reads it sends it.",
  open: "A run is sending this call right now.",
};

export const PERIODS = {
  "24h": { words: "the last 24 hours", days: 1 },
  "7d": { words: "the last 7 days", days: 7 },
  "30d": { words: "the last 30 days", days: 30 },
  "12m": { words: "the last 12 months", days: 365 },
};

export const number = (value) => NUMBER.format(value);

/** "1 call", "2 calls" */
export const counted = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/** A share in words. Rounding never turns it into 100 % or 0 %. */
export function share(part, whole) {
  if (whole === 0) return "–";
  if (part === whole) return "100 %";
  if (part === 0) return "0 %";
  const percent = Math.min(99.9, Math.max(0.1, (100 * part) / whole));
  return `${percent.toFixed(1)} %`;
}

export const moment = (text) => (text ? MOMENT.format(new Date(text)) : "–");
export const step = (text, size) => STEPS[size].format(new Date(text));
export const tick = (text, size) => TICKS[size].format(new Date(text));

/** How long ago, roughly. */
export function ago(text) {
  const seconds = Math.max(0, (Date.now() - new Date(text)) / 1000);
  for (const [size, one] of [
    [86_400, "day"],
    [3_600, "hour"],
    [60, "minute"],
  ]) {
    if (seconds >= size) return `${counted(Math.floor(seconds / size), one)} ago`;
  }
  return "just now";
}

/** Seconds in words. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  if (minutes < 2 * 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return counted(Math.floor(minutes / 1440), "day");
}

export const stateName = (state) => STATES[state] ?? state;
/** The same, where calls rejected by impact.com and rows rejected here stand side by side. */
export const fullName = (state) => (state === "rejected" ? "Rejected by impact.com" : stateName(state));
export const meaning = (state) => MEANINGS[state] ?? "";
