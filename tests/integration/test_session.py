"""What leaves in the header of each request, in full, whatever else the connection's extra holds."""

from __future__ import annotations

import asyncio
import base64
import fileinput
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_impactcall import __version__
from airflow_provider_impactcall.delivery.actions import ReadBack
from airflow_provider_impactcall.delivery.wire.endpoint import encode
from airflow_provider_impactcall.exceptions import ReadBackFailed
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.connection import account, connection_of
from airflow_provider_impactcall.integration.session import session
from airflow_provider_impactcall.records import CallRecord
from tests.certificates import certificate
from tests.delivery import canary, raw_server
from tests.delivery.raw_server import RawServer, answer, says, tls

LOGIN, PASSWORD = "Zo\u00eb", "p\u00e4ss \u20ac\u540d"
AUTHORIZATION = "Basic " + base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
# What Airflow's HTTP provider reads beside, or would send as headers.
UNKNOWN = {
    "X-Api-Key": "key",
    "User-Agent": "other",
    "Authorization": "Bearer other",
    "headers": {"X-Trace": "1"},
    "allow_redirects": True,
    "max_redirects": 5,
    "trust_env": True,
    "stream": True,
    "srv_lookup": True,
    "check_response": False,
    "proxy": {"http": "http://127.0.0.1:9"},
    "verify_ssl": False,
}
REFUSED = answer(b'{"Message": "no"}', "403 Forbidden", "Connection: close")
MOVED = answer(b"", "307 Temporary", "Location: /elsewhere", "Connection: close")


def headers_of(head: bytes) -> dict[str, str]:
    """The headers of a request; none of them twice."""
    lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")[1:]
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    return headers


def connection(origin: str, **extra: Any) -> str:
    return json.dumps(json.loads(raw_server.connection(origin, **extra)) | {"login": LOGIN, "password": PASSWORD})


def get(origin: str) -> None:
    with ImpactCallHook().get_conn() as prepared:
        prepared.get(f"{origin}/path", timeout=10)


def post(origin: str) -> None:
    with ImpactCallHook().get_conn() as prepared:
        prepared.post(f"{origin}/path", timeout=10)


def press_test(origin: str) -> None:
    ImpactCallHook().test_connection()


def deliver(origin: str) -> None:
    asyncio.run(raw_server.send(account(connection_of("impactcall_default")).endpoint))


def deliver_forms(origin: str) -> None:
    endpoint = account(connection_of("impactcall_default")).endpoint
    asyncio.run(raw_server.send(replace(endpoint, parameters_in="form")))


def list_actions(origin: str) -> None:
    api = account(connection_of("impactcall_default")).endpoint
    now = datetime.now(UTC)
    with session(api) as prepared, suppress(ReadBackFailed):
        list(ReadBack(prepared, api.origin, api.login).actions("1000", now - timedelta(days=1), now))


BY_REQUESTS = {
    "Accept": "application/json",
    "Accept-Encoding": requests.utils.default_headers()["Accept-Encoding"],
    "Authorization": AUTHORIZATION,
    "Connection": "keep-alive",
    "User-Agent": f"python-requests/{version('requests')}",
}
BY_DELIVERIES = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Authorization": AUTHORIZATION,
    "User-Agent": f"airflow-provider-impactcall/{__version__}",
}
IN_THE_URL = {"Content-Length": "0"}
IN_THE_BODY = {
    "Content-Length": str(len(encode(CallRecord.of(canary.row()).parameters()))),
    "Content-Type": "application/x-www-form-urlencoded",
}
SENT = {
    "get_conn, to read": (get, BY_REQUESTS),
    "get_conn, to write": (post, BY_REQUESTS | {"Content-Length": "0"}),
    "Test": (press_test, BY_REQUESTS | {"Content-Length": "0"}),
    "list of actions": (list_actions, BY_REQUESTS),
    "delivery": (deliver, BY_DELIVERIES | IN_THE_URL),
    "delivery of forms": (deliver_forms, BY_DELIVERIES | IN_THE_BODY),
}


@pytest.mark.parametrize("raw", [REFUSED, MOVED], ids=["an answer", "a redirect"])
@pytest.mark.parametrize("others", [{}, UNKNOWN], ids=["nothing else", "unknown names"])
@pytest.mark.parametrize(("send", "headers"), SENT.values(), ids=SENT)
async def test_every_header_that_leaves(
    send: Callable[[str], None],
    headers: dict[str, str],
    others: dict[str, Any],
    raw: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with RawServer(says(raw)) as server:
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", connection(server.url, **others))
        await asyncio.to_thread(send, server.url)
        expected = {"Host": f"127.0.0.1:{server.port}"} | headers
    assert [headers_of(head) for head in server.heads] == [expected], "one request, as nobody followed a redirect"


@pytest.mark.parametrize("files", ["one", "two"])
async def test_a_client_certificate_is_shown(files: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate_file, key = certificate(tmp_path)
    both = str(tmp_path / "both.pem")
    with fileinput.input([certificate_file, key]) as lines:
        tmp_path.joinpath("both.pem").write_text("".join(lines))
    strict = tls((certificate_file, key))
    strict.load_verify_locations(certificate_file)
    strict.verify_mode = ssl.CERT_REQUIRED
    async with RawServer(says(REFUSED), strict) as server:

        def heard(**extra: Any) -> int:
            """How many requests the server has answered after a test."""
            text = connection(server.url, verify=certificate_file, **extra)
            monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", text)
            assert not ImpactCallHook().test_connection()[0]
            return len(server.heads)

        shown = await asyncio.to_thread(heard, cert=[certificate_file, key] if files == "two" else both)
        assert shown > 0
        assert await asyncio.to_thread(heard) == shown


@pytest.mark.parametrize("several", [True, False], ids=["by scheme", "one"])
async def test_its_proxy_is_used(several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(says(REFUSED)) as proxy:
        proxies = {"http": proxy.url} if several else proxy.url
        origin = "http://calls.example.com"
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", connection(origin, proxies=proxies))
        await asyncio.to_thread(post, origin)
    assert proxy.heads[0].startswith(b"POST http://calls.example.com/path HTTP/1.1\r\n")
    headers = BY_REQUESTS | {"Content-Length": "0", "Host": "calls.example.com"}
    assert headers_of(proxy.heads[0]) == headers
