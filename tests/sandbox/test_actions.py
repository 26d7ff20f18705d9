"""The list of actions: which calls are on it, and who may ask for what."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import aiohttp
import pytest

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox import Sandbox

from .wire import CALL, Ask, Reply, a_call, basic

ACCOUNT = "IRabc123"
PATH = f"/Advertisers/{ACCOUNT}/Actions"
CAMPAIGN = {"CampaignId": CALL["CampaignId"]}


def ask(query: Mapping[str, str] | str = "", path: str = PATH, user: str = ACCOUNT, **headers: str | None) -> Ask:
    query = query if isinstance(query, str) else urlencode({**CAMPAIGN, **query})
    return Ask(query, method="GET", path=path, headers={"Authorization": basic(user, "any")} | headers)


async def listed(sandbox: Sandbox, **query: str) -> list[str]:
    """The callers on the list, on one page."""
    reply = await ask(query).of(sandbox)
    assert reply.status == 200, reply.body
    assert (reply.json["@numpages"], reply.json["@nextpageuri"]) == ("1", "")
    return [action["CallerId"] for action in reply.json["Actions"]]


async def calls(sandbox: Sandbox, count: int) -> list[str]:
    """So many calls that pay; their callers."""
    callers = [f"80555501{number:02}" for number in range(count)]
    for caller in callers:
        assert (await a_call(CallerId=caller).of(sandbox)).status == 200
    return callers


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


async def test_a_call_that_pays_is_listed_as_an_action() -> None:
    async with Sandbox() as sandbox:
        await a_call(CallerId="+18055550123", EventDate="2026-09-10T22:55:32-08:00", CallStatus="ANSWER").of(sandbox)
        reply = await ask({}).of(sandbox)
        assert sandbox.counts["requests"] == 1, "asking for the list is no call"
        received = datetime.fromisoformat(sandbox.calls[0]["received_at"])

    assert reply.headers["content-type"].startswith("application/json")
    assert reply.json == {
        "@page": "1",
        "@numpages": "1",
        "@pagesize": "20000",
        "@total": "1",
        "@nextpageuri": "",
        "Actions": [
            {
                "Id": "4711.17.1",
                "CampaignId": "4711",
                "ActionTrackerId": 17,
                "MediaPartnerId": CALL["MediaId"],
                "State": "PENDING",
                "Payout": "25.00",
                "Amount": "0.00",
                "Currency": "USD",
                "EventDate": "2026-09-11T06:55:32Z",
                "CreationDate": written(received),
                "LockingDate": written(received + timedelta(days=30)),
                "ClearedDate": "",
                "CallerId": "+18055550123",
            }
        ],
    }


async def test_only_answered_calls_of_the_campaign_are_listed_and_none_after_they_are_forgotten() -> None:
    async with Sandbox() as sandbox:
        for status, caller in ((None, "8055550101"), ("ANSWER", "8055550102"), ("CANCEL", "8055550103")):
            await a_call(CallStatus=status, CallerId=caller).of(sandbox)
        await a_call(CampaignId="4712", CallerId="8055550104").of(sandbox)
        await a_call(MediaId="", CallerId="8055550105").of(sandbox)  # refused
        sandbox.script = ["500", "500-after-processing"]
        await a_call(CallerId="8055550106").of(sandbox)
        await a_call(CallerId="8055550107").of(sandbox)

        assert await listed(sandbox) == ["8055550101", "8055550102", "8055550107"]
        assert await listed(sandbox, CampaignId="4712") == ["8055550104"]
        assert await listed(sandbox, CampaignId="1") == []
        sandbox.reset()
        assert await listed(sandbox) == []


async def test_a_time_that_no_other_offset_can_say_is_echoed_as_it_is() -> None:
    async with Sandbox() as sandbox:
        await a_call(EventDate="0001-01-01T00:00:00+05:00").of(sandbox)
        assert (await ask({}).of(sandbox)).json["Actions"][0]["EventDate"] == "0001-01-01T00:00:00+05:00"


@pytest.mark.parametrize("accept", [None, "*/*", "application/xml"])
async def test_xml_unless_json_is_accepted(accept: str | None) -> None:
    async with Sandbox(actions_page_size=1) as sandbox:
        await calls(sandbox, 2)
        page, refused = [await each.of(sandbox) for each in (ask({}, Accept=accept), ask("", Accept=accept))]

    assert page.headers["content-type"].startswith("application/xml")
    assert page.body.startswith(
        b'<ImpactRadiusResponse><Actions page="1" numpages="2" pagesize="1" total="2" '
        b'nextpageuri="/Advertisers/IRabc123/Actions?CampaignId=4711&amp;Page=2"><Action><Id>4711.17.1</Id>'
    )
    assert b"<Status>ERROR</Status><Message>CampaignId is missing</Message>" in refused.body


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("Zoë", "credentials"), 200),
        (basic("Zoë", "whatever"), 401),
        (basic("Zoë", ""), 401),
        (basic("other", "credentials"), 401),
        (basic("special", "credentials"), 401),
        (basic("Zoë", "credentials", encoding="latin-1"), 401),
        ("Bearer token", 401),
        (None, 401),
    ],
)
async def test_the_user_must_be_the_account_and_the_password_the_sandboxs(
    authorization: str | None, status: int
) -> None:
    """The list tells callers' numbers, as the page does; the endpoint for calls has a user of its own."""
    async with Sandbox(user="special", password="credentials") as sandbox:
        reply = await ask({}, "/Advertisers/Zo%C3%AB/Actions", Authorization=authorization).of(sandbox)

    assert reply.status == status
    assert ("www-authenticate" in reply.headers) == (status == 401)


@pytest.mark.parametrize("password", ["whatever", ""])
async def test_any_password_does_if_the_sandbox_has_none(password: str) -> None:
    async with Sandbox() as sandbox:
        reply = await ask({}, "/Advertisers/Zo%C3%AB/Actions", Authorization=basic("Zoë", password)).of(sandbox)
    assert reply.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "rebound.example.com"}, 421),
        ({"Host": "rebound.example.com:8900"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "https://example.com"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Origin": "http://sandbox"}, 200),
        ({}, 200),
    ],
)
async def test_no_web_page_from_elsewhere_may_ask(headers: dict[str, str], status: int) -> None:
    async with Sandbox() as sandbox:
        await calls(sandbox, 1)
        reply = await ask({}, **headers).of(sandbox)
    assert reply.status == status
    assert (b"CallerId" in reply.body) == (status == 200)


async def test_pages_lead_to_each_other_and_hold_every_action_once() -> None:
    async with Sandbox(actions_page_size=3) as sandbox:
        expected = await calls(sandbox, 8)
        # An offset with a plus, as it has to survive in the address of the next page.
        dates = {"StartDate": days_ago(1), "EndDate": days_ago(-1)}
        pages: list[Reply] = [await ask(dates).of(sandbox)]
        while following := pages[-1].json["@nextpageuri"]:
            assert following.startswith(f"{PATH}?")
            pages.append(await ask(following.partition("?")[2]).of(sandbox))

    assert [action["CallerId"] for page in pages for action in page.json["Actions"]] == expected
    assert [page.json["@page"] for page in pages] == ["1", "2", "3"]
    assert {(page.json["@numpages"], page.json["@pagesize"], page.json["@total"]) for page in pages} == {
        ("3", "3", "8")
    }


async def test_the_page_size_that_is_asked_for_counts() -> None:
    async with Sandbox(actions_page_size=3) as sandbox:
        expected = await calls(sandbox, 4)
        assert await listed(sandbox, PageSize="2000") == expected


async def test_more_than_ten_pages_are_refused() -> None:
    async with Sandbox(actions_page_size=2) as sandbox:
        await calls(sandbox, 20)
        assert (await ask({}).of(sandbox)).json["@numpages"] == "10"
        await calls(sandbox, 1)
        refused = await ask({}).of(sandbox)

    assert refused.status == 400
    assert (refused.json["Status"], "shorter range" in refused.json["Message"]) == ("ERROR", True)


async def test_the_range_is_of_when_an_action_was_last_updated() -> None:
    async with Sandbox() as sandbox:
        now, eight_days, forty_days = await calls(sandbox, 3)
        sandbox.calls[1]["received_at"] = days_ago(8)
        sandbox.calls[2]["received_at"] = edge = days_ago(40)

        assert await listed(sandbox) == [now], "the past seven days"
        assert await listed(sandbox, StartDate=days_ago(44), EndDate=days_ago(0)) == [now, eight_days, forty_days]
        assert await listed(sandbox, StartDate=days_ago(44), EndDate=edge) == [forty_days]
        assert await listed(sandbox, StartDate=edge, EndDate=days_ago(8.5)) == [forty_days]
        assert await listed(sandbox, StartDate=days_ago(39), EndDate=days_ago(7.5)) == [eight_days]


async def test_a_range_of_events_is_of_when_they_happened() -> None:
    async with Sandbox() as sandbox:
        for caller, days in (("8055550101", 1), ("8055550102", 8), ("8055550103", 40)):
            happened_at = written(datetime.now(UTC) - timedelta(days=days)).replace("Z", "+00:00")
            reply = await a_call(CallerId=caller, EventDate=happened_at).of(sandbox)
            assert reply.status == 200, reply.body

        async def happened(since: float, until: float) -> list[str]:
            return await listed(sandbox, ActionDateStart=days_ago(since), ActionDateEnd=days_ago(until))

        assert await happened(44, 0) == ["8055550101", "8055550102", "8055550103"]
        assert await happened(9, 7) == ["8055550102"]
        assert await happened(39, 9) == []
        assert len(await listed(sandbox)) == 3, "all were updated now"


async def states(sandbox: Sandbox) -> list[tuple[str, bool]]:
    """The state of each action on the list, and whether it is cleared."""
    actions = (await ask({}).of(sandbox)).json["Actions"]
    return [(action["State"], action["ClearedDate"] != "") for action in actions]


async def test_actions_are_decided_by_request() -> None:
    async with Sandbox() as sandbox:
        await calls(sandbox, 4)
        sandbox.calls[0]["received_at"] = days_ago(20)

        async def decide(body: str) -> Reply:
            return await Ask(body=body.encode(), method="PATCH", path="/actions").of(sandbox)

        assert await states(sandbox) == [("PENDING", False)] * 3, "the last seven days"
        told = await decide('{"State": "APPROVED", "Ids": ["4711.17.1", "4711.17.2", "4711.17.9"]}')
        assert (told.status, told.json) == (200, {"changed": 2})
        assert sandbox.decide("REVERSED", [3]) == 1
        pending = ("PENDING", False)
        assert await states(sandbox) == [("APPROVED", False), ("APPROVED", False), ("REVERSED", False), pending]
        assert (await decide('{"State": "CLEARED"}')).json == {"changed": 4}
        assert await states(sandbox) == [("APPROVED", True)] * 4
        sandbox.decide("PENDING", [4])
        assert (await states(sandbox))[3] == pending
        for wrong in ('{"State": "PAID"}', "{}", "[]", "no JSON", '{"State": "APPROVED", "Ids": ["x"]}'):
            assert (await decide(wrong)).status == 400
        sandbox.reset()
        await calls(sandbox, 1)
        assert await states(sandbox) == [pending], "with the calls, what was decided is forgotten"


async def test_another_sites_page_decides_nothing() -> None:
    async with Sandbox() as sandbox:
        await calls(sandbox, 1)
        elsewhere = {"Origin": "https://elsewhere.example.com"}
        body = b'{"State": "APPROVED"}'
        assert (await Ask(body=body, method="PATCH", path="/actions", headers=elsewhere).of(sandbox)).status == 403
        assert await states(sandbox) == [("PENDING", False)]


async def test_actions_settle_by_themselves() -> None:
    async with Sandbox(settle_after=3600, reversed_share=0.25) as sandbox:
        await calls(sandbox, 100)
        assert Counter(await states(sandbox)) == {("PENDING", False): 100}
        for call in sandbox.calls:
            call["received_at"] = days_ago(1.5 / 24)
        assert Counter(await states(sandbox)) == {("APPROVED", False): 75, ("REVERSED", False): 25}
        for call in sandbox.calls:
            call["received_at"] = days_ago(2.5 / 24)
        settled = await states(sandbox)
        assert Counter(settled) == {("APPROVED", True): 75, ("REVERSED", False): 25}
        assert await states(sandbox) == settled
        an_hour_ago = {"StartDate": days_ago(1 / 24), "EndDate": days_ago(0)}
        assert (await ask(an_hour_ago).of(sandbox)).json["@total"] == "75", "those that were cleared since"


@pytest.mark.parametrize("options", [{"settle_after": -1.0}, {"reversed_share": 1.1}, {"reversed_share": -0.1}])
def test_settling_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(InvalidOption):
        Sandbox(**options)  # type: ignore[arg-type]


START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=60)
DATES = {"StartDate": START.isoformat(), "EndDate": (START + timedelta(days=45)).isoformat()}


@pytest.mark.parametrize(
    "dates",
    [
        DATES,
        DATES | {"EndDate": DATES["StartDate"]},
        {name: text.replace("+00:00", "Z") for name, text in DATES.items()},
        {name: text.removesuffix("+00:00") for name, text in DATES.items()},
        {name: text[:10] for name, text in DATES.items()},
        {"StartDate": days_ago(3 * 365), "EndDate": days_ago(3 * 365 - 1)},
        {"PageSize": "2000", "Page": "1"},
    ],
)
async def test_accepted(dates: dict[str, str]) -> None:
    async with Sandbox() as sandbox:
        assert (await ask(dates).of(sandbox)).status == 200


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "CampaignId is missing"),
        ("CampaignId=1&CampaignId=2", "CampaignId is given more than once"),
        ({"CampaignId": ""}, "CampaignId must be"),
        ({"CampaignId": "abc"}, "CampaignId must be"),
        ({"CampaignId": "9" * 5000}, "CampaignId must be"),
        ({"ActionTrackerId": "17"}, "knows only the parameters"),
        ({"StartDate": DATES["StartDate"]}, "both, or neither"),
        ({"EndDate": DATES["EndDate"]}, "both, or neither"),
        (DATES | {"StartDate": "yesterday"}, "StartDate must be in ISO 8601"),
        pytest.param(
            f"CampaignId=1&StartDate={DATES['StartDate']}&EndDate={DATES['EndDate']}",
            "StartDate must be in ISO 8601",
            id="the plus sign of a UTC offset unescaped",
        ),
        (DATES | {"EndDate": (START + timedelta(days=45, seconds=1)).isoformat()}, "at most 45 days"),
        (DATES | {"EndDate": (START - timedelta(seconds=1)).isoformat()}, "EndDate must not be before"),
        ({"StartDate": days_ago(3 * 365 + 2), "EndDate": days_ago(3 * 365 - 1)}, "at most 3 years ago"),
        ({"ActionDateStart": DATES["StartDate"]}, "both, or neither"),
        (DATES | {"ActionDateStart": DATES["StartDate"], "ActionDateEnd": DATES["EndDate"]}, "an alternative to"),
        ({"ActionDateStart": "soon", "ActionDateEnd": DATES["EndDate"]}, "ActionDateStart must be in ISO 8601"),
        ({"PageSize": "1999"}, "PageSize must be a whole number of 2000 or more"),
        ({"PageSize": "-2000"}, "PageSize must be"),
        ({"Page": "0"}, "Page must be"),
        ({"Page": "2"}, "after the last"),
    ],
)
async def test_refused(query: Mapping[str, str] | str, message: str) -> None:
    async with Sandbox() as sandbox:
        reply = await ask(query).of(sandbox)

    assert reply.status == 400
    assert reply.json["Status"] == "ERROR"
    assert message in reply.json["Message"]


async def test_an_account_has_a_thousand_requests_an_hour() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession(headers={"Authorization": basic(ACCOUNT)}) as client:

        async def status() -> int:
            async with client.get(f"{sandbox.url}{PATH}", params=CAMPAIGN) as answer:
                return answer.status

        statuses = [await asyncio.gather(*(status() for _ in range(100))) for _ in range(10)]
        assert {status for some in statuses for status in some} == {200}
        refused = await ask({}).of(sandbox)
        assert (await ask({}, "/Advertisers/other/Actions", "other").of(sandbox)).status == 200

    assert (refused.status, refused.json["Status"]) == (429, "ERROR")
    headers = refused.headers
    assert (headers["x-ratelimit-limit-hour"], headers["x-ratelimit-remaining-hour"]) == ("1000", "0")
    assert 0 < int(headers["retry-after"]) == int(headers["x-ratelimit-reset"]) <= 3600


async def test_the_welcome_names_it() -> None:
    async with Sandbox() as sandbox:
        reply = await Ask(method="GET", path="/").of(sandbox)
    assert b"/Advertisers/{account}/Actions" in reply.body


def test_a_page_that_could_hold_nothing() -> None:
    with pytest.raises(InvalidOption, match="actions_page_size"):
        Sandbox(actions_page_size=0)
