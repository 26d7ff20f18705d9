from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox import Sandbox

from .wire import CALL, FORM, PATH, Ask, Reply, a_call, basic, until


async def test_success_is_answered_letter_for_letter_as_documented() -> None:
    async with Sandbox() as sandbox:
        reply = await a_call().of(sandbox)

    assert reply.status == 200
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.body == b'{"Status": "OK",}'
    assert [call["parameters"] for call in sandbox.calls] == [CALL]
    assert datetime.now(UTC) - datetime.fromisoformat(sandbox.calls[0]["received_at"]) < timedelta(seconds=10)


@pytest.mark.parametrize(
    "ask",
    [
        Ask(query=urlencode(CALL)),
        Ask(query=urlencode(CALL), method="GET"),
        Ask(body=urlencode(CALL).encode(), headers={"Content-Type": FORM}),
        Ask(body=urlencode(CALL).encode(), headers={"Content-Type": FORM + "; charset=utf-8"}),
        Ask(
            query=urlencode(dict(list(CALL.items())[:5])),
            body=urlencode(dict(list(CALL.items())[5:])).encode(),
            headers={"Content-Type": FORM},
        ),
    ],
    ids=["query", "get", "form", "form with charset", "both"],
)
async def test_parameters_are_taken_from_query_and_form(ask: Ask) -> None:
    async with Sandbox() as sandbox:
        assert (await ask.of(sandbox)).status == 200
        assert sandbox.calls[0]["parameters"] == CALL


async def test_text_survives_the_wire() -> None:
    text = {"City": "São Paulo 東京 +&=%", "ClickId": "aB:c%2F+d", "Keypresses": "", "Zip": "02139"}
    async with Sandbox() as sandbox:
        await a_call(**text).of(sandbox)
        assert sandbox.calls[0]["parameters"] == CALL | text


async def test_without_parameters_the_ten_required_are_missing() -> None:
    async with Sandbox() as sandbox:
        reply = await Ask().of(sandbox)

    assert reply.status == 400
    assert (reply.json["Status"], reply.json["Message"]) == ("ERROR", "Validation Failed")
    assert reply.wrong == dict.fromkeys(CALL, "is missing")
    assert sandbox.calls == []


async def test_a_body_that_is_no_form_is_named() -> None:
    ask = Ask(body=json.dumps(CALL).encode(), headers={"Content-Type": "application/json"})
    async with Sandbox() as sandbox:
        reply = await ask.of(sandbox)

    assert reply.status == 400
    assert "application/json" in reply.wrong["body"]
    assert sandbox.calls == []


@pytest.mark.parametrize("accept", [None, "*/*", "text/html"])
async def test_xml_unless_json_is_accepted(accept: str | None) -> None:
    async with Sandbox(user="u", password="p") as sandbox:
        ok, refused, unauthorized = [
            await Ask(query, headers={"Accept": accept, "Authorization": basic("u", password)}).of(sandbox)
            for query, password in (
                (urlencode(CALL), "p"),
                (urlencode(CALL | {"City<": "&", "MediaId": ""}), "p"),
                ("", "q"),
            )
        ]

    assert {reply.headers["content-type"].partition(";")[0] for reply in (ok, refused, unauthorized)} == {
        "application/xml"
    }
    assert ok.body == b"<ImpactRadiusResponse><Status>OK</Status></ImpactRadiusResponse>"
    assert refused.body.startswith(
        b"<ImpactRadiusResponse><Status>ERROR</Status><Message>Validation Failed</Message>"
        b"<Errors><Error><Field>MediaId</Field><Message>is required, and is empty</Message></Error>"
        b"<Error><Field>City&lt;</Field>"
    )
    assert (unauthorized.status, b"<Status>ERROR</Status>" in unauthorized.body) == (401, True)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("Zoë", "pass:wörd"), 200),
        (basic("Zoë", "pass:wörd", encoding="latin-1"), 401),
        (basic("Zoë", "other"), 401),
        (basic("other", "pass:wörd"), 401),
        ("Bearer token", 401),
        ("Basic !", 401),
        (None, 401),
    ],
)
async def test_credentials(authorization: str | None, status: int) -> None:
    ask = a_call()
    ask.headers = {"Authorization": authorization}
    async with Sandbox(user="Zoë", password="pass:wörd") as sandbox:
        reply = await ask.of(sandbox)

    assert reply.status == status
    assert len(sandbox.calls) == (status == 200)
    assert ("www-authenticate" in reply.headers) == (status == 401)


@pytest.mark.parametrize(
    ("authorization", "status"), [(basic("any", "body"), 200), (basic("", ""), 200), ("Basic", 401), (None, 401)]
)
async def test_without_a_user_any_credentials_do_but_none_do_not(authorization: str | None, status: int) -> None:
    ask = a_call()
    ask.headers = {"Authorization": authorization}
    async with Sandbox() as sandbox:
        assert (await ask.of(sandbox)).status == status


def test_a_password_needs_a_user() -> None:
    with pytest.raises(InvalidOption, match="user"):
        Sandbox(password="p")


async def test_long_requests_are_read_and_longer_ones_refused() -> None:
    room = 128 * 1024 - len(PATH) - 1
    longest = urlencode(CALL) + "&City="
    longest += "x" * (room - len(longest))
    big_body = (urlencode(CALL) + "&City=").encode()
    big_body += b"x" * (2 * 1024 * 1024 - 1 - len(big_body))
    form = {"Content-Type": FORM}
    async with Sandbox() as sandbox:
        statuses = [
            (await ask.of(sandbox)).status
            for ask in (
                Ask(longest),
                Ask(longest + "x"),
                Ask(longest + "x" * 1_000_000),
                Ask(body=big_body, headers=form),
                Ask(body=big_body + b"xx", headers=form),
                Ask(urlencode(CALL), headers={"X-Long": "x" * 120 * 1024}),
            )
        ]

    assert statuses == [200, 414, 414, 200, 413, 200]
    assert len(sandbox.calls) == 3
    assert sandbox.counts["answered"] == {"200": 3, "414": 2, "413": 1}


async def test_a_request_that_cannot_be_parsed_is_refused_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox() as sandbox:
        replies = [await ask.of(sandbox) for ask in (Ask(query="CallerId=8055551234 x"), Ask(method="8055551234"))]
        assert (await a_call().of(sandbox)).status == 200

    assert [reply.status for reply in replies] == [400, 400]
    assert caplog.text == ""


async def test_nothing_is_logged_of_a_call(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(0)
    async with Sandbox() as sandbox:
        await a_call().of(sandbox)
        await a_call(CallDuration="x").of(sandbox)

    assert CALL["CallerId"] not in caplog.text + "".join(capfd.readouterr())


async def test_other_methods_and_paths_are_not_the_endpoint() -> None:
    async with Sandbox() as sandbox:
        statuses = [
            (await Ask(method=method, path=path).of(sandbox)).status
            for method, path in (("PUT", PATH), ("HEAD", PATH), ("POST", "/elsewhere"))
        ]

    assert statuses == [405, 405, 404]
    assert sandbox.counts["requests"] == 0


async def test_the_pages_for_a_person_need_no_credentials() -> None:
    async with Sandbox(user="u", password="p") as sandbox:
        ask = a_call()
        ask.headers = {"Authorization": basic("u", "p")}
        await ask.of(sandbox)
        await Ask().of(sandbox)

        def page(path: str, method: str = "GET") -> Awaitable[Reply]:
            return Ask(method=method, path=path, headers={"Authorization": None}).of(sandbox)

        assert b"/calls" in (await page("/")).body
        assert (await page("/calls")).json == sandbox.calls
        assert sandbox.calls[0]["parameters"] == CALL
        assert (await page("/counts")).json == {
            "requests": 2,
            "processed": 1,
            "answered_ok": 1,
            "answered": {"200": 1, "401": 1},
            "faults": {},
        }
        assert (await page("/calls", "DELETE")).status == 204
        assert (await page("/calls")).json == sandbox.requests == []
        assert (await page("/counts")).json == {
            "requests": 0,
            "processed": 0,
            "answered_ok": 0,
            "answered": {},
            "faults": {},
        }


async def test_requests_are_remembered_as_they_arrived() -> None:
    ask = Ask(query="CampaignId=%34&EventDate=a+b", body=b"City=%C3%A3", headers={"Content-Type": FORM, "X-Odd": "1"})
    async with Sandbox() as sandbox:
        await ask.of(sandbox)
        (request,) = sandbox.requests

    assert (request.method, request.target) == ("POST", PATH + "?CampaignId=%34&EventDate=a+b")
    assert (request.body, request.headers["x-odd"]) == (b"City=%C3%A3", "1")


async def test_requests_know_their_time_and_company() -> None:
    async with Sandbox(latency=0.3) as sandbox:
        await asyncio.gather(*(a_call().of(sandbox) for _ in range(3)))
        await a_call().of(sandbox)

    assert [request.in_flight for request in sandbox.requests] == [1, 2, 3, 1]
    times = [request.arrived for request in sandbox.requests]
    assert times == sorted(times)
    assert times[3] - times[0] >= 0.3


async def test_requests_are_not_kept_unasked() -> None:
    async with Sandbox(keep_requests=False) as sandbox:
        await a_call().of(sandbox)

    assert (sandbox.requests, sandbox.counts["requests"]) == ([], 1)


async def test_a_caller_that_leaves_does_not_take_the_call_back() -> None:
    async with Sandbox(latency=30) as sandbox:
        _, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(a_call().bytes())
        await writer.drain()
        writer.close()

        async def processed() -> object:
            return sandbox.calls

        await until(processed)

    assert sandbox.counts == {"requests": 1, "processed": 1, "answered_ok": 0, "answered": {}, "faults": {}}


async def test_a_caller_that_dies_amid_the_body_sent_no_call(caplog: pytest.LogCaptureFixture) -> None:
    body = urlencode(CALL).encode()
    async with Sandbox() as sandbox:
        _, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(Ask(body=body, headers={"Content-Type": FORM}).bytes()[:-1])
        await writer.drain()
        writer.close()

        async def arrived() -> object:
            return sandbox.requests

        await until(arrived)
        assert (await a_call().of(sandbox)).status == 200

    assert (sandbox.counts["requests"], sandbox.counts["processed"]) == (2, 1)
    assert caplog.text == ""


async def test_connections_are_kept_alive() -> None:
    first = a_call()
    first.headers = {"Connection": None}
    async with Sandbox() as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(first.bytes() + a_call(CallSessionId="a-2").bytes())
        received = await reader.read()
        writer.close()

    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert [call["parameters"]["CallSessionId"] for call in sandbox.calls] == ["a-1", "a-2"]


def test_serves_from_a_thread() -> None:
    async def ask(sandbox: Sandbox) -> int:
        return (await a_call().of(sandbox)).status

    with Sandbox().in_thread() as sandbox:
        assert asyncio.run(ask(sandbox)) == 200
        assert sandbox.calls[0]["parameters"] == CALL
        address = sandbox.port
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(ask(sandbox))

    with Sandbox(port=address).in_thread() as again:
        assert (again.url, again.calls) == (f"http://127.0.0.1:{address}", [])


async def test_stops_and_starts_again_with_its_memory() -> None:
    sandbox = Sandbox()
    async with sandbox:
        await a_call().of(sandbox)
        port = sandbox.port
    async with sandbox:
        await a_call().of(sandbox)

    assert (sandbox.port, len(sandbox.calls)) == (port, 2)


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind() -> None:
    async with Sandbox() as sandbox:
        rival = Sandbox(port=sandbox.port)
        with pytest.raises(OSError, match="in use"):
            await rival.start()
    async with rival:
        assert (await a_call().of(rival)).status == 200
