"""The arguments of the commands. Every ``airflow`` command imports this module, so the module imports nothing that
takes time.
"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from airflow.cli.cli_config import ARG_YES, Arg, positive_int, string_list_type

MAPPING_FILES = (".yaml", ".yml", ".json")
"""The endings of a mapping's file."""

_LONGEST_AGE = 36_500


def moment(text: str) -> datetime:
    """The moment of a date or time in ISO 8601, with its offset; UTC if the text has none.

    :raises ArgumentTypeError: if it is neither
    """
    try:
        given = datetime.fromisoformat(text)
        # Near the first and the last year, a time may have no equal in UTC.
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError("must be a date or time in ISO 8601, such as 2026-09-10 or 2026-09-10T22:55Z") from None


def not_empty(text: str) -> str:
    """The text.

    :raises ArgumentTypeError: if it has nothing but blanks
    """
    # An unset variable of a shell script must not select every call.
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
    # The reader of the file reports what is wrong with it.
    return text if text.lower().endswith(MAPPING_FILES) else _object(text)


def age_in_days(text: str) -> float:
    """A number of days, above 0 and at most 36,500.

    :raises ArgumentTypeError: if it is anything else
    """
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= _LONGEST_AGE:
        raise ArgumentTypeError(f"must be a number of days, more than 0 and at most {_LONGEST_AGE}")
    return days


positive = positive_int(allow_zero=False)  # type: ignore[no-untyped-call]


def argument(*flags: str, **meaning: Any) -> Arg:
    """An argument, from what ``ArgumentParser.add_argument`` takes."""
    return Arg(flags, **meaning)  # type: ignore[no-untyped-call]


SESSION_ID: dict[str, Any] = {
    "action": "append",
    "type": not_empty,
    "metavar": "ID",
    "help": "calls with this CallSessionId; may be given several times",
}

SELECTION = (
    argument(
        "--state",
        action="extend",
        type=string_list_type,
        metavar="STATE",
        help="calls in this state: delivered, rejected, unknown, not_sent, requeued or open; invalid: rows that were "
        "rejected here; changed: delivered calls that came again with other content; several with commas, or given "
        "several times",
    ),
    argument("--reason", type=not_empty, metavar="TEXT", help="calls with this text in their reason"),
    argument(
        "--reason-code",
        type=not_empty,
        metavar="CODE",
        help="calls of this reason code, such as refused or no_answer; or invalid rows whose first problem has this "
        "code, such as missing",
    ),
    argument("--status", type=int, metavar="STATUS", help="calls whose answer had this status; 0: no answer decided"),
    argument(
        "--run-id",
        type=not_empty,
        metavar="ID",
        help="calls that this run changed last, and invalid rows that it read last",
    ),
    argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="calls that changed, changed calls that came again, and invalid rows that were read last, at this time or "
        "later. A date or time in ISO 8601, in UTC if it has no offset",
    ),
    argument(
        "--until",
        type=moment,
        metavar="TIME",
        help="the same, before this time",
    ),
    argument(
        "--action",
        action="extend",
        type=string_list_type,
        metavar="ACTION",
        help="delivered calls of which this became at impact.com: pending, approved, cleared, reversed, other, none, "
        "ambiguous, or not_followed; several with commas, or given several times",
    ),
    argument("--call-session-id", **SESSION_ID),
)
"""The conditions that select calls; all that are given must hold."""

LEDGER_CONN_ID = argument(
    "--ledger-conn-id",
    type=not_empty,
    metavar="ID",
    help="the same as in the delivering tasks: a SQL connection, or embedded (default: impactcall.ledger_conn_id of "
    "the configuration)",
)
LEDGER = (
    argument(
        "--impactcall-conn-id",
        type=not_empty,
        default="impactcall_default",
        metavar="ID",
        help="the connection that the calls were delivered with (default: impactcall_default)",
    ),
    LEDGER_CONN_ID,
    argument(
        "--ledger-namespace",
        type=not_empty,
        metavar="NAME",
        help="the same as in the delivering tasks (default: the endpoint's origin)",
    ),
)
API_CONN_ID = argument(
    "--api-conn-id",
    type=not_empty,
    default="impact_api_default",
    metavar="ID",
    help="a connection with the account's ordinary API credentials, AccountSID and AuthToken "
    "(default: impact_api_default)",
)
AUTHOR = (
    argument("--why", required=True, metavar="TEXT", help="the reason, which is kept with each change"),
    argument("--actor", metavar="NAME", help="who does it, which is kept with each change (default: the OS user)"),
)
CONSENT = (
    ARG_YES,
    argument("--dry-run", action="store_true", help="show what would be changed, and change nothing"),
)
FILE_HELP = (
    "the calls, local or an object store's URL: JSON Lines if it ends in .jsonl or .ndjson, Parquet if in .parquet, "
    "else CSV with a header. A file that ends in .gz is unzipped. - is standard input, as CSV"
)
READING = (
    argument("--sql-conn-id", type=not_empty, metavar="ID", help="or the connection of a database that has the calls"),
    argument(
        "--sql", type=not_empty, metavar="SQL", help="and the query for them, or the path of a file that ends in .sql"
    ),
    argument(
        "--hook-params",
        type=_object,
        metavar="JSON",
        help="the same as in the delivering task: further parameters of the hook of --sql-conn-id",
    ),
    argument(
        "--mapping",
        type=_mapping,
        metavar="JSON",
        help="the same as in the delivering task: columns by parameter name, or the path of a .yaml, .yml or .json "
        "file of them",
    ),
    argument(
        "--constants",
        type=_object,
        metavar="JSON",
        help="the same as in the delivering task: values by parameter name",
    ),
    argument(
        "--csv-delimiter",
        metavar="CHARACTER",
        help="what separates the values of a CSV file (default: a comma); \\t is a tab",
    ),
    argument(
        "--csv-encoding",
        metavar="NAME",
        help="of a CSV file, such as cp1252 or utf-16 (default: utf-8)",
    ),
    argument("--timezone", type=not_empty, metavar="NAME", help="the same as in the delivering task"),
    argument("--vendor", type=not_empty, metavar="NAME", help="the same as in the delivering task"),
    argument(
        "--prefiltered",
        type=string_list_type,
        metavar="A,B",
        help="the same as in the delivering task: direction, ended",
    ),
    argument(
        "--nulls",
        type=string_list_type,
        metavar="A,B,C",
        help="the same as in the delivering task: words that stand for nothing, such as NULL,N/A",
    ),
    argument(
        "--key",
        type=string_list_type,
        metavar="A,B,C",
        help="the same as in the delivering task (default: CampaignId,ActionTrackerId,CallProvider,CallSessionId)",
    ),
)
ROWS = (argument("--file", type=not_empty, metavar="FILE", help=FILE_HELP), *READING)
