"""The rows that a command is given, and how they become calls."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_impactcall.cli.running import Failed, WrongUsage
from airflow_provider_impactcall.exceptions import ImpactCallError, InvalidOption
from airflow_provider_impactcall.integration.files import rows_of
from airflow_provider_impactcall.integration.options import RowOptions
from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.integration.text_files import CsvFormat


@contextmanager
def rows_given(args: Namespace) -> Iterator[tuple[Iterable[Mapping[str, Any]], RowOptions]]:
    """The rows that a command is given, and how they become calls."""
    if (args.sql is None) != (args.sql_conn_id is None) or (args.file is None) == (args.sql is None):
        raise WrongUsage("give the calls either as a file, or with --sql-conn-id and --sql")
    options = _row_options(args)
    with ExitStack() as stack:
        try:
            if args.file is None:
                rows: Any = stack.enter_context(drained(args.sql_conn_id, _query(args.sql), None, args.hook_params))
            else:
                rows = stack.enter_context(rows_of(args.file, CsvFormat.of(options)))
        except (ImpactCallError, AirflowException):
            raise
        except Exception as error:
            # The text of a driver, or of an object store's client, may quote a value.
            what = f"{args.file}: cannot be read" if args.sql is None else "the query failed"
            raise Failed(f"{what} ({type(error).__name__}); its own client says why") from None
        yield rows, options


def _query(sql: str) -> str:
    if not sql.endswith(".sql"):
        return sql
    try:
        return Path(sql).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidOption(f"{sql}: {error.strerror}") from None


def _row_options(args: Namespace) -> RowOptions:
    given = {field.name: getattr(args, field.name) for field in fields(RowOptions)}
    return RowOptions(**{name: value for name, value in given.items() if value not in (None, [])})
