"""Advice for a person about calls that were not delivered, by reason. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from airflow_provider_impactcall.delivery.ledger.periods import Period
from airflow_provider_impactcall.delivery.outcome import ReasonCode

_TOO_LONG = "The call is too long: shorten its texts in the mapping."
_BY_STATUS = {
    400: "impact.com refuses the call as it is: mend what the reason names in the row or its mapping.",
    403: "impact.com refuses the account, campaign or partner of the call: have your CSM check their settings.",
    409: "impact.com says that the call conflicts with one that it has: look for that one before you send this again.",
    413: _TOO_LONG,
    414: "The URL is too long: set parameters_in to form in the connection.",
    422: "impact.com cannot process the call as it is: mend what the reason names in the row or its mapping.",
}
_REFUSED = "impact.com refuses the call: mend what the reason names in the row, the mapping or the account's settings."
_THEN_REQUEUE = "Then requeue the calls, and run the task again."

_NEXT_RUN = "The next run that reads the row delivers its call, and the row is no longer listed here."
_MEND = "Mend what the reason names in the row or in the mapping."
_OTHER_COLUMN = "Map the parameter to the column that holds it, or mend the value in the row."
_BY_PROBLEM: dict[str, str] = {
    "missing": "Map the parameter to a column that holds it, or give it a value in constants; mend rows that lack it.",
    "wrong_type": "Have the query or the mapping give the parameter as text or a number.",
    "not_a_number": _OTHER_COLUMN,
    "fraction": "Have the query round the number, or map a duration with rounded_down.",
    "out_of_range": "Mend the value in the row: a number must not be negative, and a call has a time after 1990.",
    "longer_than_the_call": "Map CallDuration to the whole call, and TalkDuration to the part of it that was talked.",
    "not_a_time": "Map EventDate to a column with a date and a time, in a form that can be read in one way.",
    "time_without_offset": "Give the task the option timezone, or have the query give times with an offset from UTC.",
    "time_in_the_future": "Compare the time zone of the column with the option timezone, and the clock of the source.",
    "not_a_phone_number": "Map the parameter to the column with the number, and mend numbers that no country has.",
    "without_country_code": "Have the rows give numbers with + and country code, or map the country beside them.",
    "anonymous_caller": "impact.com cannot match a caller without a number: filter such rows, or tolerate them with "
    "max_rejected.",
    "country_not_derivable": "Map the country to a column, or give derived_else a country.",
    "unknown_word": "Map the word with a table of values, or mend it in the row.",
    "not_in_table": "Add what the row holds to the table of the mapping, or give the table a default.",
    "text_too_long": "Shorten the text in the query or in the mapping.",
    "invalid_character": "Remove the character in the query or in the row.",
    "ambiguous_column": "Map the parameter to one of the two columns by its exact name.",
    "unknown_parameter": "Correct the name of the parameter in the mapping or in the row.",
    "mapping_failed": "Mend the function of the mapping or of the preset that the reason names.",
    "not_a_row": "Mend the line of the file, or the query: a row is an object with a value for each column.",
    "unreadable": "Mend the source of the row: the task's log says what failed.",
    "unrecordable": "The ledger's database cannot hold an id of the row: give its tables the columns and the character "
    "set that this package gives them, or mend the row.",
    "without_key": "Map the parameters of the option key: without them nothing tells the call from others.",
}
_NEVER = "Dismiss rows that can never be mended."
_CHANGED = (
    "impact.com has these calls as they were first sent, and the rows have other content now. The ledger keeps no "
    "values: compare a row with what impact.com shows. Ask your CSM to correct what matters, and accept the rest: they "
    "are shown again only if their content changes once more."
)

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
    "Look for them among its actions first: impactcall reconcile, with the query of the task that delivers. Send your "
    "CSM the list of those that are not there, and record the answer with impactcall resolve."
)


def about_rejected(code: str, status: int | None) -> str:
    """Advice about calls that were rejected for a reason, in sentences.

    :param code: a :class:`.ReasonCode`
    :param status: the HTTP status of the answer, if there was one
    """
    known = _TOO_LONG if code == ReasonCode.TOO_LONG else _BY_STATUS.get(status or 0, _REFUSED)
    return f"{known} {_THEN_REQUEUE}"


def about_unknown(code: str, status: int | None) -> str:
    """Advice about calls of unknown fate, in sentences."""
    return f"{_BY_CODE.get(code, _IN_DOUBT)} {_FIND_OUT}"


def about_invalid(code: str) -> str:
    """Advice about rows that were rejected here for a reason, in sentences.

    :param code: a :class:`.ProblemCode`, or one of a newer version
    """
    return f"{_BY_PROBLEM.get(code, _MEND)} {_NEXT_RUN} {_NEVER}"


def about_changed() -> str:
    """Advice about delivered calls that came again with other content."""
    return _CHANGED


def requeue(command: Sequence[str], namespace: str, code: str, status: int | None, period: Period) -> str:
    """The command that has these rejected calls sent once more; it shows them and asks before it does.

    :param command: how a command line begins here: ``("airflow", "impactcall")``
    """
    return _line(
        command, "requeue", "--state", "rejected", *_which(namespace, code, status, period), why="the cause is mended"
    )


def resolve(command: Sequence[str], namespace: str, code: str, status: int | None, period: Period) -> str:
    """The command that records these calls of unknown fate as delivered, once impact.com has said so.

    :param command: how a command line begins here: ``("airflow", "impactcall")``
    """
    where = ("--as", "delivered", "--state", "unknown", *_which(namespace, code, status, period))
    return _line(command, "resolve", *where, why="impact.com has them")


def dismiss(command: Sequence[str], namespace: str, code: str, period: Period) -> str:
    """The command that hides these dead letters until their problems change.

    :param command: how a command line begins here: ``("airflow", "impactcall")``
    :param code: of the first problem of each
    """
    where = ("--state", "invalid", "--reason-code", code, *_when(namespace, period))
    return _line(command, "dismiss", *where, why="the rows can never be mended")


def accept(command: Sequence[str], namespace: str, period: Period) -> str:
    """The command that takes the mark off the calls that came again with other content.

    :param command: how a command line begins here: ``("airflow", "impactcall")``
    """
    return _line(
        command, "accept", "--state", "changed", *_when(namespace, period), why="the difference does not matter"
    )


def _which(namespace: str, code: str, status: int | None, period: Period) -> list[str]:
    return ["--reason-code", code, "--status", str(status or 0), *_when(namespace, period)]


def _when(namespace: str, period: Period) -> list[str]:
    since, until = (moment.isoformat(timespec="milliseconds") for moment in (period.since, period.until))
    return ["--since", since, "--until", until, "--ledger-namespace", namespace]


def _line(command: Sequence[str], *arguments: str, why: str) -> str:
    return shlex.join([*command, *arguments, "--why", why])
