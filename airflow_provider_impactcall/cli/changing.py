"""The commands that change the ledger. Each records who changed it, and why."""

from __future__ import annotations

import getpass
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import TextIO

from airflow_provider_impactcall.cli.arguments import SELECTION
from airflow_provider_impactcall.cli.inputs import rows_given
from airflow_provider_impactcall.cli.messages import agreed, say
from airflow_provider_impactcall.cli.running import Failed, WrongUsage, command, hook_of, selection_of, show
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.purge import KEPT, purge, purgeable, so_long_ago
from airflow_provider_impactcall.delivery.ledger.seen import Seen
from airflow_provider_impactcall.delivery.ledger.selection import CHANGED, INVALID, LISTED, Selection
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT, Cause, correctable
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.impact_actions import EventTime
from airflow_provider_impactcall.integration.ledger import migrate_ledger


@command
def requeue_calls(args: Namespace, results: TextIO) -> None:
    """Have calls sent once more."""
    selection, author = (
        _selection_to_change(args, correctable(Cause.REQUEUE), correctable(Cause.REQUEUE)),
        _author(args),
    )
    with hook_of(args).ledger() as ledger:
        corrections = Corrections(ledger)
        seen = corrections.look(selection)
        unknown = seen.counts["unknown"]
        risk = "The unknown ones may have been processed, and may then arrive twice." if unknown else ""
        if _confirmed(args, seen.counts, "requeue", risk, results):
            _changed(corrections.requeue(seen, author), seen.counts, "requeued", results)


@command
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
    with hook_of(args).ledger() as ledger:
        corrections = Corrections(ledger)
        seen = corrections.look(selection)
        if _confirmed(args, seen.counts, f"resolve as {args.resolution}", risk, results):
            count = corrections.resolve(seen, author, delivered=delivered)
            _changed(count, seen.counts, f"resolved as {args.resolution}", results)


@command
def accept_calls(args: Namespace, results: TextIO) -> None:
    """Accept the new content of changed calls."""
    _settle(args, CHANGED, Corrections.accept, "accept", "accepted", results)


@command
def dismiss_rows(args: Namespace, results: TextIO) -> None:
    """Stop listing rows that were rejected here."""
    _settle(args, INVALID, Corrections.dismiss, "dismiss", "dismissed", results)


@command
def adopt_calls(args: Namespace, results: TextIO) -> None:
    """Record as delivered the calls that another tool sent."""
    author = _author(args)
    with rows_given(args) as (rows, options):
        adoption = hook_of(args).adopt_with(rows, author, options)
    show([adoption.as_dict()], args.output, results)
    if adoption.rejected:
        raise Failed(f"rows that are not valid calls, and were not adopted: {adoption.rejected}")


@command
def reconcile_calls(args: Namespace, results: TextIO) -> None:
    """Look for calls of unknown fate at impact.com."""
    author = _author(args)
    with rows_given(args) as (rows, options):
        reconciliation = hook_of(args).reconcile_with(rows, author, options, api_conn_id=args.api_conn_id)
    show([reconciliation.as_dict()], args.output, results)


@command
def follow_calls(args: Namespace, results: TextIO) -> None:
    """Follow delivered calls to their payout."""
    author = _author(args)
    EventTime(args.since, args.until)  # Before the query, which may take long: wrong times fail at once.
    with rows_given(args) as (rows, options):
        following = hook_of(args).follow_with(
            rows,
            author,
            options,
            api_conn_id=args.api_conn_id,
            since=args.since,
            until=args.until,
            keep_amounts=args.keep_amounts,
        )
    show([following.as_dict()], args.output, results)


@command
def purge_calls(args: Namespace, results: TextIO) -> None:
    """Forget old calls, and rows that were rejected here long ago."""
    author = _author(args)
    risk = "A delivered call that is forgotten and read again is sent again."
    with hook_of(args).ledger() as ledger:
        before = so_long_ago(ledger, timedelta(days=args.older_than))
        counts = purgeable(ledger, before)
        if kept := counts.pop(KEPT, 0):
            say(f"calls of that age that are kept, as they were read since: {kept}")
        if _confirmed(args, counts, "forget", risk, results):
            purged = purge(ledger, before, author)
            runs, rows, _ = purged.pop("runs", 0), purged.pop(INVALID, 0), purged.pop(KEPT, 0)
            others = f"invalid rows: {rows}, and runs: {runs}" if rows else f"and runs: {runs}"
            print(f"Calls forgotten: {purged.total()}, {others}", file=results)


@command
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
        show(rows, args.output, results)
    if not rows:
        say("the ledger has this version already: there is nothing to do")
    if came_to.missing and not args.dry_run:
        raise Failed(
            "indexes are still missing, as deliveries are under way, another process builds them, or the database "
            "refused: run the command again"
        )


def _settle(
    args: Namespace,
    listed: str,
    settle: Callable[[Corrections, Seen, Author], int],
    what: str,
    how: str,
    results: TextIO,
) -> None:
    """Settle changed calls, or invalid rows, that a person has seen."""
    selection, author = _selection_to_change(args, (listed,), (listed,)), _author(args)
    with hook_of(args).ledger() as ledger:
        corrections = Corrections(ledger)
        seen = corrections.look(selection)
        if _confirmed(args, seen.counts, what, "", results):
            _changed(settle(corrections, seen, author), seen.counts, how, results)


def _selection_to_change(args: Namespace, usual: Sequence[str], allowed: Collection[str]) -> Selection:
    """The selection, with the usual states if it names none."""
    selection = selection_of(args)
    if selection == Selection():
        conditions = ", ".join(condition.flags[0] for condition in SELECTION)
        raise WrongUsage(f"give at least one condition that selects calls: {conditions}")
    return selection.limited_to(allowed, usual)


def _author(args: Namespace) -> Author:
    return Author(args.actor if args.actor is not None else _os_user(), args.why)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InvalidOption("the OS does not know who you are: give --actor") from None


def _confirmed(args: Namespace, counts: Counter[str], what: str, risk: str, results: TextIO) -> bool:
    """Whether to go on, after the person has seen what would be changed.

    :raises Failed: if the answer is no
    """
    shown = ", ".join(f"{counts[state]} {state}" for state in LISTED if counts[state])
    print(f"Calls to {what}: {shown or 'none'}", file=results, flush=True)
    if not shown:
        return False
    if risk:
        say(risk)
    if args.dry_run or args.yes:
        return not args.dry_run
    if not agreed():
        raise Failed("nothing was changed; -y answers yes")
    return True


def _changed(count: int, counts: Counter[str], how: str, results: TextIO) -> None:
    print(f"Calls {how}: {count}", file=results)
    left = counts.total() - count
    if left > 0:
        if counts["delivered"]:
            say(f"left alone, as they changed after they were counted, or impact.com answered OK to them: {left}")
        else:
            say(f"left alone, as they changed after they were counted: {left}")
