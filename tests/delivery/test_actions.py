"""What impact.com's list of actions proves, read from the sandbox's, and from servers that say what they like.

The account is a canary: no line that anyone logs holds it, nor a caller.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import count, pairwise
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.auth import HTTPBasicAuth

from airflow_provider_impactcall.delivery.actions import Action, CallIdentity, Money, ReadBack
from airflow_provider_impactcall.delivery.outcome import ActionState
from airflow_provider_impactcall.exceptions import InvalidOption, ReadBackFailed
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.records.normalize import CallerIdFormat
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.delivery import canary
from tests.delivery.raw_server import RawServer, answer, says
from tests.effort import scaled

ACCOUNT = examples.LOGIN
CAMPAIGN = "1000"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ACTION = {
    "Id": "1000.4000.1",
    "CampaignId": "1000",
    "ActionTrackerId": "4000",
    "State": "PENDING",
    "EventDate": "2026-09-11T06:55:32Z",
    "CallerId": canary.CALLER,
}
IDENTITY = CallIdentity("1000", "4000", canary.CALLER, 1789109732)
EMPTY = answer(b'{"@nextpageuri": "", "Actions": []}', "200 OK", "Connection: close")


def read_back(origin: str, account: str = ACCOUNT, user: str = ACCOUNT) -> ReadBack:
    session = requests.Session()
    session.trust_env = False
    session.auth = HTTPBasicAuth(user.encode(), examples.PASSWORD.encode())
    return ReadBack(session, origin, account, timeout=10, page_size=None)


def updated(reader: ReadBack, since: datetime, until: datetime) -> list[CallIdentity]:
    """The calls of the actions that were last updated in a time, each action once."""
    return list({action.action_id: action.identity for action in reader.updates(CAMPAIGN, since, until)}.values())


def listed(origin: str, days: float = 1) -> list[CallIdentity]:
    return updated(read_back(origin), NOW - days * DAY, datetime.now(UTC))


async def failing(origin: str, days: float = 1) -> ReadBackFailed:
    """How reading fails; without a private word."""
    with pytest.raises(ReadBackFailed) as raised:
        await asyncio.to_thread(listed, origin, days)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert canary.found_in(f"{raised.value!r} {raised.value}") == []
    assert origin not in str(raised.value)
    return raised.value


def page(*actions: Any, following: Any = "") -> bytes:
    return answer(json.dumps({"@nextpageuri": following, "Actions": actions}).encode(), "200 OK", "Connection: close")


def in_turn(*answers: bytes) -> Callable[..., Any]:
    """A connection each; the last answer for ever. An empty one resets the connection."""
    left = list(answers)

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = left.pop(0) if len(left) > 1 else left[0]
        await says(raw)(server, reader, writer)

    return talk


def ranges(server: RawServer) -> list[tuple[datetime, datetime]]:
    """From when to when the server was asked for actions."""
    queries = [parse_qs(head.split()[1].decode().partition("?")[2]) for head in server.heads]
    return [
        (datetime.fromisoformat(query["StartDate"][0]), datetime.fromisoformat(query["EndDate"][0]))
        for query in queries
    ]


def send(sandbox: Sandbox, *rows: dict[str, Any]) -> list[CallRecord]:
    calls = [CallRecord.of(row) for row in rows]
    with requests.Session() as session:
        session.trust_env = False
        session.auth = ("special", "credentials")
        for call in calls:  # as forms, since urllib3 logs a query
            session.post(f"{sandbox.url}/calldata/logCallData", data=call.parameters()).raise_for_status()
    return calls


def different(number: int) -> list[dict[str, Any]]:
    """Calls that pay, each from another caller."""
    return [canary.row(each, CallerId=f"212555{100 + each:04}") for each in range(number)]


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox(keep_requests=False).in_thread() as running:
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between repeats, which take no time."""
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append, time=time.time)
    monkeypatch.setattr("urllib3.util.retry.time", clock)
    return waited


def test_calls_come_back_as_themselves(no_canary_in_logs: list[str]) -> None:
    with Sandbox().in_thread() as sandbox:
        paying = send(
            sandbox,
            canary.row(1),
            canary.row(2, CallerId=f"+1 {canary.CALLER}", EventDate="2026-09-10T22:55:33.999Z"),
            canary.row(3, CallerId="+49 30 901820", EventDate="2026-09-10T22:55:34+05:45", ActionTrackerId=4001),
        )
        send(sandbox, canary.row(4, CallStatus="CANCEL"), canary.row(5, CampaignId=1001))
        actions = listed(sandbox.url)

    assert actions == [CallIdentity.of_call(call) for call in paying]
    assert [line for line in no_canary_in_logs if "GET /Advertisers/***/Actions?CampaignId=1000" in line]


def test_every_page_is_read_and_every_action_once() -> None:
    with Sandbox(actions_page_size=3).in_thread() as sandbox:
        calls = send(sandbox, *different(20))
        assert listed(sandbox.url) == [CallIdentity.of_call(call) for call in calls]


def test_calls_that_look_alike_are_listed_each() -> None:
    with Sandbox().in_thread() as sandbox:
        send(sandbox, canary.row(1), canary.row(2))
        assert listed(sandbox.url) == [IDENTITY, IDENTITY]


def test_long_ranges_are_read_in_windows_without_a_gap_or_a_repeat() -> None:
    start = NOW.replace(microsecond=0) - 200 * DAY
    with Sandbox().in_thread() as sandbox:
        calls = send(sandbox, *different(60))
        # Two every 7.5 days, of which some meet the windows' edges to the second and half a second after it.
        for number, processed in enumerate(sandbox.calls):
            moment = start + (number // 2 - 1) * 7.5 * DAY + number % 2 * timedelta(seconds=0.5)
            processed["received_at"] = moment.isoformat(timespec="milliseconds")
        found = updated(read_back(sandbox.url), start, start + 200 * DAY)

    assert Counter(found) == Counter(CallIdentity.of_call(call) for call in calls[2:56])


async def test_actions_are_asked_for_by_when_their_event_happened_and_updates_by_when_they_changed() -> None:
    async with RawServer(says(EMPTY)) as server:
        since, until = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, 12, tzinfo=UTC)
        session = requests.Session()
        session.trust_env = False
        for reader in (read_back(server.url), ReadBack(session, server.url, ACCOUNT)):
            for asked in (reader.actions, reader.updates):
                assert await asyncio.to_thread(list, asked(CAMPAIGN, since, until)) == []
        queries = [parse_qs(head.split()[1].decode().partition("?")[2]) for head in server.heads]

    times = ["2026-09-01T00:00:00Z"], ["2026-10-01T12:00:00Z"]
    of = {"CampaignId": [CAMPAIGN]}
    by_event = {**of, **dict(zip(("ActionDateStart", "ActionDateEnd"), times, strict=True))}
    by_update = {**of, **dict(zip(("StartDate", "EndDate"), times, strict=True))}
    size = {"PageSize": ["5000"]}
    assert queries == [by_event, by_update, by_event | size, by_update | size]


def test_an_action_is_of_when_its_event_happened_however_late_it_is_received() -> None:
    with Sandbox().in_thread() as sandbox:
        last_week = [canary.row(number, EventDate=(NOW - (7 + number) * DAY).isoformat()) for number in range(3)]
        calls = send(sandbox, *last_week)
        found = list(read_back(sandbox.url).actions(CAMPAIGN, NOW - 8.5 * DAY, NOW - 6 * DAY))
        assert [action.identity for action in found] == [CallIdentity.of_call(call) for call in calls[:2]]
        assert listed(sandbox.url) == [CallIdentity.of_call(call) for call in calls], "they are updated now"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"State": "APPROVED"}, {"state": ActionState.APPROVED}),
        ({"State": " reversed "}, {"state": ActionState.REVERSED}),
        ({"State": "ON_HOLD"}, {"state": ActionState.OTHER}),
        ({"State": None}, {"state": ActionState.OTHER}),
        ({"Id": "1000.4636.158133"}, {"action_id": "1000.4636.158133"}),
        ({"CreationDate": "2026-09-11T07:00:00Z"}, {"created_at": 1789110000.0}),
        (
            {"LockingDate": "2126-09-11T00:00:00-07:00"},
            {"locking_at": datetime(2126, 9, 11, 7, tzinfo=UTC).timestamp()},
        ),
        ({"ClearedDate": " 2026-10-11T07:00:00+00:00"}, {"cleared_at": 1791702000.0}),
        ({"CreationDate": "", "LockingDate": "soon", "ClearedDate": "2026-10-11"}, {}),
        ({"CreationDate": 17, "LockingDate": None, "ClearedDate": {"a": 1}}, {}),
        ({"Payout": "12.50", "Amount": "-0.1", "Currency": "EUR"}, {"money": Money("12.50", "-0.1", "EUR")}),
        ({"Payout": 12.5, "Amount": 3, "Currency": "EURO"}, {"money": Money("12.5", "3", None)}),
        ({"Payout": True, "Amount": canary.RECORDING, "Currency": canary.CALLER}, {}),
    ],
)
async def test_what_an_action_says(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    async with RawServer(says(page(ACTION | changes))) as server:
        (found,) = await asyncio.to_thread(list, read_back(server.url).actions(CAMPAIGN, NOW, NOW))
    usual: dict[str, Any] = {"action_id": "1000.4000.1", "identity": IDENTITY, "state": ActionState.PENDING}
    assert found == Action(**usual | expected)
    assert canary.found_in(repr(found)) == []
    assert "12.5" not in repr(found), "what a partner gets is not for logs"


@pytest.mark.parametrize("action_id", ["x" * 65, "1000 4000", "1000\n4000", "\u20ac"])
async def test_an_id_that_is_none(action_id: str) -> None:
    async with RawServer(says(page(ACTION | {"Id": action_id}))) as server:
        assert await asyncio.to_thread(listed, server.url) == []


async def test_windows_are_as_long_as_the_documentation_allows() -> None:
    async with RawServer(says(EMPTY)) as server:
        until = NOW.replace(microsecond=0)
        await asyncio.to_thread(list, read_back(server.url).updates(CAMPAIGN, until - 200 * DAY, until))
        asked = ranges(server)

    assert [end - start for start, end in asked] == [45 * DAY, 45 * DAY, 45 * DAY, 45 * DAY, 20 * DAY]
    assert [end for _, end in asked] == [*(start for start, _ in asked[1:]), until]


def test_the_first_and_the_last_fraction_of_a_second_belong_to_the_range() -> None:
    with Sandbox().in_thread() as sandbox:
        send(sandbox, *different(1))
        received = datetime.fromisoformat(sandbox.calls[0]["received_at"])
        for offset in (UTC, timezone(timedelta(hours=-8))):
            since = received.astimezone(offset)
            assert len(updated(read_back(sandbox.url), since, since)) == 1


def test_a_range_with_too_many_actions_is_halved() -> None:
    with Sandbox(actions_page_size=1).in_thread() as sandbox:
        calls = send(sandbox, *different(60))
        for number, processed in enumerate(sandbox.calls):
            processed["received_at"] = (NOW - number * DAY / 2).isoformat(timespec="milliseconds")
        found = listed(sandbox.url, days=40)

    assert Counter(found) == Counter(CallIdentity.of_call(call) for call in calls)


async def test_a_range_is_halved_down_to_an_hour() -> None:
    refusing = answer(b'{"Status": "ERROR", "Message": "Too many results"}', "400 Bad Request", "Connection: close")
    async with RawServer(says(refusing)) as server:
        failure = await failing(server.url)

    assert failure.status == 400
    asked = ranges(server)
    assert len({start for start, _ in asked}) == 1
    lengths = [end - start for start, end in asked]
    assert all(longer / 2 - timedelta(seconds=1) <= shorter for longer, shorter in pairwise(lengths))
    assert lengths[0] >= DAY
    assert lengths[-1] == timedelta(hours=1)


def test_an_hour_with_too_many_actions_cannot_be_read() -> None:
    with Sandbox(actions_page_size=1).in_thread() as sandbox:
        send(sandbox, *different(11))
        with pytest.raises(ReadBackFailed) as raised:
            listed(sandbox.url)
    assert raised.value.status == 400


async def test_what_a_range_gave_before_it_was_refused_counts_once() -> None:
    """Actions may come in between two pages, and make them one too many."""
    refused = answer(b"{}", "400 Bad Request", "Connection: close")
    more = ACTION | {"Id": "2"}
    pages = in_turn(page(ACTION, following="/second"), refused, page(ACTION, more), EMPTY)
    async with RawServer(pages) as server:
        assert await asyncio.to_thread(listed, server.url) == [IDENTITY, IDENTITY]
        assert server.connections == 4


async def test_another_account_is_refused() -> None:
    with Sandbox().in_thread() as sandbox, pytest.raises(ReadBackFailed) as raised:
        list(read_back(sandbox.url, user="someone-else").updates(CAMPAIGN, NOW - DAY, NOW))
    assert raised.value.status == 401


async def test_the_account_is_one_step_of_the_path() -> None:
    async with RawServer(says(EMPTY)) as server:
        reader = read_back(server.url + "/", "a/b?c ä")
        assert await asyncio.to_thread(list, reader.updates(CAMPAIGN, NOW, NOW)) == []
        assert server.heads[0].startswith(b"GET /Advertisers/a%2Fb%3Fc%20%C3%A4/Actions?CampaignId=1000&StartDate=")
        assert b"\r\nAccept: application/json\r\n" in server.heads[0]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_asked_again(status: int, waits: list[float]) -> None:
    busy = answer(b"", f"{status} Busy", "Connection: close")
    async with RawServer(in_turn(busy, busy, page(ACTION))) as server:
        assert await asyncio.to_thread(listed, server.url) == [IDENTITY]
        assert server.connections == 3
    assert len(waits) <= 2


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        ("Retry-After: 7", 7.0),
        ("Retry-After: 3600", 60.0),
        ("RateLimit-Reset: 8", 8.0),
        ("X-RateLimit-Reset: 9", 9.0),
        ("X-RateLimit-Reset: 9999999999", 60.0),
    ],
)
async def test_a_wait_that_is_asked_for_is_kept_up_to_a_minute(header: str, waited: float, waits: list[float]) -> None:
    busy = answer(b"", "429 Too Many Requests", "Connection: close", header)
    async with RawServer(in_turn(busy, page(ACTION))) as server:
        assert await asyncio.to_thread(listed, server.url) == [IDENTITY]
    assert waits == [waited]


@pytest.mark.parametrize(
    ("raw", "status"),
    [(answer(b"", "503 Busy", "Connection: close", "Retry-After: soon"), 503), (b"", None), (b"HTTP/1.1 2", None)],
)
async def test_repeats_end(raw: bytes, status: int | None, waits: list[float], no_canary_in_logs: list[str]) -> None:
    async with RawServer(says(raw)) as server:
        assert (await failing(server.url)).status == status
        assert server.connections == 6
    assert 0 < sum(waits) <= 60
    assert [line for line in no_canary_in_logs if "/Advertisers/***/Actions" in line], "urllib3 logs the path"


async def test_a_name_that_no_server_can_have() -> None:
    """For which urllib3 has an error that is none of requests'."""
    failure = await failing(f"http://{'a' * 64}.example")
    assert failure.status is None
    assert "(LocationParseError)" in failure.reason


async def test_a_server_that_is_not_there(waits: list[float]) -> None:
    async with RawServer(says(b"")) as server:
        gone = server.url
    assert (await failing(gone)).status is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b"<ImpactRadiusResponse><Actions/></ImpactRadiusResponse>",
        b'{"Status": "ERROR", "Message": "' + canary.CALLER.encode() + b'"}',
        b'{"Actions": null}',
        b'{"Actions": {"Id": "1"}}',
        b'{"Actions": ["1"]}',
        b'{"Actions": [], "@nextpageuri": 2}',
    ],
)
async def test_a_body_that_is_no_list(raw: bytes) -> None:
    async with RawServer(says(answer(raw, "200 OK", "Connection: close"))) as server:
        failure = await failing(server.url)
        assert (failure.status, server.connections) == (200, 1)


@pytest.mark.parametrize(
    "raw", [page(ACTION)[:-5], answer(b"no gzip", "200 OK", "Connection: close", "Content-Encoding: gzip")]
)
async def test_a_body_that_does_not_come_whole(raw: bytes) -> None:
    async with RawServer(says(raw)) as server:
        assert (await failing(server.url)).status is None


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 418, 501])
async def test_any_other_status_ends_it(status: int) -> None:
    async with RawServer(says(EMPTY)) as elsewhere:
        raw = answer(b"{}", f"{status} Other", "Connection: close", f"Location: {elsewhere.url}/")
        async with RawServer(says(raw)) as server:
            failure = await failing(server.url)
            assert (failure.status, server.connections, elsewhere.connections) == (status, 1, 0)


@pytest.mark.parametrize(
    "following",
    [
        "http://{elsewhere}/Advertisers/x/Actions?Page=2",
        "//{elsewhere}/Actions",
        "https://{here}/Actions",
        "http://{here}@{elsewhere}/Actions",
        "http://{elsewhere}\\@{here}/Actions",
        "http://[::1/Actions",
        "file:///etc/hosts",
    ],
)
async def test_the_next_page_is_at_the_same_origin_or_nowhere(following: str) -> None:
    """The session would give the credentials to any other."""
    async with RawServer(says(EMPTY)) as elsewhere:
        addresses: dict[str, str] = {}

        async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await says(page(ACTION, following=following.format(**addresses)))(server, reader, writer)

        async with RawServer(talk) as server:
            addresses.update(here=server.url.partition("//")[2], elsewhere=elsewhere.url.partition("//")[2])
            failure = await failing(server.url)
            assert failure.status is None
            assert (server.connections, elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("following", ["/second?Page=2", "{here}/second?Page=2"])
async def test_the_next_page_is_asked_for_as_it_is_given(following: str) -> None:
    left = [following, ""]

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(page(following=left.pop(0).format(here=server.url)))(server, reader, writer)

    async with RawServer(talk) as server:
        assert await asyncio.to_thread(listed, server.url) == []
        assert server.heads[1].startswith(b"GET /second?Page=2 HTTP/1.1\r\n")


async def test_pages_that_lead_in_a_circle_end() -> None:
    async with RawServer(says(page(ACTION, following="/again"))) as server:
        assert re.findall(r"\d+", (await failing(server.url)).reason) == ["100"]
        assert server.connections == 100


@pytest.mark.parametrize(
    "changes",
    [
        {"CallerId": None},
        {"CallerId": ""},
        {"CallerId": "anonymous"},
        {"CallerId": True},
        {"CallerId": {"Number": canary.CALLER}},
        {"CallerId": "\ud800"},
        {"EventDate": None},
        {"EventDate": ""},
        {"EventDate": "2026-09-11T06:55:32"},
        {"EventDate": "2026-09-11"},
        {"EventDate": 17891097320},
        {"CampaignId": None},
        {"ActionTrackerId": "x"},
        {"Id": None},
    ],
)
async def test_an_action_that_is_of_no_call_is_left_out(changes: dict[str, Any]) -> None:
    of_a_call = ACTION | {"Id": "2"}
    lacking = {name: value for name, value in (ACTION | changes).items() if value is not None}
    async with RawServer(says(page(ACTION | changes, lacking, of_a_call))) as server:
        assert await asyncio.to_thread(listed, server.url) == [IDENTITY]


@pytest.mark.parametrize(
    "changes",
    [
        {"CampaignId": 1000, "ActionTrackerId": 4000, "CallerId": int(canary.CALLER), "Id": 17},
        {"CallerId": "(212) 555-0142"},
        {"CallerId": "1-212-555-0142"},
        {"EventDate": "2026-09-11T12:40:32.500+05:45"},
        {"State": "REVERSED", "CallStatus": None, "Payout": "12.50"},
    ],
)
async def test_spellings_of_an_action(changes: dict[str, Any]) -> None:
    async with RawServer(says(page(ACTION | changes))) as server:
        assert await asyncio.to_thread(listed, server.url) == [IDENTITY]


@pytest.mark.parametrize(
    ("since", "until"),
    [(NOW.replace(tzinfo=None), NOW), (NOW, NOW.replace(tzinfo=None)), (NOW, NOW - timedelta(seconds=1))],
)
def test_a_range_that_is_none(since: datetime, until: datetime) -> None:
    reader = read_back("http://127.0.0.1:9")
    for asked in (reader.actions, reader.updates):
        with pytest.raises(InvalidOption, match="since"):
            asked(CAMPAIGN, since, until)


def test_an_identity_shows_no_caller() -> None:
    assert canary.found_in(f"{IDENTITY!r} {IDENTITY} {[IDENTITY]}") == []
    assert "1789109732" in repr(IDENTITY)


_NANP = ["21255501{0:02}", "+121255501{0:02}", "121255501{0:02}", "(212) 555-01{0:02}", "212-555-01{0:02}"]
_ABROAD = ["+442079460{0:03}", "+44 20 7946 0{0:03}", "020 7946 0{0:03}"]
_LATEST = 2.0**31
_SECONDS = st.integers(int(datetime(1990, 1, 1, tzinfo=UTC).timestamp()), int(_LATEST))
_NUMBERS = count()


def spelled(data: st.DataObject, number: int, at: int, abroad: bool) -> CallRecord:
    """A call, its number and its time written in any way that vendors do."""
    offset = timezone(timedelta(minutes=data.draw(st.integers(-23 * 60, 23 * 60))))
    fraction = timedelta(microseconds=data.draw(st.sampled_from([0, 1, 999_999])))
    moment = datetime.fromtimestamp(at, offset) + fraction
    row = canary.row(
        CallerId=data.draw(st.sampled_from(_ABROAD if abroad else _NANP)).format(number),
        CallerPhoneNumberCountry="GB" if abroad else None,
        EventDate=data.draw(st.sampled_from([moment, moment.isoformat()])),
    )
    form: CallerIdFormat = data.draw(st.sampled_from(["national", "e164"]))
    return CallRecord.of(row, {"timezone": None, "caller_id_format": form, "clock": lambda: _LATEST})


@given(st.data(), st.integers(0, 99), _SECONDS, st.booleans())
def test_one_call_has_one_identity_however_it_is_written(
    data: st.DataObject, number: int, at: int, abroad: bool
) -> None:
    one, same = (CallIdentity.of_call(spelled(data, number, at, abroad)) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one.at == at
    assert one.caller == (f"442079460{number:03}" if abroad else f"21255501{number:02}")


@given(st.data(), st.integers(0, 99), st.integers(0, 99), _SECONDS, _SECONDS)
def test_two_calls_have_two_identities(data: st.DataObject, number: int, other: int, at: int, later: int) -> None:
    one = CallIdentity.of_call(spelled(data, number, at, abroad=False))
    two = CallIdentity.of_call(spelled(data, other, later, abroad=False))
    assert (one == two) == ((number, at) == (other, later))
    assert one != CallIdentity.of_call(spelled(data, number, at, abroad=True))


@settings(max_examples=scaled(50))
@given(st.data(), st.lists(st.tuples(st.integers(0, 99), _SECONDS, st.booleans()), max_size=5))
def test_an_action_has_the_identity_of_its_call(
    shared: Sandbox, data: st.DataObject, written: list[tuple[int, int, bool]]
) -> None:
    calls = [spelled(data, *call) for call in written]
    shared.reset()
    for call in calls:
        shared.calls.append({"parameters": call.parameters(), "received_at": datetime.now(UTC).isoformat()})
    account = f"{ACCOUNT}-{next(_NUMBERS)}"  # which has requests left, however many examples there are
    found = updated(read_back(shared.url, account, account), NOW - DAY, datetime.now(UTC))
    assert found == [CallIdentity.of_call(call) for call in calls]
