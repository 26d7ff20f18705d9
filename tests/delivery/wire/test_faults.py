"""Every way in which the wire can fail, over a real socket, against its outcome by the design and the truth."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import chain, islice, product
from pathlib import Path
from string import ascii_lowercase

import pytest

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.outcome import (
    AttemptResult,
    DeliveryReport,
    NothingLeft,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.timings import Timings
from airflow_provider_impactcall.delivery.wire.connections import Connections
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.exceptions import DeliveryAborted, InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.sandbox import FAULTS, Sandbox
from airflow_provider_impactcall.sandbox.measures import Measures
from tests import examples
from tests.certificates import certificate
from tests.delivery import canary, raw_server
from tests.delivery.ledgers import a_run_of, in_a_file
from tests.delivery.raw_server import (
    OK,
    RawServer,
    answer,
    endpoint,
    never_answers,
    relay,
    says,
    send,
    tls,
)
from tests.tables import table

BY_FAULT = {
    "429-retry-after": AttemptResult.AGAIN,
    "429-retry-after-date": AttemptResult.AGAIN,
    "429-retry-after-minutes": AttemptResult.AGAIN,
    "429-retry-after-hour": AttemptResult.AGAIN,
    "429-x-ratelimit-reset": AttemptResult.AGAIN,
    "429-ratelimit-reset": AttemptResult.AGAIN,
    "429-bare": AttemptResult.AGAIN,
    "429-garbage": AttemptResult.AGAIN,
    "500": AttemptResult.AGAIN,
    "500-after-processing": AttemptResult.AGAIN,
    "502": AttemptResult.UNKNOWN,
    "502-after-processing": AttemptResult.UNKNOWN,
    "503": AttemptResult.AGAIN,
    "504": AttemptResult.UNKNOWN,
    "504-after-processing": AttemptResult.UNKNOWN,
    "408": AttemptResult.UNKNOWN,
    "400-errors": AttemptResult.REJECTED,
    "400-errors-lower-case": AttemptResult.REJECTED,
    "400-echo": AttemptResult.REJECTED,
    "403": AttemptResult.REJECTED,
    "302": AttemptResult.ABORT,
    "200-status-error": AttemptResult.REJECTED,
    "200-html": AttemptResult.UNKNOWN,
    "200-xml-ok": AttemptResult.DELIVERED,
    "200-empty": AttemptResult.UNKNOWN,
    "slow": AttemptResult.DELIVERED,
    "drip": AttemptResult.DELIVERED,
    "hang-before-processing": AttemptResult.UNKNOWN,
    "hang-after-processing": AttemptResult.UNKNOWN,
    "reset-before-reading": AttemptResult.UNKNOWN,
    "reset-after-processing": AttemptResult.UNKNOWN,
    "eof-after-processing": AttemptResult.UNKNOWN,
    "truncated-headers": AttemptResult.UNKNOWN,
    "truncated-body": AttemptResult.UNKNOWN,
}
KINDS = {
    "429": [fault for fault in BY_FAULT if fault.startswith("429")],
    "500 and 503": ["500", "500-after-processing", "503"],
    "502, 504 and 408": ["502", "502-after-processing", "504", "504-after-processing", "408"],
    "400": ["400-errors", "400-errors-lower-case", "400-echo"],
    "403": ["403"],
    "302": ["302"],
    "200 that says OK": ["200-xml-ok", "slow", "drip"],
    "200 that says ERROR": ["200-status-error"],
    "200 that says neither": ["200-html", "200-empty"],
    "no answer": ["hang-before-processing", "hang-after-processing"],
    "an end without an answer": ["reset-before-reading", "reset-after-processing", "eof-after-processing"],
    "part of an answer": ["truncated-headers", "truncated-body"],
}
WAITS = {
    "429-retry-after": (1, 1),
    "429-retry-after-date": (0, 2),
    "429-retry-after-minutes": (120, 120),
    "429-retry-after-hour": (3600, 3600),
    "429-x-ratelimit-reset": (0, 2),
    "429-ratelimit-reset": (1, 1),
    "503": (1, 1),
}
# With ``max_wait=0``, a call that would be sent again is given up, and one whose set-up is refused is not blamed.
ROW_OUTCOMES = {
    AttemptResult.DELIVERED: RowOutcome.DELIVERED,
    AttemptResult.REJECTED: RowOutcome.REJECTED,
    AttemptResult.AGAIN: RowOutcome.NOT_SENT,
    AttemptResult.UNKNOWN: RowOutcome.UNKNOWN,
    AttemptResult.ABORT: RowOutcome.NOT_SENT,
}
# The one answer that is believed and lies: impact.com asks to retry a 500, and this one had processed the call.
LIES = {"500-after-processing"}


def timeout(fault: str) -> float:
    """Seconds: few only where nothing else ends the request."""
    return 1.0 if fault.startswith("hang") else 10.0


def lead_to(origin: str, monkeypatch: pytest.MonkeyPatch, **extra: object) -> ImpactCallHook:
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", raw_server.connection(origin, **extra))
    return ImpactCallHook()


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """One in a hurry, with ``impactcall_default`` leading to it."""
    in_a_hurry = Measures(slow=0.05, drip=0.005)
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD, measures=in_a_hurry).in_thread() as running:
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(running))
        yield running


def test_every_fault_of_the_sandbox_is_in_the_table() -> None:
    assert set(BY_FAULT) == set(FAULTS)
    assert sorted(chain.from_iterable(KINDS.values())) == sorted(FAULTS)


@pytest.mark.parametrize("kind", KINDS)
async def test_one_attempt(kind: str, sandbox: Sandbox) -> None:
    with table() as row:
        for fault, parameters_in in product(KINDS[kind], ["query", "form"]):
            with row((fault, parameters_in)):
                sandbox.reset()
                await one_attempt(fault, parameters_in, sandbox)


async def one_attempt(fault: str, parameters_in: str, sandbox: Sandbox) -> None:
    sandbox.script = [fault]
    attempt = await send(endpoint(sandbox.url, parameters_in=parameters_in, timeout=timeout(fault)))
    processed = sandbox.counts["processed"]
    assert attempt.result is BY_FAULT[fault]
    assert sandbox.counts["requests"] == 1, "nobody below the engine tries again"
    assert processed == FAULTS[fault].processed
    if attempt.result is AttemptResult.DELIVERED:
        assert processed == 1
    if attempt.result in (AttemptResult.REJECTED, AttemptResult.AGAIN, AttemptResult.ABORT) and fault not in LIES:
        assert processed == 0
    if fault in WAITS:
        shortest, longest = WAITS[fault]
        assert attempt.retry_after is not None
        assert shortest <= attempt.retry_after <= longest
    else:
        assert attempt.retry_after is None


MANY_WORDS = " ".join(map("".join, islice(product(ascii_lowercase, repeat=4), 12_000)))


@pytest.mark.parametrize("text", ["abcd " * 12_000, "<!--" * 15_000, f'{{"Message": "{MANY_WORDS[::-1]}"}}'])
async def test_no_answer_holds_up_the_other_calls(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight in flight, of which one is refused at length while the others' answers come in."""
    refusal = answer(text.encode(), "400 Bad Request", "Connection: close")

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0 if b"-1&" in head else 0.3)
        writer.write(refusal if b"-1&" in head else OK)
        await writer.drain()

    async with RawServer(talk) as server:
        hook = lead_to(server.url, monkeypatch, timeout=3)
        rows = [canary.row(number, UserAgent="Mozilla " + MANY_WORDS[:30_000]) for number in range(1, 9)]
        report = await asyncio.to_thread(hook.deliver, rows, concurrency=8)
    assert (report.delivered, report.rejected, report.unknown) == (7, 1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_deliver(kind: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two calls meets the fault; with ``max_wait=0`` what would be tried again is given up."""
    with table() as row:
        for fault in KINDS[kind]:
            with row(fault):
                sandbox.reset()
                deliver_with(fault, sandbox, monkeypatch)


def deliver_with(fault: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.script = ["ok", fault]
    hook = lead_to(sandbox.url, monkeypatch, timeout=timeout(fault))
    settled: dict[int, RowOutcome] = {}
    # The ledger knows the calls of the last fault.
    rows = [canary.row(f"{fault}-1"), canary.row(f"{fault}-2")]
    expected = ROW_OUTCOMES[BY_FAULT[fault]]
    aborted = None
    try:
        report = hook.deliver(
            rows, max_wait=0, concurrency=1, on_settled=lambda row, outcome: settled.update({row.row: outcome.state})
        )
    except DeliveryAborted as error:
        aborted, report = str(error), error.report
    assert (aborted is not None) == (BY_FAULT[fault] is AttemptResult.ABORT)
    assert canary.found_in(str(aborted)) == []
    assert settled == {1: RowOutcome.DELIVERED, 2: expected}
    assert report.rows == report.accounted == 2
    assert report.delivered == 1 + (expected is RowOutcome.DELIVERED)
    assert sandbox.counts["requests"] == 2
    assert sandbox.counts["processed"] == 1 + FAULTS[fault].processed


@pytest.mark.parametrize("kind", KINDS)
def test_log_call(kind: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with table() as row:
        for fault in KINDS[kind]:
            with row(fault):
                sandbox.reset()
                log_call_with(fault, sandbox, monkeypatch)


def log_call_with(fault: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.script = [fault]
    hook = lead_to(sandbox.url, monkeypatch, timeout=timeout(fault))
    if BY_FAULT[fault] is AttemptResult.ABORT or fault == "403":
        with pytest.raises(DeliveryAborted) as raised:
            hook.log_call(canary.row(fault), max_wait=0)
        assert raised.value.code == (ReasonCode.FORBIDDEN if fault == "403" else ReasonCode.SETUP_REFUSED)
        assert raised.value.report.not_sent == 1
    else:
        outcome = hook.log_call(canary.row(fault), max_wait=0)
        assert outcome.state is ROW_OUTCOMES[BY_FAULT[fault]]
        assert canary.found_in(outcome.reason) == []
    assert sandbox.counts["processed"] == FAULTS[fault].processed


@pytest.mark.parametrize("fault", ["429-retry-after", "429-bare", "429-garbage", "500"])
def test_what_may_be_sent_again_is_sent_again(fault: str, sandbox: Sandbox) -> None:
    sandbox.script = [fault, "ok"]
    assert ImpactCallHook().log_call(canary.row()).state is RowOutcome.DELIVERED
    counts = sandbox.counts
    assert (counts["requests"], counts["processed"]) == (2, 1)


def test_a_500_that_lies_is_the_known_price_of_believing_it(sandbox: Sandbox) -> None:
    sandbox.script = ["500-after-processing", "ok"]
    assert ImpactCallHook().log_call(canary.row()).state is RowOutcome.DELIVERED
    assert sandbox.counts["processed"] == 2
    sandbox.reset()
    sandbox.script = ["500-after-processing", "ok"]
    assert ImpactCallHook().log_call(canary.row("another"), retry_statuses=[429]).state is RowOutcome.UNKNOWN
    assert sandbox.counts["processed"] == 1, "and who does not believe it says so with retry_statuses"


def test_many_calls_among_all_kinds_of_faults(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [kind for kind in FAULTS if not kind.startswith(("429", "hang", "slow", "503", "302", "403"))]
    sandbox.faults = dict.fromkeys(quick, 0.3 / len(quick))
    hook = lead_to(sandbox.url, monkeypatch)
    report = hook.deliver([canary.row(number) for number in range(400)], concurrency=16, max_wait=30)
    assert report.rows == report.accounted == 400
    assert report.not_sent == 0
    processed = examples.session_ids(sandbox)
    lies = sandbox.counts["faults"].get("500-after-processing", 0)
    assert len(processed) - len(set(processed)) <= lies, "a call is processed twice only where a 500 lied"
    assert report.delivered <= len(set(processed)) <= report.delivered + report.unknown + lies
    assert report.rejected > 0
    assert report.unknown > 0


# Faults of the connection itself


async def deliver(hook: ImpactCallHook, **options: object) -> DeliveryReport:
    """Two calls, without patience, while the servers of this loop go on."""
    rows = [canary.row(1), canary.row(2)]
    return await asyncio.to_thread(lambda: hook.deliver(rows, max_wait=0, concurrency=1, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["refused", "no such name"])
async def test_no_connection_is_not_sent(kind: str, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = f"http://127.0.0.1:{closed_port}" if kind == "refused" else "http://nonexistent.invalid"
    attempt = await send(endpoint(origin))
    assert attempt.result is AttemptResult.NOT_SENT
    assert attempt.code is ReasonCode.NO_CONNECTION
    report = await deliver(lead_to(origin, monkeypatch))
    assert (report.not_sent, report.rows) == (2, 2)
    assert report.stop is not None


@pytest.fixture
def full_accept_queue() -> Iterator[str]:
    """An address whose connections hang: nobody accepts, and the queue of those that wait for it is full."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_a_connection_that_hangs_is_not_sent(full_accept_queue: str) -> None:
    attempt = await send(endpoint(full_accept_queue, timeout=0.4))
    assert attempt.result is AttemptResult.NOT_SENT
    assert attempt.code is ReasonCode.NO_CONNECTION
    assert "Timeout" in attempt.reason, "the error's type is kept"


async def test_a_request_that_is_cancelled_while_it_connects_has_not_left(full_accept_queue: str) -> None:
    connecting = asyncio.create_task(send(endpoint(full_accept_queue)))
    await asyncio.sleep(0.2)
    connecting.cancel()
    with pytest.raises(NothingLeft):
        await connecting


async def test_a_request_that_is_cancelled_once_it_is_connected_may_have_left() -> None:
    async with RawServer(never_answers) as server:
        waiting = asyncio.create_task(send(endpoint(server.url)))
        await server.reached()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await waiting
        assert not isinstance(cancelled.value, NothingLeft)


def test_a_run_that_is_stopped_while_it_connects_has_sent_nothing(full_accept_queue: str) -> None:
    interrupt = threading.Event()

    class Interrupted(Endpoint):
        @asynccontextmanager
        async def connections(self, most: int) -> AsyncIterator[Connections]:
            async with super().connections(most) as connections:
                asyncio.get_running_loop().call_later(0.2, interrupt.set)
                yield connections

    report = run(
        Engine(
            duplicates=Duplicates(),
            pacing=Pacing(max_wait=0),
            on_settled=lambda *_: None,
            concurrency=1,
            interrupt=interrupt,
            timings=Timings(grace=0.2),
        ),
        Interrupted(full_accept_queue, examples.LOGIN, examples.PASSWORD),
        a_run_of(in_a_file()),
        [canary.row(1), canary.row(2)],
        CallMapping(),
        interrupt,
    )
    assert (report.not_sent, report.unknown, report.given_up) == (2, 0, 2)


async def test_an_endpoint_that_accepts_and_never_answers_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(never_answers) as server:
        assert (await send(endpoint(server.url, timeout=1.0))).result is AttemptResult.UNKNOWN
        report = await deliver(lead_to(server.url, monkeypatch, timeout=1.0))
        # With max_wait=0, the first unknown ends the run.
        assert (report.unknown, report.not_sent) == (1, 1)


async def test_tls_to_a_plain_port_is_not_sent(sandbox: Sandbox) -> None:
    attempt = await send(endpoint(sandbox.url.replace("http:", "https:")))
    assert attempt.result is AttemptResult.NOT_SENT
    assert sandbox.counts["requests"] == 0


async def test_plain_to_a_tls_port_is_unknown_as_the_call_has_left(tmp_path: Path) -> None:
    async with RawServer(says(OK), tls(certificate(tmp_path))) as server:
        attempt = await send(endpoint(server.url.replace("https:", "http:")))
        assert attempt.result is AttemptResult.UNKNOWN
        assert server.heads == []


class TestCertificates:
    async def test_self_signed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with RawServer(says(OK), tls(certificate(tmp_path))) as server:
            attempt = await send(endpoint(server.url))
            assert (attempt.result, attempt.code) == (AttemptResult.ABORT, ReasonCode.CERTIFICATE_REFUSED)
            with pytest.raises(DeliveryAborted) as raised:
                await deliver(lead_to(server.url, monkeypatch))
            assert raised.value.code == ReasonCode.CERTIFICATE_REFUSED
            assert raised.value.report.not_sent == 2
            assert server.heads == []

    @pytest.mark.parametrize("trusted", ["any", "file"])
    async def test_trusted(self, trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = certificate(tmp_path)
        verify = False if trusted == "any" else files[0]
        async with RawServer(says(OK), tls(files)) as server:
            assert (await send(endpoint(server.url, verify=verify))).result is AttemptResult.DELIVERED
            assert (await deliver(lead_to(server.url, monkeypatch, verify=verify))).delivered == 2
            assert len(server.heads) == 3

    async def test_of_another_name(self, tmp_path: Path) -> None:
        files = certificate(tmp_path, "other.example.com")
        async with RawServer(says(OK), tls(files)) as server:
            assert (await send(endpoint(server.url, verify=files[0]))).result is AttemptResult.ABORT
            assert (await send(endpoint(server.url, verify=False))).result is AttemptResult.DELIVERED

    async def test_expired(self, tmp_path: Path) -> None:
        files = certificate(tmp_path, days=-1)
        async with RawServer(says(OK), tls(files)) as server:
            assert (await send(endpoint(server.url, verify=files[0]))).result is AttemptResult.ABORT

    @pytest.mark.parametrize("extra", [{"verify": "/no/such/file.pem"}, {"cert": "/no/such/file.pem"}])
    def test_a_file_that_is_not_there_is_an_error_of_the_connection(
        self, extra: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hook = lead_to(sandbox.url, monkeypatch, **extra)
        with pytest.raises(InvalidOption, match=r"\bverify\b.*\bcert\b"):
            hook.deliver([canary.row(number) for number in range(5000)])
        assert sandbox.counts["requests"] == 0

    def test_a_key_with_a_password_is_an_error_and_no_question(
        self, tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = certificate(tmp_path, password=b"secret")
        with pytest.raises(InvalidOption, match=r"\bverify\b.*\bcert\b"):
            lead_to(sandbox.url, monkeypatch, cert=files).deliver([canary.row()])

    @pytest.mark.parametrize("shown", [True, False])
    async def test_of_the_client(self, shown: bool, tmp_path: Path) -> None:
        files = certificate(tmp_path)
        context = tls(files)
        context.load_verify_locations(files[0])
        context.verify_mode = ssl.CERT_REQUIRED
        async with RawServer(says(OK), context) as server:
            attempt = await send(endpoint(server.url, verify=files[0], cert=files if shown else None))
            # TLS 1.3 tells a client that lacks one only after it has sent its request.
            assert attempt.result is (AttemptResult.DELIVERED if shown else AttemptResult.UNKNOWN)
            assert len(server.heads) == shown


NO_TUNNEL: dict[str, list[tuple[bytes, list[str]]]] = {
    "an answer": [
        (answer(b"", "403 Forbidden"), ["403"]),
        (answer(b"", "502 Bad Gateway"), ["502"]),
        (answer(b"", "503 Unavailable", "Retry-After: 5"), ["503"]),
        (answer(b"", "302 Found", "Location: /"), ["302"]),
    ],
    "no answer": [(b"", []), (b"HTTP/1.1 200 Conn", [])],
    "another protocol": [
        (b"SSH-2.0-OpenSSH_9.2\r\n", []),
        (b"HTTP/1.1 200 OK\r\n\r\nno TLS here", []),
    ],
}


class TestProxies:
    async def test_that_refuses_its_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with RawServer(says(answer(b"", "407 Proxy Authentication Required"))) as proxy:
            await self.makes_no_tunnel(proxy, AttemptResult.ABORT, ReasonCode.SETUP_REFUSED, ["proxy"])
            with pytest.raises(DeliveryAborted):
                await deliver(lead_to("https://calls.example.com", monkeypatch, proxies=proxy.url))

    @pytest.mark.parametrize("kind", NO_TUNNEL)
    async def test_that_makes_no_tunnel(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with table() as row:
            for reply, named in NO_TUNNEL[kind]:
                with row(reply):
                    async with RawServer(says(reply)) as proxy:
                        await self.makes_no_tunnel(proxy, AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, named)
                        hook = lead_to("https://calls.example.com", monkeypatch, proxies=proxy.url)
                        assert (await deliver(hook)).not_sent == 2

    async def makes_no_tunnel(
        self, proxy: RawServer, result: AttemptResult, code: ReasonCode, named: Sequence[str]
    ) -> None:
        attempt = await send(endpoint("https://calls.example.com", proxy=proxy.url))
        assert (attempt.result, attempt.code) == (result, code)
        assert all(word in attempt.reason for word in named)
        assert proxy.heads[0].startswith(b"CONNECT calls.example.com:443 HTTP/1.1\r\n")
        assert b"uthorization" not in proxy.heads[0], "the credentials are the endpoint's, and not the proxy's"

    async def test_that_never_answers(self) -> None:
        async with RawServer(never_answers) as proxy:
            attempt = await send(endpoint("https://calls.example.com", proxy=proxy.url, timeout=0.4))
            assert attempt.result is AttemptResult.NOT_SENT

    async def test_that_is_not_there(self, closed_port: int) -> None:
        attempt = await send(endpoint("https://calls.example.com", proxy=f"http://127.0.0.1:{closed_port}"))
        assert attempt.result is AttemptResult.NOT_SENT

    @pytest.mark.parametrize("origin", ["https://calls.example.com", "http://calls.example.com"])
    async def test_that_asks_for_credentials_gets_its_own_and_never_the_endpoint_s(self, origin: str) -> None:
        async with RawServer(says(answer(b"", "407 No"))) as proxy:
            with_credentials = proxy.url.replace("//", "//proxy-user:proxy-pass@")
            assert (await send(endpoint(origin, proxy=with_credentials))).result is AttemptResult.ABORT
            assert b"Proxy-Authorization: Basic cHJveHktdXNlcjpwcm94eS1wYXNz\r\n" in proxy.heads[0]
            assert (await send(endpoint(origin, proxy=proxy.url))).result is AttemptResult.ABORT
            assert b"Proxy-Authorization" not in proxy.heads[1]

    async def test_that_makes_a_tunnel(self, tmp_path: Path) -> None:
        files = certificate(tmp_path)
        async with RawServer(says(OK), tls(files)) as server, RawServer(_tunnel) as proxy:
            attempt = await send(endpoint(server.url, verify=files[0], proxy=proxy.url))
            assert attempt.result is AttemptResult.DELIVERED
            assert (len(server.heads), proxy.connections) == (1, 1)
            assert (await send(endpoint(server.url, proxy=proxy.url))).result is AttemptResult.ABORT, (
                "the certificate counts"
            )

    async def test_to_a_plain_endpoint_the_proxy_s_own_407_and_errors_are_answers(self) -> None:
        by_reply = {
            "407 No": AttemptResult.ABORT,
            "502 Bad Gateway": AttemptResult.UNKNOWN,
            "503 Unavailable": AttemptResult.AGAIN,
        }
        for reply, result in by_reply.items():
            async with RawServer(says(answer(b"", reply))) as proxy:
                assert (await send(endpoint("http://calls.example.com", proxy=proxy.url))).result is result
                assert proxy.heads[0].startswith(b"POST http://calls.example.com/calldata/logCallData?")


async def _tunnel(proxy: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split(b" ")[1].decode().partition(":")
    there, back = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await relay(reader, writer, there, back)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


ODD_ANSWERS = {
    "a whole one": (AttemptResult.DELIVERED, [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"Status": "OK"}',
        b"HTTP/1.0 200 OK\r\n\r\n" + b'{"Status": "OK"}',
        CHUNKED + b'10\r\n{"Status": "OK"}\r\n0\r\n\r\n',
        answer(b'{"Status": "OK"}', "200 OK", "Set-Cookie: " + "a=b; " * 50),
    ]),
    "a part": (AttemptResult.UNKNOWN, [
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"Status": "OK"',
        CHUNKED + b'10\r\n{"Status": "OK"}\r\n',
        b"HTTP/1.1 400 Bad\r\nContent-Length: 100\r\n\r\n{",
    ]),
    "another protocol": (AttemptResult.UNKNOWN, [
        b"hello\r\n",
        b"\x15\x03\x03\x00\x02\x02\x0a",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ]),
    "a broken head": (AttemptResult.UNKNOWN, [
        b"HTTP/1.1 200\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ]),
    "a broken body": (AttemptResult.UNKNOWN, [
        CHUNKED + b"zz\r\n{}",
        answer(b"\x1f\x8bgarbage", "200 OK", "Content-Encoding: gzip"),
        answer(b"garbage", "200 OK", "Content-Encoding: deflate"),
        answer(b"\x8b\x02", "200 OK", "Content-Encoding: br"),
    ]),
    "a long body": (AttemptResult.UNKNOWN, [answer(b'{"Status": "OK", "x": "' + b"y" * 100_000 + b'"}')]),
    "a wait without sense": (AttemptResult.AGAIN, [
        answer(b"{}", "429 Slow", "Retry-After: Thu, 10 Sep 2026 22:55:42 +99999999999999999999"),
    ]),
    "a reason without sense": (AttemptResult.ABORT, [answer(b"{}", "401 \xff")]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_ANSWERS)
async def test_answers_that_no_good_server_gives(kind: str) -> None:
    result, answers = ODD_ANSWERS[kind]
    with table() as row:
        for raw in answers:
            with row(raw[:100]):
                async with RawServer(says(raw)) as server:
                    assert (await send(endpoint(server.url, timeout=5))).result is result
                    assert server.connections == 1


async def test_a_refusal_while_a_long_call_is_still_on_its_way_is_never_taken_for_not_sent() -> None:
    async with RawServer(says(answer(b"{}", "413 Too Large", "Connection: close"))) as server:
        attempt = await send(endpoint(server.url, parameters_in="form"), UserAgent="x" * 1_000_000)
        assert attempt.result in (AttemptResult.REJECTED, AttemptResult.UNKNOWN)


async def test_an_answer_without_end_ends_with_the_timeout() -> None:
    async def talk(_: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65_536)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with RawServer(talk) as server:
        assert (await send(endpoint(server.url, timeout=0.4))).result is AttemptResult.UNKNOWN


async def test_an_endpoint_that_hangs_up_after_each_answer_costs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(says(OK)) as server:
        assert (await deliver(lead_to(server.url, monkeypatch))).delivered == 2
        assert server.connections == 2
