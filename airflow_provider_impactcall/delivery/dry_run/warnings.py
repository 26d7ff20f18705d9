"""What is seldom right about calls as a whole, told of them before they are sent."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.records import PARAMETERS, CallRecord, normalize

# impact.com: a call that is sent by FTP should not be older.
_OLD = timedelta(days=88)
_DAY_SECONDS = 86_400
# Fewer calls may well be alike.
_ALIKE = 5
_ASKED = 500
_MOST_IDS = 100_000
_MOST_VALUES = 500
_STEP = timedelta(minutes=15)
# Names of IANA without summer time that are taken for those of places with one.
_SUMMERLESS = frozenset({"EST", "MST", "HST"})
_SUMMER = ZoneInfo("America/New_York")

MARKS_OF_NOTHING = frozenset(
    {
        *("\\n", "null", "(null)", "<null>", "[null]", "none", "nil", "nan", "nat", "n/a", "#n/a", "na", "<na>"),
        *("undefined", "missing", "empty", "-", "--", "?", "not set", "(not set)", "not available", "unknown"),
    }
)
"""Words that stand for nothing in what databases, languages and people write, in lower case."""

_TEXTS = tuple(name for name, parameter in PARAMETERS.items() if parameter.type == "string" or name == "Zip")
_FLOAT = re.compile(r"[0-9]+\.0+")


class Warnings:
    """What calls look like as a whole.

    :param zone: that of times without an offset
    """

    def __init__(self, zone: tzinfo | None = None) -> None:
        self.present: set[str] = set()
        self._zone = zone if _has_no_summer(zone) else None
        self._known_otherwise: Counter[str] = Counter()
        self._known_alike = 0
        self._ids: dict[str, str] = {}
        self._alike = 0
        self._calls = 0
        self._future = 0
        self._old = 0
        self._long = 0
        self._only_talk = 0
        self._odd_offsets = 0
        self._in_summer = 0
        self._floats: Counter[str] = Counter()
        self._values: Mapping[str, Counter[str]] = defaultdict(Counter)
        self._statuses: Counter[str] = Counter()
        self._partners: set[int] = set()

    def note_id(self, record: CallRecord) -> None:
        """Look at the id of any valid call, whether it would be sent or not."""
        given = record.as_given.get("CallSessionId", record.CallSessionId)
        folded = record.CallSessionId.casefold()
        if len(self._ids) < _MOST_IDS or folded in self._ids:
            self._alike += self._ids.setdefault(folded, given) != given

    def note(self, records: Iterable[CallRecord]) -> None:
        """Look at calls that would be sent."""
        now = datetime.now(UTC)
        for record in records:
            self._calls += 1
            values = vars(record)
            self.present.update(name for name, value in values.items() if value is not None)
            at = datetime.fromisoformat(record.EventDate)
            self._future += at > now
            self._old += at < now - _OLD
            self._long += record.CallDuration > _DAY_SECONDS
            self._only_talk += record.TalkDuration == record.CallDuration
            offset = at.utcoffset() or timedelta()
            self._odd_offsets += bool(offset % _STEP)
            if self._zone is not None and offset == at.replace(tzinfo=self._zone).utcoffset():
                self._in_summer += bool(at.astimezone(_SUMMER).dst())
            self._statuses[record.CallStatus] += 1
            self._partners.add(record.MediaId)
            for name in _TEXTS:
                if value := values[name]:
                    self._note_text(name, value)

    def ask(self, ledger: Ledger, records: Sequence[CallRecord]) -> None:
        """Look whether the ledger has calls by other ids than these, the first of those that would be sent."""
        known = ledger.namesakes([record.CallSessionId for record in records])
        for record in records:
            for other in known.get(record.CallSessionId, ()):
                differing = [name for name, value in other.items() if str(getattr(record, name)) != value]
                if differing:
                    self._known_otherwise[" and ".join(differing)] += 1
                    break
        self._known_alike = ledger.alike([record.CallSessionId for record in records])

    def suspicions(self) -> Iterator[str]:
        """What is seldom right, a sentence each."""
        if self._future:
            yield f"calls of the future: {self._future}. Is their time zone right?"
        if self._old:
            yield f"calls older than {_OLD.days} days: {self._old}. impact.com advises against sending such"
        if self._long:
            yield f"calls longer than a day: {self._long}. Are their durations in milliseconds?"
        if self._odd_offsets:
            yield (
                f"calls at an offset from UTC that is no multiple of 15 minutes: {self._odd_offsets}. No place has "
                "such; a zone of pytz must not be given as a tzinfo"
            )
        if self._in_summer:
            yield (
                f"calls in summer at the offset of winter: {self._in_summer}. The timezone {self._zone} has no summer "
                "time; that of a place, such as America/New_York, has"
            )
        if ids := self._floats["CallSessionId"]:
            yield f"CallSessionIds that end in .0: {ids}. Read as numbers, they are other calls without it"
        for name, count in self._floats.items():
            if name == "CallSessionId":
                continue
            yield f"values of {name} that end in .0: {count}. Were they a column of numbers with gaps? Read it as text"
        for name, values in self._values.items():
            value, count = values.most_common(1)[0]
            if value.casefold() in MARKS_OF_NOTHING:
                yield (
                    f"the commonest value of {name} is a word that may stand for nothing: {value!r}, {count} times. "
                    "The option nulls says so"
                )
        if self._alike:
            yield (
                f"CallSessionIds that differ from another of this input in case or blanks alone: {self._alike}. Is "
                "each a call of its own?"
            )
        if self._known_alike:
            yield (
                f"CallSessionIds that differ from one that the ledger has in case or blanks alone: {self._known_alike} "
                f"of the first {_ASKED}. They would be sent as other calls"
            )
        if self._calls >= _ALIKE:
            if list(self._statuses) == ["ANSWER"]:
                yield "every call is an ANSWER: are there no missed ones, or does CallStatus not tell them?"
            if len(self._partners) == 1:
                yield "every call has the same MediaId: one partner is credited with all of them"
            if self._only_talk == self._calls:
                yield "TalkDuration equals CallDuration in every call: is it the time of actual talk?"
        for names, calls in self._known_otherwise.most_common():
            yield (
                f"calls that the ledger has under another {names}: {calls} of the first {_ASKED}. Under this one "
                "they are others to it, and would be sent again"
            )

    def _note_text(self, name: str, value: str) -> None:
        if _FLOAT.fullmatch(value):
            self._floats[name] += 1
        counts = self._values[name]
        bare = normalize.bare(value)
        if bare in counts or len(counts) < _MOST_VALUES or bare.casefold() in MARKS_OF_NOTHING:
            counts[bare] += 1


def _has_no_summer(zone: tzinfo | None) -> bool:
    """Whether times of a zone are at one offset all year, though its place may have another in summer."""
    if isinstance(zone, timezone):
        return bool(zone.utcoffset(None))
    name = str(getattr(zone, "key", getattr(zone, "zone", "")))
    return name in _SUMMERLESS or name.startswith(("Etc/GMT+", "Etc/GMT-"))
