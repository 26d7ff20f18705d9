"""What a person can do about calls that were not delivered, by why they were not. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from airflow_provider_impactcall.delivery.ledger.periods import Period
from airflow_provider_impactcall.delivery.outcome import ReasonCode

_TOO_LONG = "The call is too long: shorten its texts in the mapping."
_BY_STATUS = {
    400: "impact.com refuses the call as it is: mend what the reason names in the row or its mapping.",
    403: "impact.com refuses the account, campaign or partner of the call: have your CSM check their settings.",
    409: "impact.com says that it conflicts with a call that it has: look for that one before you send this again.",
    413: _TOO_LONG,
    414: "The URL is too long: set parameters_in to form in the connection.",
    422: "impact.com cannot process the call as it is: mend what the reason names in the row or its mapping.",
}
_REFUSED = "impact.com refuses the call: mend what the reason names in the row, the mapping or the account's settings."
_THEN_REQUEUE = "Then requeue the calls, and run the task again."

_DIED = "The task was killed, or its worker died, while the calls were in flight: impact.com may have them."
_NO_ANSWER = "The calls left, and no complete answer came: impact.com may have them."
_NO_VERDICT = "impact.com answered, and did not say whether it has the calls."
_IN_DOUBT = "An attempt to send the calls may have been processed, and nobody knows: impact.com may have them."
_BY_CODE: dict[str, str] = {
    ReasonCode.RUN_DIED: _DIED,
    ReasonCode.NO_ANSWER: _NO_ANSWER,
    ReasonCode.NO_VERDICT: _NO_VERDICT,
}
_FIND_OUT = (
    "Look for them among its actions first: impactcall reconcile, with the delivering task's query. For those that are "
    "not there, ask your CSM with their list, and resolve what you are told."
)


def about_rejected(code: str, status: int | None) -> str:
    """What to do about calls that were rejected for a reason, in sentences.

    :param code: a :class:`.ReasonCode`
    :param status: the HTTP status of the answer, if there was one
    """
    known = _TOO_LONG if code == ReasonCode.TOO_LONG else _BY_STATUS.get(status or 0, _REFUSED)
    return f"{known} {_THEN_REQUEUE}"


def about_unknown(code: str, status: int | None) -> str:
    """The same of calls of unknown fate."""
    return f"{_BY_CODE.get(code, _IN_DOUBT)} {_FIND_OUT}"


def requeue(command: Sequence[str], namespace: str, code: str, status: int | None, period: Period) -> str:
    """The command that has these rejected calls sent once more; it shows them and asks before it does.

    :param command: how the commands are called here
    """
    return _line(
        command, "requeue", "--state", "rejected", *_which(namespace, code, status, period), why="the cause is mended"
    )


def resolve(command: Sequence[str], namespace: str, code: str, status: int | None, period: Period) -> str:
    """The command that records these calls of unknown fate as delivered, once impact.com has said so.

    :param command: how the commands are called here
    """
    where = ("--as", "delivered", "--state", "unknown", *_which(namespace, code, status, period))
    return _line(command, "resolve", *where, why="impact.com has them")


def _which(namespace: str, code: str, status: int | None, period: Period) -> list[str]:
    since, until = (moment.isoformat(timespec="milliseconds") for moment in (period.since, period.until))
    return [
        *("--reason-code", code, "--status", str(status or 0)),
        *("--since", since, "--until", until, "--ledger-namespace", namespace),
    ]


def _line(command: Sequence[str], *arguments: str, why: str) -> str:
    return shlex.join([*command, *arguments, "--why", why])
