"""Writes a ledger's listing to a file: CSV, JSON Lines or Parquet, local or in any object store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath
from tempfile import NamedTemporaryFile
from typing import IO, Any

from airflow.providers.common.compat.sdk import AirflowException, ObjectStoragePath

from airflow_provider_impactcall.delivery.csv_cells import csv_lines
from airflow_provider_impactcall.delivery.ledger.listing import LISTED_COLUMNS, problems_in_words
from airflow_provider_impactcall.delivery.ledger.selection import MOMENTS
from airflow_provider_impactcall.delivery.private_files import replacing
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.paths import refuse_credentials, shown

Rows = Iterable[Mapping[str, Any]]
Writer = Callable[[Rows, IO[bytes]], None]
"""Writes rows, each as :class:`.Listing` gives it, to a file."""

_ROWS_A_GROUP = 10_000
_LOCAL = ("", "file", "local")


def csv_text(rows: Rows) -> Iterator[str]:
    """Rows as CSV, some lines at a time."""
    in_cells = ({**row, "problems": problems_in_words(row["problems"])} for row in rows)
    return csv_lines(LISTED_COLUMNS, in_cells, "\n")


def as_csv(rows: Rows, stream: IO[bytes]) -> None:
    """Write CSV in UTF-8."""
    stream.writelines(text.encode() for text in csv_text(rows))


def as_json_lines(rows: Rows, stream: IO[bytes]) -> None:
    """Write a JSON object a line."""
    stream.writelines(f"{json.dumps(row)}\n".encode() for row in rows)


def as_parquet(rows: Rows, stream: IO[bytes]) -> None:
    """Write Parquet, in which counts are numbers, and times are timestamps in UTC.

    A time that cannot be read, as an old ledger may have it, is NULL.
    """
    import pyarrow as pa
    import pyarrow.parquet

    moment = pa.timestamp("us", tz="UTC")
    kinds = {
        **dict.fromkeys(("EventDate", *MOMENTS), moment),
        **dict.fromkeys(("status", "attempts", "came_again_times", "row", "times"), pa.int64()),
        "problems": pa.list_(pa.struct([("parameter", pa.string()), ("code", pa.string())])),
    }
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in LISTED_COLUMNS])
    times = [name for name in LISTED_COLUMNS if kinds.get(name) is moment]
    remaining = iter(rows)
    with pa.parquet.ParquetWriter(stream, schema) as file:
        while group := list(islice(remaining, _ROWS_A_GROUP)):
            read = [{**row, **{name: moment_of(row[name]) for name in times}} for row in group]
            file.write_table(pa.Table.from_pylist(read, schema))


def moment_of(text: str | None) -> datetime | None:
    """A time in ISO 8601 with an offset, converted to UTC; None for None, and for a text that cannot be read."""
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_WRITERS: Mapping[str, Writer] = {
    ".csv": as_csv,
    ".jsonl": as_json_lines,
    ".ndjson": as_json_lines,
    ".parquet": as_parquet,
}


def write_file(path: str, rows: Rows, otherwise: Writer | None = None) -> None:
    """Write rows to a file that is complete or absent: a file that is replaced stays as it was until all is written.

    An object store gets the whole file at once, when it is complete on this machine's disk.

    :param path: local, or an ``ObjectStoragePath`` as text. Its ending says the format
    :param rows: as listed, in any number; read only after the path was found to be right
    :param otherwise: how to write a file with any other ending
    :raises InvalidOption: if the path is wrong, a local file cannot be written, or Parquet needs pyarrow
    :raises AirflowException: if an object store does not take the file
    """
    refuse_credentials(path)
    writer = _WRITERS.get(PurePosixPath(path.lower()).suffix, otherwise)
    if writer is None:
        raise InvalidOption(f"{shown(path)}: the path of an export must end in {', '.join(_WRITERS)}")
    if writer is as_parquet:
        _need_pyarrow(path)
    store, place = _store(path) if "://" in path else (None, path)
    if store is None:
        with replacing(place) as stream:
            writer(rows, stream)
        return
    # An object store keeps a half-written file as if it were complete.
    with NamedTemporaryFile(prefix="impactcall-") as draft:
        writer(rows, draft)
        draft.flush()
        try:
            store.put_file(draft.name, place)
        except Exception as error:
            # Object stores have exceptions of their own, and some quote addresses.
            raise AirflowException(f"{shown(path)}: could not be written ({type(error).__name__})") from None


def _need_pyarrow(path: str) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InvalidOption(
            f"{shown(path)}: Parquet needs pyarrow: pip install 'airflow-provider-impactcall[parquet]'"
        ) from None


def _store(path: str) -> tuple[Any, str]:
    """The object store of a URL, or None for a local file; and the path in it."""
    try:
        storage: Any = ObjectStoragePath(path)
        return (None if storage.protocol in _LOCAL else storage.fs), storage.path
    except (ImportError, ValueError) as error:
        raise InvalidOption(
            f"{shown(path)}: cannot be opened ({type(error).__name__}); is the provider of its storage installed?"
        ) from None
