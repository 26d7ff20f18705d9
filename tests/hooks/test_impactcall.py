from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.outcome import DeliveryReport, ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import DeliveryAborted, InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.certificates import certificate
from tests.delivery import canary, raw_server
from tests.delivery.raw_server import OK, RawServer, answer, never_answers, says, tls


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ImpactCallHook]:
    """A hook with a connection to somewhere."""

    def to(origin: str, **extra: Any) -> ImpactCallHook:
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", raw_server.connection(origin, **extra))
        return ImpactCallHook()

    return to


Connect = Callable[..., ImpactCallHook]


class TestDeliver:
    def test_accounts_for_every_row(self, sandbox: Sandbox) -> None:
        rows = [canary.row(1), canary.row(1), canary.row(1, TalkDuration=1), canary.row(2, MediaId=None), canary.row(3)]
        report = ImpactCallHook().deliver(rows)
        assert {name: count for name, count in report.as_dict().items() if count and name != "seconds"} == {
            "rows": 5,
            "delivered": 2,
            "duplicate": 1,
            "changed": 1,
            "rejected": 1,
        }
        assert len(sandbox.calls) == 2

    def test_the_connection_fills_in_what_calls_lack(self, sandbox: Sandbox, connect: Connect) -> None:
        extra = {"campaign_id": 5, "action_tracker_id": 6, "call_provider": "Filled", "caller_id_format": "e164"}
        hook = connect(sandbox.url, parameters_in="form", **extra)
        assert hook.deliver([canary.row(1, CampaignId=None, ActionTrackerId=None, CallProvider=None)]).delivered == 1
        assert hook.deliver([canary.row(2)]).delivered == 1
        assert sandbox.requests[0].body
        first, second = (call["parameters"] for call in sandbox.calls)
        assert (first["CampaignId"], first["ActionTrackerId"], first["CallProvider"]) == ("5", "6", "Filled")
        assert first["CallerId"] == f"+1{canary.CALLER}"
        assert (second["CampaignId"], second["CallProvider"]) == ("1000", "ExampleVendor")

    def test_mapping_constants_and_timezone(self, sandbox: Sandbox) -> None:
        row = canary.row(1, EventDate="2026-09-10T22:55:32", MediaId=None) | {"partner": 77}
        report = ImpactCallHook().deliver(
            [row], mapping={"MediaId": "partner"}, constants={"SubId2": "x"}, timezone="America/New_York"
        )
        assert report.delivered == 1
        parameters = sandbox.calls[0]["parameters"]
        assert (parameters["MediaId"], parameters["SubId2"]) == ("77", "x")
        assert parameters["EventDate"] == "2026-09-10T22:55:32-04:00"

    def test_a_table_may_have_keys_of_any_kind(self, sandbox: Sandbox) -> None:
        lookup = {3035550191: 20001, "partner-7": 20002, UUID(int=7): 20003, Decimal("5.5"): 20004}
        rows = [examples.call(str(number), publisher=key) for number, key in enumerate(lookup)]
        report = ImpactCallHook().deliver(rows, mapping={"MediaId": {"from": "publisher", "lookup": lookup}})
        assert report.delivered == 4
        assert {each["parameters"]["MediaId"] for each in sandbox.calls} == {"20001", "20002", "20003", "20004"}

    @pytest.mark.parametrize(("option", "connections", "most"), [(None, 3, 3), (5, 3, 5), (1, 3, 1), (None, None, 8)])
    def test_concurrency(self, option: int | None, connections: int | None, most: int, connect: Connect) -> None:
        with Sandbox(latency=0.05).in_thread() as slow:
            connect(slow.url, concurrency=connections).deliver([canary.row(n) for n in range(24)], concurrency=option)
            assert max(request.in_flight for request in slow.requests) == most

    def test_limit_and_dry_run(self, sandbox: Sandbox) -> None:
        rows = [canary.row(number) for number in range(5)]
        assert ImpactCallHook().deliver(rows, dry_run=True).not_sent == 5
        assert ImpactCallHook().deliver(rows, limit=0).not_sent == 5
        assert sandbox.counts["requests"] == 0
        report = ImpactCallHook().deliver(rows, limit=2)
        assert (report.delivered, report.not_sent, sandbox.counts["processed"]) == (2, 3, 2)

    def test_a_limit_of_what_a_dry_run_would_send_sends_it(self, sandbox: Sandbox) -> None:
        """A call whose request is too long takes no place of the limit: nothing of it can be sent."""
        rows = [canary.row(0) | {"UserAgent": "a" * 70_000}, *(canary.row(number) for number in range(1, 4))]
        checked = ImpactCallHook().deliver(rows, dry_run=True)
        report = ImpactCallHook().deliver(rows, limit=checked.not_sent)
        assert (checked.not_sent, checked.rejected) == (report.delivered, report.rejected) == (3, 1)
        assert (report.not_sent, sandbox.counts["requests"]) == (0, 3)

    @pytest.mark.parametrize("where", ["option", "connection"])
    def test_a_limit_of_our_own_stops_the_run(self, where: str, sandbox: Sandbox, connect: Connect) -> None:
        hook = connect(sandbox.url, **({"requests_per_hour": 3} if where == "connection" else {}))
        options: dict[str, Any] = {"requests_per_hour": 3} if where == "option" else {}
        report = hook.deliver([canary.row(number) for number in range(10)], **options)
        assert (report.delivered, report.not_sent) == (3, 7)
        assert report.stop is not None
        assert report.stop.code is ReasonCode.RATE_LIMIT_USED_UP
        assert report.stop.retry_at is not None

    def test_an_hour_s_limit_holds_over_runs_and_namespaces(self, sandbox: Sandbox, connect: Connect) -> None:
        hook = connect(sandbox.url, requests_per_hour=5)
        rows = [canary.row(number) for number in range(8)]
        assert hook.deliver(rows[:4]).delivered == 4
        report = hook.deliver(rows, ledger_namespace="another")
        assert (report.delivered, report.not_sent) == (1, 7)
        assert report.stop is not None
        assert report.stop.code is ReasonCode.RATE_LIMIT_USED_UP
        assert {"5", "3600"} <= set(re.findall(r"\d+", report.stop.reason)), "it says which limit"
        assert hook.deliver(rows[6:], requests_per_hour=6).delivered == 1
        assert hook.deliver(rows[7:]).not_sent == 1
        assert sandbox.counts["requests"] == 6

    def test_a_rate_limit_that_cannot_be_kept_stops_the_run_and_loses_no_row(
        self, sandbox: Sandbox, connect: Connect
    ) -> None:
        sandbox.script = ["400-errors"] * 3

        def fail(_: Any, __: Any, statement: str, *___: Any) -> None:
            if "impactcall_rate_" in statement and sandbox.counts["requests"]:
                raise RuntimeError("as no database driver should")

        sa.event.listen(sa.engine.Engine, "before_cursor_execute", fail)
        try:
            report = connect(sandbox.url, requests_per_hour=3).deliver([canary.row(number) for number in range(8)])
        finally:
            sa.event.remove(sa.engine.Engine, "before_cursor_execute", fail)
        assert report.stop is not None
        assert report.stop.code is ReasonCode.LEDGER_UNUSABLE
        assert "RuntimeError" in report.stop.reason
        assert report.rejected > 0
        assert report.rows == report.accounted == 8

    @pytest.mark.parametrize(
        "wrong",
        [
            {"on_unknown": "explode"},
            {"on_unknown": None},
            {"dry_run": "yes"},
            {"dry_run": 1},
            {"retry_statuses": 429},
            {"retry_statuses": "429"},
            {"retry_statuses": [200]},
            {"retry_statuses": [True]},
            {"retry_statuses": ["429"]},
            {"key": []},
            {"key": "CallSessionId"},
            {"max_wait": -1},
            {"max_wait": True},
            {"max_wait": "60"},
            {"max_wait": float("nan")},
            {"limit": -1},
            {"limit": True},
            {"limit": 2.5},
            {"limit": float("inf")},
            {"limit": "5"},
            {"concurrency": 0},
            {"concurrency": 0.5},
            {"concurrency": 2.5},
            {"concurrency": True},
            {"concurrency": float("inf")},
            {"requests_per_second": 0},
            {"requests_per_second": float("inf")},
            {"requests_per_hour": float("nan")},
            {"mapping": {"CallSessionID": "id"}},
            {"constants": {"Nope": 1}},
            {"timezone": "Mars/Olympus"},
        ],
    )
    def test_a_wrong_option_sends_nothing_and_leaves_the_rejects_of_before(
        self, wrong: dict[str, Any], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        rejects = tmp_path / "rejects.jsonl"
        rejects.write_text("of before")
        with pytest.raises(InvalidOption, match=next(iter(wrong))):
            ImpactCallHook().deliver([canary.row()], rejects_path=str(rejects), **wrong)
        assert sandbox.counts["requests"] == 0
        assert rejects.read_text() == "of before"

    @pytest.mark.parametrize(
        "fine", [{"concurrency": 2.0}, {"limit": 5.0}, {"max_wait": float("inf")}, {"max_wait": 0}]
    )
    def test_numbers_that_are_as_good(self, fine: dict[str, Any], sandbox: Sandbox) -> None:
        assert ImpactCallHook().deliver([canary.row()], **fine).delivered == 1

    def test_a_ledger_that_was_promised_is_not_left_out_in_silence(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__IMPACTCALL__LEDGER_CONN_ID", "impactcall_default")
        with pytest.raises(InvalidOption, match=r"ledger_conn_id: .*'impactcall_default'"):
            ImpactCallHook().deliver([canary.row()])
        assert sandbox.counts["requests"] == 0

    def test_a_query_that_lacks_a_mapped_column_sends_nothing(self, sandbox: Sandbox) -> None:
        with Spool(["a"]) as spool:
            spool.write([(1,)])
            with pytest.raises(InvalidOption, match=r"'id' .*'partner'") as raised:
                ImpactCallHook().deliver(spool, mapping={"CallSessionId": "id", "MediaId": "partner", "Zip": "a"})
            assert "'a'" not in str(raised.value), "that column is there"
        assert sandbox.counts["requests"] == 0

    def test_a_spool_is_delivered(self, sandbox: Sandbox) -> None:
        with Spool(list(canary.row())) as spool:
            spool.write([tuple(canary.row(number).values()) for number in range(5)])
            assert ImpactCallHook().deliver(spool).delivered == 5

    def test_an_abort_has_its_report(self, connect: Connect, tmp_path: Path) -> None:
        path = str(tmp_path / "rejects.jsonl")
        with Sandbox(user="someone", password="else").in_thread() as closed, pytest.raises(DeliveryAborted) as raised:
            connect(closed.url).deliver([canary.row(1), canary.row(2, MediaId=None)], rejects_path=path)
        report = raised.value.report
        assert raised.value.code == ReasonCode.SETUP_REFUSED
        assert (report.rows, report.not_sent, report.rejected, report.rejects) == (2, 1, 1, path)
        assert canary.found_in(str(raised.value)) == []
        assert len(Path(path).read_text().splitlines()) == 1

    def test_the_endpoint_s_words_reach_the_log_without_the_call_s(
        self, sandbox: Sandbox, no_canary_in_logs: list[str]
    ) -> None:
        sandbox.script = ["400-echo", "ok"]
        report = ImpactCallHook().deliver([canary.row(1), canary.row(2)], concurrency=1)
        assert report.rejected == 1
        assert [line for line in no_canary_in_logs if "refused: 400 Call from *" in line]


class TestRejects:
    def test_a_line_a_rejected_row(self, sandbox: Sandbox, tmp_path: Path) -> None:
        path = tmp_path / "rejects.jsonl"
        sandbox.script = ["400-echo"]
        rows = [canary.row(1), canary.row(2, MediaId=None, Zip=True), canary.row(3)]
        report = ImpactCallHook().deliver(rows, rejects_path=str(path), concurrency=1)
        assert (report.rejected, report.rejects) == (2, str(path))
        lines = {line["row"]: line for line in map(json.loads, path.read_text().splitlines())}
        assert set(lines) == {1, 2}
        assert lines[1]["CallSessionId"] == rows[0]["CallSessionId"]
        assert [lines[row]["reason_code"] for row in (1, 2)] == ["refused", "invalid"]
        assert [reason.partition(" ")[0] for reason in lines[2]["reasons"]] == ["MediaId", "Zip"]
        problems = [{"parameter": "MediaId", "code": "missing"}, {"parameter": "Zip", "code": "wrong_type"}]
        assert [lines[row]["problems"] for row in (1, 2)] == [[], problems]
        assert canary.CALLER not in path.read_text()
        assert canary.RECORDING not in path.read_text()

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is Linux's")
    @pytest.mark.parametrize("count", [1, 5000])
    def test_a_full_disk_costs_no_call(self, count: int, sandbox: Sandbox, no_canary_in_logs: list[str]) -> None:
        """One line is written only when the file is closed, many are before: neither may fail the delivery."""
        rows = [*(canary.row(number, MediaId=None) for number in range(count)), canary.row("good")]
        report = ImpactCallHook().deliver(rows, rejects_path="/dev/full")
        assert (report.delivered, report.rejected) == (1, count)
        assert [line for line in no_canary_in_logs if "(OSError)" in line]

    def test_a_file_that_cannot_be_opened_is_found_out_before_anything_is_sent(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidOption, match=r"^rejects_path "):
            ImpactCallHook().deliver([canary.row()], rejects_path=str(tmp_path))
        assert sandbox.counts["requests"] == 0


class TestLogCall:
    @pytest.mark.parametrize("call", [canary.row(), CallRecord.of(canary.row())])
    def test_delivered(self, call: Any, sandbox: Sandbox) -> None:
        outcome = ImpactCallHook().log_call(call)
        assert (outcome.state, outcome.code, outcome.status) == (RowOutcome.DELIVERED, ReasonCode.OK, 200)
        assert len(sandbox.calls) == 1

    def test_invalid(self, sandbox: Sandbox) -> None:
        outcome = ImpactCallHook().log_call(canary.row(MediaId=None))
        assert (outcome.state, outcome.code, outcome.status) == (RowOutcome.REJECTED, ReasonCode.INVALID, None)
        assert outcome.reason.startswith("MediaId ")
        assert sandbox.counts["requests"] == 0

    def test_refused(self, sandbox: Sandbox) -> None:
        sandbox.script = ["400-errors"]
        outcome = ImpactCallHook().log_call(canary.row())
        assert (outcome.state, outcome.code, outcome.status) == (RowOutcome.REJECTED, ReasonCode.REFUSED, 400)
        assert outcome.reason.startswith("400 Validation Failed; MediaId; Not ")

    def test_takes_the_same_options(self, sandbox: Sandbox) -> None:
        dry = ImpactCallHook().log_call(canary.row(), dry_run=True)
        assert (dry.state, dry.code) == (RowOutcome.NOT_SENT, ReasonCode.DRY_RUN)
        assert ImpactCallHook().log_call({"id": 1}, mapping={"CallSessionId": "id"}).state is RowOutcome.REJECTED

    def test_a_set_up_that_is_refused_raises(self, connect: Connect) -> None:
        with Sandbox(user="someone", password="else").in_thread() as closed, pytest.raises(DeliveryAborted):
            connect(closed.url).log_call(canary.row())


class TestTestConnection:
    def test_an_endpoint_that_refuses_an_empty_call(self, sandbox: Sandbox) -> None:
        good, message = ImpactCallHook().test_connection()
        assert good
        assert "(400)" in message
        assert sandbox.counts["requests"] == 1
        assert (sandbox.requests[0].method, sandbox.requests[0].body) == ("POST", b"")
        assert sandbox.requests[0].target == "/calldata/logCallData"
        assert sandbox.counts["processed"] == 0

    def test_refused_credentials(self, connect: Connect) -> None:
        with Sandbox(user="someone", password="else").in_thread() as closed:
            good, message = connect(closed.url).test_connection()
        assert not good
        assert "(401)" in message

    @pytest.mark.parametrize(
        ("raw", "good", "part"),
        [
            (answer(b'{"Status":"ERROR","Message":"CampaignId missing"}', "400 Bad Request"), True, "(400)"),
            (answer(b"<R><Status>ERROR</Status></R>", "422 Bad"), True, "(422)"),
            (answer(b'{"Status":"ERROR"}'), True, "(200)"),
            (answer(b"", "401 Unauthorized"), False, "(401)"),
            (answer(b"", "403 Forbidden"), False, "(403)"),
            (OK, False, "Call Data API"),
            (answer(b"<!DOCTYPE html>"), False, "200"),
            (answer(b""), False, "200"),
            (answer(b"", "404 Not Found"), False, "404"),
            (answer(b"", "405 No"), False, "405"),
            (answer(b"", "302 Found", "Location: https://login.example.com/"), False, "302"),
            (answer(b"", "429 Slow", "Retry-After: 5"), False, "429"),
            (answer(b"", "500 Error"), False, "500"),
            (answer(b"", "502 Error"), False, "502"),
            (answer(b"", "599 Odd"), False, "599"),
            (b"hello", False, "(ConnectionError)"),
            (b"", False, "(ConnectionError)"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", False, "(ChunkedEncodingError)"),
        ],
    )
    async def test_answers(self, raw: bytes, good: bool, part: str, connect: Connect) -> None:
        async with RawServer(says(raw)) as server:
            result, message = await asyncio.to_thread(connect(server.url).test_connection)
            assert (result, server.connections) == (good, 1)
            assert part in message
            assert server.url in message
            assert canary.found_in(message) == []

    async def test_certificates(self, connect: Connect, tmp_path: Path) -> None:
        files = certificate(tmp_path)
        async with RawServer(says(answer(b"{}", "400 Bad")), tls(files)) as server:
            results = {
                verify: (await asyncio.to_thread(connect(server.url, verify=verify).test_connection))[0]
                for verify in (True, False, files[0], "/no/such/file.pem")
            }
        assert results == {True: False, False: True, files[0]: True, "/no/such/file.pem": False}

    async def test_a_proxy(self, connect: Connect) -> None:
        async with RawServer(says(answer(b"", "407 No"))) as proxy:
            hook = connect("https://calls.example.com", proxies=proxy.url)
            good, message = await asyncio.to_thread(hook.test_connection)
            assert not good
            assert "(ProxyError)" in message
            assert proxy.heads[0].startswith(b"CONNECT calls.example.com:443")
            assert b"uthorization" not in proxy.heads[0]

    async def test_nobody_answers(self, connect: Connect) -> None:
        async with RawServer(never_answers) as server:
            good, message = await asyncio.to_thread(connect(server.url, timeout=0.3).test_connection)
        assert (good, "ReadTimeout" in message) == (False, True)

    def test_nobody_is_there(self, connect: Connect, closed_port: int) -> None:
        good, message = connect(f"http://127.0.0.1:{closed_port}").test_connection()
        assert not good
        assert f"http://127.0.0.1:{closed_port} (ConnectionError)" in message

    def test_a_name_that_does_not_exist(self, connect: Connect) -> None:
        assert connect("http://nonexistent.invalid").test_connection()[0] is False

    def test_a_connection_that_is_wrong(self, connect: Connect) -> None:
        good, message = connect("http://127.0.0.1", concurrency=0, timeout=canary.WORD).test_connection()
        assert not good
        assert "concurrency" in message
        assert "timeout" in message
        assert canary.found_in(message) == []


def test_a_session_for_everything_else(sandbox: Sandbox) -> None:
    with ImpactCallHook().get_conn() as session:
        answer = session.post(f"{sandbox.url}/calldata/logCallData")
    assert answer.status_code == 400
    assert sandbox.requests[0].headers["Authorization"] == raw_server.endpoint(sandbox.url).authorization
    assert answer.request.headers["Accept"] == "application/json"


def test_a_session_reads_no_netrc_and_no_proxy_of_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with ImpactCallHook().get_conn() as session:
        session.post(f"{sandbox.url}/calldata/logCallData")
    assert sandbox.requests[0].headers["Authorization"] == raw_server.endpoint(sandbox.url).authorization


def test_a_report_shows_what_there_is_of() -> None:
    report = DeliveryReport(rows=3, delivered=2, rejected=1, seconds=1.5)
    assert report.accounted == report.rows
    assert str(report) == "rows=3 delivered=2 rejected=1 seconds=1.5"


def test_the_form_has_a_widget_for_every_field() -> None:
    pytest.importorskip("flask_appbuilder")
    assert set(ImpactCallHook.get_connection_form_widgets()) == set(CONNECTION_FIELDS)


def test_the_form_hides_what_is_not_used() -> None:
    behaviour = ImpactCallHook.get_ui_field_behaviour()
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
    assert examples.LOGIN not in str(behaviour)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_what_a_run_leaves_behind_is_its_owners_alone(umask: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """The embedded ledger, its WAL, the rejects file; and while it runs too."""
    modes: dict[str, int] = {}

    def look(*_: object) -> None:
        for folder in (tmp_path, Path(os.environ["AIRFLOW_HOME"])):
            for file in folder.iterdir():
                modes[file.name] = stat.S_IMODE(file.stat().st_mode)

    before = os.umask(umask)
    try:
        rows = [canary.row(1), canary.row(2, MediaId=None)]
        ImpactCallHook().deliver(rows, rejects_path=str(tmp_path / "rejects.jsonl"), on_settled=look)
        look()
    finally:
        os.umask(before)
    assert {"impactcall_ledger.db", "rejects.jsonl"} <= modes.keys()
    # When SQLite makes and removes the other two is up to the version of SQLAlchemy.
    assert modes.keys() <= {*(f"impactcall_ledger.db{end}" for end in ("", "-wal", "-shm")), "rejects.jsonl"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("url", ["{}", "file://{}", "local://{}"])
def test_a_rejects_file_that_is_there_keeps_its_mode_and_one_behind_a_link_is_not_written(
    url: str, sandbox: Sandbox, tmp_path: Path, no_canary_in_logs: list[str]
) -> None:
    there, link = tmp_path / "there.jsonl", tmp_path / "link.jsonl"
    there.write_text("")
    there.chmod(0o644)
    ImpactCallHook().deliver([canary.row(1, MediaId=None)], rejects_path=url.format(there))
    assert stat.S_IMODE(there.stat().st_mode) == 0o644
    (warned,) = [line for line in no_canary_in_logs if "private_files: " in line]
    assert "there.jsonl" in warned
    assert "644" in warned
    assert there.read_text().count("\n") == 1
    before = there.read_text()
    for target in (tmp_path / "nowhere.jsonl", there):
        link.symlink_to(target)
        with pytest.raises(InvalidOption, match=r"^rejects_path "):
            ImpactCallHook().deliver([canary.row(2, MediaId=None)], rejects_path=url.format(link))
        link.unlink()
    assert not (tmp_path / "nowhere.jsonl").exists()
    assert there.read_text() == before
