"""Calls from Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.text_files import ROWS_A_CHUNK, Contents, FileRow, repeated
from airflow_provider_impactcall.records.unreadable import UnreadableValue

_BUFFER = 64 * 1024
# pyarrow raises a KeyError of pytz or zoneinfo for a time whose zone is unknown here, such as GMT+5.
_NOT_OF_PYTHON = (ValueError, OverflowError, LookupError)


def parquet(stream: IO[bytes], name: str) -> Contents:
    """The rows of a Parquet file. A value that Python cannot hold is an :class:`.UnreadableValue`.

    :raises InvalidOption: if it is not a Parquet file, or has two columns of one name
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise InvalidOption(
            f"{name}: Parquet needs pyarrow: pip install 'airflow-provider-impactcall[parquet]'"
        ) from None
    with _no_parquet(name):
        # The buffer bounds how much of a column is held in memory.
        file = pa.parquet.ParquetFile(stream, buffer_size=_BUFFER)
        schema = pa.schema([field.with_type(_to_the_microsecond(field.type)) for field in file.schema_arrow])
    if repeated(schema.names):
        raise InvalidOption(f"{name}: two columns of one name")

    def rows() -> Iterator[FileRow]:
        with _no_parquet(name):
            for batch in file.iter_batches(ROWS_A_CHUNK, use_threads=False):
                yield from _rows_of_table(pa.Table.from_batches([batch]).cast(schema, safe=False))

    return schema.names, rows()


@contextmanager
def _no_parquet(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # Arrow reports a broken file as a plain OSError without errno. A storage's errors have a subclass or an errno.
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise
        raise InvalidOption(f"{name}: is not a complete Parquet file ({type(error).__name__})") from None


def _to_the_microsecond(kind: Any) -> Any:
    """The type with microseconds in place of nanoseconds, as Python's times are not finer."""
    import pyarrow as pa

    if getattr(kind, "unit", None) != "ns":
        return kind
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")


def _rows_of_table(table: Any) -> Iterator[FileRow]:
    """The rows of a table, value by value if Python cannot hold one of them, such as a time in the year 10000."""
    try:
        yield from table.to_pylist()
        return
    except _NOT_OF_PYTHON:
        pass
    columns = [[_readable(value) for value in table.column(place)] for place in range(table.num_columns)]
    for values in zip(*columns, strict=True):
        yield dict(zip(table.column_names, values, strict=True))


def _readable(value: Any) -> Any:
    try:
        return value.as_py()
    except _NOT_OF_PYTHON as error:
        return UnreadableValue(f"cannot be read from the file ({type(error).__name__})")
