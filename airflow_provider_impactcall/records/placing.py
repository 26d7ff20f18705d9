"""Reads rows from the values of the columns that a mapping needs, by their places: no dict is made for a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from airflow_provider_impactcall.records.call_record import CallRecord, Conventions
from airflow_provider_impactcall.records.columns import FromValues, is_among, with_heads
from airflow_provider_impactcall.records.readers import (
    Computed,
    Constant,
    FirstOf,
    Held,
    OfRow,
    OfValue,
    Path,
    Placed,
    Reader,
    RoundedDown,
)
from airflow_provider_impactcall.records.straight import Left, straight
from airflow_provider_impactcall.records.tables import KeyOf
from airflow_provider_impactcall.records.wording import names_in

_OURS = __name__.partition(".")[0] + "."


class _Unplaced(Exception):
    """A reader may need columns that it does not name."""


def from_values(
    left: Left,
    conventions: Conventions,
    columns: Mapping[str, int],
    are_kept: Callable[[Sequence[Any]], bool] | None,
) -> FromValues[CallRecord] | None:
    """The fast path of reduced sources for the values of rows; None if every row needs the full path.

    :param columns: the places of a row's columns, by each name that a column has
    :param are_kept: says whether opening a row leaves these values of it unchanged; None if it always does
    """
    placing = _Placing(columns)
    try:
        way = straight(placing.left(left), conventions)
    except _Unplaced:
        return None
    if way is None:
        return None
    record, row_of = way.record, placing.row_of()

    def read(values: Sequence[Any]) -> CallRecord | None:
        if are_kept is not None and not are_kept(values):
            return None
        return record(values if row_of is None else (*values, row_of(values)), conventions)

    return FromValues([*placing.places], read)


class _Placing:
    """Has readers read the values of a few columns instead of a row.

    A reader that needs a row gets a dict of the columns that it names. This dict stands behind all values.

    :param columns: see :func:`from_values`
    :ivar places: for each column that is needed, its place among these values by its place in a row
    """

    def __init__(self, columns: Mapping[str, int]) -> None:
        self.places: dict[int, int] = {}
        self._columns = columns
        self._in_row: dict[str, int] = {}
        self._asks_for_row = False

    def left(self, left: Left) -> Left:
        """The sources, each reading values.

        :raises _Unplaced: if a source may need columns that it does not name
        """
        return left._replace(
            readers={name: self._placed(reader) for name, reader in left.readers.items()},
            filters=[(reason, marks, self._placed(reader)) for reason, marks, reader in left.filters],
            guards=[([*map(self._placed, readers)], problem) for readers, problem in left.guards],
        )

    def row_of(self) -> Callable[[Sequence[Any]], Mapping[str, Any]] | None:
        """Makes the dict of the columns that readers need in a row; None if no reader needs one."""
        names, places = (*self._in_row,), [*self._in_row.values()]
        if not self._asks_for_row:
            return None
        if not names:
            return lambda values: {}
        if len(names) == 1:
            return lambda values: {names[0]: values[places[0]]}
        values_of = itemgetter(*places)
        return lambda values: dict(zip(names, values_of(values)))  # noqa: B905 - for speed

    def _placed(self, reader: Reader) -> Reader:
        match reader:
            case Constant():
                return reader
            case Held():
                return Placed(self._place(reader.name))
            case OfValue():
                return OfValue(reader.function, self._placed(reader.reader))
            case RoundedDown():
                return RoundedDown(self._placed(reader.reader))
            case FirstOf():
                return FirstOf([*map(self._placed, reader.readers)])
            case KeyOf():
                # Whether rows have a column for the key is known here.
                names = reader.table.names
                if names and not any(is_among(name, self._columns) for name in names):
                    raise _Unplaced
                return KeyOf(self._placed(reader.reader), replace(reader.table, names=()))
            case Path():
                self._need([reader.head])
            # A function of somebody else may read more columns than it names.
            case Computed() if (getattr(reader.function, "__module__", None) or "").startswith(_OURS):
                self._need(with_heads(names_in(reader.function)))
            case _:
                raise _Unplaced
        self._asks_for_row = True
        return OfRow(reader)

    def _place(self, name: str) -> int:
        return self.places.setdefault(self._columns[name], len(self.places))

    def _need(self, names: Sequence[str]) -> None:
        self._in_row.update((name, self._place(name)) for name in names if name in self._columns)
