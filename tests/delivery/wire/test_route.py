"""The ways to an endpoint: addresses that hang or refuse, IPv6, and proxies of both kinds, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, CallState, HeldBack, ReasonCode
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.timings import Timings
from airflow_provider_impactcall.delivery.wire.connection import Connection
from airflow_provider_impactcall.delivery.wire.connections import Connections
from airflow_provider_impactcall.delivery.wire.dialing import Address, Dialler, connected, in_turn
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.delivery.wire.proxy import Proxy
from airflow_provider_impactcall.delivery.wire.route import Route
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import CallMapping
from tests.certificates import certificate
from tests.delivery import canary
from tests.delivery.ledgers import a_run_of, in_a_file
from tests.delivery.raw_server import OK, RawServer, Talk, answer, endpoint, relay, says, send, tls
from tests.delivery.wire.test_connections import keeps, request

FOUR, SIX = socket.AF_INET, socket.AF_INET6


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=SIX).close()
    except OSError:
        return False
    return True


def at(port: int) -> Address:
    return Address(FOUR, ("127.0.0.1", port))


@pytest.fixture
def hanging() -> Iterator[Address]:
    """An address whose connections hang: nobody accepts, and the queue of those that wait for it is full."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield at(listening.getsockname()[1])


def test_families_and_addresses_take_turns() -> None:
    a, b, c = (Address(FOUR, (name, 443)) for name in "abc")
    x, y = (Address(SIX, (name, 443, 0, 0)) for name in "xy")
    assert list(in_turn([x, y, a, b, c], 0)) == [x, a, y, b, c]
    assert list(in_turn([x, y, a, b, c], 1)) == [y, b, x, c, a]
    assert list(in_turn([a], 7)) == [a]
    assert list(in_turn([], 1)) == []


class TestAddresses:
    async def test_the_next_is_tried_while_one_hangs(self, hanging: Address) -> None:
        async with RawServer(keeps) as server:
            with await connected([hanging, at(server.port)]) as made:
                assert made.getpeername()[1] == server.port

    async def test_the_next_is_tried_at_once_when_one_refuses(self, closed_port: int) -> None:
        async with RawServer(keeps) as server:
            with await connected([at(closed_port)] * 8 + [at(server.port)]) as made:
                assert made.getpeername()[1] == server.port

    async def test_all_that_refuse_are_a_refusal(self, closed_port: int) -> None:
        for count in (1, 3):
            with pytest.raises(ConnectionRefusedError):
                await connected([at(closed_port)] * count)
        with pytest.raises(OSError, match="no address"):
            await connected([])

    @pytest.mark.parametrize("count", [1, 3])
    async def test_whoever_leaves_leaves_no_socket(self, count: int, hanging: Address) -> None:
        connecting = asyncio.create_task(connected([hanging] * count))
        await asyncio.sleep(0.3)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        # pytest makes an error of a socket that nobody closed.

    async def test_of_several_that_connect_at_once_one_is_kept(self) -> None:
        async with RawServer(keeps) as server:
            # The first gets its head start, and then there are two.
            made = await asyncio.gather(*(connected([at(server.port)] * 2) for _ in range(20)))
            for each in made:
                each.close()


class TestNames:
    async def test_one_lookup_is_for_all_who_ask_and_for_a_while(self) -> None:
        asked: list[object] = []
        loop = asyncio.get_running_loop()
        look_up = loop.getaddrinfo

        async def counted(host: object, *args: object, **options: object) -> object:
            asked.append(host)
            return await look_up(host, *args, **options)  # type: ignore[arg-type]

        loop.getaddrinfo = counted  # type: ignore[method-assign, assignment]
        async with RawServer(keeps) as server:
            dialler = Dialler("localhost", server.port)
            for _ in range(2):
                for made in await asyncio.gather(*(dialler.dial() for _ in range(10))):
                    made.close()
            assert asked == ["localhost"]
            Dialler("127.0.0.1", server.port)
            (await Dialler("127.0.0.1", server.port).dial()).close()
            assert asked == ["localhost"], "an address is not looked up"

    async def test_a_name_that_is_none_and_one_that_cannot_be_are_not_sent(self) -> None:
        for host in ("nonexistent.invalid", "a" * 64 + ".example.com", "x..example.com"):
            attempt = await send(endpoint(f"http://{host}"))
            assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)

    async def test_a_lookup_goes_on_for_those_who_stay(self) -> None:
        async with RawServer(keeps) as server:
            dialler = Dialler("localhost", server.port)
            leaving, staying = (asyncio.create_task(dialler.dial()) for _ in range(2))
            await asyncio.sleep(0)
            leaving.cancel()
            (await staying).close()
            assert leaving.cancelled()

    @pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
    @pytest.mark.parametrize("encrypted", [False, True])
    async def test_an_ipv6_address(self, encrypted: bool, tmp_path: Path) -> None:
        files = certificate(tmp_path, "0:0:0:0:0:0:0:1")
        heads: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)
            writer.close()

        async with await asyncio.start_server(talk, "::1", 0, ssl=tls(files) if encrypted else None) as server:
            port = server.sockets[0].getsockname()[1]
            target = endpoint(f"{'https' if encrypted else 'http'}://[::1]:{port}", verify=files[0])
            assert (await send(target)).result is AttemptResult.DELIVERED
        assert b"\r\nHost: [::1]:%d\r\n" % port in heads[0]


def tunnel_to(port: int, seconds: float = 0.0) -> Talk:
    """What a proxy does that takes every host for one on the loopback, and so many seconds to get there."""

    async def talk(proxy: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.heads.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(seconds)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connection established\r\nContent-Length: 7\r\n\r\n")
        await relay(reader, writer, there, back)

    return talk


@asynccontextmanager
async def far_endpoint(
    tmp_path: Path, proxy_tls: ssl.SSLContext | None
) -> AsyncIterator[tuple[RawServer, RawServer, str, list[str | None]]]:
    """An endpoint of another name, the proxy that leads there, whom to trust, and the names that it was asked by."""
    asked: list[str | None] = []
    files = certificate(tmp_path, "calls.example.com")
    context = tls(files)
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with RawServer(keeps, context) as server, RawServer(tunnel_to(server.port), proxy_tls) as proxy:
        yield server, proxy, files[0], asked


def both(folder: Path, files: Sequence[str]) -> str:
    """One file of several certificates."""
    trusted = folder / "trusted.pem"
    trusted.write_text("".join(Path(each).read_text() for each in files))
    return str(trusted)


@pytest.mark.parametrize("encrypted", [False, True], ids=["http proxy", "https proxy"])
class TestProxies:
    """Of both kinds; one that speaks TLS itself has TLS in TLS to an endpoint that does."""

    def own(self, encrypted: bool, folder: Path) -> tuple[ssl.SSLContext | None, list[str]]:
        folder.mkdir()
        files = certificate(folder)
        return (tls(files), [files[0]]) if encrypted else (None, [])

    async def test_a_tunnel(self, encrypted: bool, tmp_path: Path) -> None:
        context, known = self.own(encrypted, tmp_path / "proxy")
        async with far_endpoint(tmp_path, context) as (server, proxy, trusted, asked):
            target = Endpoint(
                "https://calls.example.com.",
                "u",
                "p",
                timeout=10,
                verify=both(tmp_path, [trusted, *known]),
                proxy=proxy.url.replace("//", "//me:s%20cret@"),
            )
            async with target.connections(1) as connections:
                for number in range(3):
                    assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
            assert (proxy.connections, len(server.heads)) == (1, 3), "it is kept"
            assert proxy.heads[0].startswith(b"CONNECT calls.example.com:443 HTTP/1.1\r\nHost: calls.example.com:443\r")
            assert b"\r\nProxy-Authorization: Basic bWU6cyBjcmV0\r\n" in proxy.heads[0]
            assert b"\r\nAuthorization" not in proxy.heads[0]
            assert asked == ["calls.example.com"], "a name's last dot is not in a certificate"
            for head in server.heads:
                assert head.startswith(b"POST /calldata/logCallData?")
                assert b"Proxy-Authorization" not in head

    async def test_a_tunnel_to_an_endpoint_that_nobody_trusts(self, encrypted: bool, tmp_path: Path) -> None:
        context, known = self.own(encrypted, tmp_path / "proxy")
        async with far_endpoint(tmp_path, context) as (server, proxy, _, _):
            verify = both(tmp_path, known) if known else True
            attempt = await send(endpoint("https://calls.example.com", verify=verify, proxy=proxy.url))
            assert (attempt.result, attempt.code) == (AttemptResult.ABORT, ReasonCode.CERTIFICATE_REFUSED)
            assert "endpoint" in attempt.reason
            assert server.heads == []

    async def test_an_endpoint_of_plain_http(self, encrypted: bool, tmp_path: Path) -> None:
        context, known = self.own(encrypted, tmp_path / "proxy")
        async with RawServer(keeps, context) as proxy:
            target = endpoint(
                "http://calls.example.com:8080",
                verify=known[0] if known else True,
                proxy=proxy.url.replace("//", "//me:pw@"),
            )
            async with target.connections(1) as connections:
                for number in range(2):
                    assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
            assert proxy.connections == 1
            for head in proxy.heads:
                assert head.startswith(b"POST http://calls.example.com:8080/calldata/logCallData?")
                assert b"\r\nHost: calls.example.com:8080\r\n" in head
                assert b"\r\nProxy-Authorization: Basic bWU6cHc=\r\n" in head
                assert head.count(b"\r\nAuthorization: ") == 1

    async def test_a_proxy_that_quotes_its_credentials(self, encrypted: bool, tmp_path: Path) -> None:
        """Neither its user and password, however they are spelt, nor the header stays in what the ledger keeps."""
        context, known = self.own(encrypted, tmp_path / "proxy")
        header = Proxy.of("http://zaunkoenig:rot%20kehlchen@proxy").authorization
        assert header is not None
        coded = header.removeprefix("Basic ")
        told = f"Proxy refuses zaunkoenig with rot kehlchen, rot%20kehlchen, {coded}"
        async with RawServer(says(answer(json.dumps({"Message": told}).encode(), "400 Bad Request")), context) as proxy:
            attempt = await send(
                endpoint(
                    "http://calls.example.com",
                    verify=known[0] if known else True,
                    proxy=proxy.url.replace("//", "//zaunkoenig:rot%20kehlchen@"),
                )
            )
        assert attempt.result is AttemptResult.REJECTED
        assert attempt.reason.startswith("400 Proxy refuses * with")
        private = ("zaunkoenig", "rot", "kehlchen", *re.findall("[A-Za-z]{4,}", coded))
        assert [word for word in private if word.casefold() in attempt.reason.casefold()] == []

    @pytest.mark.parametrize("origin", ["https://calls.example.com", "http://calls.example.com"])
    async def test_a_proxy_that_refuses_its_credentials(self, origin: str, encrypted: bool, tmp_path: Path) -> None:
        context, known = self.own(encrypted, tmp_path / "proxy")
        async with RawServer(says(answer(b"no", "407 Proxy Authentication Required")), context) as proxy:
            attempt = await send(endpoint(origin, verify=known[0] if known else True, proxy=proxy.url))
            assert (attempt.result, attempt.code) == (AttemptResult.ABORT, ReasonCode.SETUP_REFUSED)

    async def through(self, raw: bytes, encrypted: bool, tmp_path: Path) -> Attempt:
        """An attempt to an endpoint with TLS, through a proxy that answers with these bytes."""
        context, known = self.own(encrypted, tmp_path / "proxy")
        async with RawServer(says(raw), context) as proxy:
            return await send(
                endpoint("https://calls.example.com", verify=known[0] if known else True, proxy=proxy.url)
            )

    async def test_a_proxy_that_refuses_the_host(self, encrypted: bool, tmp_path: Path) -> None:
        attempt = await self.through(answer(b"no", "403 Forbidden"), encrypted, tmp_path)
        assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)
        assert "403" in attempt.reason

    async def test_a_proxy_that_switches_to_another_protocol(self, encrypted: bool, tmp_path: Path) -> None:
        raw = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        attempt = await self.through(raw, encrypted, tmp_path)
        assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)
        assert "101" in attempt.reason

    async def test_an_endpoint_that_hangs_up_in_the_handshake(self, encrypted: bool, tmp_path: Path) -> None:
        attempt = await self.through(b"HTTP/1.1 200 Connection established\r\n\r\n", encrypted, tmp_path)
        assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)


async def test_a_call_that_may_no_longer_leave_once_it_is_connected_stays(tmp_path: Path) -> None:
    """The proxy takes its time; meanwhile the run stops. The connection carries the next call that may leave."""
    files = certificate(tmp_path)
    async with RawServer(keeps, tls(files)) as server, RawServer(tunnel_to(server.port, 0.3)) as proxy:
        target = endpoint(server.url, verify=files[0], proxy=proxy.url)
        async with target.connections(1) as connections:
            until = asyncio.get_running_loop().time() + 0.1
            asked: list[bool] = []

            def may_leave() -> bool:
                asked.append(asyncio.get_running_loop().time() < until)
                return asked[-1]

            with pytest.raises(HeldBack):
                await connections.send(request(target, 1), may_leave)
            assert asked == [False]
            assert server.heads == []
            until += 10.0
            for number in (2, 3):
                attempt = await connections.send(request(target, number), may_leave)
                assert attempt.result is AttemptResult.DELIVERED
            assert asked == [False], "a kept connection takes no time, so nobody is asked again"
        assert [b"kanarienvogel-2&" in head for head in server.heads] == [True, False]
        assert (len(server.heads), proxy.connections) == (2, 1)


@pytest.mark.parametrize("lost", ["lease", "run"])
async def test_a_run_sends_nothing_once_it_stopped_while_it_connected(lost: str, tmp_path: Path) -> None:
    """Its lease ran out, or the task was asked to stop. No call is unknown, and the ledger knows that none left."""
    files = certificate(tmp_path)
    ledger = in_a_file(Timings(lease=0.4, lease_margin=0.1, renewal=1e9) if lost == "lease" else Timings())
    interrupt = threading.Event()
    async with RawServer(keeps, tls(files)) as server, RawServer(tunnel_to(server.port, 0.8)) as proxy:
        if lost == "run":
            asyncio.get_running_loop().call_later(0.3, interrupt.set)
        report = await asyncio.to_thread(
            run,
            Engine(
                duplicates=Duplicates(),
                pacing=Pacing(),
                on_settled=lambda *_: None,
                concurrency=2,
                interrupt=interrupt,
                timings=ledger.timings,
            ),
            endpoint(server.url, verify=files[0], proxy=proxy.url),
            a_run_of(ledger),
            [canary.row(1), canary.row(2), canary.row(3)],
            CallMapping(),
            interrupt,
        )
        assert server.heads == []
        assert proxy.connections == 2
    assert (report.not_sent, report.unknown, report.given_up) == (3, 0, 3)
    assert report.stop is not None
    assert report.stop.code is (ReasonCode.LEASE_LOST if lost == "lease" else ReasonCode.RUN_STOPPED)
    with ledger.engine.connect() as connection:
        states = set(connection.scalars(sa.select(ledger_calls.c.state)))
    assert states == {CallState.NOT_SENT}


@pytest.mark.parametrize("origin", ["https://calls.example.com", "http://calls.example.com"])
async def test_a_proxy_that_nobody_trusts(origin: str, tmp_path: Path) -> None:
    async with RawServer(keeps, tls(certificate(tmp_path))) as proxy:
        attempt = await send(endpoint(origin, proxy=proxy.url))
        assert (attempt.result, attempt.code) == (AttemptResult.ABORT, ReasonCode.CERTIFICATE_REFUSED)
        assert "proxy" in attempt.reason
        assert proxy.heads == []


@dataclass(frozen=True)
class Failing(Route):
    """A route on which connecting fails with an error that nobody expects."""

    async def connect(self, factory: Callable[[], Connection]) -> Connection:
        raise RecursionError(canary.WORD)


async def test_whatever_fails_before_there_is_a_connection_is_not_sent() -> None:
    connections = Connections(Failing("127.0.0.1", 9), 1, 10.0, (), ())
    for number in (1, 2):
        attempt = await connections.send(request(endpoint("http://127.0.0.1:9"), number))
        assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)
        assert "RecursionError" in attempt.reason
        assert not canary.found_in(attempt.reason)


async def test_what_comes_before_tls_begins_is_not_the_endpoint_s() -> None:
    async with RawServer(says(b"HTTP/1.1 200 Connection established\r\n\r\n" + OK)) as proxy:
        attempt = await send(endpoint("https://calls.example.com", proxy=proxy.url))
        assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)


async def test_a_tunnel_s_head_without_end_ends() -> None:
    async def talk(_: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
            await writer.drain()

    async with RawServer(talk) as proxy:
        attempt = await send(endpoint("https://calls.example.com", proxy=proxy.url))
        assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)


@pytest.mark.parametrize("options", [{"origin": "https://"}, {"proxy": "http://"}])
async def test_an_address_without_a_host_is_an_error_of_the_connection(options: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match="host"):
        await send(Endpoint(**({"origin": "http://calls.example.com"} | options)))  # type: ignore[arg-type]


def test_a_proxy_s_credentials_are_not_in_its_repr() -> None:
    shown = repr(Proxy.of("http://proxy-user:canary-p@proxy.example.com"))
    assert "proxy.example.com" in shown
    assert "Basic" not in shown
    assert not canary.found_in(shown)
