"""The events of a delivering task's outlets."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # Airflow 2
    from airflow.utils.context import OutletEventAccessors

from airflow_provider_impactcall.delivery.outcome import ENDS
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.privacy.test_canary import found_in

PROGRAM = Asset(uri="impactcall://twilio.ivr.impactradius.com/1000")
PROGRAM_TOO = Asset(uri="impactcall://twilio.ivr.impactradius.com/1000/4000")
FILE = Asset(uri="file:///var/lib/calls.jsonl")
ROWS = [*examples.calls(3), examples.call("call-0"), examples.call("bad", CallerId=f"{examples.CALLER}x")]


def operator(outlets: list[Asset], **options: Any) -> ImpactCallOperator:
    return ImpactCallOperator(task_id="deliver", calls=ROWS, outlets=outlets, **options)


def test_the_events_of_our_scheme_have_the_counts(sandbox: Sandbox) -> None:
    events = OutletEventAccessors()
    events[PROGRAM].extra["mine"] = "stays"
    context: Any = {"outlet_events": events}
    report = operator([PROGRAM, FILE, PROGRAM_TOO], max_rejected=1).execute(context)
    counts = {name: report[name] for name in ("rows", *ENDS)}
    assert (counts["delivered"], counts["rejected"], counts["duplicate"]) == (3, 1, 1)
    extra = dict(events[PROGRAM_TOO].extra)
    assert events[PROGRAM].extra == {"mine": "stays", **extra}
    assert {name: extra.pop(name) for name in counts} == counts
    assert extra.pop("invalid") == 1
    assert [(name.partition(".")[0], count) for name, count in extra.items()] == [("invalid", 1)]
    assert events[FILE].extra == {}
    assert {type(value) for value in events[PROGRAM_TOO].extra.values()} == {int}
    assert found_in(str(events)) == []


def test_a_task_that_fails_has_nothing_to_announce(sandbox: Sandbox) -> None:
    events = OutletEventAccessors()
    context: Any = {"outlet_events": events}
    with pytest.raises(AirflowFailException):
        operator([PROGRAM]).execute(context)
    assert events[PROGRAM].extra == {}


def test_without_a_context_nothing_is_announced(sandbox: Sandbox) -> None:
    assert operator([PROGRAM], max_rejected=1).execute({})["delivered"] == 3
