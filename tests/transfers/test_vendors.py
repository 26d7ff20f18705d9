"""Each vendor's calls from PostgreSQL and from files, through the operators, to the endpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.records.vendors import VENDORS
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests.databases import as_connection, empty_database
from tests.examples import connection
from tests.records.vendors.payloads import PAYLOADS, load, wire


class Vendor(NamedTuple):
    """The columns of a call's id and its caller, and what makes the vendor's payload an ended inbound call."""

    session_id: str
    caller: str
    ended: Mapping[str, Any] = MappingProxyType({})

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The payload's call, one of an anonymous caller, and one of a caller who is none."""
        call = {**load(PAYLOADS[name]), **self.ended}
        return [
            call,
            {**call, self.session_id: "100002", self.caller: "anonymous"},
            {**call, self.session_id: "100003", self.caller: "12"},
        ]


CALLS = {
    "callrail": Vendor("id", "customer_phone_number"),
    "calltrackingmetrics": Vendor("id", "caller_number_complete", {"direction": "inbound"}),
    "invoca": Vendor("complete_call_id", "calling_phone_number"),
    "retreaver": Vendor("uuid", "caller", {"afid": "10000"}),
    "ringba": Vendor("inboundCallId", "inboundPhoneNumber"),
    "twilio": Vendor("sid", "from", {"direction": "inbound", "parent_call_sid": None, "answered_by": None}),
    "whatconverts": Vendor("lead_id", "caller_number"),
}
IDS = {"campaign_id": 1000, "action_tracker_id": 4000, "call_provider": "ExampleVendor"}


@pytest.fixture(autouse=True)
def configured(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection with the ids that no vendor has."""
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", connection(sandbox, **IDS))


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def options(vendor: str) -> dict[str, Any]:
    """What a task says of a vendor's calls."""
    partner = {} if vendor in ("invoca", "retreaver") else {"MediaId": {"constant": 10000}}
    return {"task_id": "deliver", "vendor": vendor, "mapping": partner, "max_rejected": 1}


def check(report: dict[str, Any], sandbox: Sandbox, vendor: str) -> None:
    """What arrived is what the tests of the vendor's preset expect of its payload, and the others are accounted for."""
    assert (report["rows"], report["delivered"], report["filtered"], report["rejected"]) == (3, 1, 1, 1)
    (arrived,) = sandbox.calls
    assert arrived["parameters"] == wire(CALLS[vendor].rows(vendor)[0], vendor)


def as_json_lines(rows: list[dict[str, Any]], path: Path) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def as_csv(rows: list[dict[str, Any]], path: Path) -> str:
    """As a warehouse exports them: what is nested as JSON, and booleans in lower case."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(
            {
                column: value if isinstance(value, str) or value is None else json.dumps(value)
                for column, value in row.items()
            }
            for row in rows
        )
    return str(path)


@pytest.mark.parametrize(("written", "name"), [(as_json_lines, "calls.jsonl"), (as_csv, "calls.csv")])
def test_from_a_file(
    written: Callable[[list[dict[str, Any]], Path], str], name: str, vendor: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = written(CALLS[vendor].rows(vendor), tmp_path / name)
    check(ImpactCallOperator(calls=path, **options(vendor)).execute({}), sandbox, vendor)


@pytest.fixture
def warehouse(postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch) -> sa.engine.URL:
    """An empty PostgreSQL database, as the connection ``warehouse``."""
    url = empty_database(postgres)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url))
    return url


def filled(warehouse: sa.engine.URL, rows: list[dict[str, Any]], types: dict[str, Any]) -> None:
    """Make the table ``calls``."""
    engine = sa.create_engine(warehouse)
    table = sa.Table("calls", sa.MetaData(), *(sa.Column(name, kind) for name, kind in types.items()))
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), rows)
    engine.dispose()


def type_of(values: list[Any]) -> Any:
    """The type of the column that a loader makes for these."""
    kinds = {type(value) for value in values if value is not None}
    if kinds & {dict, list}:
        return sa.JSON
    return {frozenset({bool}): sa.Boolean, frozenset({int}): sa.BigInteger, frozenset({float}): sa.Float}.get(
        frozenset(kinds), sa.Text
    )


def test_from_columns_of_a_warehouse(vendor: str, sandbox: Sandbox, warehouse: sa.engine.URL) -> None:
    rows = CALLS[vendor].rows(vendor)
    types = {column: type_of([row[column] for row in rows]) for column in rows[0]}
    texts = [
        {name: str(value) if types[name] is sa.Text and value is not None else value for name, value in row.items()}
        for row in rows
    ]
    filled(warehouse, texts, types)
    operator = SqlToImpactCallOperator(sql="SELECT * FROM calls", sql_conn_id="warehouse", **options(vendor))
    check(operator.execute({}), sandbox, vendor)


def test_from_a_table_of_webhooks(vendor: str, sandbox: Sandbox, warehouse: sa.engine.URL) -> None:
    rows = [{"received": number, "payload": row} for number, row in enumerate(CALLS[vendor].rows(vendor))]
    filled(warehouse, rows, {"received": sa.Integer, "payload": sa.JSON})
    sql = "SELECT received, payload FROM calls ORDER BY received"
    operator = SqlToImpactCallOperator(sql=sql, sql_conn_id="warehouse", **options(vendor))
    check(operator.execute({}), sandbox, vendor)
