"""The line of the log that a log search finds, and what a parser of logfmt makes of it."""

from __future__ import annotations

import json
import logging
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, ReasonCode, Stop
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.run_line import run_line
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.documentation import START
from tests.privacy.test_canary import found_in

KEYS = (
    *("rows", "delivered", "already_delivered", "changed", "duplicate", "filtered", "rejected", "unknown", "not_sent"),
    *("seconds", "attempts", "attempt_mean", "attempt_longest", "rate_limit_wait", "stopped_early", "dry_run"),
    *("run", "namespace", "source"),
)


def parsed(line: str) -> dict[str, str]:
    """As a parser of logfmt reads it: bare values end at a space, quoted ones are as in JSON."""
    found, end = {}, 0
    while end < len(line):
        match = re.compile(r'(\w+)=(?:("(?:[^"\\]|\\.)*")|([^ "=]*))(?: |$)').match(line, end)
        assert match, line[end:]
        found[match[1]] = json.loads(match[2]) if match[2] else match[3]
        end = match.end()
    return found


def line_of(caplog: pytest.LogCaptureFixture) -> str:
    (message,) = [each.getMessage() for each in caplog.records if each.getMessage().startswith("impact.com calls: ")]
    return message.removeprefix("impact.com calls: ")


def test_a_run_has_one_line(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    rows = [*examples.calls(3), examples.call("bad", CallerId=f"{examples.CALLER}x")]
    with caplog.at_level(logging.INFO, "airflow_provider_impactcall"):
        report = ImpactCallHook().deliver(rows, ledger_namespace='a "test"')
    found = parsed(line_of(caplog))
    assert tuple(found) == KEYS
    assert {name: int(found[name]) for name in report.counts()} == report.counts()
    assert (report.delivered, report.rejected) == (3, 1)
    assert (found["attempts"], found["stopped_early"], found["dry_run"]) == ("3", "false", "false")
    assert 0 < float(found["attempt_mean"]) <= float(found["attempt_longest"]) <= report.seconds + 0.001
    assert (float(found["seconds"]), found["namespace"], found["source"]) == (report.seconds, 'a "test"', "python")
    assert re.fullmatch("[0-9a-f]{32}", found["run"])
    assert found_in(line_of(caplog)) == []


def test_a_dry_run_has_one_too(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "airflow_provider_impactcall"):
        ImpactCallHook().check(examples.calls(2))
    found = parsed(line_of(caplog))
    assert tuple(found) == KEYS
    assert (found["dry_run"], found["run"], found["rows"], found["not_sent"]) == ("true", "", "2", "2")


@given(st.text(), st.text(), st.integers(0, 10**9))
def test_whatever_a_namespace_holds_can_be_read_back(namespace: str, source: str, rows: int) -> None:
    report = DeliveryReport(rows=rows, not_sent=rows, stop=Stop(ReasonCode.NO_PROGRESS, "the network is away"))
    line = run_line(report, Attempts(), 0.25, run_id="f" * 32, namespace=namespace, source=source)
    assert line.isprintable(), "one line, whatever shows it"
    found = parsed(line)
    assert tuple(found) == KEYS
    assert (found["namespace"], found["source"], found["rows"]) == (namespace, source, str(rows))
    assert (found["rate_limit_wait"], found["stopped_early"]) == ("0.250", "true")


def test_the_first_page_shows_how_it_begins() -> None:
    (shown,) = re.findall(r"^impact\.com calls: (.+) \.\.\.$", START.read_text(), re.MULTILINE)
    report = DeliveryReport(rows=3, delivered=3)
    assert run_line(report, Attempts(), 0.0, run_id="", namespace="", source="").startswith(f"{shown} seconds=")


def test_it_can_be_split_as_the_documentation_does() -> None:
    line = run_line(DeliveryReport(), Attempts(), 0.0, run_id="", namespace="the broker's, \\ new", source="don't")
    found = dict(field.split("=", 1) for field in shlex.split(line))
    assert (found["namespace"], found["source"]) == ("the broker's, \\ new", "don't")
