"""The commands that change nothing."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Any, TextIO

from airflow_provider_impactcall.cli.inputs import rows_given
from airflow_provider_impactcall.cli.messages import say
from airflow_provider_impactcall.cli.running import Failed, WrongUsage, command, hook_of, selection_of, show
from airflow_provider_impactcall.delivery.dry_run.page import page_of
from airflow_provider_impactcall.delivery.ledger.action_queries import ActionQueries
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.periods import Period
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.selection import CALL_COLUMNS, INVALID, LISTED, Selection
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.export_files import as_csv, csv_text, write_file
from airflow_provider_impactcall.integration.files import STANDARD
from airflow_provider_impactcall.integration.options import DeliveryOptions
from airflow_provider_impactcall.records.printable import printable

# Airflow's tables have room for 200 characters. The status is in the reason's sentence too.
_TABLE_COLUMNS = tuple(
    name
    for name in CALL_COLUMNS
    if name not in ("status", "run_id", "first_at", "key", "came_again_at", "came_again_times")
)
_CHANGED_COLUMNS = (
    *(name for name in _TABLE_COLUMNS if name not in ("reason_code", "attempts")),
    "came_again_at",
)
_OF_ACTIONS = (
    *("CallSessionId", "CampaignId", "MediaId", "EventDate"),
    *("action_state", "action_id", "action_cleared_at", "action_changed_at"),
)
_FIRST, _LAST = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))
_WIDTH = 120


@command
def check_calls(args: Namespace, results: TextIO) -> None:
    """Show what a delivery would do."""
    with rows_given(args) as (rows, row_options):
        options = DeliveryOptions(ledger_conn_id=args.ledger_conn_id, ledger_namespace=args.ledger_namespace)
        findings = ImpactCallHook(args.impactcall_conn_id).check_with(rows, row_options, options)
    if args.json:
        print(json.dumps(findings.as_dict(), indent=2), file=results)
    else:
        width = get_terminal_size((_WIDTH, 0)).columns if results.isatty() else _WIDTH
        print(page_of(findings, width), file=results)
    if findings.report.rejected:
        raise Failed(f"rows that would be rejected: {findings.report.rejected}")


@command
def list_calls(args: Namespace, results: TextIO) -> None:
    """The calls that changed last, and the rows that were rejected last."""
    selection = selection_of(args)
    with hook_of(args).ledger() as ledger:
        rows = Listing(ledger).latest(selection, args.limit)
        total = Listing(ledger).total(selection) if len(rows) == args.limit else len(rows)
    if args.output in ("table", "plain"):
        columns = _CHANGED_COLUMNS if rows and all(row["came_again_at"] for row in rows) else _TABLE_COLUMNS
        columns = _OF_ACTIONS if selection.actions else columns
        rows = [{name: row[name] for name in columns} for row in rows]
    show(rows, args.output, results)
    if total > len(rows):
        say(f"{len(rows)} of {total} calls; --limit shows more, and export writes all")


@command
def export_calls(args: Namespace, results: TextIO) -> None:
    """All the calls, and the rows that were rejected, to a file."""
    counts: Counter[str] = Counter()
    with hook_of(args).ledger() as ledger:
        rows = _counted(Listing(ledger).each(selection_of(args)), counts)
        if args.file == STANDARD:
            results.writelines(csv_text(map(_for_terminal, rows) if results.isatty() else rows))
        else:
            write_file(args.file, rows, otherwise=as_csv)
    say(f"calls exported: {counts.total()}" + (f", of which invalid: {counts[INVALID]}" if counts[INVALID] else ""))


@command
def count_calls(args: Namespace, results: TextIO) -> None:
    """How many calls, by state; or how far the delivered calls have come at impact.com."""
    selection = selection_of(args)
    if args.actions and selection != Selection(since=args.since, until=args.until):
        raise WrongUsage("--actions goes with --since and --until, and with no other condition")
    with hook_of(args).ledger() as ledger:
        if args.actions:
            show(ActionQueries(ledger).ways(_period(args.since, args.until)), args.output, results)
            return
        counts = Listing(ledger).count(selection)
    show([{"state": state, "calls": counts[state]} for state in LISTED if counts[state]], args.output, results)


@command
def show_history(args: Namespace, results: TextIO) -> None:
    """All that happened to a call."""
    with hook_of(args).ledger() as ledger:
        show(CallQueries(ledger).history(selection_of(args)), args.output, results)


@command
def list_runs(args: Namespace, results: TextIO) -> None:
    """The last runs."""
    with hook_of(args).ledger() as ledger:
        rows = last_runs(ledger, args.limit)
    if args.output in ("table", "plain"):
        rows = [_in_short(row) for row in rows]
    show(rows, args.output, results)


def _period(since: datetime | None, until: datetime | None) -> Period | None:
    if since is None and until is None:
        return None
    return Period(since or _FIRST, until or _LAST)


def _in_short(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run in the columns that a table has room for: its counts in one column, and its task or person in another."""
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


def _for_terminal(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in row.items()}


def _counted(rows: Iterable[Mapping[str, Any]], counts: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        counts[row["state"]] += 1
        yield row
