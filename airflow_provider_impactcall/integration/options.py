"""The options of a delivery: each one's type, default and rule. DAG files import this, so it imports no library."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from io import BytesIO, TextIOWrapper
from numbers import Real
from operator import index
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypedDict, cast

from airflow_provider_impactcall.defaults import DEFAULT_KEY, RETRY_STATUSES
from airflow_provider_impactcall.exceptions import InvalidOption

if TYPE_CHECKING:
    from datetime import tzinfo
    from os import PathLike

    from airflow_provider_impactcall.records.sources import Source


@dataclass(frozen=True)
class RowOptions:
    """How rows become calls, and what tells two calls apart.

    ``mapping``, ``constants``, ``vendor``, ``prefiltered`` and ``nulls`` are checked together, and with the
    connection's own conventions, by :func:`~airflow_provider_impactcall.integration.mapping_files.mapping_of`.

    :param mapping: a source by parameter name: a column name, a dotted path into JSON, a callable of the row, or a
        dict such as ``{"first_of": [...]}``; see :mod:`~airflow_provider_impactcall.records.sources`. Or the path
        of a YAML or JSON file of them; see :func:`~airflow_provider_impactcall.integration.mapping_files.loaded`
    :param constants: parameter name to the value that every call gets
    :param csv_delimiter: what separates the values of CSV files, one character; a file's first line ``sep=;`` has
        precedence
    :param csv_encoding: Python's name for the encoding of CSV files, such as ``cp1252`` or ``utf-16``
    :param timezone: IANA name of the zone of times without an offset; if None, a row with such a time is rejected
    :param vendor: the name of a preset, which maps the calls of a call-tracking vendor; ``mapping`` has precedence
    :param prefiltered: the guards of the preset, ``direction`` or ``ended``, that the rows have passed already
    :param nulls: the words that mean no value, such as ``("NULL", "N/A")``
    :param key: the parameters that tell two calls apart
    :raises InvalidOption: with everything that is wrong with ``csv_delimiter``, ``csv_encoding``, ``timezone`` and
        ``key``
    """

    mapping: Mapping[str, Source] | str | PathLike[str] | None = None
    constants: Mapping[str, Any] | None = None
    csv_delimiter: str = ","
    csv_encoding: str = "utf-8"
    timezone: str | tzinfo | None = None
    vendor: str | None = None
    prefiltered: Collection[str] | None = None
    nulls: Collection[str] | None = None
    key: Sequence[str] = DEFAULT_KEY

    def __post_init__(self) -> None:
        # Not at the top: these modules import all the libraries that reading rows needs.
        from airflow_provider_impactcall.delivery.duplicates import names_of_key
        from airflow_provider_impactcall.records.options import zone

        problems = Problems()
        with problems.noted():
            delimiter_of(self.csv_delimiter)
        with problems.noted():
            encoding_of(self.csv_encoding)
        with problems.noted():
            zone(self.timezone)
        with problems.noted():
            names_of_key(self.key)
        problems.refuse()


@dataclass(frozen=True)
class DeliveryOptions:
    """How calls are delivered, and which ledger records them.

    :param on_unknown: ``hold``: a call whose fate is unknown is not sent again by itself. ``resend``: it is sent until
        its fate is known, and may arrive twice
    :param ledger_conn_id: the SQL connection of the delivery ledger, or ``embedded``; ``[impactcall] ledger_conn_id``
        if None, and ``embedded`` where all workers share one machine
    :param ledger_namespace: a call of one namespace never hides a call of another; the endpoint's origin if None
    :param retry_statuses: answers taken as "not processed", to be sent again
    :param max_wait: the run stops after so many seconds without an answer that settles a call, or if the endpoint or a
        rate limit imposes a longer wait
    :param limit: send at most so many calls; None for all
    :param dry_run: send nothing; what would be sent counts as ``not_sent``
    :param rejects_path: a local path or any ``ObjectStoragePath``: one line of JSON for each rejected row
    :param concurrency: requests in flight at once; the connection's (8) if None
    :param requests_per_second: the account's limit (the account: the endpoint's origin and the login). All runs that
        share the ledger's database and have such a limit are counted together, and each run holds its own limit against
        the sum. Below 1 the window grows (0.5: one request in 2 s); else a fraction is left out (2.5: 2). The
        connection's (no limit) if None
    :param requests_per_hour: likewise
    :raises InvalidOption: with everything that is wrong
    """

    on_unknown: Literal["hold", "resend"] = "hold"
    ledger_conn_id: str | None = None
    ledger_namespace: str | None = None
    retry_statuses: Collection[int] = RETRY_STATUSES
    max_wait: float = 60.0
    limit: int | None = None
    dry_run: bool = False
    rejects_path: str | None = None
    concurrency: int | None = None
    requests_per_second: float | None = None
    requests_per_hour: float | None = None

    def __post_init__(self) -> None:
        # Not at the top: this module imports the libraries that normalize values.
        from airflow_provider_impactcall.integration.paths import refuse_credentials

        problems = Problems()
        with problems.noted():
            if self.on_unknown not in ("hold", "resend"):
                raise InvalidOption("on_unknown must be 'hold' or 'resend'")
        with problems.noted():
            if not isinstance(self.dry_run, bool):
                raise InvalidOption("dry_run must be True or False")
        with problems.noted():
            _refuse_other_statuses(self.retry_statuses)
        with problems.noted():
            positive("requests_per_second", self.requests_per_second)
        with problems.noted():
            positive("requests_per_hour", self.requests_per_hour)
        with problems.noted():
            at_least_zero("max_wait", self.max_wait)
        with problems.noted():
            whole("concurrency", positive("concurrency", self.concurrency))
        with problems.noted():
            whole("limit", self.limit)
        with problems.noted():
            refuse_credentials(self.rejects_path)
        problems.refuse()


class RowKeywords(TypedDict, total=False):
    """The fields of :class:`RowOptions`, as keywords of a method."""

    mapping: Mapping[str, Source] | str | PathLike[str] | None
    constants: Mapping[str, Any] | None
    csv_delimiter: str
    csv_encoding: str
    timezone: str | tzinfo | None
    vendor: str | None
    prefiltered: Collection[str] | None
    nulls: Collection[str] | None
    key: Sequence[str]


class DeliveryKeywords(RowKeywords, total=False):
    """The fields of :class:`RowOptions` and of :class:`DeliveryOptions`, as keywords of a method."""

    on_unknown: Literal["hold", "resend"]
    ledger_conn_id: str | None
    ledger_namespace: str | None
    retry_statuses: Collection[int]
    max_wait: float
    limit: int | None
    dry_run: bool
    rejects_path: str | None
    concurrency: int | None
    requests_per_second: float | None
    requests_per_hour: float | None


def options_of(method: str, keywords: DeliveryKeywords) -> tuple[RowOptions, DeliveryOptions]:
    """The options that a method is given by name.

    :param method: its name, for the error
    :raises InvalidOption: with everything that is wrong with them
    :raises TypeError: naming the keywords that are not options
    """
    of_rows, of_delivery = ({field.name for field in fields(kind)} for kind in (RowOptions, DeliveryOptions))
    _refuse_unknown(method, keywords, of_rows | of_delivery)
    given = cast("dict[str, Any]", keywords)
    problems = Problems()
    with problems.noted():
        row_options = RowOptions(**{name: value for name, value in given.items() if name in of_rows})
    with problems.noted():
        delivery_options = DeliveryOptions(**{name: value for name, value in given.items() if name in of_delivery})
    problems.refuse()
    return row_options, delivery_options


def row_options_of(method: str, keywords: RowKeywords) -> RowOptions:
    """The options of rows that a method is given by name.

    :param method: its name, for the error
    :raises InvalidOption: with everything that is wrong with them
    :raises TypeError: naming the keywords that are not options
    """
    _refuse_unknown(method, keywords, {field.name for field in fields(RowOptions)})
    return RowOptions(**keywords)


class Problems:
    """Collects what is wrong with several options, to report it all at once."""

    def __init__(self) -> None:
        self._said: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Takes note of an :class:`.InvalidOption` that is raised within the context, and goes on after it."""
        try:
            yield
        except InvalidOption as error:
            self._said.append(str(error))

    def refuse(self) -> None:
        """Raise what was noted, if anything was.

        :raises InvalidOption: with all of it
        """
        if self._said:
            raise InvalidOption("; ".join(self._said))


def positive(option: str, value: float | None) -> float | None:
    """The value of an option that is a finite number over zero, or None.

    :raises InvalidOption: naming the option
    """
    if value is not None and not 0 < at_least_zero(option, value) < math.inf:
        raise InvalidOption(f"{option} must be more than zero, and finite")
    return value


def whole(option: str, value: float | None) -> int | None:
    """The value of an option that is a whole number of zero or more, or None.

    :raises InvalidOption: naming the option
    """
    if value is None:
        return None
    if at_least_zero(option, value) % 1:
        raise InvalidOption(f"{option} must be a whole number")
    return int(value)


def at_least_zero(option: str, value: float) -> float:
    """The value of an option that is a number of zero or more.

    :raises InvalidOption: naming the option
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not value >= 0:
        raise InvalidOption(f"{option} must be a number of zero or more")
    return value


def _refuse_unknown(method: str, keywords: Mapping[str, object], known: Collection[str]) -> None:
    unknown = [name for name in keywords if name not in known]
    if unknown:
        raise TypeError(f"{method}() got an unexpected keyword argument {', '.join(map(repr, unknown))}")


def _refuse_other_statuses(statuses: Any) -> None:
    if not isinstance(statuses, Collection) or isinstance(statuses, (str, bytes)) or not all(map(_is_error, statuses)):
        raise InvalidOption("retry_statuses must be a list of HTTP statuses from 400 to 599")


def _is_error(status: Any) -> bool:
    return isinstance(status, SupportsIndex) and not isinstance(status, bool) and 400 <= index(status) < 600


def delimiter_of(option: Any) -> str:
    """The character that ``csv_delimiter`` stands for.

    :raises InvalidOption: if it cannot separate values
    """
    delimiter = "\t" if option == r"\t" else option
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n\0' or delimiter.isalnum():
        raise InvalidOption("csv_delimiter must be one character such as ';' or '\\t', and no letter, digit or quote")
    return delimiter


def encoding_of(option: Any) -> str:
    """The encoding that ``csv_encoding`` names.

    :raises InvalidOption: if Python has no encoding of this name
    """
    try:
        encoding = str.__str__(option)
        TextIOWrapper(BytesIO(), encoding=encoding).close()
    except (LookupError, TypeError, ValueError):
        raise InvalidOption("csv_encoding must be the name of an encoding such as utf-8, cp1252 or utf-16") from None
    return encoding
