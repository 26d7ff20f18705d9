"""What the commands do. Results go to standard output; questions, warnings and errors to standard error."""

from __future__ import annotations

import getpass
import json
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, TextIO

from airflow.cli.simple_table import AirflowConsole
from airflow.providers.common.compat.sdk import AirflowException
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
from rich.markup import escape

from airflow_provider_impactcall.cli.definition import SELECTION
from airflow_provider_impactcall.cli.messages import leave, only_our_messages, say
from airflow_provider_impactcall.delivery.csv_cells import csv_lines
from airflow_provider_impactcall.delivery.dry_run.page import page_of
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.purge import purge
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.selection import CALL_COLUMNS, STATES, Selection
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT, PURGEABLE, Cause, correctable
from airflow_provider_impactcall.delivery.private_files import replacing
from airflow_provider_impactcall.exceptions import ImpactCallError, InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.integration.files import STANDARD, holds_json_lines, rows_of
from airflow_provider_impactcall.integration.ledger import migrate_ledger
from airflow_provider_impactcall.integration.options import DeliveryOptions, RowOptions
from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.integration.text_files import CsvFormat
from airflow_provider_impactcall.records.printable import printable

_Command = Callable[[Namespace, TextIO], None]

# Airflow's tables have room for 200 characters: the sentence names the status.
_TABLE_COLUMNS = tuple(name for name in CALL_COLUMNS if name not in ("status", "run_id", "first_at", "key"))
_WIDTH = 120


class _WrongUsage(Exception):
    """The arguments do not go together."""


class _Failed(Exception):
    """The command did what it could, and has to say that it was not all."""


def _command(act: _Command) -> Callable[[Namespace], None]:
    """A command as Airflow calls it, for a function of the arguments and of where its results go.

    What anything else writes to standard output goes to standard error; what goes wrong is a line there, and a status.
    """

    @wraps(act)
    def command(args: Namespace) -> None:
        # Else Airflow 3 takes this for a task, which may not see the connections of the metadata database.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        results = sys.stdout
        try:
            with redirect_stdout(sys.stderr), only_our_messages():
                providers_configuration_loaded(act)(args, results)
            results.flush()
        except _WrongUsage as error:
            leave(2, f"error: {error}")
        except (ImpactCallError, AirflowException, _Failed) as error:
            leave(1, str(error))
        except BrokenPipeError:
            # Whoever read the results has seen enough. Python would flush what is left once more, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), results.fileno())
            raise SystemExit(1) from None
        except KeyboardInterrupt as interrupt:
            leave(130, "; ".join(["interrupted", *getattr(interrupt, "__notes__", ())]))

    return command


@_command
def check_calls(args: Namespace, results: TextIO) -> None:
    """What a delivery would do."""
    with _rows(args) as (rows, row_options):
        options = DeliveryOptions(ledger_conn_id=args.ledger_conn_id, ledger_namespace=args.ledger_namespace)
        findings = ImpactCallHook(args.impactcall_conn_id).check_with(rows, row_options, options)
    if args.json:
        print(json.dumps(findings.as_dict(), indent=2), file=results)
    else:
        width = get_terminal_size((_WIDTH, 0)).columns if results.isatty() else _WIDTH
        print(page_of(findings, width), file=results)
    if findings.report.rejected:
        raise _Failed(f"rows that would be rejected: {findings.report.rejected}")


@_command
def list_calls(args: Namespace, results: TextIO) -> None:
    """The calls that changed last."""
    selection = _selection(args)
    with _hook(args).ledger() as ledger:
        rows = CallQueries(ledger).latest(selection, args.limit)
        total = CallQueries(ledger).count(selection).total() if len(rows) == args.limit else len(rows)
    if args.output in ("table", "plain"):
        rows = [{name: row[name] for name in _TABLE_COLUMNS} for row in rows]
    _show(rows, args.output, results)
    if total > len(rows):
        say(f"{len(rows)} of {total} calls; --limit shows more, and export writes all")


@_command
def export_calls(args: Namespace, results: TextIO) -> None:
    """All the calls, to a file."""
    counts: Counter[str] = Counter()
    with _hook(args).ledger() as ledger:
        rows = _counted(CallQueries(ledger).each(_selection(args)), counts)
        if args.file == STANDARD:
            _write_csv(map(_for_terminal, rows) if results.isatty() else rows, results)
        else:
            with replacing(args.file) as text:
                (_write_json_lines if holds_json_lines(args.file) else _write_csv)(rows, text)
    say(f"calls exported: {counts['calls']}")


@_command
def count_calls(args: Namespace, results: TextIO) -> None:
    """How many calls, by state."""
    with _hook(args).ledger() as ledger:
        counts = CallQueries(ledger).count(_selection(args))
    _show([{"state": state, "calls": counts[state]} for state in STATES if counts[state]], args.output, results)


@_command
def show_history(args: Namespace, results: TextIO) -> None:
    """All that happened to a call."""
    with _hook(args).ledger() as ledger:
        _show(CallQueries(ledger).history(_selection(args)), args.output, results)


@_command
def list_runs(args: Namespace, results: TextIO) -> None:
    """The last runs."""
    with _hook(args).ledger() as ledger:
        rows = last_runs(ledger, args.limit)
    if args.output in ("table", "plain"):
        rows = [_in_short(row) for row in rows]
    _show(rows, args.output, results)


@_command
def requeue_calls(args: Namespace, results: TextIO) -> None:
    """Have calls sent once more."""
    selection, author = (
        _selection_to_change(args, correctable(Cause.REQUEUE), correctable(Cause.REQUEUE)),
        _author(args),
    )
    with _hook(args).ledger() as ledger:
        counts = CallQueries(ledger).count(selection)
        risk = "The unknown ones may have been processed, and may then arrive twice." if counts["unknown"] else ""
        if _confirmed(args, counts, "requeue", risk, results):
            _changed(Corrections(ledger).requeue(selection, author), counts, "requeued", results)


@_command
def resolve_calls(args: Namespace, results: TextIO) -> None:
    """Record what impact.com says of calls."""
    delivered = args.resolution == "delivered"
    allowed = correctable(Cause.RESOLVE_AS_DELIVERED if delivered else Cause.RESOLVE_AS_NOT_DELIVERED)
    selection, author = _selection_to_change(args, IN_DOUBT, allowed), _author(args)
    risk = (
        ""
        if delivered
        else "The next run that reads them sends them: if impact.com has one of them, it then has it twice."
    )
    with _hook(args).ledger() as ledger:
        counts = CallQueries(ledger).count(selection)
        if _confirmed(args, counts, f"resolve as {args.resolution}", risk, results):
            count = Corrections(ledger).resolve(selection, author, delivered=delivered)
            _changed(count, counts, f"resolved as {args.resolution}", results)


@_command
def adopt_calls(args: Namespace, results: TextIO) -> None:
    """Record calls as delivered that were sent by other means."""
    author = _author(args)
    with _rows(args) as (rows, options):
        adoption = _hook(args).adopt_with(rows, author, options)
    _show([adoption.as_dict()], args.output, results)
    if adoption.rejected:
        raise _Failed(f"rows that are no valid call, and were not adopted: {adoption.rejected}")


@_command
def reconcile_calls(args: Namespace, results: TextIO) -> None:
    """Look for calls of unknown fate at impact.com."""
    author = _author(args)
    with _rows(args) as (rows, options):
        reconciliation = _hook(args).reconcile_with(rows, author, options, api_conn_id=args.api_conn_id)
    _show([reconciliation.as_dict()], args.output, results)


@_command
def purge_calls(args: Namespace, results: TextIO) -> None:
    """Forget old calls."""
    author = _author(args)
    before = datetime.now(UTC) - timedelta(days=args.older_than)
    risk = "A delivered call that is forgotten and read again is sent again."
    with _hook(args).ledger() as ledger:
        counts = CallQueries(ledger).count(Selection(states=PURGEABLE, until=before))
        if _confirmed(args, counts, "forget", risk, results):
            purged = purge(ledger, before, author)
            runs = purged.pop("runs", 0)
            print(f"Calls forgotten: {purged.total()}, and runs: {runs}", file=results)


@_command
def migrate(args: Namespace, results: TextIO) -> None:
    """Bring a ledger up to this version."""
    came_to = migrate_ledger(args.ledger_conn_id, dry_run=args.dry_run)
    steps = (
        ("migration", "done", came_to.migrations),
        ("index", "done", came_to.indexes),
        ("migration", "to do", came_to.pending),
        ("index", "to do", came_to.missing),
    )
    rows = [{"kind": kind, "name": name, "state": state} for kind, state, names in steps for name in names]
    if rows or args.output not in ("table", "plain"):
        _show(rows, args.output, results)
    if not rows:
        say("the ledger is of this version: nothing is to be done")
    if came_to.missing and not args.dry_run:
        raise _Failed(
            "indexes are still missing, as deliveries are under way, another process builds them, or the database "
            "refused: run the command again"
        )


def _hook(args: Namespace) -> ImpactCallLedgerHook:
    return ImpactCallLedgerHook(args.impactcall_conn_id, args.ledger_conn_id, args.ledger_namespace)


def _selection(args: Namespace) -> Selection:
    return Selection(
        states=tuple(args.state or ()),
        reason=args.reason,
        reason_code=args.reason_code,
        status=args.status,
        run_id=args.run_id,
        since=args.since,
        until=args.until,
        call_session_ids=tuple(args.call_session_id or ()),
    )


def _selection_to_change(args: Namespace, usual: Sequence[str], allowed: Collection[str]) -> Selection:
    """The selection, with the states that it means if it names none."""
    selection = _selection(args)
    if selection == Selection():
        conditions = ", ".join(condition.flags[0] for condition in SELECTION)
        raise _WrongUsage(f"give at least one condition that selects calls: {conditions}")
    strange = sorted(set(selection.states) - set(allowed))
    if strange:
        raise InvalidOption(f"{' and '.join(strange)} calls cannot be changed so: only {', '.join(allowed)} ones can")
    return replace(selection, states=selection.states or tuple(usual))


def _author(args: Namespace) -> Author:
    return Author(args.actor if args.actor is not None else _os_user(), args.why)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InvalidOption("the OS does not know who you are: give --actor") from None


def _confirmed(args: Namespace, counts: Counter[str], what: str, risk: str, results: TextIO) -> bool:
    """Whether to go on, once the person has seen what would be changed.

    :raises _Failed: if the answer is no
    """
    shown = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    print(f"Calls to {what}: {shown or 'none'}", file=results, flush=True)
    if not shown:
        return False
    if risk:
        say(risk)
    if args.dry_run or args.yes:
        return not args.dry_run
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise _Failed("nothing was changed; -y answers yes")
    return True


def _changed(count: int, counts: Counter[str], how: str, results: TextIO) -> None:
    print(f"Calls {how}: {count}", file=results)
    left = counts.total() - count
    if left > 0:
        say(f"calls left alone, as they are of another state by now, or impact.com answered OK to them: {left}")


@contextmanager
def _rows(args: Namespace) -> Iterator[tuple[Iterable[Mapping[str, Any]], RowOptions]]:
    """The rows that a command is given, and how they become calls."""
    if (args.sql is None) != (args.sql_conn_id is None) or (args.file is None) == (args.sql is None):
        raise _WrongUsage("give the calls either as a file, or with --sql-conn-id and --sql")
    options = _row_options(args)
    with ExitStack() as stack:
        try:
            if args.file is None:
                rows: Any = stack.enter_context(drained(args.sql_conn_id, _query(args.sql)))
            else:
                rows = stack.enter_context(rows_of(args.file, CsvFormat.of(options)))
        except (ImpactCallError, AirflowException):
            raise
        except Exception as error:
            # The own words of a driver, or of an object store's client, may quote what it read.
            what = f"{args.file}: cannot be read" if args.sql is None else "the query failed"
            raise _Failed(f"{what} ({type(error).__name__}); its own client says why") from None
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


def _in_short(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a table has room for of a run: its counts in one column, and its task or its person in another."""
    counts = {name.removesuffix("_rows"): count for name, count in run.items() if name.endswith("_rows")}
    return {
        "started_at": run["started_at"],
        "kind": run["kind"],
        "by": run["actor"] or run["source"],
        "why": run["why"],
        "calls": ", ".join(f"{count} {name}" for name, count in counts.items() if count),
        "stop": run["stop"],
        "run_id": run["run_id"],
    }


def _show(rows: Sequence[Mapping[str, Any]], output: str, results: TextIO) -> None:
    if output in ("table", "plain"):
        rows = [{name: "" if value is None else printable(str(value)) for name, value in row.items()} for row in rows]
    if output == "table":
        rows = [{name: escape(value) for name, value in row.items()} for row in rows]
    with redirect_stdout(results):
        AirflowConsole().print_as(data=rows, output=output)


def _write_csv(rows: Iterable[Mapping[str, Any]], text: TextIO) -> None:
    text.writelines(csv_lines(CALL_COLUMNS, rows, "\n"))


def _write_json_lines(rows: Iterable[Mapping[str, Any]], text: TextIO) -> None:
    text.writelines(json.dumps(row) + "\n" for row in rows)


def _for_terminal(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in row.items()}


def _counted(rows: Iterable[Mapping[str, Any]], counts: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        counts["calls"] += 1
        yield row
