"""Turns anything that holds rows into calls: flattens it, joins the rows of one call, and maps them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from airflow_provider_impactcall.delivery.identity import DIGEST_BYTES, Claim, digest
from airflow_provider_impactcall.delivery.items import MOST_DEAD_LETTERS, Call, Item, Rejected, Skipped, Traces
from airflow_provider_impactcall.delivery.joining import Unjoined, each_read, joined
from airflow_provider_impactcall.delivery.shapes import flattened, iterable, with_names
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, Problem
from airflow_provider_impactcall.records import CallMapping, CallRecord
from airflow_provider_impactcall.records.sources import Row
from airflow_provider_impactcall.records.unreadable import UnreadableRow

log = logging.getLogger(__name__)


TRACED = ("CallProvider", "CallSessionId", "MediaId")
"""The parameters that are read of an invalid row, besides those of the key."""


def read(
    rows: Any,
    mapping: CallMapping,
    watch: Callable[[Row], Row] | None = None,
    key: Sequence[str] | None = None,
    identify: Callable[[CallRecord], Claim] | None = None,
) -> Iterator[Item]:
    """Read rows and map them, as :func:`mapped` does.

    :param rows: any iterable of dicts, of rows of any type that has ``keys()``, or of :class:`CallRecord`. Iterables
        inside it are flattened. One dict is one row. None means no rows
    :param watch: given each row just before it becomes a call; its return value is read instead of the row
    :param key: the parameters that tell two calls apart, for the traces of invalid rows; None for no traces
    :param identify: gives each call its claim
    :raises InvalidOption: at once, if ``rows`` does not hold rows, or holds something else in their place
    """
    each = with_names(rows if isinstance(rows, Spool) else flattened(iterable(rows)), mapping)
    ways = mapping.record_from if watch is None else None
    join = None if mapping.preset is None else mapping.preset.join
    if mapping.preset is not None and join is not None:
        return mapped(joined(each, mapping.preset, join, mapping, ways), mapping, watch, key, identify)
    if isinstance(each, Spool):
        each = each_read(each, None, ways)
    return mapped(enumerate(each, start=1), mapping, watch, key, identify)


def mapped(
    rows: Iterable[tuple[int, Any]],
    mapping: CallMapping,
    watch: Callable[[Row], Row] | None = None,
    key: Sequence[str] | None = None,
    identify: Callable[[CallRecord], Claim] | None = None,
) -> Iterator[Item]:
    """Each row as a call, as a rejection with every reason, or as a row that is left out.

    Logs which columns ``mapping`` names that no row had. Unless the rows are watched, it also logs which kinds of calls
    the vendor's preset could not recognize.

    :param rows: each row with its number in the input, or its result if it has one already
    """
    traced = () if key is None else tuple(dict.fromkeys((*key, *TRACED)))
    to_trace = MOST_DEAD_LETTERS if traced else 0
    for number, row in rows:
        if type(row) is CallRecord:  # the common case first, for speed: it was read from its values
            yield Call(number, row, None if identify is None else identify(row))
            continue
        if isinstance(row, Skipped):
            yield row
            continue
        if isinstance(row, Unjoined):
            traces = _traces(number, row.row, mapping, traced) if to_trace > 0 else None
            to_trace -= 1
            yield Rejected(number, row.call_session_id, (row.problem,), traces)
            continue
        if isinstance(row, UnreadableRow):
            problem = Problem("row", row.code, row.problem)
            yield Rejected(number, None, (problem,), Traces({}, digest([row.problem], DIGEST_BYTES)))
            continue
        try:
            record = mapping.record(row, watch)
            yield Call(number, record, None if identify is None else identify(record))
        except InvalidCall as error:
            traces = _traces(number, row, mapping, traced) if to_trace > 0 else None
            to_trace -= 1
            yield Rejected(number, error.call_session_id, error.problems, traces)
        except CallLeftOut as omitted:
            yield Skipped(number, omitted.call_session_id, omitted.reason)
    if unseen := mapping.unseen_columns:
        log.warning("mapping names columns that no row had: %s", ", ".join(map(repr, unseen)))
    if watch is None and (untold := mapping.untold):  # A caller that watches the rows reports this itself.
        log.warning("Calls of these kinds cannot be recognized, and are not left out: %s", "; ".join(untold))


def _traces(number: int, row: Any, mapping: CallMapping, names: Sequence[str]) -> Traces:
    """The traces that identify an invalid row."""
    values = mapping.values_of(row) if isinstance(row, Mapping) else {}
    return Traces(CallRecord.legible(values, names, mapping.conventions), _content(number, row, values))


def _content(number: int, row: Any, values: Mapping[str, Any]) -> bytes:
    """A digest of the values that the mapping reads of a row: other columns may hold, say, the time of its loading."""
    # Some rows are identified by their number: items that are not dicts, and rows with a value that cannot be read or
    # written as text.
    with suppress(Exception):
        if isinstance(row, Mapping):
            told = {name: value for name, value in values.items() if value is not None}
            told = told or {str(column): row[column] for column in row}
            return digest([json.dumps(told, sort_keys=True, default=str)], DIGEST_BYTES)
    return digest([str(number), *sorted(values)], DIGEST_BYTES)
