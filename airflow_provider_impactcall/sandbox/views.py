"""Requests and calls as the page gets them. Callers' numbers are masked, unless the page asks to see them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypedDict

from airflow_provider_impactcall.records import PARAMETERS
from airflow_provider_impactcall.sandbox.journal import ProcessedCall
from airflow_provider_impactcall.sandbox.recent import Passage

_HIDDEN = "\N{BULLET}" * 6
_PLACE = {name: place for place, name in enumerate(PARAMETERS)}


class RequestView(TypedDict):
    """A request in the list.

    :param path: the path of its details, relative to the page's data
    :param number: the request's number; None for a call whose request is no longer remembered
    :param at: the time of arrival, in ISO 8601 and UTC
    :param CallSessionId: None if the request has none, or is not read yet
    :param CallerId: masked; None as for ``CallSessionId``
    :param processed: whether its call was processed, whatever the answer was
    :param wrong: the number of reasons for a refusal
    :param fault: the kind of fault that it met, or None
    :param status: the answer's status; None if no answer was complete, or if it is no longer remembered
    :param over: whether the request has ended
    """

    path: str
    number: int | None
    at: str
    CallSessionId: str | None
    CallerId: str | None
    processed: bool
    wrong: int
    fault: str | None
    status: int | None
    over: bool


class ParameterView(TypedDict):
    """A parameter.

    :param hidden: whether the value is masked
    """

    name: str
    value: str
    hidden: bool


class DetailView(RequestView):
    """A request with its details.

    :param parameters: in the order of impact.com's page, then those that are not on that page
    :param too_long: whether the request was too long to keep its parameters
    :param problems: the reasons of the refusal, at most 100
    """

    method: str | None
    parameters: list[ParameterView]
    too_long: bool
    problems: list[dict[str, str]]


def masked(number: str) -> str:
    """A phone number with only its last two digits readable."""
    digits = [character for character in number if character.isdecimal()]
    return _HIDDEN + "".join(digits[-2:] if len(digits) >= 4 else [])


def of_request(passage: Passage, *, numbers: bool) -> RequestView:
    """A request in the list.

    :param numbers: whether to show callers' numbers
    """
    values = dict(passage.pairs)
    return {
        "path": f"requests/{passage.number}",
        "number": passage.number,
        "at": _utc(passage.at),
        "CallSessionId": values.get("CallSessionId"),
        "CallerId": _caller(values.get("CallerId"), numbers),
        "processed": passage.processed is not None,
        "wrong": passage.wrong,
        "fault": passage.fault,
        "status": passage.status,
        "over": passage.over,
    }


def of_call(call: ProcessedCall, place: int, *, numbers: bool) -> RequestView:
    """A call whose request is no longer remembered, in the list.

    :param place: the call's position among the processed calls, from 0
    """
    return {
        "path": f"calls/{place}",
        "number": None,
        "at": call["received_at"],
        "CallSessionId": call["parameters"]["CallSessionId"],
        "CallerId": _caller(call["parameters"]["CallerId"], numbers),
        "processed": True,
        "wrong": 0,
        "fault": None,
        "status": None,
        "over": True,
    }


def details_of_request(passage: Passage, *, numbers: bool) -> DetailView:
    """A request with its details."""
    return {
        **of_request(passage, numbers=numbers),
        "method": passage.method,
        "parameters": _parameters(passage.pairs, numbers=numbers),
        "too_long": passage.too_long,
        "problems": [{"parameter": each.parameter, "message": each.message} for each in passage.problems],
    }


def details_of_call(call: ProcessedCall, place: int, *, numbers: bool) -> DetailView:
    """A call whose request is no longer remembered, with its details."""
    return {
        **of_call(call, place, numbers=numbers),
        "method": None,
        "parameters": _parameters(call["parameters"].items(), numbers=numbers),
        "too_long": False,
        "problems": [],
    }


def _parameters(pairs: Iterable[tuple[str, str]], *, numbers: bool) -> list[ParameterView]:
    ordered = sorted(pairs, key=lambda pair: _PLACE.get(pair[0], len(_PLACE)))
    return [_parameter(name, value, numbers=numbers) for name, value in ordered]


def _parameter(name: str, value: str, *, numbers: bool) -> ParameterView:
    # A name that is not one of the 50 parameters may be a misspelt CallerId.
    hidden = not numbers and value != "" and (name in ("CallerId", "CallRecording") or name not in PARAMETERS)
    if not hidden:
        return {"name": name, "value": value, "hidden": False}
    return {"name": name, "value": masked(value) if name == "CallerId" else _HIDDEN, "hidden": True}


def _caller(number: str | None, numbers: bool) -> str | None:
    return number if numbers or not number else masked(number)


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
