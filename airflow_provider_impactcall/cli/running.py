"""How a command is run. Results go to standard output; questions, warnings and errors to standard error."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import wraps
from typing import Any, TextIO

from airflow.cli.simple_table import AirflowConsole
from airflow.providers.common.compat.sdk import AirflowException
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
from rich.markup import escape

from airflow_provider_impactcall.cli.messages import leave, only_our_messages
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.exceptions import ImpactCallError
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.records.printable import printable

_Command = Callable[[Namespace, TextIO], None]


class WrongUsage(Exception):
    """The arguments do not go together."""


class Failed(Exception):
    """The command did what it could, and reports what it could not do."""


def command(act: _Command) -> Callable[[Namespace], None]:
    """Turns a function of the arguments and of the results' stream into a command as Airflow calls it.

    All other output to standard output goes to standard error. An error is a line there, and an exit status.
    """

    @wraps(act)
    def run(args: Namespace) -> None:
        # Otherwise Airflow 3 takes this process for a task, which may not see the metadata database's connections.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        results = sys.stdout
        try:
            with redirect_stdout(sys.stderr), only_our_messages():
                providers_configuration_loaded(act)(args, results)
            results.flush()
        except WrongUsage as error:
            leave(2, f"error: {error}")
        except (ImpactCallError, AirflowException, Failed) as error:
            leave(1, str(error))
        except BrokenPipeError:
            # The reader closed the output. At exit, Python would flush the rest again, and fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY), results.fileno())
            raise SystemExit(1) from None
        except KeyboardInterrupt as interrupt:
            leave(130, "; ".join(["interrupted", *getattr(interrupt, "__notes__", ())]))

    return run


def hook_of(args: Namespace) -> ImpactCallLedgerHook:
    """The ledger that a command is about."""
    return ImpactCallLedgerHook(args.impactcall_conn_id, args.ledger_conn_id, args.ledger_namespace)


def selection_of(args: Namespace) -> Selection:
    """The calls and rows that a command shows or changes."""
    return Selection(
        states=tuple(args.state or ()),
        reason=args.reason,
        reason_code=args.reason_code,
        status=args.status,
        run_id=args.run_id,
        since=args.since,
        until=args.until,
        call_session_ids=tuple(args.call_session_id or ()),
        actions=tuple(args.action or ()),
    )


def show(rows: Sequence[Mapping[str, Any]], output: str, results: TextIO) -> None:
    """Write rows in one of the output formats of Airflow's commands."""
    if output in ("table", "plain"):
        rows = [{name: "" if value is None else printable(str(value)) for name, value in row.items()} for row in rows]
    if output == "table":
        rows = [{name: escape(value) for name, value in row.items()} for row in rows]
    with redirect_stdout(results):
        AirflowConsole().print_as(data=rows, output=output)
