"""Checks the text of an arriving call against impact.com's page.

These checks share the table of parameters with the client, but not its normalization: so they find the client's
mistakes instead of repeating them. No message quotes a value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qsl

from airflow_provider_impactcall.records import PARAMETERS, Parameter
from airflow_provider_impactcall.records.call_record import no_parameter

FORM = "application/x-www-form-urlencoded"

# At most 64 digits: Python refuses to read a number of thousands of digits.
_DIGITS = re.compile(r"[0-9]{1,64}")
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_EVENT_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}")
_CALLED_NUMBER = re.compile(
    r"\([0-9]{3}\) [0-9]{3} [0-9]{4}|[0-9]{3}-[0-9]{3}-[0-9]{4}|[0-9]{10}|\+[0-9]+"  # the last is not documented
)

Pairs = Sequence[tuple[str, str]]


class Complaint(NamedTuple):
    """One problem of a request.

    :param parameter: the parameter's name, or the part of the request with the problem
    :param message: the problem; it never quotes the value
    """

    parameter: str
    message: str

    def __str__(self) -> str:
        return f"{self.parameter} {self.message}"


def read_pairs(target: str, body: bytes, content_type: str) -> list[tuple[str, str]]:
    """The parameters in the order of their arrival, from the query string and from a form.

    Bytes that are not UTF-8 become lone surrogates, so a later check can find them.

    :param target: path and query string, still percent-encoded
    :param content_type: the content type of the body; only a form has parameters
    """
    form = body.decode("utf-8", "surrogateescape") if content_type == FORM else ""
    return [pair for text in (target.partition("?")[2], form) for pair in _decoded(text)]


def find_problems(pairs: Pairs) -> list[Complaint]:
    """All problems of a call: of its parameters, in the order of impact.com's page, then of unknown names."""
    values = dict(pairs)
    times = Counter(name for name, _ in pairs)
    wrong = [
        Complaint(name, message)
        for name, parameter in PARAMETERS.items()
        if (message := _wrong(parameter, values, times[name]))
    ]
    # impact.com does not document what it does with unknown names. A typo that passed here would lose a value there.
    return wrong + [Complaint(_readable(name), no_parameter(name)) for name in times if name not in PARAMETERS]


def _decoded(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")


def _wrong(parameter: Parameter, values: Mapping[str, str], times: int) -> str | None:
    if times > 1:
        return f"is given {times} times"
    value = values.get(parameter.name)
    if value is None:
        return "is missing" if parameter.required else None
    if parameter.required and not value.strip():
        return "is required, and is empty"
    if not _is_utf8(value):
        return "is not UTF-8"
    return next(_complaints(parameter, value, values), None)


def _complaints(parameter: Parameter, value: str, values: Mapping[str, str]) -> Iterator[str]:
    if parameter.limit is not None and len(value) > parameter.limit:
        yield f"must have at most {parameter.limit} characters, and has {len(value)}"
    if parameter.allowed and value not in parameter.allowed:
        yield f"must be one of {', '.join(map(repr, parameter.allowed))}"
    complaint = _FORMS.get(parameter.name, _TYPES[parameter.type])(value)
    if complaint:
        yield complaint
    if parameter.name == "TalkDuration" and _exceeds(value, values.get("CallDuration", "")):
        yield "must not exceed CallDuration"


def _anything(_: str) -> None:
    return None


def _integer(value: str) -> str | None:
    return None if _DIGITS.fullmatch(value) else "must be a whole number, in digits"


def _number(value: str) -> str | None:
    return None if _DECIMAL.fullmatch(value) else "must be a decimal number such as 12.50"


def _event_date(value: str) -> str | None:
    if not _EVENT_DATE.fullmatch(value):
        return "must look like 2026-09-10T22:55:32-08:00 (a + that is not sent as %2B arrives as a space)"
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return "must be a time that exists"
    return None


def _called_number(value: str) -> str | None:
    if _CALLED_NUMBER.fullmatch(value):
        return None
    return "must look like (XXX) XXX XXXX, XXX-XXX-XXXX or XXXXXXXXXX, or be + and digits"


def _exceeds(talk: str, call: str) -> bool:
    return bool(_DIGITS.fullmatch(talk) and _DIGITS.fullmatch(call)) and int(talk) > int(call)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _readable(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")


_TYPES: Mapping[str, Callable[[str], str | None]] = {"integer": _integer, "number": _number, "string": _anything}
_FORMS: Mapping[str, Callable[[str], str | None]] = {
    "EventDate": _event_date,
    "CalledPhoneNumber": _called_number,
    # Documented as an integer, but sent as text on purpose: 02139 would lose its zero.
    "Zip": _anything,
}
