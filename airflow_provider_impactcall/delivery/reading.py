"""Whatever holds rows, into calls: flattened, the rows of one call joined, mapped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_impactcall.delivery.engine import Call, Item, Omission, Rejection
from airflow_provider_impactcall.delivery.joining import joined
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, InvalidOption, Problem
from airflow_provider_impactcall.records import CallMapping, CallRecord
from airflow_provider_impactcall.records.columns import named_row
from airflow_provider_impactcall.records.sources import Row
from airflow_provider_impactcall.records.unreadable import UnreadableRow

log = logging.getLogger(__name__)


def read(rows: Any, mapping: CallMapping, watch: Callable[[Row], Row] | None = None) -> Iterator[Item]:
    """Whatever holds rows, as :func:`mapped` gives them.

    :param rows: any iterable of dicts or :class:`CallRecord`; iterables in it are flattened; one dict is one
        row; None is no row
    :param watch: given each row just before it becomes a call; what it returns is read in its place
    :raises InvalidOption: at once, if ``rows`` is nothing that has rows
    """
    each = flattened(_iterable(rows))
    join = None if mapping.preset is None else mapping.preset.join
    if mapping.preset is None or join is None:
        return mapped(enumerate(each, start=1), mapping, watch)
    return mapped(joined(each, mapping.preset, join, mapping.opened), mapping, watch)


def mapped(
    rows: Iterable[tuple[int, Any]], mapping: CallMapping, watch: Callable[[Row], Row] | None = None
) -> Iterator[Item]:
    """Each row as a call, as a rejection with every reason, or as one that is left out.

    Says in the log which columns ``mapping`` names that no row had, and which calls the vendor's preset could not tell.

    :param rows: each with its number in the input, or what has come of it already
    """
    for number, row in rows:
        if isinstance(row, (Omission, Rejection)):
            yield row
            continue
        if isinstance(row, UnreadableRow):
            yield Rejection(number, None, (Problem("row", row.problem),))
            continue
        try:
            yield Call(number, mapping.record(row, watch))
        except InvalidCall as error:
            yield Rejection(number, error.call_session_id, error.problems)
        except CallLeftOut as omitted:
            yield Omission(number, omitted.call_session_id, omitted.reason)
    if unseen := mapping.unseen_columns:
        log.warning("mapping names columns that no row had: %s", ", ".join(map(repr, unseen)))
    if untold := mapping.untold:
        log.warning("Calls of these kinds cannot be told, and are not left out: %s", "; ".join(untold))


def flattened(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows of rows of rows: a mapped upstream arrives as a sequence of its tasks' results."""
    for row in rows:
        named = row if isinstance(row, (Mapping, CallRecord, str, bytes)) else _named(row)
        if named is row and not isinstance(row, (Mapping, CallRecord, str, bytes)) and isinstance(row, Iterable):
            yield from flattened(row)
        else:
            yield named


def _named(row: Any) -> Any:
    try:
        return named_row(row)
    except Exception as error:
        # It fetches its values, and its error may quote them.
        return UnreadableRow(f"cannot be read: {type(error).__name__}")


def _iterable(rows: Any) -> Iterable[Any]:
    if rows is None:
        return ()
    if isinstance(rows, (Mapping, CallRecord)) or (_has_names(rows) and not hasattr(rows, "to_dict")):
        return (rows,)
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise InvalidOption(f"the calls must be dicts by column name, and are of type {type(rows).__name__}")
    if hasattr(rows, "columns") and hasattr(rows, "to_dict"):
        raise InvalidOption("the calls are a DataFrame; pass its rows: df.to_dict('records')")
    return rows


def _has_names(row: Any) -> bool:
    return not isinstance(row, type) and any(callable(getattr(row, name, None)) for name in ("keys", "_asdict"))
