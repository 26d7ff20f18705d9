"""Calls from files, local or of any object store. What is wrong with one is said by line, never by value: the rows hold
callers.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import os
import sys
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial, wraps
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import PurePosixPath
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar, cast

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_impactcall.delivery.reading import flattened
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.paths import refuse_credentials, shown
from airflow_provider_impactcall.records.unreadable import UnreadableRow

log = logging.getLogger(__name__)

STANDARD = "-"
"""The name that means standard input, or standard output."""

_ENDINGS = "a path must end in .jsonl, .ndjson or .csv, each also with .gz, or in .parquet"
_ROWS_A_CHUNK = 1000
_LONGEST_LINE = 16 * 1024 * 1024
_BUFFER = 64 * 1024

_Method = TypeVar("_Method", bound=Callable[..., Any])

_Row = Mapping[str, Any] | UnreadableRow
# The columns that all its rows have, or None if each has its own; and the rows.
_Contents = tuple[Collection[str] | None, Iterator[_Row]]
_Reader = Callable[[IO[bytes], str], _Contents]


class FileRows:
    """The rows of files, on disk: dicts, and an :class:`.UnreadableRow` for each that is none.

    :param spool: the rows, as its one column
    :param columns: the names of all columns, or None if rows have columns of their own, as those of JSON lines do
    """

    def __init__(self, spool: Spool, columns: Collection[str] | None) -> None:
        self.columns = columns
        self._spool = spool

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> Iterator[Any]:
        for stored in self._spool:
            yield from stored.values()


def holds_json_lines(file: str) -> bool:
    """Whether a file's name says that it has a JSON object a line."""
    return file.lower().endswith((".jsonl", ".ndjson"))


def is_path(value: Any) -> bool:
    """Whether a value is the path of a file: any path object, or text that ends as one of a known format does."""
    if not isinstance(value, str):
        return isinstance(value, (os.PathLike, ObjectStoragePath))
    # Rows as text, which a template may leave, can end in anything.
    return _reader_for(value) is not None and value.isprintable() and not value.startswith(("[", "{", "("))


@contextmanager
def rows_of(file: str) -> Iterator[FileRows]:
    """The rows of one file, on disk; gone once the context ends.

    :param file: its path, CSV unless it ends as one of another format does; or ``-`` for standard input, as CSV
    :raises InvalidOption: if it cannot be read to its end
    """
    with Spool(("row",)) as spool:
        with _contents(file, otherwise=_csv) as (columns, rows):
            _write(spool, rows)
        yield FileRows(spool, columns)


@contextmanager
def opened(rows: Any) -> Iterator[Any]:
    """Rows of any shape, with those of files in the place of their paths.

    If ``rows`` is a path, or a collection of which an item is one, all is drained to disk before the context is
    entered. A path that a generator yields is drained when it comes. What lies deeper is data, and is opened never.

    :param rows: what :meth:`.ImpactCallHook.deliver` takes
    :raises InvalidOption: if a file cannot be read to its end, or ``rows`` is text that is no path
    """
    if isinstance(rows, str) and not is_path(rows):
        raise InvalidOption(
            "the calls are text that is neither rows nor a path: a template gives rows only with "
            f"render_template_as_native_obj=True, and {_ENDINGS}"
        )
    if _has_paths(rows):
        with Spool(("row",)) as spool:
            drained = _drain([rows] if is_path(rows) else rows, spool)
            log.info("%d rows read", len(drained))
            yield drained
    elif isinstance(rows, Iterator):
        with closing(_as_they_come(rows)) as found:
            yield found
    else:
        yield rows


def opens_files(method: _Method) -> _Method:
    """Gives a method that takes rows those of files too, by their paths, as :func:`opened` has them."""

    @wraps(method)
    def with_files(self: Any, rows: Any, *args: Any, **options: Any) -> Any:
        with opened(rows) as found:
            return method(self, found, *args, **options)

    return cast("_Method", with_files)


def _has_paths(rows: Any) -> bool:
    if is_path(rows):
        return True
    if not isinstance(rows, Collection) or isinstance(rows, (str, bytes, Mapping)):
        return False
    # What has these is one row, of named values: see flattened. What lies deeper is a row's, and opens nothing.
    return not hasattr(rows, "_asdict") and not hasattr(rows, "keys") and any(map(is_path, rows))


def _as_they_come(rows: Iterator[Any]) -> Generator[Any, None, None]:
    for row in rows:
        if is_path(row):
            with opened(row) as found:
                yield from found
        else:
            yield from flattened([row])


def _drain(rows: Iterable[Any], spool: Spool) -> FileRows:
    columns: set[str] | None = set()
    for row in rows:
        if is_path(row):
            with _contents(row) as (named, found):
                columns = None if columns is None or named is None else columns.union(named)
                _write(spool, found)
        else:
            columns = None
            spool.write((each,) for each in flattened([row]))
    return FileRows(spool, columns)


def _write(spool: Spool, rows: Iterator[_Row]) -> None:
    while chunk := list(islice(rows, _ROWS_A_CHUNK)):
        spool.write((row,) for row in chunk)


@contextmanager
def _contents(path: Any, otherwise: _Reader | None = None) -> Iterator[_Contents]:
    """What is in a file. A storage's own errors are left as they are: a later try may be lucky.

    :param otherwise: how to read a file whose name does not say what it is
    :raises InvalidOption: if it is not there, or not what its name says
    """
    name = "standard input" if path == STANDARD else shown(path)
    refuse_credentials(path)
    reader = _reader_for(str(path)) or otherwise
    if reader is None:
        raise InvalidOption(f"{name}: {_ENDINGS}")
    try:
        with _stream(path, name) as stream:
            if name.lower().endswith(".gz"):
                with gzip.open(stream) as unzipped:
                    yield reader(cast("IO[bytes]", unzipped), name)
            elif reader is _parquet and not isinstance(stream, BufferedReader):
                # Its columns lie apart, and an object store would be asked for its blocks many times over.
                with TemporaryFile(prefix="impactcall-") as copy:
                    copyfileobj(stream, copy)
                    yield reader(copy, name)
            else:
                yield reader(stream, name)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InvalidOption(f"{name}: {error.strerror or f'cannot be read ({type(error).__name__})'}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidOption(f"{name}: is no complete gzip file") from None


@contextmanager
def _stream(path: Any, name: str) -> Iterator[IO[bytes]]:
    try:
        opened_file: Any
        if path == STANDARD:
            opened_file = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        elif isinstance(path, ObjectStoragePath) or "://" in str(path):
            opened_file = ObjectStoragePath(path).open("rb")  # type: ignore[no-untyped-call]
        else:
            opened_file = open(path, "rb")  # noqa: SIM115
    except (ImportError, ValueError) as error:
        raise InvalidOption(
            f"{name}: cannot be opened ({type(error).__name__}); is the provider of its storage installed?"
        ) from None
    with opened_file as stream:
        yield stream


def _lines(stream: IO[bytes], name: str) -> Iterator[str]:
    # A file's own bytes may begin with a mark of their order, as those that Excel writes do.
    text = TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    for number, line in enumerate(iter(partial(text.readline, _LONGEST_LINE), ""), start=1):
        if len(line) == _LONGEST_LINE:
            raise InvalidOption(f"{name}, line {number}: is longer than {_LONGEST_LINE} characters")
        if not line.isascii():
            try:
                line.encode()
            except UnicodeEncodeError:
                raise InvalidOption(f"{name}, line {number}: is not UTF-8") from None
        yield line


def _json_lines(stream: IO[bytes], name: str) -> _Contents:
    def rows() -> Iterator[_Row]:
        for number, line in enumerate(_lines(stream, name), start=1):
            if not line.strip():
                continue
            if number == 1 and line.lstrip().startswith("["):
                raise InvalidOption(f"{name}: begins with a list, and JSON Lines has an object on each line")
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield row if isinstance(row, dict) else UnreadableRow(f"on line {number} of {name} is no JSON object")

    return None, rows()


def _csv(stream: IO[bytes], name: str) -> _Contents:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))
    records = _records(csv.reader(_lines(stream, name), strict=True), name)
    _, columns = next(records, (0, []))
    if _repeated(columns):
        # Without the name: if the header is missing, it is a call's.
        raise InvalidOption(f"{name}: two columns of one name in its header")
    if len(columns) == 1 and any(separator in columns[0] for separator in ";\t|"):
        raise InvalidOption(f"{name}: its header is one column; values must be separated by commas")

    def rows() -> Iterator[_Row]:
        for number, values in records:
            if len(values) == len(columns):
                yield dict(zip(columns, values, strict=True))
            else:
                yield UnreadableRow(
                    f"on line {number} of {name} has {len(values)} values, and the header has {len(columns)} columns"
                )

    return columns, rows()


def _records(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty, each with the line that it begins on."""
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise InvalidOption(f"{name}, line {number}: is no CSV: {error}") from None
        if values is None:
            return
        if values:
            yield number, values


def _parquet(stream: IO[bytes], name: str) -> _Contents:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise InvalidOption(
            f"{name}: Parquet needs pyarrow: pip install 'airflow-provider-impactcall[parquet]'"
        ) from None
    with _no_parquet(name):
        # With a buffer, it holds no more of a column than that.
        file = pa.parquet.ParquetFile(stream, buffer_size=_BUFFER)
        schema = pa.schema([field.with_type(_to_the_microsecond(field.type)) for field in file.schema_arrow])
    if _repeated(schema.names):
        raise InvalidOption(f"{name}: two columns of one name")

    def rows() -> Iterator[_Row]:
        read = 0
        with _no_parquet(name):
            for batch in file.iter_batches(_ROWS_A_CHUNK, use_threads=False):
                table = pa.Table.from_batches([batch]).cast(schema, safe=False)
                yield from _rows_of_table(table, read + 1, name)
                read += len(table)

    return schema.names, rows()


@contextmanager
def _no_parquet(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # Arrow's own complaints of a file are plain OSErrors without a number; those of a storage are not.
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise
        raise InvalidOption(f"{name}: is no complete Parquet file ({type(error).__name__})") from None


def _to_the_microsecond(kind: Any) -> Any:
    """The type that Python can hold: its own have no finer times."""
    import pyarrow as pa

    if getattr(kind, "unit", None) != "ns":
        return kind
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")


def _rows_of_table(table: Any, first: int, name: str) -> Iterator[_Row]:
    """The rows of a table; each by itself if not all can be Python's, as for a time of the year 10000."""
    try:
        yield from table.to_pylist()
        return
    except (ValueError, OverflowError):
        pass
    for number in range(len(table)):
        try:
            yield from table.slice(number, 1).to_pylist()
        except (ValueError, OverflowError) as error:
            yield UnreadableRow(f"{first + number} of {name} has a value that cannot be read ({type(error).__name__})")


def _repeated(columns: Collection[str]) -> bool:
    return len(set(columns)) < len(columns)


_READERS: Mapping[str, _Reader] = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".parquet": _parquet}


def _reader_for(name: str) -> _Reader | None:
    """How a file of this name is read, or None if the name does not say."""
    suffix = PurePosixPath(name.lower().removesuffix(".gz")).suffix
    return None if suffix == ".parquet" and name.lower().endswith(".gz") else _READERS.get(suffix)
