"""Connections that are kept, broken, cut and closed, over real sockets: what is proven of each call, and what stays."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.outcome import AttemptResult, CallState, NothingLeft, ReasonCode
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.delivery.wire.request import Request
from airflow_provider_impactcall.exceptions import DeliveryAborted
from airflow_provider_impactcall.records import CallMapping, CallRecord
from tests.certificates import certificate
from tests.delivery import canary
from tests.delivery.ledgers import a_run_of, in_a_file
from tests.delivery.raw_server import RawServer, answer, endpoint, never_answers, says, send, tls

KEPT = answer(b'{"Status": "OK"}')
REFUSED = answer(b'{"Message": "no"}', "400 Bad Request")


def request(target: Endpoint, number: int = 1, **changes: object) -> Request:
    return target.request(CallRecord.of(canary.row(number, **changes)))


async def keeps(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request of a connection."""
    while True:
        server.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(KEPT)
        await writer.drain()


@dataclass
class Apart:
    """A server in a thread: what it does reaches the system's buffers while this thread's event loop stands still.

    :param talk: what it does with each connection, one after the other
    :param segment: bytes of a packet; if they are few, the system's buffers on the loopback do not hold a long call
    """

    talk: Callable[[Apart, socket.socket], None]
    segment: int | None = None
    accepted: int = 0
    done: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @contextmanager
    def running(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            if self.segment is not None:
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, self.segment)
            thread = threading.Thread(target=self._serve, args=(listening,), daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted = listening.accept()[0]
                self.accepted += 1
                with accepted, suppress(OSError):
                    accepted.settimeout(10)
                    self.talk(self, accepted)
                self.done.release()


def demands_a_certificate(context: ssl.SSLContext) -> Callable[[Apart, socket.socket], None]:
    """Shakes hands, reads a request and answers it. If it refuses the client's certificate, it waits until its alert
    has arrived; a server of asyncio's drops its alert.
    """

    def talk(_: Apart, accepted: socket.socket) -> None:
        with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as secured:
            try:
                secured.do_handshake()
            except ssl.SSLError:
                with socket.socket(fileno=secured.detach()) as left:
                    while left.recv(65_536):
                        pass
                return
            while secured.recv(65_536):
                secured.sendall(KEPT)

    return talk


def heard(accepted: socket.socket) -> None:
    """Wait for a request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += accepted.recv(65_536) or b"\r\n\r\n"


async def test_a_connection_carries_one_call_after_the_other() -> None:
    async with RawServer(keeps) as server:
        target = endpoint(server.url)
        async with target.connections(1) as connections:
            for number in range(5):
                assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
        assert (server.connections, len(server.heads)) == (1, 5)


async def test_there_are_as_many_as_calls_at_once_and_no_more() -> None:
    async with RawServer(keeps) as server:
        target = endpoint(server.url)
        async with target.connections(4) as connections:

            async def work(first: int) -> None:
                for number in range(first, first + 25):
                    assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED

            await asyncio.gather(*(work(100 * each) for each in range(4)))
            assert server.connections <= 4
            sending = [asyncio.create_task(connections.send(request(target, each))) for each in range(4)]
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError):
                await connections.send(request(target))
            await asyncio.gather(*sending)


async def test_a_connection_that_the_server_closed_is_seen_before_it_is_used() -> None:
    """Whether the event loop has read it yet, or not."""

    def talk(server: Apart, accepted: socket.socket) -> None:
        heard(accepted)
        accepted.sendall(KEPT)

    server = Apart(talk)
    with server.running() as origin:
        target = endpoint(origin)
        async with target.connections(1) as connections:
            for number in range(10):
                assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
                server.done.acquire()
                if number % 2:
                    await asyncio.sleep(0.01)
    assert server.accepted == 10


async def test_an_answer_that_nobody_asked_for_is_never_the_next_call_s() -> None:
    written = threading.Semaphore(0)

    def talk(server: Apart, accepted: socket.socket) -> None:
        heard(accepted)
        accepted.sendall(KEPT)
        accepted.sendall(REFUSED)
        written.release()
        accepted.recv(65_536)

    with Apart(talk).running() as origin:
        target = endpoint(origin)
        async with target.connections(1) as connections:
            for number in range(10):
                assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
                written.acquire()
                if number % 2:
                    await asyncio.sleep(0.01)


async def test_a_server_that_closes_what_it_said_to_keep_costs_a_handful(caplog: pytest.LogCaptureFixture) -> None:
    """It answers, and closes 20 ms later, without reading what came meanwhile."""

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b'{"Status": "OK"}', "200 OK", "Connection: keep-alive"))
        await writer.drain()
        await asyncio.sleep(0.02)

    concurrency, calls = 4, 60
    async with RawServer(talk) as server:
        target = endpoint(server.url)
        came: Counter[AttemptResult] = Counter()
        numbers = iter(range(calls))
        async with target.connections(concurrency) as connections:

            async def work() -> None:
                for number in numbers:
                    came[(await connections.send(request(target, number))).result] += 1

            with caplog.at_level(logging.WARNING):
                await asyncio.gather(*(work() for _ in range(concurrency)))
    assert came[AttemptResult.DELIVERED] + came[AttemptResult.UNKNOWN] == calls
    assert 0 < came[AttemptResult.UNKNOWN] <= concurrency
    assert len(server.heads) == came[AttemptResult.DELIVERED]
    said = [record.message for record in caplog.records if "has one of its own" in record.message]
    assert len(said) == 1, "and it is said once"


async def test_an_answer_that_breaks_off_says_nothing_of_other_connections(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for sent in (KEPT, KEPT[:-1]) if server.connections == 1 else (KEPT, KEPT):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            await writer.drain()

    async with RawServer(talk) as server:
        target = endpoint(server.url)
        with caplog.at_level(logging.WARNING):
            async with target.connections(1) as connections:
                results = [(await connections.send(request(target, number))).result for number in range(4)]
    kept = AttemptResult.DELIVERED
    assert results == [kept, AttemptResult.UNKNOWN, kept, kept]
    assert server.connections == 2, "the later connection is kept"
    assert not [record for record in caplog.records if "has one of its own" in record.message]


async def test_the_same_answer_is_judged_for_each_call_by_its_own_values() -> None:
    """What an answer says of a call's city is hidden in that call's reason, and stays in another's."""
    said = answer(b'{"Status": "ERROR", "Message": "no calls from Riverside"}')

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)

    async with RawServer(talk) as server:
        target = endpoint(server.url)
        async with target.connections(1) as connections:
            reasons = [
                (await connections.send(request(target, number, City=city))).reason
                for number, city in enumerate(["Springfield", "Riverside", "Springfield"])
            ]
        assert server.connections == 1
    assert ["Riverside" in reason for reason in reasons] == [True, False, True]


@pytest.mark.parametrize("lines", [["Connection: close"], ["Keep-Alive: timeout=0"]])
async def test_a_connection_that_the_server_does_not_keep_is_not_used_again(lines: list[str]) -> None:
    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b'{"Status": "OK"}', "200 OK", *lines))

    async with RawServer(talk) as server:
        target = endpoint(server.url)
        async with target.connections(1) as connections:
            for number in range(3):
                assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
        assert server.connections == 3


async def test_a_connection_is_kept_no_longer_than_the_server_grants() -> None:
    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b'{"Status": "OK"}', "200 OK", "Keep-Alive: timeout=1"))

    async with RawServer(talk) as server:
        target = endpoint(server.url)
        async with target.connections(1) as connections:
            await connections.send(request(target, 1))
            await connections.send(request(target, 2))
            assert server.connections == 1
            await asyncio.sleep(0.8)
            await connections.send(request(target, 3))
            assert server.connections == 2


async def test_each_connection_is_kept_for_the_time_that_its_own_answer_grants() -> None:
    """The second connection is used last, so it would be used next; but it was granted less time than the first."""
    used: list[int] = []

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = server.connections
        while True:
            await reader.readuntil(b"\r\n\r\n")
            used.append(this)
            await asyncio.sleep(0.1 * (this - 1))
            writer.write(KEPT if this == 1 else answer(b'{"Status": "OK"}', "200 OK", "Keep-Alive: timeout=1"))

    async with RawServer(talk) as server:
        target = endpoint(server.url)
        async with target.connections(2) as connections:
            await asyncio.gather(*(connections.send(request(target, number)) for number in (1, 2)))
            assert used == [1, 2]
            await asyncio.sleep(0.8)
            assert (await connections.send(request(target, 3))).result is AttemptResult.DELIVERED
        assert used == [1, 2, 1]


async def test_a_call_that_is_cut_off_closes_its_connection() -> None:
    """Else its answer would be taken for the next call's."""
    gone = asyncio.Event()

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.heads.append(await reader.readuntil(b"\r\n\r\n"))
        if server.connections == 1:
            await reader.read()
            gone.set()
        else:
            writer.write(KEPT)
            await writer.drain()

    async with RawServer(talk) as server:
        target = endpoint(server.url)
        async with target.connections(1) as connections:
            waiting = asyncio.create_task(connections.send(request(target, 1)))
            async with asyncio.timeout(10):
                await server.reached()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError) as cancelled:
                    await waiting
                assert not isinstance(cancelled.value, NothingLeft)
                await gone.wait()
                assert (await connections.send(request(target, 2))).result is AttemptResult.DELIVERED
        assert server.connections == 2


async def test_an_answer_that_comes_too_late_is_not_the_next_call_s() -> None:
    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            if server.connections == 1:
                await asyncio.sleep(0.3)
                writer.write(REFUSED)
            writer.write(KEPT)
            await writer.drain()

    async with RawServer(talk) as server:
        target = endpoint(server.url, timeout=0.2)
        async with target.connections(1) as connections:
            first = await connections.send(request(target, 1))
            assert (first.result, first.code) == (AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER)
            assert "Timeout" in first.reason
            assert (await connections.send(request(target, 2))).result is AttemptResult.DELIVERED
            await asyncio.sleep(0.2)
            assert (await connections.send(request(target, 3))).result is AttemptResult.DELIVERED


@pytest.mark.parametrize("speaks", ["plain", "tls"])
async def test_at_the_end_every_connection_is_closed_and_none_is_waited_for(speaks: str, tmp_path: Path) -> None:
    ended: list[bytes] = []

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(KEPT)
        with suppress(ssl.SSLError, ConnectionError):
            ended.append(await reader.read())

    files = certificate(tmp_path)
    async with RawServer(talk, tls(files) if speaks == "tls" else None) as server:
        target = endpoint(server.url, verify=files[0])
        async with target.connections(8) as connections:
            sent = await asyncio.gather(*(connections.send(request(target, each)) for each in range(8)))
            assert {attempt.result for attempt in sent} == {AttemptResult.DELIVERED}
            assert ended == []
        async with asyncio.timeout(10):
            while len(ended) < 8:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
    assert ended == [b""] * 8


async def test_a_call_that_is_in_flight_at_the_end_is_unknown_and_nobody_waits_for_it() -> None:
    async with RawServer(never_answers) as server:
        target = endpoint(server.url)
        async with target.connections(1) as connections:
            sending = asyncio.create_task(connections.send(request(target)))
            await server.reached()
        attempt = await sending
    assert (attempt.result, attempt.code) == (AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER)


async def test_a_refusal_before_a_long_call_has_left_counts() -> None:
    """The server answers and waits, without reading on: the rest of the call never leaves."""

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"{}", "413 Too Large"))
        await writer.drain()
        await asyncio.sleep(10)

    async with RawServer(talk) as server:
        target = endpoint(server.url, parameters_in="form")
        async with target.connections(1) as connections:
            refused = await connections.send(request(target, UserAgent="x" * 1_000_000))
            assert (refused.result, refused.status) == (AttemptResult.REJECTED, 413)


async def test_an_ok_before_a_long_call_has_left_does_not_deliver_it() -> None:
    """Whatever it is about, it is not about the whole call. The same answer did deliver the call before."""

    def talk(server: Apart, accepted: socket.socket) -> None:
        heard(accepted)
        accepted.sendall(KEPT)
        heard(accepted)
        accepted.sendall(KEPT)
        answered.acquire(timeout=10)

    answered = threading.Semaphore(0)
    server = Apart(talk, segment=536)
    with server.running() as origin:
        target = endpoint(origin, parameters_in="form")
        async with target.connections(1) as connections:
            brief = await connections.send(request(endpoint(origin), 1))
            assert brief.result is AttemptResult.DELIVERED
            attempt = await connections.send(request(target, 2, UserAgent="x" * 1_000_000))
            answered.release()
        assert server.accepted == 1
    assert (attempt.result, attempt.code, attempt.status) == (AttemptResult.UNKNOWN, ReasonCode.NO_VERDICT, 200)


@pytest.mark.parametrize("does", ["answers", "hangs up"])
async def test_what_a_server_does_before_the_request_is_no_answer_to_it(does: str) -> None:
    did = threading.Semaphore(0)

    def talk(server: Apart, accepted: socket.socket) -> None:
        if does == "answers":
            accepted.sendall(KEPT)
        else:
            accepted.shutdown(socket.SHUT_WR)
        did.release()
        accepted.recv(65_536)

    with Apart(talk).running() as origin:
        target = endpoint(origin)
        async with target.connections(1) as connections:
            for number in range(3):
                attempt = await connections.send(request(target, number), did.acquire)
                assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)


async def test_a_long_call_to_a_slow_reader_arrives_whole() -> None:
    bodies: list[int] = []

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            left = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            bodies.append(left)
            while left:
                left -= len(await reader.read(min(left, 50_000)))
                await asyncio.sleep(0.001)
            writer.write(KEPT)

    async with RawServer(talk) as server:
        target = endpoint(server.url, parameters_in="form")
        async with target.connections(1) as connections:
            for number in (1, 2):
                sent = request(target, number, UserAgent="y" * 1_000_000)
                assert (await connections.send(sent)).result is AttemptResult.DELIVERED
        assert server.connections == 1
    assert len(bodies) == 2
    assert min(bodies) > 1_000_000


class TestTLS:
    async def test_it_asks_for_the_host_and_speaks_http_1(self, tmp_path: Path) -> None:
        asked: list[str | None] = []
        files = certificate(tmp_path, "localhost")
        context = tls(files)
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.sni_callback = lambda _, name, __: asked.append(name)
        spoken: list[str | None] = []

        async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await says(KEPT)(server, reader, writer)

        async with RawServer(talk, context) as server:
            target = endpoint(f"https://localhost:{server.port}", verify=files[0])
            assert (await send(target)).result is AttemptResult.DELIVERED
            assert (await send(endpoint(server.url, verify=False))).result is AttemptResult.DELIVERED
            hosts = [head.partition(b"Host: ")[2].partition(b":")[0] for head in server.heads]
            assert hosts == [b"localhost", b"127.0.0.1"]
        assert asked == ["localhost", None], "an address is not a name"
        assert spoken == ["http/1.1"] * 2

    async def test_an_answer_until_the_end_is_whole_with_it(self, tmp_path: Path) -> None:
        files = certificate(tmp_path)
        async with RawServer(says(b'HTTP/1.1 200 OK\r\n\r\n{"Status": "OK"}'), tls(files)) as server:
            assert (await send(endpoint(server.url, verify=files[0]))).result is AttemptResult.DELIVERED

    async def test_a_connection_is_kept(self, tmp_path: Path) -> None:
        files = certificate(tmp_path)
        async with RawServer(keeps, tls(files)) as server:
            target = endpoint(server.url, verify=files[0])
            async with target.connections(1) as connections:
                for number in range(5):
                    assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
            assert server.connections == 1

    async def test_a_handshake_that_never_ends_is_not_sent(self) -> None:
        async with RawServer(never_answers) as server:
            attempt = await send(endpoint(server.url.replace("http:", "https:"), timeout=0.3))
        assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
class TestClientCertificates:
    """With TLS 1.3, the client has shaken hands, and writes its request, before the server judges its certificate."""

    def demanding(self, version: ssl.TLSVersion, tmp_path: Path) -> tuple[Apart, tuple[str, str]]:
        files = certificate(tmp_path)
        context = tls(files)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files[0])
        context.minimum_version = context.maximum_version = version
        return Apart(demands_a_certificate(context)), files

    @pytest.mark.parametrize("whose", ["nobody's", "another"])
    async def test_one_that_is_missing_or_refused(self, version: ssl.TLSVersion, whose: str, tmp_path: Path) -> None:
        server, files = self.demanding(version, tmp_path)
        (other := tmp_path / "other").mkdir()
        cert = certificate(other) if whose == "another" else None
        with server.running() as origin:
            attempt = await send(endpoint(origin.replace("http:", "https:"), verify=files[0], cert=cert))
        if version is ssl.TLSVersion.TLSv1_2 and cert is None:
            # The alert is the one for any handshake that fails.
            assert (attempt.result, attempt.code) == (AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION)
        else:
            assert (attempt.result, attempt.code) == (AttemptResult.ABORT, ReasonCode.CERTIFICATE_REFUSED)
            assert "client" in attempt.reason

    async def test_one_that_is_trusted(self, version: ssl.TLSVersion, tmp_path: Path) -> None:
        server, files = self.demanding(version, tmp_path)
        with server.running() as origin:
            target = endpoint(origin.replace("http:", "https:"), verify=files[0], cert=files)
            async with target.connections(1) as connections:
                for number in range(3):
                    assert (await connections.send(request(target, number))).result is AttemptResult.DELIVERED
        assert server.accepted == 1


async def test_a_refused_client_certificate_costs_no_call(tmp_path: Path) -> None:
    """The run aborts, and the ledger knows that no call left."""
    files = certificate(tmp_path)
    context = tls(files)
    context.verify_mode = ssl.CERT_REQUIRED
    ledger = in_a_file()
    with Apart(demands_a_certificate(context)).running() as origin, pytest.raises(DeliveryAborted) as raised:
        await asyncio.to_thread(
            run,
            Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, concurrency=1),
            endpoint(origin.replace("http:", "https:"), verify=files[0]),
            a_run_of(ledger),
            [canary.row(number) for number in range(20)],
            CallMapping(),
            threading.Event(),
        )
    assert raised.value.code == ReasonCode.CERTIFICATE_REFUSED
    assert (raised.value.report.not_sent, raised.value.report.unknown) == (20, 0)
    with ledger.engine.connect() as connection:
        assert set(connection.scalars(sa.select(ledger_calls.c.state))) == {CallState.NOT_SENT}


def test_a_request_is_made_without_an_event_loop_and_says_where_it_goes() -> None:
    target = endpoint("http://[::1]:8080/base")
    made = request(target)
    assert made.data.startswith(b"POST /base/calldata/logCallData?CampaignId=")
    assert b"\r\nHost: [::1]:8080\r\n" in made.data
    assert made.data.endswith(b"\r\n\r\n")
    assert made.refused is None
