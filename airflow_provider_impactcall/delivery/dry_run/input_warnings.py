"""Warnings about the calls of an input as a whole, given before any call is sent."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.records import PARAMETERS, CallRecord, normalize

# impact.com: a call that is sent by FTP should not be older.
_OLD = timedelta(days=88)
_DAY_SECONDS = 86_400
# A warning that all calls are alike needs at least so many calls.
_ALIKE = 5
_ASKED = 500
_MOST_IDS = 100_000
_MOST_VALUES = 500
_STEP = timedelta(minutes=15)
# IANA zones without summer time that people take for the zones of places with summer time.
_SUMMERLESS = frozenset({"EST", "MST", "HST"})
_SUMMER = ZoneInfo("America/New_York")

MARKS_OF_NOTHING = frozenset(
    {
        *("\\n", "null", "(null)", "<null>", "[null]", "none", "nil", "nan", "nat", "n/a", "#n/a", "na", "<na>"),
        *("undefined", "missing", "empty", "-", "--", "?", "not set", "(not set)", "not available", "unknown"),
    }
)
"""Words that databases, programming languages and people write for "no value", in lower case."""

_TEXTS = tuple(name for name, parameter in PARAMETERS.items() if parameter.type == "string" or name == "Zip")
_FLOAT = re.compile(r"[0-9]+\.0+")


class WarningCode(StrEnum):
    """The kind of a warning: what programs compare and group by. A code never changes; the sentence beside it may.
    ``docs/dry-run.md`` says why each is worth a look.
    """

    CALLS_OF_THE_FUTURE = "calls_of_the_future"
    """Calls later than now, by this machine's clock."""
    CALLS_TOO_OLD = "calls_too_old"
    """Calls older than impact.com advises to send."""
    LONGER_THAN_A_DAY = "longer_than_a_day"
    """Calls that lasted longer than a day."""
    ODD_OFFSET = "odd_offset"
    """Calls at an offset from UTC that no place has."""
    WINTER_OFFSET_IN_SUMMER = "winter_offset_in_summer"
    """Calls in summer in a zone without summer time, such as EST. The place that is meant may have summer time."""
    IDS_END_IN_ZERO = "ids_end_in_zero"
    """CallSessionIds such as ``77.0``."""
    VALUES_END_IN_ZERO = "values_end_in_zero"
    """Values of another text parameter such as ``2139.0``; a warning for each parameter."""
    WORD_FOR_NOTHING = "word_for_nothing"
    """The most frequent value of a parameter is a word such as ``NULL``; a warning for each parameter."""
    IDS_ALIKE = "ids_alike"
    """CallSessionIds of the input that differ from each other only in case or blanks."""
    IDS_ALIKE_IN_LEDGER = "ids_alike_in_ledger"
    """CallSessionIds that differ only in case or blanks from one in the ledger."""
    EVERY_CALL_ANSWERED = "every_call_answered"
    """Every call is an ANSWER."""
    ONE_PARTNER = "one_partner"
    """Every call has the same MediaId."""
    TALK_IS_WHOLE_CALL = "talk_is_whole_call"
    """TalkDuration equals CallDuration in every call."""
    KNOWN_UNDER_OTHER_KEY = "known_under_other_key"
    """Calls that the ledger has under another CallProvider, CampaignId or ActionTrackerId."""
    COLUMNS_LOOK_LIKE_VALUES = "columns_look_like_values"
    """The names of the columns may be values: the header may be missing."""
    CALLS_NOT_TOLD = "calls_not_told"
    """Calls that the preset should leave out, but that no column identifies; a warning for each kind of them."""


@dataclass(frozen=True)
class InputWarning:
    """A warning about one input: something that is seldom right.

    :param code: its kind
    :param count: how many calls it is about. For ``values_end_in_zero`` and ``word_for_nothing``, how many values; for
        ``columns_look_like_values`` and ``calls_not_told``, how many rows
    :param warning: the same as a sentence, which may hold the name of a column
    """

    code: WarningCode
    count: int
    warning: str


class InputWarnings:
    """Collects what the calls of an input have in common, and warns of it.

    :param zone: the time zone of times without an offset
    :ivar present: the parameters that at least one call to be sent has
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
        """Look at the id of a valid call, even if the call would not be sent."""
        given = record.as_given.get("CallSessionId", record.CallSessionId)
        folded = record.CallSessionId.casefold()
        if len(self._ids) < _MOST_IDS or folded in self._ids:
            self._alike += self._ids.setdefault(folded, given) != given

    def note(self, records: Iterable[CallRecord]) -> None:
        """Look at calls that would be sent."""
        now = datetime.now(UTC)
        for record in records:
            self._calls += 1
            values = record.parameters()
            self.present.update(values)
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
                if value := values.get(name):
                    self._note_text(name, value)

    def ask(self, ledger: Ledger, records: Sequence[CallRecord]) -> None:
        """Look up whether the ledger has these calls, the first to be sent, under other ids or similar ones."""
        known = ledger.namesakes([record.CallSessionId for record in records])
        for record in records:
            for other in known.get(record.CallSessionId, ()):
                differing = [name for name, value in other.items() if str(getattr(record, name)) != value]
                if differing:
                    self._known_otherwise[" and ".join(differing)] += 1
                    break
        self._known_alike = ledger.alike([record.CallSessionId for record in records])

    def found(self) -> Iterator[InputWarning]:
        """The warnings about the calls, in the order of their codes."""
        if self._future:
            yield InputWarning(
                WarningCode.CALLS_OF_THE_FUTURE,
                self._future,
                f"calls of the future: {self._future}. Is their time zone right?",
            )
        if self._old:
            yield InputWarning(
                WarningCode.CALLS_TOO_OLD,
                self._old,
                f"calls older than {_OLD.days} days: {self._old}. impact.com advises against sending such",
            )
        if self._long:
            yield InputWarning(
                WarningCode.LONGER_THAN_A_DAY,
                self._long,
                f"calls longer than a day: {self._long}. Are their durations in milliseconds?",
            )
        if self._odd_offsets:
            yield InputWarning(
                WarningCode.ODD_OFFSET,
                self._odd_offsets,
                f"calls at an offset from UTC that is not a multiple of 15 minutes: {self._odd_offsets}. No place has "
                "such an offset. Do not pass a zone of pytz as a tzinfo",
            )
        if self._in_summer:
            yield InputWarning(
                WarningCode.WINTER_OFFSET_IN_SUMMER,
                self._in_summer,
                f"calls in summer at the offset of winter: {self._in_summer}. The timezone {self._zone} has no summer "
                "time; the timezone of a place, such as America/New_York, has it",
            )
        yield from self._of_values()
        yield from self._of_ids()
        if self._calls >= _ALIKE:
            yield from self._of_all()
        for names, calls in self._known_otherwise.most_common():
            yield InputWarning(
                WarningCode.KNOWN_UNDER_OTHER_KEY,
                calls,
                f"calls that the ledger has under another {names}: {calls} of the first {_ASKED}. Under this "
                "one they are new calls, and would be sent again",
            )

    def _of_values(self) -> Iterator[InputWarning]:
        if ids := self._floats["CallSessionId"]:
            yield InputWarning(
                WarningCode.IDS_END_IN_ZERO,
                ids,
                f"CallSessionIds that end in .0: {ids}. Were they read as numbers? Without .0 they are other calls",
            )
        for name, count in self._floats.items():
            if name == "CallSessionId":
                continue
            yield InputWarning(
                WarningCode.VALUES_END_IN_ZERO,
                count,
                f"values of {name} that end in .0: {count}. Were they a column of numbers with gaps? Read it as text",
            )
        for name, values in self._values.items():
            value, count = values.most_common(1)[0]
            if value.casefold() in MARKS_OF_NOTHING:
                yield InputWarning(
                    WarningCode.WORD_FOR_NOTHING,
                    count,
                    f"the commonest value of {name} is a word that may stand for nothing: {value!r}, {count} times. "
                    "If it does, add it to the option nulls",
                )

    def _of_ids(self) -> Iterator[InputWarning]:
        if self._alike:
            yield InputWarning(
                WarningCode.IDS_ALIKE,
                self._alike,
                f"CallSessionIds that differ from another of this input in case or blanks alone: {self._alike}. Is "
                "each a call of its own?",
            )
        if self._known_alike:
            yield InputWarning(
                WarningCode.IDS_ALIKE_IN_LEDGER,
                self._known_alike,
                f"CallSessionIds that differ from one that the ledger has in case or blanks alone: {self._known_alike} "
                f"of the first {_ASKED}. They would be sent as other calls",
            )

    def _of_all(self) -> Iterator[InputWarning]:
        if list(self._statuses) == ["ANSWER"]:
            yield InputWarning(
                WarningCode.EVERY_CALL_ANSWERED,
                self._calls,
                "every call is an ANSWER: are there really no missed calls, or does CallStatus not show missed calls?",
            )
        if len(self._partners) == 1:
            yield InputWarning(
                WarningCode.ONE_PARTNER,
                self._calls,
                "every call has the same MediaId: one partner is credited with all of them",
            )
        if self._only_talk == self._calls:
            yield InputWarning(
                WarningCode.TALK_IS_WHOLE_CALL,
                self._calls,
                "TalkDuration equals CallDuration in every call: is it the time of actual talk?",
            )

    def _note_text(self, name: str, value: str) -> None:
        if _FLOAT.fullmatch(value):
            self._floats[name] += 1
        counts = self._values[name]
        bare = normalize.bare(value)
        if bare in counts or len(counts) < _MOST_VALUES or bare.casefold() in MARKS_OF_NOTHING:
            counts[bare] += 1


def _has_no_summer(zone: tzinfo | None) -> bool:
    """Whether a zone has one offset all year, while the place that is meant may have another offset in summer."""
    if isinstance(zone, timezone):
        return bool(zone.utcoffset(None))
    name = str(getattr(zone, "key", getattr(zone, "zone", "")))
    return name in _SUMMERLESS or name.startswith(("Etc/GMT+", "Etc/GMT-"))
