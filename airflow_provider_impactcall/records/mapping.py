"""Turns a row into a call, or gives every reason why the row is not a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from types import MappingProxyType
from typing import Any, cast, get_args

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, InvalidOption, Problem, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.by_name import columns_by_parameter, read_by_name
from airflow_provider_impactcall.records.call_record import PARAMETERS, CallRecord, Conventions
from airflow_provider_impactcall.records.column_names import may_be_shown
from airflow_provider_impactcall.records.columns import (
    FromValues,
    OpenedRow,
    Row,
    but_nulls,
    hint,
    in_any_case,
    is_among,
    is_short,
    named_row,
    near,
    with_heads,
)
from airflow_provider_impactcall.records.kinds import COUNTRY_OF, readable_id
from airflow_provider_impactcall.records.normalize import CallerIdFormat
from airflow_provider_impactcall.records.options import misnamed, nulls_of, passed_of, refuse_large, zone
from airflow_provider_impactcall.records.placing import from_values
from airflow_provider_impactcall.records.plans import Plan, Reading, Sources, as_written, compiled, left_of
from airflow_provider_impactcall.records.readers import Reader
from airflow_provider_impactcall.records.sources import Source, adds, derives, names_in, reader_of, tells_columns
from airflow_provider_impactcall.records.straight import straight
from airflow_provider_impactcall.records.vendors import VendorPreset
from airflow_provider_impactcall.records.vendors import preset as preset_named

_ORDER = {name: place for place, name in enumerate(PARAMETERS)}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_MOST_PLANS = 1024
_DICTS = frozenset({dict, OpenedRow})
_NEEDED = (*(name for name, parameter in PARAMETERS.items() if parameter.required), "CallStatus")
_OF_A_CONNECTION = {
    "CampaignId": "campaign_id",
    "ActionTrackerId": "action_tracker_id",
    "CallProvider": "call_provider",
}


class CallMapping:
    """How a row becomes the parameters of a call.

    A parameter's value comes from ``mapping`` or ``constants``, else from the vendor's preset. Without a preset, it
    comes from a column of the same name, in any case or underscore style (``CampaignId``, ``campaign_id``,
    ``CAMPAIGNID``). If the call still lacks the parameter, ``defaults`` gives it. Other columns are ignored. Column
    names in ``mapping`` may differ from the row's in case; column names in a preset, in case and style.

    :param mapping: a source by parameter name: a column name, a dotted path into JSON, a callable of the row, or a dict
        such as ``{"first_of": [...]}``; see :mod:`~airflow_provider_impactcall.records.sources` for all of them
    :param constants: parameter name to the value that every call gets
    :param timezone: IANA name (or tzinfo) of times without an offset; without it such a row is invalid
    :param caller_id_format: ``national`` (ten digits) or ``e164`` for a NANP ``CallerId``
    :param defaults: parameter name to the value of calls that lack it; a connection's ``campaign_id`` and such
    :param vendor: the name of a preset, or a preset
    :param prefiltered: the guards of the preset, ``direction`` or ``ended``, that the rows have passed already: rows
        need not have the columns of these guards
    :param nulls: words that stand for nothing when they are the whole value of a column, such as ``NULL``
    :param clock: gives the time in seconds since the epoch; a call more than a day after it is invalid
    :ivar asked_for: the columns that ``mapping`` and the preset name, whether or not a row needs them
    :raises InvalidOption: with every name that is not one of the 50 parameters (and the most similar parameter), every
        parameter with two sources, every invalid source, and, with a preset, every required parameter without a source
    """

    def __init__(
        self,
        mapping: Mapping[str, Source] | None = None,
        constants: Mapping[str, Any] | None = None,
        timezone: str | tzinfo | None = None,
        caller_id_format: CallerIdFormat = "national",
        defaults: Mapping[str, Any] | None = None,
        vendor: str | VendorPreset | None = None,
        prefiltered: Collection[str] | None = None,
        nulls: Collection[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for option, given in (("mapping", mapping), ("constants", constants)):
            if not isinstance(given, Mapping | None):
                raise InvalidOption(f"{option} must be a dict by parameter name, and is {normalize.described(given)}")
        self.preset = preset_named(vendor) if isinstance(vendor, str) else vendor
        self.constants = constants or _NOTHING
        self.defaults = defaults or _NOTHING
        inherited = _NOTHING if self.preset is None else self.preset.mapping
        own = mapping or _NOTHING
        refuse_large(own)
        problems = [*misnamed("mapping", own), *misnamed("constants", self.constants)]
        problems += [f"{name} is in mapping and in constants" for name in own if name in self.constants]
        self._nulls, unfit = nulls_of(nulls)
        self._prefiltered, misguarded = passed_of(prefiltered, self.preset)
        problems += [*unfit, *misguarded]
        self._own_sources = tuple(own.values())
        self._own, unreadable = _read_by(own, inherited, self._nulls)
        problems += unreadable
        rest = {name: source for name, source in inherited.items() if name not in own and name not in self.constants}
        self._inherited, unreadable = _read_by(rest, _NOTHING, self._nulls)
        problems += unreadable
        self._named = tuple(dict.fromkeys(name for source in own.values() for name in names_in(source)))
        kept = [source for name, source in inherited.items() if name in rest or adds(own.get(name))]
        others = () if self.preset is None else self.preset.names_with(kept)
        self.asked_for = frozenset(with_heads([*self._named, *others]))
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._unseen: set[str] | None = None
        self._untold: set[str] | None = None
        self._sourced = frozenset({*own, *self.constants})
        self._sources = Sources({**self._inherited, **self._own}, self.constants, self.preset, self._prefiltered)
        if self.preset is not None and not problems:
            problems += self._without_source(self.preset.mapping, f"{self.preset.title} has none")
        if caller_id_format not in get_args(CallerIdFormat):
            problems.append("caller_id_format must be 'national' or 'e164'")
        if problems:
            raise InvalidOption("; ".join(problems))
        self.conventions = Conventions(timezone=zone(timezone), caller_id_format=caller_id_format, clock=clock)

    def record(self, row: Row | CallRecord, watch: Callable[[Row], Row] | None = None) -> CallRecord:
        """The call of a row. A :class:`CallRecord` is returned unchanged.

        For a row that is not a valid call, a function of the row may be called twice: the second time to explain.

        :param watch: called with the opened row; the row that it returns is read instead
        :raises CallLeftOut: if the vendor's preset leaves such calls out
        :raises InvalidCall: with every problem of the row at once
        """
        if type(row) is not dict and isinstance(row, CallRecord):  # the common case needs no look at classes, for speed
            return row
        try:
            if type(row) is not dict:
                row = named_row(row)
                if not isinstance(row, Mapping):
                    message = f"must be a dict by column name, and is {normalize.described(row)}"
                    raise InvalidCall((Problem("row", ProblemCode.NOT_A_ROW, message),))
            row, plan = self._opened(row)
            if watch is not None:
                row = watch(row)
            elif plan.straight is not None and type(row) in _DICTS:
                found = plan.straight.record(row, self.conventions)
                if found is not None:
                    return found
            reading = plan.compiled if type(row) in _DICTS else plan.written
            for reason, marks, read in reading.filters:
                if marks(read(row)):
                    raise CallLeftOut(reason, self._session_id(row))
            values, problems = self._values(row, plan, reading)
        except (CallLeftOut, InvalidCall):
            raise
        except normalize.UnfitValue as error:
            raise InvalidCall((Problem("row", error.code, str(error)),), self._session_id(cast("Row", row))) from None
        except Exception as error:
            # A row may be an object that fetches its values. The error's text may quote them: show only its type.
            message = f"cannot be read: {type(error).__name__}"
            raise InvalidCall((Problem("row", ProblemCode.UNREADABLE, message),)) from None
        try:
            record = CallRecord.of(values, self.conventions, reading.fields)
        except InvalidCall as error:
            explained = {problem.parameter for problem in problems}
            problems += [
                self._explain(problem, row) for problem in error.problems if problem.parameter not in explained
            ]
        else:
            if not problems:
                return record
        problems.sort(key=lambda problem: _ORDER.get(problem.parameter, len(_ORDER)))
        raise InvalidCall(tuple(problems), readable_id(values.get("CallSessionId")))

    def opened(self, row: Row) -> Row:
        """The row as the preset opens it, with None for each word of ``nulls``.

        :raises UnfitValue: if two columns could be meant by one of the preset's names
        """
        if self.preset is not None:
            row = self.preset.opened(row)
        if not self._nulls:
            return row
        aliases, within = (row.aliases, row.within) if isinstance(row, OpenedRow) else ({}, None)
        return OpenedRow({name: but_nulls(value, self._nulls) for name, value in row.items()}, aliases, within)

    def opens(self, columns: tuple[Any, ...]) -> bool:
        """Whether opening a row with these columns may change it."""
        return bool(self._nulls) or (self.preset is not None and self.preset.opens(columns))

    def record_from(self, columns: tuple[Any, ...]) -> FromValues[CallRecord] | None:
        """Reads ordinary rows with these columns from their values; None if each row has to be a dict. To be asked once
        for many rows.
        """
        named = _NOTHING if self.preset is None else self.preset.names_of(columns)
        if self._nulls or named is None:
            return None
        places = {column: place for place, column in enumerate(columns)}
        places |= {name: places[column] for name, column in named.items()}
        plan = self._plans.get(names := (*places,)) or self._planned(OpenedRow({}, named), names)
        if plan.straight is None:
            return None
        places |= {name: places[column] for name, column in plan.aliases.items()}
        are_kept = self.preset.are_kept if self.preset is not None and self.preset.blanks else None
        return from_values(plan.left, self.conventions, places, are_kept)

    def call_from(self, columns: tuple[Any, ...]) -> FromValues[str] | None:
        """Gives the call's id of rows with these columns; None if rows need opening first."""
        return None if self._nulls or self.preset is None else self.preset.call_from(columns)

    def values_of(self, row: Row, watch: Callable[[Row], Row] | None = None) -> Mapping[str, Any]:
        """A row's raw values by parameter. Values that cannot be read from the row are left out.

        :param watch: see :meth:`record`
        """
        try:
            row, plan = self._opened(row)
            return self._values(row if watch is None else watch(row), plan, plan.written)[0]
        except Exception:
            return _NOTHING

    def sourced(self, columns: Iterable[str]) -> set[str]:
        """The parameters that have a source in rows with these columns."""
        by_name = () if self.preset is not None else columns_by_parameter(tuple(columns))
        return {*self._own, *self._inherited, *self.constants, *self.defaults, *by_name}

    @property
    def unseen_columns(self) -> list[str]:
        """The columns that ``mapping`` names and that no row has had so far."""
        return sorted(self._unseen or ())

    @property
    def untold(self) -> list[str]:
        """The preset's filters that could not work so far, as no row had a column for them, in words."""
        return sorted(self._untold or ())

    def problems_with(self, columns: Sequence[str], first: Row | None = None) -> list[str]:
        """The problems that make every row with these columns an invalid call.

        :param first: the first row, which shows whether a column holds the calls as JSON
        """
        opened: set[str] = set(columns)
        problems: list[str] = []
        if self.preset is not None:
            known, opened, doubts = self.preset.resolved(columns)
            problems += [f"vendor: a call {doubt}" for doubt in doubts]
            found = self._first(first)
            if isinstance(found, OpenedRow) and found.within is not None:
                opened = set(found)  # Other rows may have other keys here: one row cannot show a missing guard.
            elif known or found is not None:
                lacking = self.preset.missing_guards(opened, self._prefiltered)
                problems += [f"vendor: a call {each}" for each in lacking]
        seen = in_any_case(self._named, list(opened), _NOTHING)
        opened.update(seen.aliases)
        problems += [f"mapping: a call {doubt}" for doubt in seen.problems()]
        missing = [name for name in self.missing_columns(opened) if name not in seen.doubts]
        if missing:
            shown = " nor ".join(f"{name!r}{hint(name, columns)}" for name in missing)
            problems.append(f"mapping: the calls have no column {shown}")
        if self.preset is None:
            by_name = columns_by_parameter(tuple(columns))
            taken = {each for found in by_name.values() for each in found}
            others = [column for column in columns if column not in taken] if may_be_shown(map(str, columns)) else []
            problems += self._without_source(by_name, "no column has such a name", others)
        return problems

    def _first(self, row: Row | None) -> Row | None:
        try:
            return None if row is None or self.preset is None else self.preset.opened(row)
        except Exception:
            return row  # The problem is reported when the row is read.

    def missing_columns(self, columns: Collection[str]) -> list[str]:
        """The columns that ``mapping`` names and that are missing here."""
        named = (column for reader in self._own.values() for column in reader.columns())
        return [column for column in dict.fromkeys(named) if not is_among(column, columns)]

    def _opened(self, row: Row) -> tuple[Row, Plan]:
        """The row with each column under its requested name, and the plan for its columns."""
        columns = tuple(row)
        plan = self._plans.get(columns)
        if plan is None or (
            plan.opens and type(row) is not OpenedRow and (plan.unopened is None or not plan.unopened(row))
        ):
            opened = self.opened(row)
            if opened is not row or plan is None:
                row, columns = opened, tuple(opened)
                plan = self._plans.get(columns) or self._planned(row, columns)
        if plan.aliases:
            known, within = (row.aliases, row.within) if isinstance(row, OpenedRow) else (_NOTHING, None)
            named = {name: row[column] for name, column in plan.aliases.items()}
            aliases = {name: known.get(column, column) for name, column in plan.aliases.items()}
            row = OpenedRow({**row, **named}, {**known, **aliases}, within)
        return row, plan

    def _planned(self, row: Row, columns: tuple[Any, ...]) -> Plan:
        """The plan for rows with these columns, made once for each set of columns."""
        by_name: Sequence[tuple[str, str]] = ()
        problems: list[Problem] = []
        if self.preset is None:
            by_name, ambiguous = read_by_name(columns, self._sourced)
            problems += ambiguous
        aliases = row.aliases if isinstance(row, OpenedRow) else _NOTHING
        found = in_any_case(self._named, columns, aliases)
        problems += [Problem("row", ProblemCode.AMBIGUOUS_COLUMN, problem) for problem in found.problems()]
        held = {*columns, *found.aliases}
        known = {*held, *found.doubts}
        missing = set(self.missing_columns(known))
        self._unseen = missing if self._unseen is None else self._unseen & missing
        if self.preset is not None:
            untold = set(self.preset.untold(known))
            self._untold = untold if self._untold is None else self._untold & untold
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        unopened = None
        if self.preset is not None and not self._nulls and all(map(tells_columns, self._own_sources)):
            unopened = self.preset.unopened(columns, self.asked_for.union(found.aliases.values()))
        # A default must not hide a misspelled column: the call would be credited to another program.
        defaults = [
            (name, default)
            for name, default in self.defaults.items()
            if name not in self._own or all(is_among(column, held) for column in self._own[name].columns())
        ]
        left = left_of(self._sources, held, by_name, defaults)
        way = None if problems else straight(left, self.conventions)
        written = as_written(self._sources, held, by_name, defaults)
        plan = Plan(found.aliases, problems, self.opens(columns), unopened, written, compiled(left), left, way)
        if is_short(columns):
            self._plans[columns] = plan
        return plan

    def _without_source(self, others: Iterable[str], why: str, columns: Sequence[str] = ()) -> list[str]:
        known = {*self._own, *self.constants, *self.defaults, *others}
        missing = [name for name in _NEEDED if name not in known]
        if not missing:
            return []
        fields = [_OF_A_CONNECTION[name] for name in missing if name in _OF_A_CONNECTION]
        or_there = f", or the connection's {', '.join(fields)}" if fields else ""
        hints = [f"{name}: {found!r}" for name in missing if (found := near(name, columns)) is not None]
        why += f" (similar: {', '.join(hints)})" if hints else ""
        return [f"{', '.join(missing)}: no source, as {why}; give one in mapping or constants{or_there}"]

    def _values(self, row: Row, plan: Plan, reading: Reading) -> tuple[dict[str, Any], list[Problem]]:
        problems = [*plan.problems]
        for reads, problem in reading.guards:
            for read in reads:
                if not normalize.is_blank(read(row)):
                    break
            else:
                problems.append(Problem("row", ProblemCode.MISSING, problem))
        values: dict[str, Any] = {**reading.fixed, **{name: row[column] for name, column in reading.columns}}
        for name, read in reading.computed:
            try:
                values[name] = read(row)
            except normalize.UnfitValue as error:
                problems.append(Problem(name, error.code, str(error)))
            except CallLeftOut as left_out:
                raise CallLeftOut(left_out.reason, self._session_id(row)) from None
            except Exception as error:
                # Only the type of the error: its text may quote the row.
                message = f"could not be computed: its mapping raised {type(error).__name__}"
                problems.append(Problem(name, ProblemCode.MAPPING_FAILED, message))
        for name, default in reading.defaults:
            if normalize.is_absent(values.get(name)):
                values[name] = default
        return values, problems

    def _explain(self, problem: Problem, row: Row) -> Problem:
        reader = self._own.get(problem.parameter) or self._inherited.get(problem.parameter)
        lacking = [] if reader is None else [name for name in reader.columns() if not is_among(name, row)]
        if problem.code is ProblemCode.MISSING and lacking:
            named = f"{lacking[0]!r}{hint(lacking[0], row)}"
            message = f"{problem.message}; the row has no column {named}"
            return replace(problem, message=message)
        return problem

    def _session_id(self, row: Row) -> str | None:
        reader = self._own.get("CallSessionId") or self._inherited.get("CallSessionId")
        try:
            return None if reader is None else readable_id(reader.read(row))
        except Exception:
            return None


def _read_by(
    sources: Mapping[str, Source], inherited: Mapping[str, Source], nulls: Collection[str]
) -> tuple[dict[str, Reader], list[str]]:
    readers: dict[str, Reader] = {}
    problems: list[str] = []
    for name, source in sources.items():
        try:
            readers[name] = reader_of(source, inherited.get(name), nulls)
            if name not in COUNTRY_OF.values() and derives(source):
                problems.append(f"mapping: {name} has derived_else, which only the country of a number may have")
        except InvalidOption as error:
            problems.append(f"mapping: {name} {error}")
    return readers, problems
