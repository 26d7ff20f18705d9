"""The page at the level of HTTP: what it is told, what it can change, and who is kept out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from aiohttp.test_utils import TestClient, TestServer

from airflow_provider_impactcall import pages
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox import FAULTS, Sandbox, page, recent
from airflow_provider_impactcall.sandbox.application import CallDataApplication
from airflow_provider_impactcall.sandbox.decisions import Decisions
from airflow_provider_impactcall.sandbox.journal import Journal
from airflow_provider_impactcall.sandbox.measures import Measures
from airflow_provider_impactcall.sandbox.plan import FaultPlan
from airflow_provider_impactcall.sandbox.views import masked

from .wire import CALL, FORM, Ask, a_call, basic, until

CALLER = CALL["CallerId"]
RECORDING = "https://recordings.example.com/1.mp3"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
STATIC = Path(page.__file__).with_name("static")
SHARED = Path(pages.__file__).with_name("static")


def look(path: str, **headers: str | None) -> Ask:
    """What the page asks for, without credentials."""
    return Ask(method="GET", path=path, headers={"Authorization": None} | headers)


def change(settings: object, **headers: str | None) -> Ask:
    """The page's change of faults or latency."""
    body = settings if isinstance(settings, bytes) else json.dumps(settings).encode()
    own = {"Authorization": None, "Content-Type": "application/json"}
    return Ask(method="PATCH", path="/page/faults", body=body, headers=own | headers)


class Feed:
    """An open page, as a browser holds one."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.reader = reader
        self.head = b""

    async def message(self) -> tuple[str, dict[str, Any]]:
        """The next event and its data."""
        async with asyncio.timeout(5):
            while True:
                text = await self.reader.readuntil(b"\n\n")
                if found := re.search(rb"event: (\w+)\ndata: (.*)\n\n", text):
                    return found[1].decode(), json.loads(found[2])

    async def seen(self, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first data for which something holds."""
        while True:
            _, data = await self.message()
            if holds(data):
                return data


@asynccontextmanager
async def opened(sandbox: Sandbox, query: str = "", **headers: str | None) -> AsyncIterator[Feed]:
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    writer.write(look(f"/page/feed{query}", **headers).bytes())
    feed = Feed(reader)
    feed.head = await reader.readuntil(b"\r\n\r\n")
    try:
        yield feed
    finally:
        writer.close()


def ids(data: Mapping[str, Any]) -> list[str | None]:
    return [request["CallSessionId"] for request in data["requests"]]


# The page itself


async def test_a_browser_gets_the_page_and_a_script_the_text() -> None:
    async with Sandbox() as sandbox:
        shown = await look("/", **HTML).of(sandbox)
        told = await look("/", Accept="*/*").of(sandbox)

    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<!DOCTYPE html>" in shown.body
    assert told.headers["content-type"].startswith("text/plain")
    assert {reply.headers["vary"] for reply in (shown, told)} == {"Accept"}


async def test_every_file_comes_with_its_type_and_its_headers() -> None:
    files = [file.name for folder in (SHARED, STATIC) for file in folder.iterdir()]
    assert {"base.css", "index.html", "page.css", "page.js", "icon.svg"} <= set(files)
    assert len(files) == len(set(files)), "no file of the page hides a shared one"
    types = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
    async with Sandbox() as sandbox:
        for name in files:
            reply = await look(f"/page/{name}").of(sandbox)
            assert reply.status == 200
            assert reply.headers["content-type"] == f"{types[Path(name).suffix]}; charset=utf-8"
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["cache-control"] == "no-store"
            assert reply.headers["content-security-policy"] == (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
        for path in ("/page/nothing.js", "/page/..%2fpage.py", "/page/%2e%2e/page.py", "/page/"):
            assert (await look(path).of(sandbox)).status == 404, path


def test_the_files_keep_to_their_own_policy() -> None:
    """Nothing inline, nothing from elsewhere, no markup out of text, and no address that a proxy's path would break."""
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", html)
    assert re.findall(r'(?:src|href)="(?!#)([^"]+)"', html) == [
        "page/icon.svg",
        "page/base.css",
        "page/page.css",
        "page/page.js",
        "calls",
        "counts",
    ]
    for script in STATIC.glob("*.js"):
        text = script.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\.style\b", text), script
        assert not re.search(r"""["'`](/|https?://)""", text), script
        assert all((STATIC / name).is_file() for name in re.findall(r'from "\./([^"]+)"', text))
    assert not [file for folder in (SHARED, STATIC) for file in folder.glob("*.css") if "url(" in file.read_text()]
    identifiers = re.findall(r'\sid="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))
    asked = {name for script in STATIC.glob("*.js") for name in re.findall(r'byId\("([^"]+)"\)', script.read_text())}
    assert asked <= set(identifiers)


# The feed


async def test_the_feed_says_what_there_is_and_then_what_comes() -> None:
    async with Sandbox(faults={"503": 0}, seed=5, latency=0.01) as sandbox:
        await a_call(CallSessionId="before").of(sandbox)
        async with opened(sandbox) as feed:
            kind, all_there_is = await feed.message()
            await a_call(CallSessionId="after").of(sandbox)
            news = await feed.seen(lambda data: data["requests"][-1]["over"])

    assert b"Content-Type: text/event-stream" in feed.head
    assert b"Content-Security-Policy: default-src 'none'" in feed.head
    assert (kind, ids(all_there_is), ids(news)) == ("all", ["before"], ["after"])
    assert all_there_is["state"] | {"latency_ms": 10} == {
        "counts": {"requests": 1, "processed": 1, "answered_ok": 1, "answered": {"200": 1}, "faults": {}},
        "refused": {},
        "faults": {"503": 0},
        "latency_ms": 10,
        "seed": 5,
        "scripted": 0,
    }
    assert news["requests"][0] | {"at": ""} == {
        "path": "requests/2",
        "number": 2,
        "at": "",
        "CallSessionId": "after",
        "CallerId": "••••••34",
        "processed": True,
        "wrong": 0,
        "fault": None,
        "status": 200,
        "over": True,
    }


async def test_each_end_of_a_request_is_told_apart() -> None:
    async with Sandbox() as sandbox:
        sandbox.script = ["ok", "429-bare", "500-after-processing", "reset-after-processing", "ok", "ok"]
        for name in ("fine", "limited", "lost", "reset"):
            await a_call(CallSessionId=name).of(sandbox)
        await a_call(CallSessionId="wrong", MediaId="x", TalkDuration=None).of(sandbox)
        await Ask(headers={"Authorization": None}).of(sandbox)
        async with opened(sandbox) as feed:
            _, data = await feed.message()

    told = [
        (each["CallSessionId"], each["processed"], each["wrong"], each["fault"], each["status"], each["over"])
        for each in data["requests"]
    ]
    assert told == [
        ("fine", True, 0, None, 200, True),
        ("limited", False, 0, "429-bare", 429, True),
        ("lost", True, 0, "500-after-processing", 500, True),
        ("reset", True, 0, "reset-after-processing", None, True),
        ("wrong", False, 2, None, 400, True),
        (None, False, 1, None, 401, True),
    ]
    assert data["state"]["refused"] == {"400": 1, "401": 1}


async def test_a_request_that_hangs_is_shown_while_it_does() -> None:
    async with Sandbox(faults={"hang-after-processing": 1}) as sandbox, opened(sandbox) as feed:
        hanging = asyncio.create_task(a_call(CallSessionId="hangs").of(sandbox))
        data = await feed.seen(lambda data: data["requests"] and data["requests"][0]["fault"])
        assert (ids(data), data["requests"][0]["over"], data["requests"][0]["status"]) == (["hangs"], False, None)
        hanging.cancel()
        data = await feed.seen(lambda data: data["requests"] and data["requests"][0]["over"])
        assert data["requests"][0]["status"] is None


async def test_a_body_that_arrives_late_is_read() -> None:
    ask = Ask(body=urlencode(CALL).encode(), headers={"Content-Type": FORM}).bytes()
    async with Sandbox() as sandbox, opened(sandbox) as feed:
        _, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(ask[:-5])
        first = await feed.seen(lambda data: data["requests"])
        writer.write(ask[-5:])
        last = await feed.seen(lambda data: data["requests"] and data["requests"][0]["over"])
        writer.close()

    assert (ids(first), ids(last)) == ([None], ["a-1"])


async def test_only_the_latest_are_kept() -> None:
    async with Sandbox(keep_requests=False) as sandbox:
        extra = 5
        first = "x" * 20_000
        await a_call(City=first).of(sandbox)
        for number in range(recent.KEPT + extra - 1):
            await a_call(CallSessionId=f"n-{number}", MediaId="").of(sandbox)
        async with opened(sandbox) as feed:
            _, data = await feed.message()
        gone = await look("/page/requests/1").of(sandbox)
        there = await look(f"/page/requests/{extra + 1}").of(sandbox)

    assert data["kept"] == len(data["requests"]) == recent.KEPT
    assert [each["number"] for each in data["requests"]] == list(range(extra + 1, recent.KEPT + extra + 1))
    assert (gone.status, there.status, there.json["number"]) == (404, 200, extra + 1)


async def test_what_is_kept_of_a_request_has_a_size() -> None:
    names = "&".join(f"{'n' * 200}{number}=1" for number in range(150))
    long = Ask(body=f"{urlencode(CALL)}&{names}".encode(), headers={"Content-Type": FORM})
    async with Sandbox(keep_requests=False) as sandbox:
        assert (await long.of(sandbox)).status == 400
        assert (await a_call(City="x" * 100_000).of(sandbox)).status == 200
        refused, taken = [(await look(f"/page/requests/{number}").of(sandbox)).json for number in (1, 2)]
        kept = sandbox._journal.recent.since(0)

    assert (refused["too_long"], refused["parameters"], refused["wrong"], len(refused["problems"])) == (
        True,
        [],
        150,
        100,
    )
    assert (taken["too_long"], taken["processed"], taken["parameters"]) == (True, True, [])
    assert sum(len(each.target) + len(each.body) + len(str(each.problems)) for each in kept) < 30_000


async def test_forgotten_calls_are_gone_from_open_pages() -> None:
    async with Sandbox() as sandbox, opened(sandbox) as feed:
        await a_call().of(sandbox)
        await feed.seen(lambda data: data["requests"])
        assert (await Ask(method="DELETE", path="/calls").of(sandbox)).status == 204
        kind, data = await feed.message()
        while kind != "all":
            kind, data = await feed.message()

    assert (data["requests"], data["state"]["counts"]["requests"]) == ([], 0)


async def test_so_many_pages_and_no_more() -> None:
    async with Sandbox(measures=Measures(pages=2)) as sandbox:
        async with opened(sandbox), opened(sandbox) as second:
            await second.message()
            refused = await look("/page/feed").of(sandbox)

        async def free() -> bool:
            async with opened(sandbox) as again:
                return b" 200 " in again.head

        await until(free)

    assert (refused.status, "2 open pages" in refused.json["detail"]) == (503, True)


async def test_a_page_that_reads_nothing_holds_up_nobody_and_is_given_up() -> None:
    long = "x" * 15_000
    measures = Measures(patience=0.3, news=0.001)
    async with Sandbox(measures=measures) as sandbox, opened(sandbox) as stuck, opened(sandbox) as reading:
        # Nothing of it is read from here on: the kernel's buffers fill, then the server's.
        stuck.reader._transport.pause_reading()  # type: ignore[attr-defined]

        async def given_up() -> bool:
            for number in range(20):
                async with asyncio.timeout(30):
                    reply = await a_call(CallSessionId=f"{number}{long}").of(sandbox)
                assert reply.status == 200
            return sandbox._application._page._pages == 1

        async def read() -> None:
            while True:
                await reading.message()

        reader = asyncio.create_task(read())
        async with asyncio.timeout(120):
            while not await given_up():
                pass
        reader.cancel()


async def test_an_open_page_does_not_hold_up_the_end() -> None:
    async with Sandbox() as sandbox, opened(sandbox) as feed:
        await feed.message()
        await asyncio.wait_for(sandbox.stop(), 2)


async def test_a_quiet_feed_is_kept_alive() -> None:
    async with Sandbox(measures=Measures(heartbeat=0.05, news=0.01)) as sandbox, opened(sandbox) as feed:
        await feed.message()
        async with asyncio.timeout(5):
            assert await feed.reader.readuntil(b": still here\n\n")


# A request by itself


async def test_details_have_every_parameter_in_the_order_of_the_page() -> None:
    mixed = dict(reversed(CALL.items())) | {"Nonsense": "1", "City": "São <b>Paulo</b>", "Zip": ""}
    async with Sandbox() as sandbox:
        await Ask(urlencode(mixed)).of(sandbox)
        detail = (await look("/page/requests/1").of(sandbox)).json

    assert [each["name"] for each in detail["parameters"]] == [*CALL, "City", "Zip", "Nonsense"]
    values = {each["name"]: each["value"] for each in detail["parameters"]}
    assert values == mixed | {"CallerId": "••••••34", "Nonsense": "••••••"}
    assert [each["name"] for each in detail["parameters"] if each["hidden"]] == ["CallerId", "Nonsense"]
    assert detail["problems"] == [{"parameter": "Nonsense", "message": "is not one of impact.com's 50 parameters"}]
    assert (detail["method"], detail["status"], detail["wrong"]) == ("POST", 400, 1)


async def test_what_came_before_the_fault_is_shown_too() -> None:
    async with Sandbox(faults={"429-bare": 1}) as sandbox:
        await Ask(body=urlencode(CALL).encode(), headers={"Content-Type": FORM}).of(sandbox)
        detail = (await look("/page/requests/1").of(sandbox)).json

    assert {each["name"] for each in detail["parameters"]} == set(CALL)
    assert (detail["fault"], detail["processed"], detail["problems"]) == ("429-bare", False, [])


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (Ask(urlencode(CALL), headers={"Authorization": None}), "Authorization is missing"),
        (Ask("City=" + "x" * 140_000), "request target has more than 131072 bytes"),
        (Ask(body=b"x" * 2_100_000, headers={"Content-Type": FORM}), "body has more than 2097152 bytes"),
        (Ask(urlencode(CALL), b"{}", headers={"Content-Type": "text/json"}), "body is not read: it is text/json"),
    ],
)
async def test_every_refusal_says_why(ask: Ask, problem: str) -> None:
    async with Sandbox() as sandbox:
        assert (await ask.of(sandbox)).status >= 400
        (found,) = (await look("/page/requests/1").of(sandbox)).json["problems"]
    assert f"{found['parameter']} {found['message']}".startswith(problem)


async def test_bytes_that_are_not_utf8_can_be_shown() -> None:
    async with Sandbox() as sandbox:
        await Ask(f"{urlencode(CALL)}&City=%FF&%FE=1").of(sandbox)
        reply = await look("/page/requests/1").of(sandbox)
        async with opened(sandbox) as feed:
            await feed.message()
    assert [each["parameter"] for each in reply.json["problems"]] == ["City", "?"]


# Callers' numbers


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("8055551234", "••••••34"),
        ("+44 20 7946 0958", "••••••58"),
        ("(805) 555-12 34x", "••••••34"),
        ("123", "••••••"),
        ("anonymous", "••••••"),
        ("", "••••••"),
    ],
)
def test_masked(number: str, shown: str) -> None:
    assert masked(number) == shown


async def test_callers_and_recordings_leave_only_when_they_are_asked_for() -> None:
    async with Sandbox() as sandbox:
        await a_call(CallRecording=RECORDING).of(sandbox)
        await a_call(CallerId=None, callerid=CALLER, CallSessionId="typo").of(sandbox)
        paths = [f"/page/requests{end}" for end in ("/1", "/2", "?CallSessionId=a")] + ["/page/calls/0"]
        for path in paths:
            hidden = (await look(path).of(sandbox)).body.decode()
            shown = (await look(f"{path}{'&' if '?' in path else '?'}numbers=shown").of(sandbox)).body.decode()
            assert CALLER not in hidden, path
            assert RECORDING not in hidden, path
            assert CALLER in shown, path
        async with opened(sandbox) as feed, opened(sandbox, "?numbers=shown") as showing:
            assert CALLER not in json.dumps(await feed.message())
            assert CALLER in json.dumps(await showing.message())


async def test_nothing_of_a_call_is_logged_when_it_is_looked_at(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    async with Sandbox() as sandbox:
        await a_call(callerid=CALLER).of(sandbox)
        await a_call().of(sandbox)
        async with opened(sandbox, "?numbers=shown") as feed:
            await feed.message()
        for path in ("/page/requests/1?numbers=shown", "/page/requests?CallSessionId=" + CALLER, "/page/calls/0"):
            assert (await look(path).of(sandbox)).status == 200
        assert (await change({"faults": {CALLER: 1}}).of(sandbox)).status == 400

    assert CALLER not in caplog.text + "".join(capfd.readouterr())


# The search


async def test_the_search_finds_the_latest_and_the_processed_ones_before_them() -> None:
    async with Sandbox(measures=Measures(stride=10)) as sandbox:
        await a_call(CallSessionId="Old-1").of(sandbox)
        await a_call(CallSessionId="old-refused", MediaId="").of(sandbox)
        for number in range(recent.KEPT):
            await a_call(CallSessionId=f"new-{number}").of(sandbox)

        async def found(text: str) -> Any:
            return (await look(f"/page/requests?CallSessionId={quote(text)}").of(sandbox)).json

        old, new, many, none = [await found(text) for text in ("OLD", "new-7", "w-1", "% _")]
        detail = (await look(f"/page/{old['requests'][0]['path']}").of(sandbox)).json
        forgotten = await look("/page/calls/100000").of(sandbox)

    assert [(each["CallSessionId"], each["number"], each["path"]) for each in old["requests"]] == [
        ("Old-1", None, "calls/0")
    ]
    assert ids(new) == [f"new-{number}" for number in (*range(79, 69, -1), 7)]
    assert (len(many["requests"]), many["more"]) == (page.MOST_FOUND, True)
    assert (none, forgotten.status) == ({"requests": [], "more": False}, 404)
    assert {each["name"] for each in detail["parameters"]} == set(CALL)
    assert (detail["processed"], detail["CallerId"]) == (True, "••••••34")


# The faults


async def test_every_kind_is_described() -> None:
    async with Sandbox(faults={"503": 0.25}, latency=0.5, seed=9) as sandbox:
        told = (await look("/page/faults").of(sandbox)).json

    assert [(kind["name"], kind["processed"]) for kind in told["kinds"]] == [
        (fault.name, fault.processed) for fault in FAULTS.values()
    ]
    assert all(re.fullmatch(r"The caller sees .+\w\.", kind["sentence"]) for kind in told["kinds"])
    assert (told["faults"], told["latency_ms"], told["seed"]) == ({"503": 0.25}, 500, 9)


async def test_a_change_meets_the_next_request_and_every_open_page() -> None:
    async with Sandbox(faults={"503": 0.25}) as sandbox, opened(sandbox) as one, opened(sandbox) as other:
        changed = await change({"faults": {"403": 1, "503": 0}}).of(sandbox)
        assert (await a_call().of(sandbox)).status == 403
        for feed in (one, other):
            await feed.seen(lambda data: data["state"]["faults"] == {"403": 1})
        assert (await change({"faults": {"403": 0}, "latency_ms": 100}).of(sandbox)).status == 200
        started = asyncio.get_running_loop().time()
        assert (await a_call().of(sandbox)).status == 200
        assert asyncio.get_running_loop().time() - started >= 0.1
        for feed in (one, other):
            await feed.seen(lambda data: data["state"]["faults"] == {} and data["state"]["latency_ms"] == 100)
        sandbox.faults = {"500": 0.5}
        await one.seen(lambda data: data["state"]["faults"] == {"500": 0.5})

    assert (changed.status, changed.json["faults"]) == (200, {"403": 1.0})
    assert sandbox.latency == 0.1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"faults": {"nonsense": 0.1}}, "there is no fault 'nonsense'"),
        ({"faults": {"500": 1.5}}, "must be 0 to 1"),
        ({"faults": {"500": -0.5}}, "must be 0 to 1"),
        (b'{"faults": {"500": NaN}}', "must be 0 to 1"),
        ({"faults": {"500": 0.6}}, "at most 1"),
        ({"faults": {"500": "0.5"}}, "faults.500"),
        ({"faults": {"500": True}}, "faults.500"),
        ({"faults": ["500"]}, "faults"),
        ({"faults": {"500": 0.1}, "latency_ms": -1}, "latency"),
        ({"faults": {"500": 0.1}, "latency_ms": 3_600_001}, "latency"),
        ({"seed": 5}, "seed"),
        ([], "object"),
        (b"{", "JSON"),
    ],
)
async def test_an_impossible_change_changes_nothing(settings: object, says: str) -> None:
    async with Sandbox(faults={"503": 0.5}) as sandbox:
        reply = await change(settings).of(sandbox)
        assert (sandbox.faults, sandbox.latency) == ({"503": 0.5}, 0)

    assert (reply.status, says in reply.json["detail"]) == (400, True), reply.body


def test_the_latency_has_bounds() -> None:
    for seconds in (-1, float("nan"), 3601):
        with pytest.raises(InvalidOption, match="latency"):
            Sandbox(latency=seconds)


# Who is kept out

FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    # Another port of this machine, such as Airflow's.
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8080"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_foreign_page_changes_and_reads_nothing(headers: dict[str, str]) -> None:
    async with Sandbox() as sandbox:
        here = {"Host": f"127.0.0.1:{sandbox.port}"}
        await a_call().of(sandbox)
        asks = [
            change({"faults": {"500": 1}}, **here, **headers),
            Ask(method="DELETE", path="/calls", headers=here | headers),
            *(look(path, **here, **headers) for path in ("/calls", "/counts", "/page/feed", "/page/requests/1")),
        ]
        assert [(await ask.of(sandbox)).status for ask in asks] == [403] * len(asks)
        assert (sandbox.faults, len(sandbox.calls)) == ({}, 1)


async def test_a_form_of_a_foreign_page_changes_nothing() -> None:
    """What a browser sends to another site without asking for leave: POST, and no JSON."""
    async with Sandbox() as sandbox:
        plain = await change({"faults": {"500": 1}}, **{"Content-Type": "text/plain"}).of(sandbox)
        posted = change({"faults": {"500": 1}})
        posted.method = "POST"
        leave = Ask(
            method="OPTIONS",
            path="/page/faults",
            headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "PATCH"},
        )
        replies = [await ask.of(sandbox) for ask in (posted, leave)]
        assert sandbox.faults == {}

    assert [plain.status, *(reply.status for reply in replies)] == [415, 405, 405]
    assert not [name for reply in replies for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8900",
        "localhost:8900",
        "[::1]:8900",
        "10.0.0.5",
        "sandbox:8900",
        "host.docker.internal",
        "a.localhost.",
    ],
)
async def test_names_that_it_answers_to(host: str) -> None:
    async with Sandbox() as sandbox:
        origin = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert (await change({"latency_ms": 1}, **origin).of(sandbox)).status == 200
        assert (await look("/", **HTML, Host=host).of(sandbox)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8900", "127.0.0.1.evil.example", "", None, "[", "a.localhost.evil"]
)
async def test_a_name_that_anyone_may_point_here_is_not_answered_to(host: str | None) -> None:
    """DNS rebinding: to the browser the foreign page is of the same origin, and only the name gives it away."""
    async with Sandbox() as sandbox:
        origin = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        asks = [
            change({"faults": {"500": 1}}, **origin),
            Ask(method="DELETE", path="/calls", headers=origin),
            *(look(path, **origin) for path in ("/calls", "/counts", "/page/feed", "/page/requests", "/page/page.js")),
            look("/", **HTML, **origin),
        ]
        statuses = {(await ask.of(sandbox)).status for ask in asks}
        # A call may come by any name: that is what DAGs do.
        call = a_call()
        call.headers = {"Host": "evil.example"}
        assert (await call.of(sandbox)).status == 200

    assert statuses <= {421, 400}


async def test_it_answers_to_the_name_that_it_listens_on() -> None:
    journal = Journal(keep_requests=False)
    told = CallDataApplication(
        journal, FaultPlan({}, 0), Decisions(journal, None, 0.0), credentials=None, host="Sandbox.Example.com"
    )
    async with TestClient(TestServer(told.build())) as client:
        assert (await client.get("/calls", headers={"Host": "sandbox.example.com:8900"})).status == 200
        assert (await client.get("/calls", headers={"Host": "another.example.com:8900"})).status == 421


async def test_a_link_may_lead_to_the_page_but_not_to_its_data() -> None:
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with Sandbox() as sandbox:
        statuses = [(await look(path, **HTML, **linked).of(sandbox)).status for path in ("/", "/calls", "/page/faults")]
    assert statuses == [200, 200, 403]


async def test_with_a_user_the_page_wants_the_same_credentials() -> None:
    async with Sandbox(user="Zoë", password="wörd") as sandbox:
        paths = ["/page/page.js", "/page/feed", "/page/requests", "/page/requests/1", "/page/calls/0", "/page/faults"]
        for authorization in (None, basic("Zoë", "other"), "Bearer x"):
            asks = [look(path, Authorization=authorization) for path in paths]
            asks += [look("/", **HTML, Authorization=authorization)]
            asks += [change({"latency_ms": 1}, Authorization=authorization)]
            for ask in asks:
                reply = await ask.of(sandbox)
                assert (reply.status, reply.headers["www-authenticate"]) == (
                    401,
                    'Basic realm="Sandbox", charset="UTF-8"',
                )
        let_in = {"Authorization": basic("Zoë", "wörd")}
        assert (await look("/", **HTML, **let_in).of(sandbox)).status == 200
        assert (await change({"latency_ms": 1}, **let_in).of(sandbox)).status == 200
        async with opened(sandbox, **let_in) as feed:
            await feed.message()
