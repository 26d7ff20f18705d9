// The page: its counts, and the connection of the feed with the other modules.

import { byId, setText } from "./elements.js";
import { Faults } from "./faults.js";
import { Requests } from "./requests.js";
import { Feed } from "./server.js";

const STATES = {
  connecting: "Connecting …",
  live: "Live",
  reconnecting: "Reconnecting …",
  disconnected: "Disconnected: the sandbox does not answer. Trying again …",
};

const number = (count) => count.toLocaleString("en");
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
const MOST_NAMED = 3;

/** The most frequent entries, by name. */
function by(counts) {
  const named = Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([name, count]) => `${name} × ${number(count)}`);
  const rest = named.splice(MOST_NAMED).length;
  return [...named, ...(rest ? [`${rest} more`] : [])].join(", ");
}

function showCounts({ counts, refused }) {
  setText(byId("count-requests"), number(counts.requests));
  setText(byId("count-processed"), number(counts.processed));
  setText(byId("count-ok"), number(counts.answered_ok));
  setText(byId("count-refused"), number(sum(refused)));
  setText(byId("count-refused-by"), by(refused) || "none");
  setText(byId("count-faults"), number(sum(counts.faults)));
  setText(byId("count-faults-by"), by(counts.faults) || "none");
}

const faults = new Faults();
const requests = new Requests((shown) => {
  feed.numbers = shown;
});
const feed = new Feed(
  (state) => {
    byId("connection").dataset.state = state;
    document.body.classList.toggle("stale", state === "reconnecting" || state === "disconnected");
    setText(byId("connection"), STATES[state]);
  },
  (news, afresh) => {
    showCounts(news.state);
    requests.take(news, afresh);
    faults.take(news.state);
  },
);
