"""BigQuery as a source: Airflow's hook and Google's clients, which talk to a server here in the place of Google's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.integration.sql_hooks import sql_hook
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.drivers.conftest import Deliver, statements
from tests.drivers.warehouses import BigQueryServer

pytestmark = pytest.mark.databases

STANDARD = {"use_legacy_sql": False}


@pytest.fixture(params=["google_cloud_platform", "gcpbigquery"])
def warehouse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    """The connection ``warehouse``, by each type of connection that there is for it."""
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from google.api_core.client_options import ClientOptions

    with BigQueryServer().in_thread() as server:
        # No extra says where Google's own servers are.
        options = ClientOptions(api_endpoint=server.url)
        monkeypatch.setattr(BigQueryHook, "get_client_options", lambda *_, **__: options)
        extra = {"project": "advertiser", "is_anonymous": True, "num_retries": 0}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": request.param, "extra": extra}))
        for statement in statements('"', "VARCHAR"):
            server.tables.execute(statement)
        yield server


def test_page_by_page(warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox) -> None:
    more = "INSERT INTO calls SELECT calls.* REPLACE ('A-' || n AS CallSessionId) FROM calls, range(2, 6) AS r(n)"
    warehouse.tables.execute(more)
    assert deliver("SELECT * FROM calls", hook_params=STANDARD)["delivered"] == 5
    assert examples.session_ids(sandbox) == [f"A-{number}" for number in range(1, 6)]
    assert warehouse.pages >= 3


@pytest.mark.parametrize(("params", "legacy"), [(None, True), (STANDARD, False)])
def test_the_hook_gets_its_parameters(
    params: dict[str, Any] | None, legacy: bool, warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox
) -> None:
    """Without any it asks for legacy SQL, as the documentation says."""
    assert deliver("SELECT * FROM calls", hook_params=params)["delivered"] == 1
    assert [job["useLegacySql"] for job in warehouse.jobs] == [legacy]


def test_where_it_runs(warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver("SELECT * FROM calls", hook_params={**STANDARD, "location": "EU"})["delivered"] == 1
    assert [job["location"] for job in warehouse.jobs] == ["EU"]


def test_parameters_in_its_style(warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox) -> None:
    sql = "SELECT * FROM calls WHERE day = %(day)s"
    assert deliver(sql, {"day": "2026-09-10"}, hook_params=STANDARD)["delivered"] == 1


@pytest.mark.parametrize(
    ("written", "given"),
    [("@day", {"day": "2026-09-10"}), (":day", {"day": "2026-09-10"}), ("?", ["2026-09-10"]), ("%s", ["2026-09-10"])],
)
def test_parameters_in_another(
    written: str, given: Any, warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox
) -> None:
    with pytest.raises(AirflowFailException, match=r"\bparameters\b.*\bBigQuery\b.*%\(day\)s"):
        deliver(f"SELECT * FROM calls WHERE day = {written}", given, hook_params=STANDARD)
    assert not sandbox.requests


def test_its_types(warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox) -> None:
    """As the hook has them: TIMESTAMP is a float of seconds since 1970, NUMERIC is text."""
    sql = (
        "SELECT calls.* REPLACE (TIMESTAMPTZ '2026-09-10 22:55:32.25-08' AS EventDate, 10000 AS MediaId, "
        "180.0::DOUBLE AS CallDuration, 120.00::DECIMAL(8, 2) AS TalkDuration), true AS flag, NULL::VARCHAR AS City, "
        "TIMESTAMP '2026-09-10 10:00:00' AS wall, DATE '2026-09-10' AS date FROM calls"
    )
    with drained("warehouse", sql, hook_params=STANDARD) as rows:
        (row,) = list(rows)
    assert isinstance(row["EventDate"], float)
    assert (row["MediaId"], row["TalkDuration"], row["flag"], row["City"]) == (10000, "120.00", True, None)
    assert deliver(sql, hook_params=STANDARD)["delivered"] == 1
    (arrived,) = [each["parameters"] for each in sandbox.calls]
    assert arrived["EventDate"].startswith("2026-09-11T06:55:32")
    assert (arrived["MediaId"], arrived["CallDuration"], arrived["TalkDuration"]) == ("10000", "180", "120")


def test_a_datetime_has_the_zone_that_the_task_says(
    warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox
) -> None:
    sql = "SELECT calls.* REPLACE (TIMESTAMP '2026-09-10 22:55:32' AS EventDate) FROM calls"
    assert deliver(sql, hook_params=STANDARD, timezone="America/New_York")["delivered"] == 1
    assert [each["parameters"]["EventDate"] for each in sandbox.calls] == ["2026-09-10T22:55:32-04:00"]


@pytest.mark.parametrize("keys", ["['1', '2']", '\'["1", "2"]\''], ids=["repeated", "json"])
def test_a_list(keys: str, warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver(f"SELECT calls.*, {keys} AS Keypresses FROM calls", hook_params=STANDARD)["delivered"] == 1
    assert [each["parameters"]["Keypresses"] for each in sandbox.calls] == ["1,2"]


def test_no_rows(warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver("SELECT * FROM calls WHERE false", hook_params=STANDARD)["rows"] == 0


def test_a_query_that_fails_sends_nothing(warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox) -> None:
    with pytest.raises(Exception, match=r"\bnowhere\b|\bquery\b"):
        deliver("SELECT * FROM nowhere", hook_params=STANDARD)
    assert not sandbox.requests


def test_a_value_that_it_cannot_cast_is_not_quoted(
    warehouse: BigQueryServer, deliver: Deliver, sandbox: Sandbox
) -> None:
    with pytest.raises(AirflowException) as raised:
        deliver("SELECT calls.*, CAST(CallerId || 'x' AS INTEGER) AS x FROM calls", hook_params=STANDARD)
    assert examples.CALLER not in str(raised.value)
    assert not sandbox.requests


def test_what_a_query_changes_is_kept_as_the_documentation_says(warehouse: BigQueryServer) -> None:
    sql = "INSERT INTO calls (day) VALUES ('2026-09-11') RETURNING day"
    with drained("warehouse", sql, hook_params=STANDARD) as rows:
        assert len(rows) == 1
    with drained("warehouse", "SELECT day FROM calls", hook_params=STANDARD) as rows:
        assert len(rows) == 2


def test_rows_of_googles_own_client(warehouse: BigQueryServer, sandbox: Sandbox) -> None:
    """What a task of one's own may give: ``google.cloud.bigquery``'s, whose TIMESTAMP has a zone."""
    hook: Any = sql_hook("sql_conn_id", "warehouse")
    sql = "SELECT calls.* REPLACE (TIMESTAMPTZ '2026-09-10 22:55:32-08' AS EventDate) FROM calls"
    rows = list(hook.get_client(project_id="advertiser").query(sql).result())
    assert type(rows[0]).__module__.startswith("google.cloud.bigquery")
    assert ImpactCallOperator(task_id="t", calls=rows).execute({})["delivered"] == 1
    assert [each["parameters"]["EventDate"] for each in sandbox.calls] == ["2026-09-11T06:55:32+00:00"]
