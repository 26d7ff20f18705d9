"""A row into a call, or every reason why not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast, get_args
from zoneinfo import ZoneInfo

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, InvalidOption, Problem
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.call_record import (
    LONGEST_ID,
    PARAMETERS,
    CallRecord,
    Conventions,
    nearest_parameter,
)
from airflow_provider_impactcall.records.normalize import CallerIdFormat
from airflow_provider_impactcall.records.sources import Column, Reader, Row, Source, reader_of
from airflow_provider_impactcall.records.vendors import VendorPreset
from airflow_provider_impactcall.records.vendors import preset as preset_named

_ORDER = {name: place for place, name in enumerate(PARAMETERS)}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NEEDED = (*(name for name, parameter in PARAMETERS.items() if parameter.required), "CallStatus")
_OF_A_CONNECTION = {
    "CampaignId": "campaign_id",
    "ActionTrackerId": "action_tracker_id",
    "CallProvider": "call_provider",
}


class CallMapping:
    """How a row becomes the parameters of a call.

    A parameter's value comes from ``mapping`` or ``constants``, else from the vendor's preset, else (without a preset)
    from a column named like it in any case or underscore style (``CampaignId``, ``campaign_id``, ``CAMPAIGNID``); a
    call that then lacks it takes it from ``defaults``. Other columns are ignored.

    :param mapping: a source by parameter name: a column name, a dotted path into JSON, a callable of the row, or a dict
        such as ``{"first_of": [...]}``; see :mod:`~airflow_provider_impactcall.records.sources` for all of them
    :param constants: parameter name to the value that every call gets
    :param timezone: IANA name (or tzinfo) of times without an offset; without it such a row is invalid
    :param caller_id_format: ``national`` (ten digits) or ``e164`` for a NANP ``CallerId``
    :param defaults: parameter name to the value of calls that lack it; a connection's ``campaign_id`` and such
    :param vendor: the name of a preset, or a preset
    :raises InvalidOption: with every name that is none of the 50 parameters (and the nearest that is), every
        parameter with two sources, every source that is none, and, with a preset, every required parameter without one
    """

    def __init__(
        self,
        mapping: Mapping[str, Source] | None = None,
        constants: Mapping[str, Any] | None = None,
        timezone: str | tzinfo | None = None,
        caller_id_format: CallerIdFormat = "national",
        defaults: Mapping[str, Any] | None = None,
        vendor: str | VendorPreset | None = None,
    ) -> None:
        for option, given in (("mapping", mapping), ("constants", constants)):
            if not isinstance(given, Mapping | None):
                raise InvalidOption(f"{option} must be a dict by parameter name, and is {normalize.described(given)}")
        self.preset = preset_named(vendor) if isinstance(vendor, str) else vendor
        self.constants = constants or _NOTHING
        self.defaults = defaults or _NOTHING
        inherited = _NOTHING if self.preset is None else self.preset.mapping
        own = mapping or _NOTHING
        problems = [*_misnamed("mapping", own), *_misnamed("constants", self.constants)]
        problems += [f"{name} is in mapping and in constants" for name in own if name in self.constants]
        self._own, unreadable = _read_by(own, inherited)
        problems += unreadable
        rest = {name: source for name, source in inherited.items() if name not in own and name not in self.constants}
        self._inherited, unreadable = _read_by(rest, _NOTHING)
        problems += unreadable
        self._sourced = frozenset({*own, *self.constants})
        self._reads = [
            (name, reader.read) for readers in (self._inherited, self._own) for name, reader in readers.items()
        ]
        if self.preset is not None and not problems:
            problems += self._without_source(self.preset.mapping, f"{self.preset.title} has none")
        if caller_id_format not in get_args(CallerIdFormat):
            problems.append("caller_id_format must be 'national' or 'e164'")
        if problems:
            raise InvalidOption("; ".join(problems))
        self.conventions = Conventions(timezone=_zone(timezone), caller_id_format=caller_id_format)

    def record(self, row: Row | CallRecord) -> CallRecord:
        """The call that a row is. A :class:`CallRecord` is taken as it is.

        :raises CallLeftOut: if the vendor's preset leaves such calls out
        :raises InvalidCall: with every problem of the row at once
        """
        if type(row) is not dict:  # the common case needs no look at classes, for speed
            if isinstance(row, CallRecord):
                return row
            if not isinstance(row, Mapping):
                raise InvalidCall(
                    (Problem("row", f"must be a dict by column name, and is {normalize.described(row)}"),)
                )
        try:
            if self.preset is not None:
                row = self.preset.opened(row)
                if (reason := self.preset.left_out(row)) is not None:
                    raise CallLeftOut(reason, self._session_id(row))
            values, problems = self._values(row)
        except CallLeftOut:
            raise
        except normalize.UnfitValue as error:
            raise InvalidCall((Problem("row", str(error)),), self._session_id(row)) from None
        except Exception as error:
            # A row may be an object that fetches its values; only the type, as the text may quote them.
            raise InvalidCall((Problem("row", f"cannot be read: {type(error).__name__}"),)) from None
        try:
            record = CallRecord.of(values, self.conventions)
        except InvalidCall as error:
            explained = {problem.parameter for problem in problems}
            problems += [
                self._explain(problem, row) for problem in error.problems if problem.parameter not in explained
            ]
        else:
            if not problems:
                return record
        problems.sort(key=lambda problem: _ORDER.get(problem.parameter, len(_ORDER)))
        raise InvalidCall(tuple(problems), _readable(values.get("CallSessionId")))

    def values_of(self, row: Row) -> Mapping[str, Any]:
        """A row's values by parameter, as they are before they are read; those that cannot be had are left out."""
        try:
            return self._values(row)[0]
        except Exception:
            return _NOTHING

    def sourced(self, columns: Iterable[str]) -> set[str]:
        """The parameters that rows with these columns have a source for."""
        by_name = () if self.preset is not None else _columns_by_parameter(tuple(columns))
        return {*self._own, *self._inherited, *self.constants, *self.defaults, *by_name}

    def missing_columns(self, columns: Iterable[str]) -> list[str]:
        """The columns that ``mapping`` names and that are not among these."""
        known = set(columns)
        named = (column for reader in self._own.values() for column in reader.columns())
        return [column for column in dict.fromkeys(named) if not _is_among(column, known)]

    def problems_with(self, columns: Sequence[str]) -> list[str]:
        """What would keep every row with these columns from being a call."""
        missing = self.missing_columns(columns)
        problems = [f"mapping: the calls have no column {' nor '.join(map(repr, missing))}"] if missing else []
        if self.preset is None:
            by_name = _columns_by_parameter(tuple(columns))
            problems += self._without_source(by_name, "no column is named so")
        return problems

    def _without_source(self, others: Iterable[str], why: str) -> list[str]:
        known = {*self._own, *self.constants, *self.defaults, *others}
        missing = [name for name in _NEEDED if name not in known]
        if not missing:
            return []
        fields = [_OF_A_CONNECTION[name] for name in missing if name in _OF_A_CONNECTION]
        or_there = f", or the connection's {', '.join(fields)}" if fields else ""
        return [f"{', '.join(missing)}: no source, as {why}; give one in mapping or constants{or_there}"]

    def _values(self, row: Row) -> tuple[dict[str, Any], list[Problem]]:
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        if self.preset is None:
            by_name, ambiguous = _read_by_name(tuple(row), self._sourced)
            values = {name: row[column] for name, column in by_name}
            problems += ambiguous
        for name, read in self._reads:
            try:
                values[name] = read(row)
            except normalize.UnfitValue as error:
                problems.append(Problem(name, str(error)))
            except Exception as error:
                # Only the type: what a callable says may quote the row.
                problems.append(Problem(name, f"could not be computed: its mapping raised {type(error).__name__}"))
        values.update(self.constants)
        for name, default in self.defaults.items():
            if name in self._own and any(not _is_among(column, row) for column in self._own[name].columns()):
                continue  # The column is misspelled, and a default in its place would credit another program.
            if normalize.is_absent(values.get(name)):
                values[name] = default
        return values, problems

    def _explain(self, problem: Problem, row: Row) -> Problem:
        reader = self._own.get(problem.parameter) or self._inherited.get(problem.parameter)
        if problem.message.startswith("is missing") and isinstance(reader, Column) and not _is_among(reader.name, row):
            return Problem(problem.parameter, f"{problem.message}; the row has no column {reader.name!r}")
        return problem

    def _session_id(self, row: Row) -> str | None:
        reader = self._own.get("CallSessionId") or self._inherited.get("CallSessionId")
        try:
            return None if reader is None else _readable(reader.read(row))
        except Exception:
            return None


def _read_by(sources: Mapping[str, Source], inherited: Mapping[str, Source]) -> tuple[dict[str, Reader], list[str]]:
    readers: dict[str, Reader] = {}
    problems: list[str] = []
    for name, source in sources.items():
        try:
            readers[name] = reader_of(source, inherited.get(name))
        except InvalidOption as error:
            problems.append(f"mapping: {name} {error}")
    return readers, problems


def _is_among(column: str, columns: Collection[str]) -> bool:
    """Whether a column is there, or the one that a dotted path begins with."""
    return column in columns or column.partition(".")[0] in columns


@lru_cache(maxsize=64)
def _columns_by_parameter(columns: tuple[Any, ...]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for column in columns:
        name = _BY_FOLDED_NAME.get(_folded(column)) if isinstance(column, str) else None
        if name is not None:
            found[name] = (*found.get(name, ()), column)
    return found


@lru_cache(maxsize=64)
def _read_by_name(
    columns: tuple[Any, ...], sourced: frozenset[str]
) -> tuple[Sequence[tuple[str, str]], Sequence[Problem]]:
    """The parameters that columns named like them give, each with its column, and those that two columns would give.

    :param sourced: the parameters that have another source
    """
    found = {name: each for name, each in _columns_by_parameter(columns).items() if name not in sourced}
    problems = tuple(
        Problem(name, f"has two columns, {' and '.join(map(repr, each))}; name the right one in mapping")
        for name, each in found.items()
        if len(each) > 1
    )
    return tuple((name, each[0]) for name, each in found.items()), problems


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


_BY_FOLDED_NAME = {_folded(name): name for name in PARAMETERS}


def _misnamed(option: str, names: Iterable[str]) -> list[str]:
    problems = []
    for name in names:
        if name not in PARAMETERS:
            near = nearest_parameter(str(name))
            hint = f"; did you mean {near}?" if near else ""
            problems.append(f"{option}: {name!r} is none of impact.com's 50 parameters{hint}")
    return problems


def _zone(timezone: str | tzinfo | None) -> tzinfo | None:
    if timezone is None or isinstance(timezone, tzinfo):
        return timezone
    if not isinstance(timezone, str):
        raise InvalidOption(f"timezone must be an IANA name or a tzinfo, and is {normalize.described(timezone)}")
    try:
        return ZoneInfo(timezone)
    except (KeyError, OSError, ValueError):
        raise InvalidOption(f"timezone: {timezone!r} is no IANA time zone such as America/New_York") from None


def _readable(session_id: Any) -> str | None:
    try:
        text = normalize.text(cast("Any", session_id))
        return text if 0 < len(text) <= LONGEST_ID else None
    except ValueError:
        return None
