"""Calls from files, local or of any object store. Errors name the line, never a value: rows hold callers' numbers."""

from __future__ import annotations

import gzip
import logging
import os
import re
import sys
import zlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from io import BufferedReader
from pathlib import PurePosixPath
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Any, cast

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_impactcall.delivery.shapes import flattened, names_values
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.parquet_files import parquet
from airflow_provider_impactcall.integration.paths import refuse_credentials, shown
from airflow_provider_impactcall.integration.text_files import (
    Contents,
    CsvFormat,
    Reader,
    json_lines,
)

log = logging.getLogger(__name__)

STANDARD = "-"
"""The name that means standard input, or standard output."""

CSV = CsvFormat()
"""CSV as most write it: UTF-8, with commas."""

_ENDINGS = "a path must end in .jsonl, .ndjson or .csv, each also with .gz, or in .parquet"
_AS_JSON_LINES = f"{_ENDINGS}; of a .json file, jq -c '.[]' makes a .jsonl one"
_GIVE_FILES = "give its files: sorted(glob.glob('calls/*.csv')), or those of ObjectStoragePath(...).glob('*.csv')"
_PATTERN = re.compile(r"[*?]|\[.+\]")


def is_path(value: Any) -> bool:
    """Whether a value is the path of a file: any path object, or text with the ending of a known format."""
    if not isinstance(value, str):
        return isinstance(value, (os.PathLike, ObjectStoragePath))
    # A template may leave rows as text, which can end in anything.
    return _reader_for(value, CSV) is not None and value.isprintable() and not value.startswith(("[", "{", "("))


@contextmanager
def rows_of(file: str, csv_format: CsvFormat = CSV) -> Iterator[Spool]:
    """The rows of one file, on disk; gone once the context ends.

    An :class:`.UnreadableRow` stands for each item that is not a row.

    :param file: its path, or ``-`` for standard input. It is read as CSV unless its ending says another format
    :param csv_format: how it is written, if it is CSV
    :raises InvalidOption: if it cannot be read to its end
    """
    with Spool() as spool:
        with _contents(file, csv_format, otherwise=csv_format.read) as (columns, rows):
            spool.add(rows)
        spool.columns = columns or ()
        yield spool


@contextmanager
def opened(rows: Any, csv_format: CsvFormat = CSV) -> Iterator[Any]:
    """Rows of any shape, with the rows of a file in place of its path.

    If ``rows`` is a path, or a collection with a path in it, all rows are spooled to disk before the context is
    entered. A path that a generator yields is spooled when it comes. Text at a deeper level is data, never opened.

    :param rows: what :meth:`.ImpactCallHook.deliver` takes
    :param csv_format: how CSV files are written
    :raises InvalidOption: if a file cannot be read to its end, or ``rows`` is text that is not a path, or a list of
        paths with something else in it that is not a row
    """
    if isinstance(rows, str) and not is_path(rows):
        raise InvalidOption(_no_path(rows))
    if _is_list(rows):
        _refuse_other_paths(rows)
    if _has_paths(rows):
        with Spool() as spool:
            _drain([rows] if is_path(rows) else rows, spool, csv_format)
            log.info("%d rows read", len(spool))
            yield spool
    elif isinstance(rows, Iterator):
        with closing(_as_they_come(rows, csv_format)) as found:
            yield found
    else:
        yield rows


def _has_paths(rows: Any) -> bool:
    # Text that lies deeper belongs to a row, and is not opened.
    return is_path(rows) or (_is_list(rows) and any(map(is_path, rows)))


def _is_list(rows: Any) -> bool:
    """Whether a value may hold several rows or paths. A value that names its own values is one row."""
    return isinstance(rows, Collection) and not isinstance(rows, (str, bytes, Mapping)) and not names_values(rows)


def _refuse_other_paths(items: Collection[Any]) -> None:
    """Refuses a list that is meant as paths if one of its items cannot be opened.

    :raises InvalidOption: with the place of the first such item, and what to give instead
    """
    if not all(is_path(item) or isinstance(item, str) or _are_paths(item) for item in items):
        return  # There is a row among them: an item that is not a row is then rejected by itself.
    for place, item in enumerate(items, start=1):
        if is_path(item):
            continue
        if not isinstance(item, str):
            raise InvalidOption(
                f"the calls, item {place} of the list: is a list of paths; give all paths in one list: "
                "calls=['a.csv', 'b.csv']"
            )
        instead = _instead(item) if item.isprintable() and item.strip() else None
        if instead is not None:
            raise InvalidOption(f"the calls, item {place} of the list: {instead}")
        if not any(map(is_path, items)):
            return  # A list of plain text is reported when its rows are read.
        raise InvalidOption(f"the calls, item {place} of the list: is text that is not a path; {_ENDINGS}")


def _are_paths(value: Any, deep: int = 3) -> bool:
    """Whether it is a list of paths, or of such lists."""
    if not isinstance(value, (list, tuple, set, frozenset)) or not value or names_values(value):
        return False
    return all(is_path(each) or (deep > 1 and _are_paths(each, deep - 1)) for each in value)


def _as_they_come(rows: Iterator[Any], csv_format: CsvFormat) -> Generator[Any, None, None]:
    for number, row in enumerate(rows):
        if number == 0:
            _refuse_other_paths([row])
        if is_path(row):
            with opened(row, csv_format) as found:
                yield from found
        else:
            yield from flattened([row])


def _drain(rows: Iterable[Any], spool: Spool, csv_format: CsvFormat) -> None:
    columns: set[str] | None = set()

    def found() -> Iterator[Any]:
        nonlocal columns
        for row in rows:
            if is_path(row):
                with _contents(row, csv_format) as (named, each):
                    columns = None if columns is None or named is None else columns.union(named)
                    yield from each
            else:
                columns = None
                yield from flattened([row])

    spool.add(found())
    spool.columns = columns or ()


@contextmanager
def _contents(path: Any, csv_format: CsvFormat, otherwise: Reader | None = None) -> Iterator[Contents]:
    """The contents of a file. A storage's own errors are raised unchanged: a retry may succeed.

    :param otherwise: how to read a file whose name does not say its format
    :raises InvalidOption: if the file does not exist, or does not have the format that its name says
    """
    name = "standard input" if path == STANDARD else shown(path)
    refuse_credentials(path)
    reader = _reader_for(str(path), csv_format) or otherwise
    if reader is None:
        instead = _instead(path)
        raise InvalidOption(f"{name}: {_ENDINGS}" if instead is None else f"{name}: {instead}")
    try:
        with _stream(path, name) as stream:
            if name.lower().endswith(".gz"):
                with gzip.open(stream) as unzipped:
                    # gzip reads a file of no bytes as one of no text, which a gzip file with a header may hold.
                    if not unzipped.peek(1) and unzipped.mtime is None:
                        raise EOFError
                    yield reader(cast("IO[bytes]", unzipped), name)
            elif reader is parquet and not isinstance(stream, BufferedReader):
                # Parquet's columns lie apart: an object store would be asked for the same blocks many times.
                with TemporaryFile(prefix="impactcall-") as copy:
                    copyfileobj(stream, copy)
                    yield reader(copy, name)
            else:
                yield reader(stream, name)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        why = _instead(path) or error.strerror or f"cannot be read ({type(error).__name__})"
        raise InvalidOption(f"{name}: {why}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidOption(f"{name}: is not a complete gzip file") from None


def _instead(path: Any) -> str | None:
    """What to give in place of a path that does not lead to a file; None if that is not known."""
    name = str(path)
    if _is_folder(path):
        return f"is a folder; {_GIVE_FILES}"
    if _PATTERN.search(name):
        return f"is a pattern of names, and there is no such file; {_GIVE_FILES}"
    return _AS_JSON_LINES if name.lower().endswith((".json", ".json.gz")) else None


def _is_folder(path: Any) -> bool:
    name = str(path)
    if name.endswith(("/", os.sep)):
        return True
    try:
        return bool(ObjectStoragePath(path).is_dir()) if "://" in name else os.path.isdir(name)
    except Exception:
        return False  # A storage's error was already raised when the file was opened.


def _no_path(text: str) -> str:
    """Says what kind of text was given in place of a path, and what to give. Quotes none of the text."""
    if text.lstrip()[:1] in ("{", "["):
        return (
            "the calls are text that holds rows; give the rows: json.loads(text) reads JSON, a template gives rows "
            f"only with render_template_as_native_obj=True, and {_ENDINGS}"
        )
    instead = _instead(text) if text.isprintable() and text.strip() else None
    if instead is not None:
        return f"the calls are a path that {instead}" if instead.startswith("is ") else f"the calls: {instead}"
    return (
        "the calls are text that is neither rows nor a path: a template gives rows only with "
        f"render_template_as_native_obj=True, and {_ENDINGS}"
    )


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


_READERS: Mapping[str, Reader] = {".jsonl": json_lines, ".ndjson": json_lines, ".parquet": parquet}


def _reader_for(name: str, csv_format: CsvFormat) -> Reader | None:
    """How a file of this name is read, or None if the name does not say."""
    suffix = PurePosixPath(name.lower().removesuffix(".gz")).suffix
    if suffix == ".csv":
        return csv_format.read
    return None if suffix == ".parquet" and name.lower().endswith(".gz") else _READERS.get(suffix)
