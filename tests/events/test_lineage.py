"""What OpenLineage is told of a delivery, by its own provider."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowFailException, Asset

from airflow_provider_impactcall.assets.impactcall import convert_asset_to_openlineage
from airflow_provider_impactcall.decorators.impactcall import ImpactCallDecoratedOperator
from airflow_provider_impactcall.delivery.outcome import ENDS
from airflow_provider_impactcall.integration.lineage import ALL_CALLS, MOST_CAMPAIGNS, RUN_FACET
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator, ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from benchmarks.processes import environment
from demo import warehouse as demo_warehouse
from tests import examples
from tests.databases import as_connection, empty_database
from tests.delivery import canary
from tests.documentation import ROOT
from tests.operators.test_deferral import WAIT, Try
from tests.real_airflow import ResidentAirflow

pytestmark = pytest.mark.events

UNTIL = datetime(2026, 11, 20, 6, tzinfo=UTC)
Told = dict[str, Any]


def told(operator: DeliverCallsOperator) -> Told:
    """What is told once a task has ended, as it leaves."""
    from openlineage.client.serde import Serde

    lineage = operator.get_openlineage_facets_on_complete(None)
    found: Told = json.loads(Serde.to_json(lineage))
    assert canary.found_in(str(found)) == []
    return found


def names(datasets: list[Told]) -> list[tuple[str, str]]:
    return [(each["namespace"], each["name"]) for each in datasets]


def rows_of(datasets: list[Told]) -> dict[str, int]:
    return {each["name"]: each["outputFacets"]["outputStatistics"]["rowCount"] for each in datasets}


def origin(sandbox: Sandbox) -> str:
    return f"http://{sandbox.host}:{sandbox.port}"


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts rows into the table ``calls`` of the connection ``warehouse``, which is of SQLite unless there is a URL."""

    def filled(*rows: dict[str, Any], url: sa.engine.URL | None = None) -> None:
        of_sqlite = sa.engine.make_url(f"sqlite:///{tmp_path / 'warehouse.db'}")
        engine = sa.create_engine(url or of_sqlite)
        columns = ", ".join(f'"{name}"' for name in rows[0])
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE TABLE calls ({columns.replace(',', ' TEXT,')} TEXT)"))
            values = ", ".join(f":{name}" for name in rows[0])
            texts = [{name: str(value) for name, value in row.items()} for row in rows]
            connection.execute(sa.text(f"INSERT INTO calls ({columns}) VALUES ({values})"), texts)
        engine.dispose()
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url or of_sqlite))

    return filled


def from_sql(sql: str = "SELECT * FROM calls", **options: Any) -> SqlToImpactCallOperator:
    return SqlToImpactCallOperator(task_id="deliver", sql=sql, sql_conn_id="warehouse", **options)


def test_a_query_of_sqlite(warehouse: Callable[..., None], sandbox: Sandbox) -> None:
    rows = [canary.row(1), canary.row(2), canary.row(3, CampaignId=2000), canary.row(4, CallStatus="LOST")]
    warehouse(*rows)
    operator = from_sql(max_rejected=1)
    report = operator.execute({})
    found = told(operator)
    assert names(found["inputs"]) == [("sqlite://warehouse", "calls")]
    assert names(found["outputs"]) == [(origin(sandbox), "1000"), (origin(sandbox), "2000")]
    assert rows_of(found["outputs"]) == {"1000": 2, "2000": 1}
    facet = found["run_facets"][RUN_FACET]
    assert {name: facet[name] for name in ("rows", *ENDS, "seconds")} == {
        name: report[name] for name in ("rows", *ENDS, "seconds")
    }
    assert (report["delivered"], report["rejected"]) == (3, 1)
    assert found["job_facets"]["sql"]["query"] == "SELECT * FROM calls"


@pytest.mark.parametrize(("written", "given"), [("%(day)s", {"day": "2000-01-01"}), ("%s", ["2000-01-01"])])
def test_a_query_of_postgresql_with_parameters(
    written: str, given: Any, postgres: sa.engine.URL, warehouse: Callable[..., None], sandbox: Sandbox
) -> None:
    """As the common.sql provider finds its tables; its parser by itself reads neither style of parameters."""
    warehouse(canary.row(1), url=empty_database(postgres))
    operator = from_sql(f'SELECT c.* FROM calls c WHERE "EventDate" > {written}', parameters=given)
    assert operator.execute({})["delivered"] == 1
    found = told(operator)
    [(namespace, name)] = names(found["inputs"])
    assert namespace.startswith("postgres://")
    assert name.endswith(".public.calls")
    assert "CallSessionId" in str(found["inputs"][0]["facets"]["schema"]), "and its columns"
    assert written in found["job_facets"]["sql"]["query"]
    assert "extractionError" not in found["run_facets"]


def test_joined_tables(warehouse: Callable[..., None], sandbox: Sandbox) -> None:
    warehouse(canary.row(1))
    operator = from_sql("WITH c AS (SELECT * FROM calls) SELECT * FROM c JOIN main.partners p ON c.a = p.a")
    assert [name for _, name in names(told(operator)["inputs"])] == ["calls", "main.partners"]


def test_a_query_that_is_none(warehouse: Callable[..., None], sandbox: Sandbox) -> None:
    warehouse(canary.row(1))
    found = told(from_sql("calls, all of them"))
    assert (found["inputs"], len(found["outputs"])) == ([], 1)


@pytest.mark.parametrize(
    "condition",
    [
        *(canary.CALLER, f"'{canary.CALLER}'", f"'+1 ({canary.CALLER[:3]}) 555-0142'", f"'{canary.RECORDING}'"),
        *("'212/555/0142'", "'030/901820'", "'212 - 555 - 0142'", "'212\u2010555\u20100142'"),
    ],
)
def test_a_query_with_a_value_in_its_text_is_not_told(
    condition: str,
    warehouse: Callable[..., None],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is OpenLineage's parser given the value, as it logs what it is given."""
    from airflow.providers.openlineage.sqlparser import SQLParser

    given: list[Any] = []
    parse = SQLParser.parse

    def listened(parser: Any, sql: Any) -> Any:
        given.append(sql)
        return parse(parser, sql)

    monkeypatch.setattr(SQLParser, "parse", listened)
    warehouse(canary.row(1))
    found = told(from_sql(f'SELECT * FROM calls WHERE "CallerId" <> {condition}'))
    assert names(found["inputs"]) == [("sqlite://warehouse", "calls")]
    assert found["job_facets"] == {}
    assert given == [['SELECT * FROM calls WHERE "CallerId" <> 0']]


def test_a_warehouse_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, no_canary_in_logs: list[str]
) -> None:
    gone = {"conn_type": "postgres", "host": "127.0.0.1", "port": 9, "password": examples.PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(gone))
    found = told(from_sql())
    assert (found["inputs"], len(found["outputs"])) == ([], 1)
    assert any("OpenLineage is not told which tables" in line for line in no_canary_in_logs)


def test_upstream_output_and_a_function(sandbox: Sandbox) -> None:
    upstream = ImpactCallOperator(task_id="deliver", calls=[canary.row(1)])
    function = ImpactCallDecoratedOperator(task_id="function", python_callable=lambda: [canary.row(2)])
    for operator in (upstream, function):
        assert operator.execute({})["delivered"] == 1
        found = told(operator)
        assert found["inputs"] == []
        assert rows_of(found["outputs"]) == {"1000": 1}
        assert found["run_facets"][RUN_FACET]["delivered"] == 1


def test_a_task_that_fails_tells_what_it_delivered(sandbox: Sandbox) -> None:
    operator = ImpactCallOperator(task_id="deliver", calls=[canary.row(1), canary.row(2, CallStatus="LOST")])
    with pytest.raises(AirflowFailException):
        operator.execute({})
    found = told(operator)
    assert rows_of(found["outputs"]) == {"1000": 1}
    assert found["run_facets"][RUN_FACET]["rejected"] == 1


def test_calls_that_were_delivered_before_are_of_their_campaign(sandbox: Sandbox) -> None:
    for _ in range(2):
        operator = ImpactCallOperator(task_id="deliver", calls=[canary.row(1)])
        operator.execute({})
    assert rows_of(told(operator)["outputs"]) == {"1000": 0}


@pytest.mark.parametrize(("others", "told_of"), [({}, {"1000": 3}), ({"CampaignId": 2000}, {"1000": 1, "2000": 1})])
def test_after_a_wait(others: dict[str, Any], told_of: dict[str, int], sandbox: Sandbox) -> None:
    """Only the last run's numbers are known by campaign; those of the whole try are in the facet."""
    calls = [canary.row(1), canary.row(2), canary.row(3, **others)]
    made: list[ImpactCallOperator] = []

    def make() -> ImpactCallOperator:
        made.append(ImpactCallOperator(task_id="deliver", calls=calls, deferrable=True, concurrency=1))
        return made[-1]

    a_try = Try(make)
    sandbox.script = ["ok", WAIT]
    a_try.run_until_it_waits()
    assert a_try.run_to_the_end()["delivered"] == 3
    found = told(made[-1])
    assert rows_of(found["outputs"]) == told_of
    assert found["run_facets"][RUN_FACET]["delivered"] == 3


def test_a_dry_run_writes_to_nothing(sandbox: Sandbox) -> None:
    operator = ImpactCallOperator(task_id="deliver", calls=[canary.row(1)], dry_run=True)
    operator.execute({})
    found = told(operator)
    assert found["outputs"] == []
    assert found["run_facets"][RUN_FACET]["not_sent"] == 1


@pytest.mark.parametrize(
    ("constants", "extra", "name"),
    [({"CampaignId": 3000}, {"campaign_id": 4000}, "3000"), (None, {"campaign_id": 4000}, "4000"), (None, {}, "calls")],
)
def test_without_any_call(
    constants: Any, extra: Told, name: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(sandbox, **extra))
    operator = ImpactCallOperator(task_id="deliver", calls=[], constants=constants)
    found = told(operator)
    assert (names(found["outputs"]), found["run_facets"]) == ([(origin(sandbox), name)], {}), "it has not run"
    operator.execute({})
    found = told(operator)
    assert (names(found["outputs"]), found["run_facets"][RUN_FACET]["rows"]) == ([(origin(sandbox), name)], 0)


def test_more_campaigns_than_anyone_has(sandbox: Sandbox) -> None:
    rows = [canary.row(number, CampaignId=number) for number in range(1, MOST_CAMPAIGNS + 3)]
    operator = ImpactCallOperator(task_id="deliver", calls=rows)
    operator.execute({})
    assert rows_of(told(operator)["outputs"]) == {ALL_CALLS: len(rows)}


def test_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(ImpactCallOperator(task_id="deliver", calls=[], impactcall_conn_id="missing"))
    assert found["outputs"] == []


def test_what_a_task_says_of_itself_is_told_too(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else OpenLineage would leave it out, as the operator tells something."""
    theirs = json.loads(examples.connection(sandbox)) | {"host": "https://calls.example.com", "port": None}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps(theirs | {"extra": {"campaign_id": 1000}}))
    same, another = (Asset(uri=f"impactcall://calls.example.com/{path}") for path in ("1000", ""))
    source = Asset(uri="file:///var/lib/calls.jsonl")
    operator = ImpactCallOperator(task_id="deliver", calls=[], inlets=[source], outlets=[same, another])
    found = told(operator)
    assert names(found["inputs"]) == [("file", "/var/lib/calls.jsonl")]
    assert names(found["outputs"]) == [("https://calls.example.com", "1000"), ("https://calls.example.com", ALL_CALLS)]
    assert convert_asset_to_openlineage(same, None).name == "1000"


def events_of(file: Path) -> list[Told]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_event_of_the_warehouse_sample(resident: ResidentAirflow, tmp_path: Path) -> None:
    """In a real Airflow, as the provider's file transport writes it."""
    file = tmp_path / "events.jsonl"
    expected = demo_warehouse.build(tmp_path / "warehouse.db", UNTIL, calls=200)
    assert expected
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as sandbox:
        environment = {
            "AIRFLOW_CONN_IMPACTCALL_DEFAULT": examples.connection(sandbox),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}),
            "AIRFLOW_VAR_IMPACTCALL_REJECTS_DIR": str(tmp_path),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(file), "append": True}),
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests",
        }
        sample = ROOT / "dags" / "impactcall_from_warehouse.py"
        with resident.lent(tmp_path, [sample], **environment) as airflow:
            airflow.test_dag("impactcall_from_warehouse", UNTIL.isoformat(), **environment)
            [report] = airflow.reports("impactcall_from_warehouse").values()
    job = "impactcall_from_warehouse.deliver_calls"
    [event] = [each for each in events_of(file) if each["job"]["name"] == job and each["eventType"] == "COMPLETE"]
    assert names(event["inputs"]) == [("sqlite://warehouse", "calls")]
    campaigns = {call["parameters"]["CampaignId"] for call in sandbox.calls}
    # The sample's outlet, too: what another DAG may wait for.
    at_impact = ("https://twilio.ivr.impactradius.com", ALL_CALLS)
    assert set(names(event["outputs"])) >= {(origin(sandbox), campaign) for campaign in campaigns} | {at_impact}
    facet = event["run"]["facets"][RUN_FACET]
    assert {name: facet[name] for name in ("rows", *ENDS)} == {name: report[name] for name in ("rows", *ENDS)}
    assert report["delivered"] == len(sandbox.calls) > 0
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as connection:
        numbers = [number for (number,) in connection.execute("SELECT caller_id FROM calls")]
    assert numbers
    assert not any(number in file.read_text() for number in numbers)
    assert examples.PASSWORD not in file.read_text()


def test_openlineage_is_imported_when_it_asks_and_not_before(tmp_path: Path, sandbox: Sandbox) -> None:
    module = "airflow_provider_impactcall.operators.impactcall"
    delivered = f"import {module}; task = {module}.ImpactCallOperator(task_id='t', calls=[]); task.execute({{}})"
    asked = f"{delivered}; task.get_openlineage_facets_on_complete(None)"
    home = {"AIRFLOW_CONN_IMPACTCALL_DEFAULT": examples.connection(sandbox)}
    for script, is_imported in ((delivered, False), (asked, True)):
        assert any(name.startswith("openlineage") for name in modules_of(script, tmp_path, home)) is is_imported


def modules_of(script: str, home: Path, variables: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {script}; print(*sys.modules, sep='\\n')"],
        env=environment(home) | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
