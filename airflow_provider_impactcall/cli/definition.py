"""The commands. Every ``airflow`` command imports this module, so the module imports nothing that takes time."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_impactcall.cli.arguments import (
    API_CONN_ID,
    AUTHOR,
    CONSENT,
    FILE_HELP,
    LEDGER,
    LEDGER_CONN_ID,
    READING,
    ROWS,
    SELECTION,
    SESSION_ID,
    age_in_days,
    argument,
    moment,
    not_empty,
    positive,
)


def _command(name: str, function: str, text: str, *arguments: Arg, more: str = "") -> ActionCommand:
    return ActionCommand(
        name=name,
        help=text,
        description=f"{text}. {more}".strip(),
        func=lazy_load_command(f"airflow_provider_impactcall.cli.{function}"),
        args=(*arguments, *LEDGER),
    )


def _limit(default: int, what: str) -> Arg:
    return argument(
        "--limit",
        type=positive,
        default=default,
        metavar="N",
        help=f"the greatest number of {what} (default: {default})",
    )


COMMANDS: Sequence[ActionCommand] = (
    _command(
        "check",
        "looking.check_calls",
        "Check a delivery: read, map and validate calls, and ask the ledger",
        argument("file", nargs="?", type=not_empty, metavar="FILE", help=FILE_HELP),
        *READING,
        argument("--json", action="store_true", help="all of it as data"),
        more="Nothing is sent. The status is 1 if rows are rejected.",
    ),
    _command(
        "list",
        "looking.list_calls",
        "List calls and invalid rows, the most recently changed or read first",
        *SELECTION,
        _limit(100, "calls"),
        ARG_OUTPUT,
    ),
    _command(
        "export",
        "looking.export_calls",
        "Write calls and invalid rows to a file",
        argument(
            "file",
            metavar="FILE",
            type=not_empty,
            help="local or an object store's URL: JSON Lines if it ends in .jsonl or .ndjson, Parquet if in .parquet, "
            "else CSV; - is standard output, as CSV. An existing file is replaced once all is written",
        ),
        *SELECTION,
    ),
    _command(
        "count",
        "looking.count_calls",
        "Count calls by state, and invalid rows",
        *SELECTION,
        argument(
            "--actions",
            action="store_true",
            help="instead, count the calls that were delivered between --since and --until, by partner and campaign: "
            "how many became actions, and how far these have come",
        ),
        ARG_OUTPUT,
        more="Changed calls are among the delivered ones too.",
    ),
    _command(
        "history",
        "looking.show_history",
        "Show all that happened to a call",
        *SELECTION[:-1],
        argument("--call-session-id", **SESSION_ID, required=True),
        ARG_OUTPUT,
    ),
    _command("runs", "looking.list_runs", "List the last runs, of every namespace", _limit(20, "runs"), ARG_OUTPUT),
    _command(
        "requeue",
        "changing.requeue_calls",
        "Have rejected or unknown calls sent by the next run that reads them",
        *SELECTION,
        *AUTHOR,
        *CONSENT,
        more="An unknown call may have been processed, and may then arrive twice.",
    ),
    _command(
        "resolve",
        "changing.resolve_calls",
        "Record what impact.com says of unknown calls",
        argument(
            "--as",
            dest="resolution",
            required=True,
            choices=("delivered", "not-delivered"),
            help="impact.com has them; or it has not, and the next run that reads them sends them",
        ),
        *SELECTION,
        *AUTHOR,
        *CONSENT,
    ),
    _command(
        "accept",
        "changing.accept_calls",
        "Accept the new content of calls that came again with other content",
        *SELECTION,
        *AUTHOR,
        *CONSENT,
        more="Nothing is sent: impact.com keeps what it has.",
    ),
    _command(
        "dismiss",
        "changing.dismiss_rows",
        "Stop listing invalid rows, until they have other problems",
        *SELECTION,
        *AUTHOR,
        *CONSENT,
    ),
    _command(
        "adopt",
        "changing.adopt_calls",
        "Record as delivered the calls that another tool sent",
        *ROWS,
        *AUTHOR,
        ARG_OUTPUT,
        more="Nothing is sent.",
    ),
    _command(
        "reconcile",
        "changing.reconcile_calls",
        "Look for unknown calls among impact.com's actions, and record those found as delivered",
        *ROWS,
        API_CONN_ID,
        *AUTHOR,
        ARG_OUTPUT,
        more="A call that is not there may still have arrived: only a call that pays becomes an action.",
    ),
    _command(
        "follow",
        "changing.follow_calls",
        "Look for delivered calls among impact.com's actions, and keep what became of each",
        *ROWS,
        argument(
            "--since",
            type=moment,
            metavar="TIME",
            help="calls that took place at this time or later: a date or time in ISO 8601, in UTC if it has no offset "
            "(default: all that are given)",
        ),
        argument("--until", type=moment, metavar="TIME", help="the same, before this time"),
        argument(
            "--keep-amounts",
            action="store_true",
            help="keep the payout, the amount and the currency of each action in the ledger too",
        ),
        API_CONN_ID,
        *AUTHOR,
        ARG_OUTPUT,
        more="Calls of unknown fate that are found there are recorded as delivered. Nothing at impact.com is changed.",
    ),
    _command(
        "purge",
        "changing.purge_calls",
        "Forget calls that were settled long ago, and invalid rows that were read long ago, with their history",
        argument(
            "--older-than",
            type=age_in_days,
            required=True,
            metavar="DAYS",
            help="only what was settled or read more than so many days ago",
        ),
        *AUTHOR,
        *CONSENT,
        more="A delivered call that is forgotten and read again is sent again.",
    ),
)


LEDGER_COMMANDS: Sequence[ActionCommand] = (
    ActionCommand(
        name="migrate",
        help="Migrate a ledger that an earlier version of this package made to this version",
        description="Migrate a ledger that an earlier version of this package made to this version; an empty database "
        "gets its tables. Deliveries may run meanwhile. An interrupted migration continues where it stopped.",
        func=lazy_load_command("airflow_provider_impactcall.cli.changing.migrate"),
        args=(
            LEDGER_CONN_ID,
            argument("--dry-run", action="store_true", help="show the migrations, and change nothing"),
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
