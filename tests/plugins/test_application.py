"""The page's application as Airflow's API server mounts it: who gets what, and how it is told."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.outcome import ActionState, Attempt, AttemptResult, ReasonCode

pytest.importorskip("airflow.api_fastapi.core_api.security", reason="there is no page before Airflow 3")

from airflow import settings
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dag import DagModel
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_impactcall.delivery.actions import Money
from airflow_provider_impactcall.delivery.ledger.call_actions import CallActions
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.matching import Listed, Match
from airflow_provider_impactcall.plugins.application import CORRECTIONS, HEADERS, create
from airflow_provider_impactcall.plugins.shared_ledger import SharedLedger
from benchmarks.big_ledgers import noted
from tests import examples
from tests.databases import as_connection
from tests.delivery.ledger.earlier import names_of
from tests.delivery.mixed import NAMESPACE, OK, SCRIPT, TASK, attempted, fill, fill_rows, read_by_a_run

LISTINGS = (
    *("over-time", "partners", "campaigns", "actions", "rejected", "unknown", "invalid", "filtered", "changed"),
    *("calls", "history", "runs"),
)
PATHS = (
    "",
    "static/index.html",
    "api/overview",
    *(f"api/{name}?CallSessionId=unknown" for name in LISTINGS),
    *(f"api/{name}.csv?CallSessionId=unknown" for name in LISTINGS),
)


@pytest.fixture(scope="module")
def auth_manager() -> SimpleAuthManager:
    """Airflow's own, with what it needs of the metadata database."""
    try:
        from airflow.models.revoked_token import RevokedToken
    except ImportError:  # before Airflow 3.2
        pass
    else:
        RevokedToken.__table__.create(settings.engine, checkfirst=True)
    manager = create_auth_manager()
    assert isinstance(manager, SimpleAuthManager)
    return manager


@pytest.fixture
def nobody(auth_manager: SimpleAuthManager) -> Iterator[TestClient]:
    """Someone who has not logged in."""
    with served() as client:
        yield client


@contextmanager
def served(kept: SharedLedger | None = None) -> Iterator[TestClient]:
    """The page, of a ledger."""
    server = FastAPI()
    server.mount("/impactcall", create(kept))
    with TestClient(server, base_url="http://airflow.example.com", follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, role: str | None) -> None:
    """As a browser is logged in: by the cookie that Airflow gave it."""
    manager = create_auth_manager()
    client.cookies.set("_token", manager.generate_jwt(SimpleAuthManagerUser(username="ann", role=role)))


@pytest.fixture
def viewer(nobody: TestClient) -> TestClient:
    """Someone who may look."""
    log_in(nobody, "viewer")
    return nobody


@pytest.fixture
def ledger(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The configured ledger, empty."""
    monkeypatch.setenv("AIRFLOW__IMPACTCALL__LEDGER_CONN_ID", "ledger")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", as_connection(sa.engine.make_url(ledger_url)))
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
    ledger.prepare()
    yield ledger
    ledger.close()


def test_nobody_gets_anything_without_a_login(nobody: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    for path in PATHS[1:]:
        answer = nobody.get(f"/impactcall/{path}")
        assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"}), path
    answer = nobody.get("/impactcall/")
    assert (answer.status_code, answer.content) == (303, b"")
    assert answer.headers["Location"] == "/api/v2/auth/login?next=%2Fimpactcall%2F"


def test_nobody_gets_anything_with_a_login_that_is_none(nobody: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    nobody.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.")
    for headers in ({}, {"Authorization": "Bearer x.y.z"}):
        for path in PATHS:
            answer = nobody.get(f"/impactcall/{path}", headers=headers)
            assert answer.status_code in (401, 403), path
            assert answer.json().keys() == {"detail"}, path


def test_who_has_no_right_gets_no_data(nobody: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    log_in(nobody, None)
    for path in PATHS:
        answer = nobody.get(f"/impactcall/{path}")
        assert answer.status_code == (200 if path.startswith("static/") else 403), path
        if path.startswith("api/"):
            assert answer.json().keys() == {"detail"}, path
        else:
            assert answer.headers["Content-Type"].startswith("text/html"), "which says so, and has no data"


@pytest.mark.parametrize("refused", ["is_authorized_view", "is_authorized_dag"])
def test_it_takes_both_rights(viewer: TestClient, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    """As of an auth manager that has finer ones than Airflow's simple one; and naming a DAG does not narrow it."""
    asked: list[dict[str, Any]] = []

    def refuse(_: SimpleAuthManager, **question: Any) -> bool:
        asked.append(question)
        return False

    assert viewer.get("/impactcall/").status_code == 200
    monkeypatch.setattr(SimpleAuthManager, refused, refuse)
    assert viewer.get("/impactcall/").status_code == 403
    assert viewer.get("/impactcall/api/overview").status_code == 403
    assert viewer.get("/impactcall/api/runs?dag_id=mine&dag_run_id=x").status_code == 403
    assert all(question.get("details") is None for question in asked)


def test_a_viewer_gets_everything_and_nothing_is_written(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    read_by_a_run(ledger, [examples.call(examples.CALLER, CallDuration=None), {"CallSessionId": examples.CALLER}])
    before = contents(ledger)
    for path in PATHS:
        answer = viewer.get(f"/impactcall/{path}")
        assert answer.status_code == 200, path
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        for private in (examples.CALLER, "3035550191", examples.RECORDING, examples.PASSWORD):
            assert private not in answer.text
        if path:
            assert "555-0" not in answer.text
    assert contents(ledger) == before


def contents(ledger: Ledger) -> dict[str, Any]:
    with ledger.reading() as connection:
        names = sorted(sa.inspect(connection).get_table_names())
        return {name: connection.execute(sa.text(f"SELECT * FROM {name}")).all() for name in names}


ERRORS = (
    ("GET", "nothing", 404),
    ("GET", "static/nothing.js", 404),
    ("GET", "static/..%2Fimpactcall.py", 404),
    ("GET", "static/__init__.py", 404),
    ("GET", "openapi.json", 404),
    ("GET", "docs", 404),
    ("POST", "api/calls", 405),
    ("DELETE", "api/calls", 405),
    ("PUT", "", 405),
    ("GET", "api/calls?limit=x", 400),
    ("GET", "api/calls?limit=0", 400),
    ("GET", "api/calls?limit=1001", 400),
    ("GET", "api/calls?since=yesterday", 400),
    ("GET", "api/calls?since=2026-09-10", 400),
    ("GET", "api/calls?since=0001-01-01T00:00:00Z", 400),
    ("GET", "api/calls?since=9999-12-31T23:59:59-12:00", 400),
    ("GET", "api/calls?state=lost", 400),
    ("GET", "api/calls?reason_code=%00", 400),
    ("GET", "api/calls?reason_code=lost", 400),
    ("GET", "api/calls?status=x", 400),
    ("GET", "api/history", 400),
    ("GET", "api/partners?since=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z", 400),
    ("GET", "api/actions?since=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z", 400),
    ("GET", "api/calls?action=paid", 400),
    ("GET", "api/runs?dag_id=a", 400),
    ("GET", "api/calls.csv?limit=x", 400),
    ("GET", "api/history.csv", 400),
)


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_errors_are_a_sentence_and_have_the_headers(viewer: TestClient, ledger: Ledger) -> None:
    for method, path, status in ERRORS:
        answer = viewer.request(method, f"/impactcall/{path}")
        assert answer.status_code == status, path
        assert answer.json().keys() == {"detail"}, path
        assert isinstance(answer.json()["detail"], str), path
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path


def test_its_files_are_what_a_browser_takes_them_for(viewer: TestClient) -> None:
    kinds = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    rooms = ("airflow_provider_impactcall.pages", "airflow_provider_impactcall.plugins")
    names = [file.name for room in rooms for file in (files(room) / "static").iterdir()]
    assert "base.css" in names
    assert len(names) == len(set(names)), "no file of the page hides a shared one"
    for name in names:
        answer = viewer.get(f"/impactcall/static/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["Content-Type"] == f"{kinds[Path(name).suffix]}; charset=utf-8"
        assert {each: answer.headers[each] for each in HEADERS} == HEADERS, name
    page = viewer.get("/impactcall/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", page), "nothing inline"
    assert re.findall(r'<link rel="stylesheet" href="([^"]+)"', page) == ["static/base.css", "static/page.css"]


def test_where_there_is_no_ledger_yet_the_page_is_empty_and_makes_none(
    viewer: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    told = viewer.get("/impactcall/api/overview").json()
    assert (told["ledger"], told["namespaces"], told["namespace"]) == ("embedded", [], None)
    assert set(told["states"].values()) == {0}
    assert told["oldest_undelivered"] is None
    for path in PATHS:
        assert viewer.get(f"/impactcall/{path}").status_code == 200
    assert list(tmp_path.iterdir()) == []
    ledger = Ledger(sa.create_engine(f"sqlite:///{tmp_path}/impactcall_ledger.db"), NAMESPACE)
    ledger.prepare()
    fill(ledger)
    assert viewer.get("/impactcall/api/overview").json()["states"]["delivered"] == 2, "as soon as there is one"


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}, "CeleryExecutor"),
        ({"AIRFLOW__IMPACTCALL__LEDGER_CONN_ID": "nowhere"}, "NotFound"),
        (
            {
                "AIRFLOW__IMPACTCALL__LEDGER_CONN_ID": "away",
                "AIRFLOW_CONN_AWAY": "postgresql://canary-login:canary-password@127.0.0.1:9/ledger",
            },
            "(OperationalError)",
        ),
        ({"AIRFLOW__IMPACTCALL__LEDGER_CONN_ID": "web", "AIRFLOW_CONN_WEB": "http://canary-login@web"}, "'web'"),
    ],
)
def test_a_ledger_that_cannot_be_reached_is_said_so_without_its_text(
    viewer: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    setting: dict[str, str],
    named: str,
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    for path in ("api/overview", "api/calls", "api/calls.csv", "api/runs.csv"):
        answer = viewer.get(f"/impactcall/{path}")
        assert answer.status_code == 503
        assert named in answer.json()["detail"]
        assert "canary" not in answer.text
        assert "127.0.0.1" not in answer.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE impactcall_migration SET name = '0099'", "0099"),
        ("DELETE FROM impactcall_migration", "impactcall ledger migrate --ledger-conn-id ledger"),
    ],
    ids=["newer", "older"],
)
def test_a_ledger_of_another_version_is_refused(
    viewer: TestClient, ledger: Ledger, ledger_url: str, change: str, named: str
) -> None:
    with ledger.writing() as connection:
        connection.execute(sa.text(f"{change} WHERE name = '{names_of(ledger_url)[-1]}'"))
    answer = viewer.get("/impactcall/api/overview")
    assert answer.status_code == 503
    assert named in answer.json()["detail"]


def test_a_ledger_that_breaks_later_shows_none_of_the_databases_words_and_comes_back(
    viewer: TestClient, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    fill(ledger)
    assert viewer.get("/impactcall/api/calls").status_code == 200
    with ledger.writing() as connection:
        connection.execute(sa.text("ALTER TABLE impactcall_call RENAME TO elsewhere"))
    answer = viewer.get("/impactcall/api/calls")
    assert answer.status_code == 503
    assert not {"SELECT", "impactcall_call", "sqlite", "psycopg2"} & set(answer.text.replace('"', " ").split())
    assert "SELECT" not in caplog.text
    with ledger.writing() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO impactcall_call"))
    assert viewer.get("/impactcall/api/calls").status_code == 200


class _Failing(SharedLedger):
    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        raise RuntimeError("canary")
        yield


def test_what_nobody_expected_is_told_without_its_text(
    auth_manager: SimpleAuthManager, caplog: pytest.LogCaptureFixture
) -> None:
    with served(_Failing()) as viewer:
        log_in(viewer, "viewer")
        answer = viewer.get("/impactcall/api/overview")
    assert answer.status_code == 500
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "canary" not in answer.text + caplog.text


def rows(viewer: TestClient, path: str) -> list[dict[str, str]]:
    answer = viewer.get(f"/impactcall/api/{path}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_csv_holds_what_is_listed_and_no_formula(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    attempted(ledger, OK, "=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\uff1d1")
    listed = {row["CallSessionId"] for row in rows(viewer, "calls.csv")}
    assert {"'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(1)", "'\uff1d1"} <= listed
    for name in LISTINGS:
        for row in rows(viewer, f"{name}.csv?CallSessionId=requeued"):
            assert not [cell for cell in row.values() if cell and (cell[0] in "=+-@" or not cell[0].isprintable())]
    assert [row["why"] for row in rows(viewer, "runs.csv") if row["why"]] == ["'=cmd|' /C calc'!A0"]


def test_csv_holds_all_calls_and_not_only_the_last(viewer: TestClient, ledger: Ledger) -> None:
    attempted(ledger, OK, *(f"call-{number}" for number in range(2_500)))
    assert len(viewer.get("/impactcall/api/calls").json()["calls"]) == 100
    assert viewer.get("/impactcall/api/calls").json()["more"]
    found = [row["CallSessionId"] for row in rows(viewer, "calls.csv")]
    assert len(found) == len(set(found)) == 2_500


def test_csv_holds_all_runs_and_not_only_the_last(viewer: TestClient, ledger: Ledger) -> None:
    for number in range(60):
        ledger.start(f"dag/task[{number}]/run/1", "")
    assert len(viewer.get("/impactcall/api/runs?dag_id=dag&dag_run_id=run").json()) == 50
    assert len({row["run_id"] for row in rows(viewer, "runs.csv?dag_id=dag&dag_run_id=run")}) == 60


def test_a_reason_selects_its_own_calls_alone(viewer: TestClient, ledger: Ledger) -> None:
    attempted(ledger, Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, "400 MediaId", 400), "a", "b")
    attempted(ledger, Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, "400 Zip", 400), "c")
    attempted(ledger, Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, "400 MediaId", 409), "d")
    answer = viewer.get("/impactcall/api/rejected").json()
    assert [(each["reason_code"], each["status"], each["calls"]) for each in answer] == [
        ("refused", 400, 3),
        ("refused", 409, 1),
    ]
    assert answer[0]["reasons"] == [{"reason": "400 MediaId", "calls": 2}, {"reason": "400 Zip", "calls": 1}]
    for each in answer:
        chosen = {"state": "rejected", "reason_code": each["reason_code"], "status": each["status"]}
        found = viewer.get("/impactcall/api/calls", params=chosen).json()["calls"]
        assert len(found) == each["calls"]
        assert {(call["reason_code"], call["status"]) for call in found} == {(each["reason_code"], each["status"])}


def test_a_script_in_a_reason_stays_text(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    answer = viewer.get("/impactcall/api/rejected")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    (told,) = answer.json()
    assert told["reason"] == SCRIPT
    assert told["command"].startswith(("airflow impactcall requeue ", "impactcall requeue "))


def test_the_way_to_a_payout_and_the_calls_behind_each_figure(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    attempted(ledger, OK, *"abcd", MediaId=20000)
    author = Author("alice", "daily")
    actions = CallActions(ledger, author, keep_amounts=True)
    states = {"a": ActionState.PENDING, "b": ActionState.APPROVED, "c": ActionState.REVERSED}
    keys = {row["CallSessionId"]: row["key"] for row in Listing(ledger).each(Selection())}
    listed = {name: Listed(f"1.2.{name}", state, 1.0, 2.0, 3.0, Money("12.50")) for name, state in states.items()}
    with actions.run():
        actions.record(Match(keys[name], False, True, action, False) for name, action in listed.items())
        actions.record([Match(keys["delivered"], False, False, None, False)])
    first, second = viewer.get("/impactcall/api/actions").json()
    assert {name: value for name, value in first.items() if value} == {
        "MediaId": "20000",
        "CampaignId": "1000",
        **{"delivered": 4, "actions": 3, "pending": 1, "approved": 1, "cleared": 1, "reversed": 1, "not_followed": 1},
    }
    assert (second["delivered"], second["none"], second["not_followed"]) == (2, 1, 1)
    assert datetime.fromisoformat(second["none_since"]) <= datetime.now(UTC)
    assert [row["cleared"] for row in rows(viewer, "actions.csv")] == ["1", "0"]
    for way in (first, second):
        for name in ("pending", "approved", "cleared", "reversed", "none", "not_followed"):
            asked = {"action": name, "MediaId": way["MediaId"], "CampaignId": way["CampaignId"]}
            calls = viewer.get("/impactcall/api/calls", params=asked).json()["calls"]
            assert len(calls) == way[name], name
    (call,) = viewer.get("/impactcall/api/history?CallSessionId=b").json()["calls"]
    shown = [call[name] for name in ("action_state", "action_id", "action_cleared_at", "payout")]
    assert shown == ["approved", "1.2.b", "1970-01-01T00:00:03.000Z", "12.50"]


def test_the_history_of_a_call(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    told = viewer.get("/impactcall/api/history?CallSessionId=requeued").json()
    assert [call["CallSessionId"] for call in told["calls"]] == ["requeued"]
    assert [event["state"] for event in told["history"]] == ["open", "unknown", "requeued"]
    assert told["history"][-1]["actor"] == "alice"
    assert all(event["at"].endswith("Z") for event in told["history"])
    assert viewer.get("/impactcall/api/history?CallSessionId=no").json() == {
        "calls": [],
        "history": [],
        "elsewhere": [],
    }


def test_what_needs_a_person_is_counted(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    read_by_a_run(ledger, [examples.call(f"{number}", MediaId=None) for number in range(3)], most_letters=1)
    told = viewer.get("/impactcall/api/overview").json()
    assert told["needs_a_person"] == {"invalid": 5, "changed": 1, "more_changed": False, "unknown": 2, "refused": 1}
    assert (told["invalid"], told["not_kept"], told["changed"]) == (5, 2, 1)
    long_ago = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-08T00:00:00Z"}
    told = viewer.get("/impactcall/api/overview", params=long_ago).json()
    assert (told["invalid"], told["not_kept"], told["changed"]) == (0, 0, 0)
    assert told["needs_a_person"]["invalid"] == 5, "of any time"


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_the_dag_that_corrects_is_linked_where_airflow_has_it(viewer: TestClient, ledger: Ledger) -> None:
    """Its own database says so; without one, as in the other tests, there is no link."""
    # Without its other columns, which lead to other tables.
    dags = sa.Table(
        DagModel.__tablename__, sa.MetaData(), sa.Column("dag_id", sa.String(250)), sa.Column("is_stale", sa.Boolean)
    )
    engine = settings.engine
    assert engine is not None
    dags.create(engine)
    try:
        for stale in (False, True):
            with engine.begin() as connection:
                connection.execute(sa.delete(dags))
                connection.execute(sa.insert(dags).values(dag_id=CORRECTIONS, is_stale=stale))
            assert viewer.get("/impactcall/api/overview").json()["can_be_corrected"] is not stale
    finally:
        dags.drop(engine)


def test_rows_that_were_rejected_here_by_code_and_column(viewer: TestClient, ledger: Ledger) -> None:
    fill_rows(ledger)
    told = {each["reason_code"]: each for each in viewer.get("/impactcall/api/invalid").json()}
    missing = told["missing"]
    assert (missing["rows"], missing["not_kept"], len(missing["reasons"])) == (3, 0, 2)
    assert {each["parameter"]: each["rows"] for each in missing["parameters"]} == {"CallDuration": 2, "CampaignId": 1}
    assert sum(each["rows"] for each in told.values()) == 4
    for code, each in told.items():
        found = viewer.get("/impactcall/api/calls", params={"state": "invalid", "reason_code": code}).json()["calls"]
        assert len(found) == each["rows"]
        assert {row["state"] for row in found} == {"invalid"}
        assert " dismiss " in each["command"]
    flat = rows(viewer, "invalid.csv")
    assert sum(int(row["rows"]) for row in flat) == 4
    assert {row["parameter"] for row in flat} >= {"CallDuration", "CampaignId"}
    listed = rows(viewer, "calls.csv?state=invalid&reason_code=missing")
    assert {row["problems"] for row in listed} == {"CallDuration missing", "CampaignId missing"}
    over_time = viewer.get("/impactcall/api/over-time").json()["steps"]
    assert sum(step["invalid"] for step in over_time) == 4
    partners = {each["MediaId"]: each["invalid"] for each in viewer.get("/impactcall/api/partners").json()}
    assert partners == {"10000": 3, "20000": 1}


def test_rows_of_a_run_by_reason(viewer: TestClient, ledger: Ledger) -> None:
    other, run_id = read_by_a_run(ledger, [], "live"), fill_rows(ledger)
    invalid = viewer.get("/impactcall/api/invalid", params={"run_id": run_id}).json()
    assert sum(each["rows"] for each in invalid) == 4
    assert {each["command"] for each in invalid} == {""}, "the same rows may be those of other runs"
    filtered = viewer.get("/impactcall/api/filtered", params={"run_id": run_id}).json()
    assert {each["reason"]: each["rows"] for each in filtered} == {"outbound": 2, "live": 1}
    assert {each["reason"]: each["rows"] for each in rows_of(viewer, "filtered")} == {"outbound": 2, "live": 2}
    assert viewer.get("/impactcall/api/invalid", params={"run_id": other}).json() == []
    of_run = viewer.get("/impactcall/api/calls", params={"run_id": run_id, "state": "invalid"}).json()["calls"]
    assert len(of_run) == 4


def rows_of(viewer: TestClient, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = viewer.get(f"/impactcall/api/{name}").json()
    return found


def test_changed_calls_say_when_they_were_delivered_and_came_again(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    told = viewer.get("/impactcall/api/changed").json()
    [call] = told["calls"]
    assert (told["changed"], told["more_changed"], call["CallSessionId"], call["state"]) == (
        *(1, False, "delivered"),
        "delivered",
    )
    assert call["changed_at"] < call["came_again_at"]
    assert call["came_again_times"] == 1
    assert " accept " in told["command"]
    [listed] = rows(viewer, "changed.csv")
    assert listed["came_again_at"] == call["came_again_at"]
    assert viewer.get("/impactcall/api/calls?state=changed").json()["calls"] == [call]


def test_a_search_finds_a_call_in_any_state(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    [row] = viewer.get("/impactcall/api/history?CallSessionId=without-campaign").json()["calls"]
    assert (row["state"], row["times"], row["problems"]) == (
        *("invalid", 1),
        [{"parameter": "CampaignId", "code": "missing"}],
    )
    told = viewer.get("/impactcall/api/history?CallSessionId=delivered").json()
    [call] = told["calls"]
    assert (call["state"], call["came_again_times"]) == ("delivered", 1)
    read_by_a_run(ledger, [examples.call("not_sent", CallDuration=None, CampaignId=77)])
    found = viewer.get("/impactcall/api/history?CallSessionId=not_sent").json()["calls"]
    assert {each["state"] for each in found} == {"not_sent", "invalid"}


def test_a_call_of_another_namespace_is_not_said_to_be_nowhere(viewer: TestClient, ledger: Ledger) -> None:
    """The page shows the namespace of the last run, which may have been a dry run against a sandbox."""
    fill(ledger)
    attempted(Ledger(ledger.engine, "sandbox"), OK, "checked")
    told = viewer.get("/impactcall/api/history?CallSessionId=delivered").json()
    assert (told["calls"], told["elsewhere"]) == ([], [NAMESPACE])
    told = viewer.get("/impactcall/api/history", params={"CallSessionId": "delivered", "namespace": NAMESPACE}).json()
    assert ([call["state"] for call in told["calls"]], told["elsewhere"]) == (["delivered"], [])


def test_runs_lead_to_their_tasks_and_their_calls(viewer: TestClient, ledger: Ledger) -> None:
    made = fill(ledger)
    dag_id, _, run_id = TASK.split("/")
    told = viewer.get("/impactcall/api/runs", params={"dag_id": dag_id, "dag_run_id": run_id}).json()
    urls = {run["run_id"]: run["task_url"] for run in told}
    task = "../dags/calls_to_impact/runs/manual__2026-11-26T10%3A00%3A00%2B00%3A00/tasks/deliver"
    assert urls == {
        made["delivered"]: task,
        made["rejected"]: f"{task}/mapped/3",
        made["unknown"]: f"{task}/mapped/31",
    }
    of_task = viewer.get("/impactcall/api/runs", params={"source": f"{TASK}/map_index=3"}).json()
    assert [run["run_id"] for run in of_task] == [made["rejected"]]
    calls = viewer.get("/impactcall/api/calls", params={"run_id": [made["rejected"], made["unknown"]]}).json()
    assert [call["CallSessionId"] for call in calls["calls"]] == ["unknown", "rejected"]
    assert [run["task_url"] for run in viewer.get("/impactcall/api/runs").json()].count(None) == 5


def test_a_run_is_found_whatever_its_namespace(viewer: TestClient, ledger: Ledger) -> None:
    made = fill(ledger)
    attempted(Ledger(ledger.engine, "sandbox"), OK, "checked")
    assert viewer.get("/impactcall/api/overview").json()["namespace"] == "sandbox"
    assert len(viewer.get("/impactcall/api/runs").json()) == 1
    assert len(viewer.get("/impactcall/api/calls", params={"run_id": made["unknown"]}).json()["calls"]) == 1
    assert viewer.get("/impactcall/api/overview", params={"namespace": NAMESPACE}).json()["states"]["delivered"] == 2


class _Given(SharedLedger):
    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._given = ledger

    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        yield Ledger(self._given.engine, "")


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_no_answer_reads_a_whole_table(auth_manager: SimpleAuthManager, ledger: Ledger) -> None:
    """SQLite keeps no statistics: a big ledger has the same plans. The statements are those of the requests."""
    made = fill(ledger)
    run_id = fill_rows(ledger)
    year = "&since=2020-01-01T00:00:00Z"
    several = "state=unknown&state=rejected&reason_code=refused&status=400&MediaId=1&CampaignId=2"
    several += f"&run_id={made['died']}"
    with served(_Given(ledger)) as viewer:
        log_in(viewer, "viewer")
        more = (
            *(f"api/{name}?{several}" for name in ("calls", "calls.csv")),
            *(f"api/{name}?{year}" for name in ("over-time", "invalid", "filtered", "changed", "overview")),
            *(f"api/{name}?run_id={run_id}" for name in ("invalid", "filtered", "calls")),
            *(f"api/calls?state={state}&reason_code=missing&MediaId=1" for state in ("invalid", "changed")),
        )
        for path in (*PATHS, *more):
            with noted(ledger.engine) as statements:
                assert viewer.get(f"/impactcall/{path}").status_code == 200
            assert scans(ledger, statements) == [], path
            assert statements or not path.startswith("api/")


def scans(ledger: Ledger, statements: Mapping[str, Any]) -> list[str]:
    """What is read from its beginning to its end, be it a table or an index of it; of runs only the table counts, as
    their index gives the latest first."""
    with ledger.reading() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", parameters).all()
            for each, parameters in statements.items()
        ]
    whole = r"SCAN impactcall_(call|event|dead_letter|changed_call|run_row|run(?! USING))\b"
    return [str(line[-1]) for plan in plans for line in plan if re.match(whole, str(line[-1]))]


def test_a_question_that_takes_too_long_is_ended(auth_manager: SimpleAuthManager, ledger: Ledger) -> None:
    slow = {
        "postgresql": "SELECT pg_sleep(60)",
        "mysql": "SELECT SLEEP(60)",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    }[ledger.engine.dialect.name]

    def slowed(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
        return (
            (slow, ())
            if statement.startswith("SELECT") and "FROM impactcall_call" in statement
            else (
                statement,
                parameters,
            )
        )

    with served(SharedLedger(longest_answer=0.3)) as viewer:
        log_in(viewer, "viewer")
        sa.event.listen(sa.engine.Engine, "before_cursor_execute", slowed, retval=True)
        try:
            answer = viewer.get("/impactcall/api/overview")
        finally:
            sa.event.remove(sa.engine.Engine, "before_cursor_execute", slowed)
        assert answer.status_code == 503
        assert re.findall(r"\d+|Error", answer.json()["detail"]) == ["0"], "the seconds that it may take"
        assert viewer.get("/impactcall/api/overview").status_code == 200


def test_what_reads_a_whole_index_is_seen(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    ledger = Ledger(sa.create_engine(f"sqlite:///{tmp_path}/ledger.db"), NAMESPACE)
    ledger.prepare()
    with noted(ledger.engine) as statements, ledger.reading() as connection:
        connection.execute(sa.text("SELECT state, count(*) FROM impactcall_call GROUP BY state"))
    assert len(scans(ledger, {each: () for each in statements if each.startswith("SELECT")})) == 1
    ledger.close()


def test_answers_are_json_of_plain_values(viewer: TestClient, ledger: Ledger) -> None:
    fill(ledger)
    told = json.loads(viewer.get("/impactcall/api/overview").text)
    assert told["namespace"] == NAMESPACE
    assert told["states"] == {"delivered": 2, "rejected": 1, "unknown": 2, "not_sent": 1, "requeued": 1, "open": 1}
    assert told["needs_a_person"] == {"invalid": 0, "changed": 0, "more_changed": False, "unknown": 2, "refused": 1}
    assert (told["invalid"], told["not_kept"], told["changed"], told["can_be_corrected"]) == (0, 0, 0, False)
    assert told["oldest_undelivered"]["CallSessionId"] == "unknown"
