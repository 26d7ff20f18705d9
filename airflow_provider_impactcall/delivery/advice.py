"""What a person can do about calls that were not delivered, by why they were not. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from airflow_provider_impactcall.delivery.entries import DIED
from airflow_provider_impactcall.delivery.overview import Period

_BY_STATUS = {
    400: "impact.com refuses the call as it is: mend what the reason names in the row or its mapping",
    403: "impact.com refuses the account, campaign or partner of the call: have your CSM check their settings",
    409: "impact.com says that it conflicts with a call that it has: look for that one before you send this again",
    413: "the call is too long: shorten its texts in the mapping",
    414: "the URL is too long: set parameters_in to form in the connection",
    422: "impact.com cannot process the call as it is: mend what the reason names in the row or its mapping",
}
_THEN = "then requeue the calls and run the task again"
_REFUSED = (
    "impact.com answered with an error: mend what the reason names in the row, the mapping or the account's settings"
)

_ASK = "ask your CSM at impact.com with their list (the page's CSV), and resolve what you are told"
_RECONCILE = "look first whether impact.com has them as actions: impactcall reconcile, with the delivering task's query"
_DIED = "the task was killed, or its worker died, while the calls were in flight"
_NO_ANSWER = "they left, and no complete answer came: impact.com may have them"
_NO_VERDICT = "impact.com answered, and did not say whether it has them"


def about_rejected(reason: str) -> str:
    """What to do about calls that were rejected for a reason."""
    status = re.match(r"(\d{3})\b", reason)
    known = None if status is None else _BY_STATUS.get(int(status.group(1)))
    return f"{known or _REFUSED}; {_THEN}"


def about_unknown(reason: str) -> str:
    """What to do about calls of unknown fate."""
    if reason == DIED:
        told = _DIED
    elif re.match(r"\d{3}\b", reason):
        told = _NO_VERDICT
    else:
        told = _NO_ANSWER
    return f"{told}; {_RECONCILE}; for those that are not there, {_ASK}"


def requeue(command: Sequence[str], namespace: str, reason: str, period: Period) -> str:
    """The command that has these rejected calls sent once more; it shows them and asks before it does.

    :param command: how the commands are called here
    """
    return _line(
        command, "requeue", "--state", "rejected", *_which(namespace, reason, period), why="the cause is mended"
    )


def resolve(command: Sequence[str], namespace: str, reason: str, period: Period) -> str:
    """The command that records these calls of unknown fate as delivered, once impact.com has said so.

    :param command: how the commands are called here
    """
    where = ("--as", "delivered", "--state", "unknown", *_which(namespace, reason, period))
    return _line(command, "resolve", *where, why="impact.com has them")


def _which(namespace: str, reason: str, period: Period) -> list[str]:
    since, until = (moment.isoformat(timespec="milliseconds") for moment in (period.since, period.until))
    # An argument of its own must not look like an option.
    of_reason = [f"--reason={reason}"] if reason.startswith("-") else ["--reason", reason] if reason.strip() else []
    return [*of_reason, "--since", since, "--until", until, "--ledger-namespace", namespace]


def _line(command: Sequence[str], *arguments: str, why: str) -> str:
    return shlex.join([*command, *arguments, "--why", why])
