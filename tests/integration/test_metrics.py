"""What a run tells a StatsD server, by Airflow's own configuration."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import Stats

from airflow_provider_impactcall.delivery.outcome import ENDS, DeliveryReport
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration import metrics
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.privacy.test_canary import found_in
from tests.statsd import StatsD, statsd

ROWS = [
    *examples.calls(3),
    examples.call("call-0"),
    examples.call("bad", CampaignId=examples.CALLER, CallerId=f"{examples.CALLER}x"),
]


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsD]:
    """A server that Airflow's Stats of this process tell, as those of a task's process do."""
    with statsd() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        start_stats(monkeypatch)
        yield server
    monkeypatch.undo()
    start_stats(monkeypatch)


def start_stats(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Airflow does as a process begins: what the environment says now holds from now on."""
    if hasattr(Stats, "initialize") and not hasattr(type(Stats), "factory"):
        from airflow.sdk.observability.metrics import stats_utils

        Stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
        return
    from airflow.configuration import conf
    from airflow.metrics import base_stats_logger, statsd_logger

    on = conf.getboolean("metrics", "statsd_on")
    before_3_2: Any = Stats
    type(before_3_2).factory = statsd_logger.get_statsd_logger if on else base_stats_logger.NoStatsLogger
    before_3_2.instance = None


def wait_for(server: StatsD, name: str) -> None:
    deadline = time.monotonic() + 30
    while not server.heard(name):
        assert time.monotonic() < deadline, server.packets
        time.sleep(0.01)


def test_a_run_tells_what_came_of_its_rows(sandbox: Sandbox, listener: StatsD) -> None:
    report = ImpactCallHook().deliver(ROWS)
    wait_for(listener, "impactcall.oldest_undelivered")
    told = {end: listener.heard(f"impactcall.calls.{end}") for end in ENDS}
    assert {end: [(each.value, each.kind) for each in found] for end, found in told.items()} == {
        end: [(getattr(report, end), "c")] for end in ENDS
    }
    assert (report.delivered, report.duplicate, report.rejected) == (3, 1, 1)
    ((attempts,), (mean,), (longest,)) = (
        listener.heard(f"impactcall.{name}") for name in ("attempts", "attempt", "attempt.longest")
    )
    assert (attempts.value, attempts.kind) == (3, "c")
    assert mean.kind == longest.kind == "ms"
    assert 0 < mean.value <= longest.value <= report.seconds * 1000 + 1
    assert [(each.value, each.kind) for each in listener.heard("impactcall.oldest_undelivered")] == [(0, "g")]
    assert listener.heard("impactcall.rate_limit.wait") == [], "there is no limit"
    assert len(listener.packets) == len(ENDS) + 4, "once a run, not once a call"


def test_timings_are_milliseconds(monkeypatch: pytest.MonkeyPatch, listener: StatsD) -> None:
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD, latency=0.2).in_thread() as slow:
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(slow))
        ImpactCallHook().deliver(examples.calls(4), requests_per_second=2)
    wait_for(listener, "impactcall.oldest_undelivered")
    (mean,) = listener.heard("impactcall.attempt")
    assert 200 <= mean.value < 30_000
    (wait,) = listener.heard("impactcall.rate_limit.wait")
    assert wait.kind == "ms"
    assert wait.value > 900, "the third call leaves a second after the first was answered"


def test_the_oldest_undelivered_call_is_told_of(sandbox: Sandbox, listener: StatsD) -> None:
    sandbox.script = ["reset-after-processing"]
    report = ImpactCallHook().deliver(examples.calls(1))
    assert report.unknown == 1
    time.sleep(1.1)
    ImpactCallHook().deliver(examples.calls(1, "other"))
    deadline = time.monotonic() + 30
    while len(listener.heard("impactcall.oldest_undelivered")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first, second = (each.value for each in listener.heard("impactcall.oldest_undelivered"))
    assert second >= first + 1


def test_tags_and_the_allow_list(sandbox: Sandbox, listener: StatsD, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
    monkeypatch.setenv("AIRFLOW__METRICS__METRICS_ALLOW_LIST", "impactcall")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "dag")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "group.deliver")
    start_stats(monkeypatch)
    ImpactCallHook().deliver(ROWS)
    wait_for(listener, "impactcall.oldest_undelivered")
    namespace = {"namespace": f"127.0.0.1_{sandbox.port}"}
    assert [each.tags for each in listener.heard("impactcall.oldest_undelivered")] == [namespace]
    others = [each.tags for each in listener.metrics if each.name != "airflow.impactcall.oldest_undelivered"]
    assert others == [{"dag_id": "dag", "task_id": "group.deliver", **namespace}] * (len(ENDS) + 3)


def test_a_long_namespace_loses_no_metric(sandbox: Sandbox, listener: StatsD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow allows a name 250 characters, its tags included."""
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
    start_stats(monkeypatch)
    ImpactCallHook().deliver(ROWS, ledger_namespace="production, " + "x" * 240)
    wait_for(listener, "impactcall.oldest_undelivered")
    assert len(listener.packets) == len(ENDS) + 4


def test_metrics_hold_nothing_private(sandbox: Sandbox, listener: StatsD, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
    start_stats(monkeypatch)
    sandbox.script = ["400-echo", "reset-after-processing", "500", "502"]
    ImpactCallHook().deliver([*ROWS, *examples.calls(8, "more")])
    wait_for(listener, "impactcall.oldest_undelivered")
    text = "\n".join(listener.packets)
    assert found_in(text) == []
    assert not {row["CallSessionId"] for row in ROWS if row["CallSessionId"] in text}
    assert examples.LOGIN not in text


def test_a_dry_run_tells_nothing(sandbox: Sandbox, listener: StatsD) -> None:
    ImpactCallHook().check(ROWS)
    ImpactCallHook().deliver(examples.calls(1))
    wait_for(listener, "impactcall.oldest_undelivered")
    assert len(listener.heard("impactcall.calls.delivered")) == 1


class _Broken:
    def __getattr__(self, name: str) -> Any:
        raise OSError(f"no {name} at statsd.example.com")


def test_a_broken_backend_costs_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics, "Stats", _Broken())
    with caplog.at_level(logging.WARNING, "airflow_provider_impactcall"):
        assert ImpactCallHook().deliver(ROWS).delivered == 3
    (warned,) = [message for message in caplog.messages if "OSError" in message]
    assert "statsd.example.com" not in warned


def test_a_broken_configuration_costs_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_DATADOG_ENABLED", "perhaps")
    reports: list[DeliveryReport] = []
    with caplog.at_level(logging.WARNING, "airflow_provider_impactcall"):
        report = ImpactCallHook().deliver(ROWS, on_report=reports.append)
    assert (report.delivered, reports) == (3, [report])
    assert [record.levelname for record in caplog.records if "AirflowConfigException" in record.getMessage()] == [
        "WARNING"
    ]


def test_the_ledger_is_asked_only_if_someone_listens(sandbox: Sandbox, request: pytest.FixtureRequest) -> None:
    asked: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "min(impactcall_call.first_at)" in statement:
            asked.append(statement)

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", note)
    try:
        ImpactCallHook().deliver(examples.calls(1))
        assert asked == []
        request.getfixturevalue("listener")
        ImpactCallHook().deliver(examples.calls(1))
        assert len(asked) == 1
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", note)
