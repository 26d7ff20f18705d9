"""The commands and their arguments. Every ``airflow`` command imports this, so it imports nothing that takes time."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_YES,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
    positive_int,
    string_list_type,
)

MAPPING_FILES = (".yaml", ".yml", ".json")
"""What the file of a mapping ends in."""

_LONGEST_AGE = 36_500


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        # Near the first and the last year, a time may have no equal in UTC.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError("must be a date or time in ISO 8601, such as 2026-09-10 or 2026-09-10T22:55Z") from None


def _text(text: str) -> str:
    # An unset variable of a shell script must not select every call there is.
    if not text.strip():
        raise ArgumentTypeError("must not be empty")
    return text


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ArgumentTypeError("must be a JSON object by parameter name")
    return value


def _mapping(text: str) -> dict[str, Any] | str:
    # Whoever reads the file says what is wrong with it.
    return text if text.lower().endswith(MAPPING_FILES) else _object(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= _LONGEST_AGE:
        raise ArgumentTypeError(f"must be a number of days, more than 0 and at most {_LONGEST_AGE}")
    return days


_positive = positive_int(allow_zero=False)  # type: ignore[no-untyped-call]


def _argument(*flags: str, **meaning: Any) -> Arg:
    return Arg(flags, **meaning)  # type: ignore[no-untyped-call]


_SESSION_ID: dict[str, Any] = {
    "action": "append",
    "type": _text,
    "metavar": "ID",
    "help": "calls with this CallSessionId; may be given several times",
}

SELECTION = (
    _argument(
        "--state",
        action="extend",
        type=string_list_type,
        metavar="STATE",
        help="calls in this state: delivered, rejected, unknown, not_sent, requeued or open; "
        "several with commas, or given several times",
    ),
    _argument("--reason", type=_text, metavar="TEXT", help="calls with this text in their reason"),
    _argument(
        "--reason-code", type=_text, metavar="CODE", help="calls of this reason code, such as refused or no_answer"
    ),
    _argument("--status", type=int, metavar="STATUS", help="calls whose answer had this status; 0: no answer decided"),
    _argument("--run-id", type=_text, metavar="ID", help="calls that this run changed last"),
    _argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="calls that changed at this time or later: a date or time in ISO 8601, in UTC if it has no offset",
    ),
    _argument(
        "--until",
        type=_moment,
        metavar="TIME",
        help="calls that changed before this time: a date or time in ISO 8601, in UTC if it has no offset",
    ),
    _argument("--call-session-id", **_SESSION_ID),
)
"""The conditions that select calls; all that are given must hold."""

_LEDGER_CONN_ID = _argument(
    "--ledger-conn-id",
    type=_text,
    metavar="ID",
    help="as the delivering tasks have it: a SQL connection, or embedded (default: impactcall.ledger_conn_id of "
    "the configuration)",
)
_LEDGER = (
    _argument(
        "--impactcall-conn-id",
        type=_text,
        default="impactcall_default",
        metavar="ID",
        help="the connection that the calls were delivered with (default: impactcall_default)",
    ),
    _LEDGER_CONN_ID,
    _argument(
        "--ledger-namespace",
        type=_text,
        metavar="NAME",
        help="as the delivering tasks have it (default: the endpoint's origin)",
    ),
)
_AUTHOR = (
    _argument("--why", required=True, metavar="TEXT", help="the reason, which is kept with each change"),
    _argument("--actor", metavar="NAME", help="who does it, which is kept with each change (default: the OS user)"),
)
_CONSENT = (
    ARG_YES,
    _argument("--dry-run", action="store_true", help="show what would be changed, and change nothing"),
)
_FILE_HELP = (
    "the calls, local or an object store's URL: JSON lines if it ends in .jsonl or .ndjson, Parquet if in .parquet, "
    "else CSV with a header; unzipped if it ends in .gz; - is standard input, as CSV"
)
_READING = (
    _argument("--sql-conn-id", type=_text, metavar="ID", help="or the connection of a database that has the calls"),
    _argument(
        "--sql", type=_text, metavar="SQL", help="and the query for them, or the path of a file that ends in .sql"
    ),
    _argument(
        "--mapping",
        type=_mapping,
        metavar="JSON",
        help="as the delivering task has it: columns by parameter name, or the path of a .yaml, .yml or .json file of "
        "them",
    ),
    _argument(
        "--constants",
        type=_object,
        metavar="JSON",
        help="as the delivering task has it: values by parameter name",
    ),
    _argument(
        "--csv-delimiter",
        metavar="CHARACTER",
        help="what separates the values of a CSV file (default: a comma); \\t is a tab",
    ),
    _argument(
        "--csv-encoding",
        metavar="NAME",
        help="of a CSV file, such as cp1252 or utf-16 (default: utf-8)",
    ),
    _argument("--timezone", type=_text, metavar="NAME", help="as the delivering task has it"),
    _argument("--vendor", type=_text, metavar="NAME", help="as the delivering task has it"),
    _argument(
        "--prefiltered",
        type=string_list_type,
        metavar="A,B",
        help="as the delivering task has it: direction, ended",
    ),
    _argument(
        "--nulls",
        type=string_list_type,
        metavar="A,B,C",
        help="as the delivering task has it: words that stand for nothing, such as NULL,N/A",
    ),
    _argument(
        "--key",
        type=string_list_type,
        metavar="A,B,C",
        help="as the delivering task has it (default: CampaignId,ActionTrackerId,CallProvider,CallSessionId)",
    ),
)
_ROWS = (_argument("--file", type=_text, metavar="FILE", help=_FILE_HELP), *_READING)


def _command(name: str, function: str, text: str, *arguments: Arg, more: str = "") -> ActionCommand:
    return ActionCommand(
        name=name,
        help=text,
        description=f"{text}. {more}".strip(),
        func=lazy_load_command(f"airflow_provider_impactcall.cli.commands.{function}"),
        args=(*arguments, *_LEDGER),
    )


def _limit(default: int, what: str) -> Arg:
    return _argument(
        "--limit",
        type=_positive,
        default=default,
        metavar="N",
        help=f"at most so many {what} (default: {default})",
    )


COMMANDS: Sequence[ActionCommand] = (
    _command(
        "check",
        "check_calls",
        "Check a delivery: read, map and validate calls, and ask the ledger",
        _argument("file", nargs="?", type=_text, metavar="FILE", help=_FILE_HELP),
        *_READING,
        _argument("--json", action="store_true", help="all of it as data"),
        more="Nothing is sent. The status is 1 if rows are rejected.",
    ),
    _command(
        "list",
        "list_calls",
        "List calls, the one that changed last first",
        *SELECTION,
        _limit(100, "calls"),
        ARG_OUTPUT,
    ),
    _command(
        "export",
        "export_calls",
        "Write calls to a file",
        _argument(
            "file",
            metavar="FILE",
            type=_text,
            help="CSV, or JSON lines if it ends in .jsonl or .ndjson; - is standard output, as CSV. An existing file "
            "is replaced once all is written",
        ),
        *SELECTION,
    ),
    _command("count", "count_calls", "Count calls by state", *SELECTION, ARG_OUTPUT),
    _command(
        "history",
        "show_history",
        "Show all that happened to a call",
        *SELECTION[:-1],
        _argument("--call-session-id", **_SESSION_ID, required=True),
        ARG_OUTPUT,
    ),
    _command("runs", "list_runs", "List the last runs, of every namespace", _limit(20, "runs"), ARG_OUTPUT),
    _command(
        "requeue",
        "requeue_calls",
        "Have rejected or unknown calls sent by the next run that reads them",
        *SELECTION,
        *_AUTHOR,
        *_CONSENT,
        more="An unknown call may have been processed, and may then arrive twice.",
    ),
    _command(
        "resolve",
        "resolve_calls",
        "Record what impact.com says of unknown calls",
        _argument(
            "--as",
            dest="resolution",
            required=True,
            choices=("delivered", "not-delivered"),
            help="impact.com has them; or it has not, and the next run that reads them sends them",
        ),
        *SELECTION,
        *_AUTHOR,
        *_CONSENT,
    ),
    _command(
        "adopt",
        "adopt_calls",
        "Record calls as delivered that another tool had sent",
        *_ROWS,
        *_AUTHOR,
        ARG_OUTPUT,
        more="Nothing is sent.",
    ),
    _command(
        "reconcile",
        "reconcile_calls",
        "Look for unknown calls among impact.com's actions, and record those found as delivered",
        *_ROWS,
        _argument(
            "--api-conn-id",
            type=_text,
            default="impact_api_default",
            metavar="ID",
            help="a connection with the account's ordinary API credentials, AccountSID and AuthToken "
            "(default: impact_api_default)",
        ),
        *_AUTHOR,
        ARG_OUTPUT,
        more="That a call is not there proves nothing: one that does not pay never becomes an action.",
    ),
    _command(
        "purge",
        "purge_calls",
        "Forget calls that were settled long ago, with their history",
        _argument("--older-than", type=_days, required=True, metavar="DAYS", help="settled more than so many days ago"),
        *_AUTHOR,
        *_CONSENT,
        more="A delivered call that is forgotten and read again is sent again.",
    ),
)


LEDGER_COMMANDS: Sequence[ActionCommand] = (
    ActionCommand(
        name="migrate",
        help="Bring a ledger that an earlier version of this package made up to this one",
        description="Bring a ledger that an earlier version of this package made up to this one; an empty database "
        "gets its tables. Deliveries may be under way, and what was interrupted goes on where it stopped.",
        func=lazy_load_command("airflow_provider_impactcall.cli.commands.migrate"),
        args=(
            _LEDGER_CONN_ID,
            _argument("--dry-run", action="store_true", help="show what is to be done, and do nothing"),
            ARG_OUTPUT,
        ),
    ),
)
"""The commands about the ledger as a whole: ``impactcall ledger ...``."""


def get_commands() -> list[GroupCommand]:
    """The group of commands, for Airflow."""
    return [
        GroupCommand(
            name="impactcall",
            help="Look at and correct what was delivered to impact.com",
            subcommands=(
                *COMMANDS,
                GroupCommand(name="ledger", help="Look after the ledger itself", subcommands=LEDGER_COMMANDS),
            ),
        )
    ]
