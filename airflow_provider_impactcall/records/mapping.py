"""A row into a call, or every reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast, get_args
from zoneinfo import ZoneInfo

from airflow_provider_impactcall.exceptions import InvalidCall, InvalidOption, Problem
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.call_record import PARAMETERS, CallRecord, Conventions, nearest_parameter
from airflow_provider_impactcall.records.normalize import CallerIdFormat

Row = Mapping[str, Any]
Source = str | Callable[[Row], Any]

_ORDER = {name: place for place, name in enumerate(PARAMETERS)}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class CallMapping:
    """How the columns of a row become the parameters of a call.

    A parameter's value comes from ``mapping`` or ``constants``, else from a column named like it in any case
    or underscore style (``CampaignId``, ``campaign_id``, ``CAMPAIGNID``); a call that then lacks it takes it
    from ``defaults``. Other columns are ignored.

    :param mapping: parameter name to column name, or to a callable of the row
    :param constants: parameter name to the value that every call gets
    :param timezone: IANA name (or tzinfo) of times without an offset; without it such a row is invalid
    :param caller_id_format: ``national`` (ten digits) or ``e164`` for a NANP ``CallerId``
    :param defaults: parameter name to the value of calls that lack it; a connection's ``campaign_id`` and such
    :raises InvalidOption: with every name that is none of the 50 parameters (and the nearest that is), every
        parameter with two sources, and every source that is neither a column nor a callable
    """

    def __init__(
        self,
        mapping: Mapping[str, Source] | None = None,
        constants: Mapping[str, Any] | None = None,
        timezone: str | tzinfo | None = None,
        caller_id_format: CallerIdFormat = "national",
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        for option, given in (("mapping", mapping), ("constants", constants)):
            if not isinstance(given, Mapping | None):
                raise InvalidOption(f"{option} must be a dict by parameter name, and is {normalize.described(given)}")
        self.mapping = mapping or _NOTHING
        self.constants = constants or _NOTHING
        self.defaults = defaults or _NOTHING
        problems = [*_misnamed("mapping", self.mapping), *_misnamed("constants", self.constants)]
        problems += [f"{name} is in mapping and in constants" for name in self.mapping if name in self.constants]
        problems += [
            f"mapping: {name} must be a column name or a callable of the row, and is {normalize.described(source)}"
            for name, source in self.mapping.items()
            if not (isinstance(source, str) or callable(source))
        ]
        if caller_id_format not in get_args(CallerIdFormat):
            problems.append("caller_id_format must be 'national' or 'e164'")
        if problems:
            raise InvalidOption("; ".join(problems))
        self.conventions = Conventions(timezone=_zone(timezone), caller_id_format=caller_id_format)

    def record(self, row: Row | CallRecord) -> CallRecord:
        """The call that a row is. A :class:`CallRecord` is taken as it is.

        :raises InvalidCall: with every problem of the row at once
        """
        if isinstance(row, CallRecord):
            return row
        if not isinstance(row, Mapping):
            raise InvalidCall((Problem("row", f"must be a dict by column name, and is {normalize.described(row)}"),))
        try:
            values, problems = self._values(row)
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
        raise InvalidCall(tuple(problems), _session_id(values))

    def missing_columns(self, columns: Iterable[str]) -> list[str]:
        """The columns that ``mapping`` names and that are not among these."""
        known = set(columns)
        return [source for source in self.mapping.values() if isinstance(source, str) and source not in known]

    def _values(self, row: Row) -> tuple[dict[str, Any], list[Problem]]:
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, columns in _columns_by_parameter(tuple(row)).items():
            if name in self.mapping or name in self.constants:
                continue
            values[name] = row[columns[0]]
            if len(columns) > 1:
                named = " and ".join(map(repr, columns))
                problems.append(Problem(name, f"has two columns, {named}; name the right one in mapping"))
        for name, source in self.mapping.items():
            if isinstance(source, str):
                values[name] = row.get(source)
                continue
            try:
                values[name] = source(row)
            except Exception as error:
                # Only the type: what a callable says may quote the row.
                problems.append(Problem(name, f"could not be computed: its mapping raised {type(error).__name__}"))
        values.update(self.constants)
        for name, default in self.defaults.items():
            source = self.mapping.get(name)
            if isinstance(source, str) and source not in row:
                continue  # The column is misspelled, and a default in its place would credit another program.
            if normalize.is_absent(values.get(name)):
                values[name] = default
        return values, problems

    def _explain(self, problem: Problem, row: Row) -> Problem:
        source = self.mapping.get(problem.parameter)
        if problem.message.startswith("is missing") and isinstance(source, str) and source not in row:
            return Problem(problem.parameter, f"{problem.message}; the row has no column {source!r}")
        return problem


@lru_cache(maxsize=1024)
def _columns_by_parameter(columns: tuple[Any, ...]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for column in columns:
        name = _BY_FOLDED_NAME.get(_folded(column)) if isinstance(column, str) else None
        if name is not None:
            found[name] = (*found.get(name, ()), column)
    return found


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


def _session_id(values: Row) -> str | None:
    try:
        return normalize.text(cast("Any", values.get("CallSessionId"))) or None
    except ValueError:
        return None
