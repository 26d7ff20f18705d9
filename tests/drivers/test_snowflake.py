"""Snowflake as a source: its own connector, which talks to fakesnow's server in the place of Snowflake's."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.drivers.conftest import CALL, Deliver, statements

pytestmark = pytest.mark.databases

SENT = {name: value for name, value in CALL.items() if name != "day"}


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    """fakesnow's server, by what a connection to it needs."""
    import fakesnow

    # It shares this process, and tells each query to its log.
    for name in ("fakesnow.server", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).disabled = True
    with fakesnow.server() as served:
        yield served


@pytest.fixture
def warehouse(server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The connection ``warehouse``, to tables of its own: executes statements there."""
    import snowflake.connector

    # No extra of Airflow's connection says these two: a server without TLS, and no patience with its faults.
    over_http = partial(snowflake.connector.connect, protocol="http", network_timeout=1)
    monkeypatch.setattr("snowflake.connector.connect", over_http)
    extra = {
        "account": server["account"],
        "database": "warehouse",
        "host": server["host"],
        "port": server["port"],
        "session_parameters": server["session_parameters"],
    }
    whole = {"conn_type": "snowflake", "login": server["user"], "password": server["password"], "schema": "public"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**whole, "extra": extra}))

    def executed(*changes: str) -> None:
        with closing(BaseHook.get_hook("warehouse").get_conn()) as connection, closing(connection.cursor()) as cursor:
            for change in changes:
                cursor.execute(change)

    first, *others = statements("", "VARCHAR")
    executed(first.replace("CREATE", "CREATE OR REPLACE"), *others)
    return executed


def test_columns_in_upper_case_are_found_by_the_parameters_names(
    warehouse: Any, deliver: Deliver, sandbox: Sandbox
) -> None:
    with drained("warehouse", "SELECT * FROM calls") as rows:
        assert list(next(iter(rows))) == [name.upper() for name in CALL]
    assert deliver("SELECT * FROM calls")["delivered"] == 1
    (arrived,) = [each["parameters"] for each in sandbox.calls]
    assert {name: arrived[name] for name in SENT if name != "CalledPhoneNumber"} == {
        name: value for name, value in SENT.items() if name != "CalledPhoneNumber"
    }


@pytest.mark.parametrize("column", ["number_of_caller", "Number_Of_Caller", "NUMBER_OF_CALLER"])
def test_a_mapping_names_a_column_in_any_case(column: str, warehouse: Any, deliver: Deliver, sandbox: Sandbox) -> None:
    sql = "SELECT calls.*, '3035550123' AS number_of_caller FROM calls"
    assert deliver(sql, mapping={"CallerId": column})["delivered"] == 1
    assert [each["parameters"]["CallerId"] for each in sandbox.calls] == ["3035550123"]


def test_a_preset_finds_its_columns_in_upper_case(warehouse: Any, deliver: Deliver, sandbox: Sandbox) -> None:
    """CallRail's, as a loader writes them into Snowflake."""
    warehouse(
        "CREATE OR REPLACE TABLE callrail (resource_id VARCHAR, start_time VARCHAR, customer_phone_number VARCHAR, "
        "tracking_phone_number VARCHAR, duration NUMBER, answered BOOLEAN, direction VARCHAR, voicemail BOOLEAN)",
        "INSERT INTO callrail VALUES ('CAL1', '2026-09-10T22:55:32-08:00', '+12125550177', '+13035550191', 180, TRUE, "
        "'inbound', FALSE)",
    )
    constants = {"CampaignId": 1000, "ActionTrackerId": 4000, "MediaId": 10000, "CallProvider": "CallRail"}
    assert deliver("SELECT * FROM callrail", vendor="callrail", constants=constants)["delivered"] == 1
    assert examples.session_ids(sandbox) == ["CAL1"]


@pytest.mark.parametrize(("written", "given"), [("%(day)s", {"day": "2026-09-10"}), ("%s", ["2026-09-10"])])
def test_parameters_in_its_style(written: str, given: Any, warehouse: Any, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver(f"SELECT * FROM calls WHERE day = {written}", given)["delivered"] == 1


@pytest.mark.parametrize(
    ("written", "given", "right"),
    [("?", ["2026-09-10"], "%s"), ("{{day}}", {"day": "2026-09-10"}, r"%\(day\)s")],
)
def test_parameters_in_another(
    written: str, given: Any, right: str, warehouse: Any, deliver: Deliver, sandbox: Sandbox
) -> None:
    with pytest.raises(AirflowFailException, match=rf"\bparameters\b.*\bSnowflake\b.*{right}"):
        deliver(f"SELECT * FROM calls WHERE day = {written}", given)
    assert not sandbox.requests


def test_a_percent_sign_needs_no_doubling_without_parameters(
    warehouse: Any, deliver: Deliver, sandbox: Sandbox
) -> None:
    assert deliver("SELECT * FROM calls WHERE callprovider LIKE 'Example%';")["delivered"] == 1


def test_its_types(warehouse: Any, deliver: Deliver, sandbox: Sandbox) -> None:
    warehouse(
        "CREATE OR REPLACE TABLE typed (callsessionid VARCHAR, mediaid NUMBER(12, 0), eventdate TIMESTAMP_NTZ, "
        "callduration FLOAT, talkduration NUMBER(8, 2), calledphonenumber VARCHAR, callerid NUMBER, city VARCHAR)",
        "INSERT INTO typed VALUES ('T-1', 10000, '2026-09-10 22:55:32.5', 180, 120.00, '3035550191', 2125550188, NULL)",
    )
    constants = {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "P", "CallStatus": "ANSWER"}
    report = deliver("SELECT * FROM typed", constants=constants, timezone="America/Los_Angeles")
    assert report["delivered"] == 1
    (arrived,) = [each["parameters"] for each in sandbox.calls]
    assert {name: arrived.get(name) for name in ("MediaId", "CallDuration", "TalkDuration", "CallerId", "City")} == {
        "MediaId": "10000",
        "CallDuration": "180",
        "TalkDuration": "120",
        "CallerId": "2125550188",
        "City": None,
    }
    assert arrived["EventDate"].startswith("2026-09-10T22:55:32")
    assert arrived["EventDate"].endswith("-07:00")


def test_a_time_with_its_offset(warehouse: Any, deliver: Deliver, sandbox: Sandbox) -> None:
    moment = "'2026-09-10 22:55:32-08'::TIMESTAMP_TZ AS moment"
    assert deliver(f"SELECT calls.*, {moment} FROM calls", mapping={"EventDate": "moment"})["delivered"] == 1
    (arrived,) = [each["parameters"]["EventDate"] for each in sandbox.calls]
    assert arrived in ("2026-09-10T22:55:32-08:00", "2026-09-11T06:55:32+00:00")


@pytest.mark.parametrize(
    ("kind", "keys"), [("ARRAY", "ARRAY_CONSTRUCT('1', '2')"), ("VARIANT", 'PARSE_JSON(\'["1", "2"]\')')]
)
def test_a_list_that_comes_as_the_text_of_one(
    kind: str, keys: str, warehouse: Any, deliver: Deliver, sandbox: Sandbox
) -> None:
    warehouse(f"ALTER TABLE calls ADD COLUMN keypresses {kind}", f"UPDATE calls SET keypresses = {keys}")
    with drained("warehouse", "SELECT keypresses FROM calls") as rows:
        (given,) = [row["KEYPRESSES"] for row in rows]
    assert isinstance(given, str), "Snowflake's driver gives the text"
    assert deliver("SELECT * FROM calls")["delivered"] == 1
    assert [each["parameters"]["Keypresses"] for each in sandbox.calls] == ["1,2"]


def test_what_a_query_changes_is_rolled_back(warehouse: Any) -> None:
    """Its driver commits by itself unless it is told not to, and a change gives a row with its count."""
    with drained("warehouse", "INSERT INTO calls (day) VALUES ('2026-09-11')") as rows:
        assert len(rows) == 1
    with drained("warehouse", "SELECT day FROM calls") as rows:
        assert [row["DAY"] for row in rows] == ["2026-09-10"]


def test_a_value_that_it_cannot_cast_is_not_quoted(warehouse: Any, deliver: Deliver, sandbox: Sandbox) -> None:
    """Snowflake calls it a ProgrammingError, and quotes the value."""
    with pytest.raises(AirflowException) as raised:
        deliver("SELECT calls.*, TO_NUMBER(callerid || 'x') AS x FROM calls")
    assert examples.CALLER not in "".join(traceback.format_exception(raised.value))
    assert not sandbox.requests


def test_a_column_that_is_not_there(warehouse: Any, deliver: Deliver, sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match=r"\bmapping\b.*'callerid_'.*'CALLERID'"):
        deliver("SELECT * FROM calls", mapping={"CallerId": "callerid_"})
    assert not sandbox.requests


def test_two_columns_of_one_name(warehouse: Any) -> None:
    sql = "SELECT day, day AS day FROM calls"
    with pytest.raises(InvalidOption, match=r"\bsql\b.*'DAY'"), drained("warehouse", sql):
        pass
