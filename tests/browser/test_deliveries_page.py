"""The page of the delivery ledger inside Airflow, used in every part, by those who may and those who may not."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Route, expect

from airflow_provider_impactcall.sandbox import Sandbox
from tests.browser.conftest import PATIENCE, log_in
from tests.browser.mixed_ledger import (
    ALICE,
    CHANGED,
    HOSTILE,
    INVALID,
    NAMESPACE,
    RELEASED,
    RESOLVED,
    STRANDED,
    MixedLedger,
)
from tests.browser.running import NOBODY, Running
from tests.examples import CALLER, LOGIN, PASSWORD

pytestmark = pytest.mark.browser

PAGE = "/impactcall/"
TITLE = "impact.com calls"
WEEK = "(SELECT strftime('%s', 'now') - 7 * 86400)"
PARTS = [
    *("answer", "over-time", "invalid", "rejected", "unknown", "changed", "filtered", "partners", "campaigns"),
    *("runs", "calls"),
]
# What Airflow's own frame makes a browser say of itself.
OF_THE_FRAME = "allow-scripts and allow-same-origin"


@pytest.fixture(scope="module")
def ledger(airflow_up: Running, connection: str) -> MixedLedger:
    """A ledger of mixed outcomes; one DAG run of Airflow's own comes first, to the sandbox's own namespace."""
    airflow_up.run_of("impactcall_from_upstream")
    with Sandbox(user=LOGIN, password=PASSWORD).in_thread() as sandbox:
        ledger = MixedLedger(airflow_up.stage.airflow_home, sandbox)
        ledger.fill()
    return ledger


@dataclass
class Watched:
    """What a page asked of whom, and complained about."""

    requests: list[str]
    complaints: list[str]


@pytest.fixture
def watched(page: Page, airflow_up: Running) -> Iterator[Watched]:
    """Warnings on while a test uses the page: nothing leaves for elsewhere, and nothing is complained about."""
    watched = Watched([], [])

    def complained(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and OF_THE_FRAME not in message.text:
            watched.complaints.append(message.text)

    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("console", complained)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    yield watched
    assert [url for url in watched.requests if not url.startswith((f"{airflow_up.url}/", "data:", "blob:"))] == []
    assert watched.complaints == []
    assert CALLER not in page.content()


@pytest.fixture
def deliveries(page: Page, ledger: MixedLedger, watched: Watched) -> Page:
    """The page, standing alone, with all its parts."""
    page.set_viewport_size({"width": 1400, "height": 900})
    return opened(page)


def opened(page: Page, fragment: str = "") -> Page:
    page.goto("about:blank")
    page.goto(f"{PAGE}{fragment}")
    return loaded(page)


def loaded(page: Page) -> Page:
    expect(page.locator("#announcer")).to_have_text("Loaded")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    return page


def part(page: Page, name: str) -> Locator:
    return page.locator(f"#{name}")


def rows(page: Page, name: str) -> Locator:
    return part(page, name).locator("tbody tr")


def number(text: str | None) -> int:
    return int((text or "").replace(",", ""))


def counted(ledger: MixedLedger, condition: str = "1 = 1", **parameters: Any) -> int:
    """The calls of a week that a condition holds of, as the ledger itself counts them."""
    query = (
        f"SELECT COUNT(*) FROM impactcall_call WHERE namespace = :namespace AND changed_at >= {WEEK} AND {condition}"
    )
    [(calls,)] = ledger.ask(query, namespace=NAMESPACE, **parameters)
    return int(calls)


def dead_letters(ledger: MixedLedger, condition: str = "1 = 1") -> int:
    """The rows that were rejected here, as the ledger itself counts them."""
    [(rows,)] = ledger.ask(f"SELECT COUNT(*) FROM impactcall_dead_letter WHERE dismissed_at IS NULL AND {condition}")
    return int(rows)


# What there is to read


def test_the_answer_comes_first(deliveries: Page, ledger: MixedLedger) -> None:
    delivered, everything = counted(ledger, "state = 'delivered'"), counted(ledger)
    assert 0 < delivered < everything
    headline = part(deliveries, "answer").locator(".headline")
    expect(headline).to_contain_text(re.compile(rf"\b{delivered}\b.*\b{everything}\b.*\b7\b"))
    for state in ("delivered", "rejected", "unknown", "not_sent"):
        shown = part(deliveries, "answer").locator(f".tile.{state} .tile-number")
        expect(shown).to_have_text(str(counted(ledger, "state = :state", state=state)))
    [(changed,)] = ledger.ask("SELECT COUNT(*) FROM impactcall_changed_call")
    assert (dead_letters(ledger), changed) == (60, 12)
    for state, number_of in (("invalid", dead_letters(ledger)), ("changed", changed)):
        tile = part(deliveries, "answer").locator(f".tile.{state}")
        expect(tile.locator(".tile-number")).to_have_text(str(number_of))
        tile.click()
        loaded(deliveries)
        expect(rows(deliveries, "calls")).to_have_count(min(number_of, 50))
    expect(headline).to_contain_text(re.compile(r"\b60 rows\b"))


def test_what_needs_a_person_is_of_the_whole_ledger(deliveries: Page, ledger: MixedLedger) -> None:
    needs = part(deliveries, "answer").locator(".needs")
    [(unknowns,)] = ledger.ask("SELECT COUNT(*) FROM impactcall_call WHERE state = 'unknown'")
    assert unknowns > counted(ledger, "state = 'unknown'")
    expect(needs).to_contain_text(re.compile(rf"(?<!\d){unknowns}(?!\d)"))
    expect(needs).to_contain_text(re.compile(r"(?<!\d)23(?!\d)"))
    [(refused,)] = ledger.ask("SELECT COUNT(*) FROM impactcall_call WHERE state = 'rejected'")
    for part_id, number_of in (("invalid", 60), ("changed", 12), ("rejected", refused), ("unknown", unknowns)):
        of_part = needs.locator(f".task.{part_id}").first
        expect(of_part).to_contain_text(re.compile(rf"^{number_of}\b"))
        of_part.get_by_role("button").click()
        expect(part(deliveries, part_id).get_by_role("heading").first).to_be_focused()
    needs.get_by_role("link", name=STRANDED).click()
    history = part(deliveries, "history")
    expect(history).to_contain_text(STRANDED)
    expect(history.locator(".events .badge").last).to_have_text("Unknown")


def test_the_chart_is_read_with_the_keyboard_and_as_a_table(deliveries: Page, ledger: MixedLedger) -> None:
    over_time = part(deliveries, "over-time")
    chart = over_time.get_by_role("slider", name="Calls by outcome over time")
    chart.focus()
    deliveries.keyboard.press("Home")
    first = chart.get_attribute("aria-valuetext")
    assert re.fullmatch(r"\w{3},? \d+ \w{3}: (\d+ [\w. ]+(, |$)){5}", first or "")
    expect(over_time.locator(".readout")).to_have_text(first or "")
    deliveries.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuenow", "1")
    assert chart.get_attribute("aria-valuetext") != first
    assert over_time.locator("svg .bar.delivered").count() > 3
    assert over_time.locator("svg .bar.rejected").count() > 0
    over_time.get_by_text("Show as a table").click()
    days = over_time.locator("tbody tr")
    assert 7 <= days.count() <= 8
    for column, state in enumerate(("delivered", "rejected", "invalid", "unknown", "not_sent")):
        shown = over_time.locator(f"tbody tr td:nth-of-type({column + 1})").all_inner_texts()
        expected = dead_letters(ledger) if state == "invalid" else counted(ledger, "state = :state", state=state)
        assert sum(map(number, shown)) == expected, state
    assert over_time.locator("svg .bar.invalid").count() > 0


def test_each_reason_says_what_to_do_and_has_the_command_to_copy(
    deliveries: Page, browser: BrowserContext, ledger: MixedLedger
) -> None:
    browser.grant_permissions(["clipboard-read", "clipboard-write"])
    for state in ("rejected", "unknown"):
        reasons = part(deliveries, state).locator(".reason")
        [(different,)] = ledger.ask(
            "SELECT COUNT(*) FROM (SELECT DISTINCT reason_code, status FROM impactcall_call WHERE state = :state "
            f"AND namespace = :namespace AND changed_at >= {WEEK})",
            state=state,
            namespace=NAMESPACE,
        )
        assert reasons.count() == different > 1
        first = reasons.first
        command = first.locator("code").inner_text()
        assert re.match(r"\S*\s?impactcall (requeue|resolve|reconcile) ", command)
        assert len(first.locator(":scope > p").inner_text()) > 20
        first.get_by_role("button", name="Copy").click()
        expect(first.get_by_role("button", name="Copy")).to_have_text("Copied")
        assert deliveries.evaluate("navigator.clipboard.readText()") == command
    browser.clear_permissions()


def test_what_was_rejected_here_is_told_by_code_and_column(deliveries: Page, ledger: MixedLedger) -> None:
    invalid = part(deliveries, "invalid")
    codes = ledger.ask("SELECT reason_code, COUNT(*) FROM impactcall_dead_letter GROUP BY reason_code ORDER BY 2 DESC")
    reasons = invalid.locator(".reason")
    expect(reasons).to_have_count(len(codes))
    for at, (code, number_of) in enumerate(codes):
        expect(reasons.nth(at).locator(".reason-head")).to_contain_text(re.compile(rf"(?<!\d){number_of} rows\b"))
        assert f"dismiss --state invalid --reason-code {code} " in reasons.nth(at).locator("code").inner_text()
    columns = dict(ledger.ask("SELECT parameter, COUNT(*) FROM impactcall_dead_letter GROUP BY parameter"))
    shown = {
        each.locator("th").inner_text(): number(each.locator("td").first.inner_text())
        for each in rows(deliveries, "invalid").all()
    }
    assert shown == columns
    reasons.first.get_by_role("button", name="Show these rows").click()
    loaded(deliveries)
    expect(rows(deliveries, "calls")).to_have_count(codes[0][1])
    assert "state=invalid" in deliveries.url
    expect(part(deliveries, "calls").locator(".badge.invalid")).to_have_count(codes[0][1])
    by_partner = [number(text) for text in rows(deliveries, "partners").locator("td:nth-of-type(3)").all_inner_texts()]
    assert sum(by_partner) == dead_letters(ledger)


def test_a_changed_call_says_when_it_was_delivered_and_when_it_came_again(
    deliveries: Page, ledger: MixedLedger
) -> None:
    changed = part(deliveries, "changed")
    assert " accept --state changed " in changed.locator("code").inner_text()
    assert rows(deliveries, "changed").count() == 8
    changed.get_by_role("button", name="Show them").click()
    loaded(deliveries)
    expect(rows(deliveries, "calls")).to_have_count(12)
    rows(deliveries, "calls").get_by_role("link", name=CHANGED).click()
    history = part(deliveries, "history")
    expect(history.locator(".verdict .badge")).to_have_text(["Delivered", "Changed"])
    [(delivered, again)] = ledger.ask(
        "SELECT strftime('%H:%M:%S', changed_at, 'unixepoch'), strftime('%H:%M:%S', last_at, 'unixepoch') "
        "FROM impactcall_call JOIN impactcall_changed_call USING (key) WHERE CallSessionId = :id",
        id=CHANGED,
    )
    assert delivered != again
    for moment in (delivered, again):
        expect(history.locator(".verdict")).to_contain_text(moment)


def test_a_row_that_was_rejected_here_is_found_by_its_id(deliveries: Page) -> None:
    opened(deliveries, f"#call={INVALID}")
    verdict = part(deliveries, "history").locator(".verdict")
    expect(verdict.locator(".badge")).to_have_text("Rejected here")
    expect(verdict).to_contain_text("2 ×")
    expect(verdict.locator(".sentences li")).to_have_count(1)
    expect(part(deliveries, "history").locator(".events")).to_have_count(0)


def test_what_can_be_corrected_in_airflow_leads_there(deliveries: Page) -> None:
    """Where Airflow has the DAG."""
    link = part(deliveries, "invalid").locator(".in-airflow a").first
    for has_dag in (False, True):
        deliveries.route(re.compile("/impactcall/api/overview"), partial(answer_with_dag, has_dag))
        opened(deliveries)
        expect(link).to_be_visible(visible=has_dag)
        deliveries.unroute_all()
    assert urlsplit(link.get_attribute("href") or "").path == "/dags/impactcall_corrections"


def answer_with_dag(has_dag: bool, route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "can_be_corrected": has_dag})


def test_a_run_shows_its_rows_that_never_became_calls_by_reason(deliveries: Page, ledger: MixedLedger) -> None:
    [(run_id,)] = ledger.ask(
        "SELECT run_id FROM impactcall_run_row JOIN impactcall_run USING (run_id) "
        "WHERE outcome = 'filtered' AND namespace = :namespace",
        namespace=NAMESPACE,
    )
    opened(deliveries, f"#run={run_id}")
    heads = part(deliveries, "invalid").locator(".reason-head").all_inner_texts()
    assert sum(int(found) for head in heads for found in re.findall(r"(\d+) rows", head)) == 60
    expect(rows(deliveries, "filtered")).to_have_count(1)
    expect(rows(deliveries, "filtered").locator("td").first).to_have_text("7")
    expect(part(deliveries, "rejected")).to_be_hidden()
    expect(part(deliveries, "calls").locator(".badge.invalid").first).to_be_visible()


def test_a_script_in_a_reason_stays_text(deliveries: Page) -> None:
    rejected = part(deliveries, "rejected").locator(".reason").filter(has_text="<script>")
    expect(rejected.locator(".sentences")).to_contain_text(HOSTILE.partition("=")[0])
    rejected.get_by_role("button", name="Show these calls").click()
    expect(rows(deliveries, "calls")).to_have_count(2)
    expect(rows(deliveries, "calls").first).to_contain_text("<script>")
    rows(deliveries, "calls").first.get_by_role("link").click()
    expect(part(deliveries, "history").locator("q")).to_contain_text("<script>")
    assert deliveries.locator("body script, img, [onerror]").count() == 0
    assert deliveries.title() == TITLE


def test_partners_and_campaigns_add_up_and_lead_to_their_calls(deliveries: Page, ledger: MixedLedger) -> None:
    for name, column in (("partners", "MediaId"), ("campaigns", "CampaignId")):
        assert sum(map(number, rows(deliveries, name).locator("td:nth-of-type(1)").all_inner_texts())) == counted(
            ledger
        )
        last = rows(deliveries, name).last.get_by_role("button")
        chosen = last.inner_text()
        last.click()
        loaded(deliveries)
        shown = part(deliveries, "calls").locator(f"td[data-title={column}]").all_inner_texts()
        assert set(shown) == {chosen}
        part(deliveries, "calls").get_by_role("button", name="Remove the filter").click()
        loaded(deliveries)
        assert len(set(part(deliveries, "calls").locator(f"td[data-title={column}]").all_inner_texts())) > 1


# Calls


def test_a_calls_whole_history_is_found_by_its_id(deliveries: Page) -> None:
    deliveries.get_by_label("Did a call arrive?").fill(f" {RELEASED} ")
    deliveries.keyboard.press("Enter")
    history = part(deliveries, "history")
    expect(history).to_contain_text(RELEASED)
    badges = history.locator(".events .badge")
    expect(badges).to_have_text(["In flight", "Unknown", "Requeued", "In flight", "Delivered"])
    expect(history.locator(".events")).to_contain_text(f"{ALICE.why} · by {ALICE.actor}")
    assert deliveries.url.endswith(f"#call={RELEASED}")
    opened(deliveries, f"#call={RESOLVED}")
    expect(history.locator(".events .badge").last).to_have_text("Delivered")
    expect(history).to_contain_text(ALICE.actor)
    history.get_by_role("button", name="Close").click()
    expect(history).to_be_hidden()
    expect(deliveries.get_by_label("Did a call arrive?")).to_be_focused()
    deliveries.go_back()
    expect(history).to_contain_text(RESOLVED)


def test_an_id_that_nobody_sent_is_said_to_be_unknown(deliveries: Page) -> None:
    deliveries.get_by_label("Did a call arrive?").fill("CA-nobody <b>sent</b> & = # + % this")
    deliveries.get_by_role("button", name="Look up").click()
    history = part(deliveries, "history")
    expect(history).to_contain_text("The ledger has no call with this CallSessionId.")
    expect(history.locator("code")).to_have_text("CA-nobody <b>sent</b> & = # + % this")
    deliveries.reload()
    expect(history.locator("code")).to_have_text("CA-nobody <b>sent</b> & = # + % this")


def test_calls_are_filtered_by_state_partner_and_campaign_and_shown_page_by_page(
    deliveries: Page, ledger: MixedLedger
) -> None:
    calls = part(deliveries, "calls")
    expect(rows(deliveries, "calls")).to_have_count(50)
    calls.get_by_role("button", name="Show more").click()
    expect(rows(deliveries, "calls")).to_have_count(100)
    expect(rows(deliveries, "calls").nth(50).get_by_role("link")).to_be_focused()
    shown = rows(deliveries, "calls").locator("th").all_inner_texts()
    assert len(set(shown)) == 100
    calls.get_by_label("Partner (MediaId)").fill("10000")
    calls.get_by_label("Campaign (CampaignId)").fill("41022")
    calls.get_by_role("button", name="Filter", exact=True).click()
    calls.get_by_role("combobox", name="State", exact=True).select_option("Rejected by impact.com")
    those = "state = 'rejected' AND MediaId = '10000' AND CampaignId = '41022'"
    expect(rows(deliveries, "calls")).to_have_count(counted(ledger, those))
    opened(deliveries, urlsplit(deliveries.url).fragment.join(("#", "")))
    expect(rows(deliveries, "calls")).to_have_count(counted(ledger, those))
    expect(calls.get_by_role("combobox", name="State", exact=True)).to_have_value("rejected")
    deliveries.locator("#answer .tile.not_sent").click()
    expect(calls.get_by_role("heading")).to_be_focused()
    calls.get_by_role("button", name="Remove the filter Partner").click()
    calls.get_by_role("button", name="Remove the filter Campaign").click()
    expect(rows(deliveries, "calls")).to_have_count(counted(ledger, "state = 'not_sent'"))


def test_a_run_leads_to_its_calls_and_back_to_everything(deliveries: Page, ledger: MixedLedger) -> None:
    [(run_id, calls)] = ledger.ask(
        "SELECT run_id, COUNT(*) FROM impactcall_call GROUP BY run_id HAVING COUNT(*) < 50 ORDER BY 2 DESC LIMIT 1"
    )
    runs = rows(deliveries, "runs")
    assert runs.count() > 5
    expect(runs.filter(has_text=f"{ALICE.actor}: {ALICE.why}")).to_have_count(0)
    opened(deliveries, f"#run={run_id}")
    expect(runs).to_have_count(1)
    expect(rows(deliveries, "calls")).to_have_count(calls)
    expect(part(deliveries, "answer")).to_be_hidden()
    deliveries.get_by_role("button", name="Show everything").click()
    loaded(deliveries)
    expect(part(deliveries, "answer")).to_be_visible()
    runs.nth(2).get_by_role("button").click()
    loaded(deliveries)
    expect(runs).to_have_count(1)
    assert 0 < rows(deliveries, "calls").count() <= 50


def test_what_people_changed_is_among_the_runs(deliveries: Page) -> None:
    opened(deliveries, "#period=30d")
    changed = rows(deliveries, "runs").filter(has_text=ALICE.why)
    expect(changed.locator("[data-title=Kind]")).to_have_text(["resolve", "requeue"])
    expect(changed.first).to_contain_text(ALICE.actor)


def test_whatever_is_listed_is_to_be_had_as_csv(deliveries: Page, ledger: MixedLedger, tmp_path: Path) -> None:
    expected = {
        "over-time": range(7, 9),
        "rejected": range(2, 20),
        "invalid": range(4, 20),
        "changed": range(12, 13),
        "filtered": range(1, 2),
        "unknown": range(2, 20),
        "partners": range(4, 5),
        "campaigns": range(2, 3),
        "runs": range(10, 12),
        "calls": range(counted(ledger) + 60, counted(ledger) + 61),
    }
    for name, lengths in expected.items():
        with deliveries.expect_download() as downloading:
            part(deliveries, name).get_by_role("link", name="CSV").click()
        assert downloading.value.suggested_filename == f"impactcall-{name}.csv"
        file = tmp_path / f"{name}.csv"
        downloading.value.save_as(file)
        with file.open(encoding="utf-8-sig", newline="") as text:
            found = list(csv.DictReader(text))
        assert len(found) in lengths, name
        assert CALLER not in file.read_text()
    deliveries.locator("#answer .tile.rejected").click()
    loaded(deliveries)
    with deliveries.expect_download() as downloading:
        part(deliveries, "calls").get_by_role("link", name="CSV").click()
    downloading.value.save_as(tmp_path / "filtered.csv")
    with (tmp_path / "filtered.csv").open(encoding="utf-8-sig", newline="") as text:
        assert {row["state"] for row in csv.DictReader(text)} == {"rejected"}


# The page as a whole


def test_periods_and_namespaces_are_kept_in_the_address(
    deliveries: Page, airflow_up: Running, ledger: MixedLedger
) -> None:
    steps = {"24 hours": "Hour", "30 days": "Day", "12 months": "Month", "7 days": "Day"}
    for period, step in steps.items():
        deliveries.get_by_label(period).check()
        loaded(deliveries)
        expect(part(deliveries, "answer")).to_contain_text(f"in the last {period}")
        part(deliveries, "over-time").get_by_text("Show as a table").click()
        expect(part(deliveries, "over-time").get_by_role("columnheader").first).to_have_text(step)
    deliveries.get_by_label("12 months").check()
    loaded(deliveries)
    expect(part(deliveries, "partners")).to_contain_text("at most 31 days")
    deliveries.reload()
    loaded(deliveries)
    expect(deliveries.get_by_label("12 months")).to_be_checked()
    other = f"http://{airflow_up.sandbox.host}:{airflow_up.sandbox.port}"
    deliveries.get_by_label("Endpoint").select_option(other)
    loaded(deliveries)
    expect(deliveries.locator("#about")).to_contain_text(other)
    assert rows(deliveries, "calls").count() < 20
    assert NAMESPACE not in part(deliveries, "calls").inner_text()
    deliveries.go_back()
    loaded(deliveries)
    expect(deliveries.locator("#about")).to_contain_text(NAMESPACE)


def test_the_keyboard_reaches_everything_and_shows_where_it_is(deliveries: Page) -> None:
    reached: list[str] = []
    for _ in range(60):
        deliveries.keyboard.press("Tab")
        where = deliveries.evaluate(
            """() => {
              const at = document.activeElement;
              const ring = getComputedStyle(at.matches('.segments input') ? at.nextElementSibling : at);
              return [at.id || at.textContent || at.name, ring.outlineStyle, parseFloat(ring.outlineWidth)];
            }"""
        )
        if where[0] in reached or deliveries.evaluate("document.activeElement === document.body"):
            continue
        reached.append(where[0])
        assert where[1] == "solid", where
        assert where[2] >= 2, where
    assert {"call", "Look up", "refresh", "namespace", "Copy", "CSV"} <= set(reached)


@pytest.mark.parametrize(("colours", "rules"), [("light", None), ("dark", ["color-contrast", "link-in-text-block"])])
def test_axe_finds_nothing_serious(deliveries: Page, colours: Any, rules: list[str] | None) -> None:
    """In both colours what depends on them, and all else in one."""
    options = {"resultTypes": ["violations"], **({"runOnly": {"type": "rule", "values": rules}} if rules else {})}
    deliveries.emulate_media(color_scheme=colours)
    for fragment in ("", f"#call={RELEASED}", f"#call={CHANGED}", "#period=12m", "#state=invalid"):
        opened(deliveries, fragment)
        deliveries.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        for width in (1400, 360):
            deliveries.set_viewport_size({"width": width, "height": 900})
            found = Axe().run(deliveries, options=options).response
            assert "color-contrast" in {each["id"] for kind in ("passes", "violations") for each in found[kind]}
            serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
            assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in serious] == []


@pytest.mark.parametrize("width", [360, 768, 1400])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_fits_screens_of_any_width(deliveries: Page, tmp_path: Path, width: int, colours: Any) -> None:
    deliveries.emulate_media(color_scheme=colours)
    deliveries.set_viewport_size({"width": width, "height": 900})
    for name, fragment in {"all": "", "call": f"#call={RELEASED}"}.items():
        opened(deliveries, fragment)
        assert deliveries.evaluate("document.documentElement.scrollWidth") <= width
        wider = (
            "(all) => all.filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.wide')).length"
        )
        assert deliveries.locator("main *").evaluate_all(wider) == 0
        deliveries.set_viewport_size({"width": width, "height": 2600})
        deliveries.screenshot(path=tmp_path / f"{name}-{colours}-{width}.png")
        deliveries.set_viewport_size({"width": width, "height": 900})


# Within Airflow


def test_it_is_in_airflows_navigation_and_wears_its_colours(
    page: Page, ledger: MixedLedger, watched: Watched, tmp_path: Path
) -> None:
    page.set_viewport_size({"width": 1400, "height": 900})
    page.emulate_media(color_scheme="light")
    page.goto("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name=TITLE).click()
    frame = page.frame_locator(f"iframe[title='{TITLE}']")
    expect(frame.get_by_role("heading", name=TITLE)).to_be_visible()
    expect(frame.locator("#announcer")).to_have_text("Loaded")
    page.screenshot(path=tmp_path / "within-light.png")
    background = "getComputedStyle(document.body).backgroundColor"
    colours = {}
    for theme in ("dark", "light"):
        page.evaluate("(name) => { document.documentElement.className = name }", theme)
        expect(frame.locator("html")).to_have_attribute("data-theme", theme)
        colours[theme] = frame.locator("body").evaluate(f"() => {background}")
        if theme == "dark":
            page.screenshot(path=tmp_path / "within-dark.png")
    assert colours["dark"] != colours["light"]
    frame.locator("#answer .tile.rejected").click()
    expect(frame.locator("#chips")).to_contain_text("Rejected")
    assert page.url.endswith("#state=rejected"), "what people see and copy"
    page.reload()
    expect(frame.locator("#chips")).to_contain_text("Rejected")


def test_from_the_frame_a_task_opens_in_airflow_and_a_file_is_saved(
    page: Page, ledger: MixedLedger, watched: Watched, airflow_up: Running
) -> None:
    run = quote(airflow_up.run_of("impactcall_from_upstream"), safe="")
    page.goto("/plugin/impactcall")
    frame = page.frame_locator(f"iframe[title='{TITLE}']")
    frame.get_by_label("Endpoint").select_option(f"http://{airflow_up.sandbox.host}:{airflow_up.sandbox.port}")
    frame.get_by_label("30 days").check()
    task = frame.locator("#runs").get_by_role("link", name="impactcall_from_upstream/deliver_calls")
    expect(task).to_be_visible()
    with page.expect_download() as downloading:
        frame.locator("#runs").get_by_role("link", name="CSV").click()
    assert downloading.value.suggested_filename == "impactcall-runs.csv"
    task.click()
    page.wait_for_url(lambda url: unquote(f"/dags/impactcall_from_upstream/runs/{run}/tasks/") in unquote(url))
    expect(page.get_by_role("heading", name="deliver_calls")).to_be_visible()


def test_a_dag_run_and_a_task_instance_lead_to_their_calls(
    page: Page, ledger: MixedLedger, watched: Watched, airflow_up: Running
) -> None:
    run = airflow_up.run_of("impactcall_from_upstream")
    page.goto(f"/dags/impactcall_from_upstream/runs/{quote(run, safe='')}/plugin/impactcall-run")
    frame = page.frame_locator(f"iframe[title='{TITLE}']")
    expect(frame.locator("#runs tbody tr")).to_have_count(1)
    expect(frame.locator("#calls tbody tr").first).to_contain_text("Delivered")
    page.goto(f"/dags/impactcall_from_upstream/runs/{quote(run, safe='')}/tasks/deliver_calls/details")
    link = page.get_by_role("link", name="Calls in the ledger")
    address = link.get_attribute("href") or ""
    page.goto(address)
    expect(rows(page, "runs")).to_have_count(1)
    expect(rows(page, "calls").first).to_be_visible()


# Who may not see it


@pytest.fixture
def stranger(chromium: Browser, airflow_up: Running) -> Iterator[Page]:
    """A browser without a session."""
    context = chromium.new_context(base_url=airflow_up.url, locale="en-US")
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def test_who_is_not_logged_in_is_asked_to(stranger: Page, ledger: MixedLedger) -> None:
    for path in ("overview", "calls", "calls.csv", "history?CallSessionId=x"):
        assert stranger.request.get(f"{PAGE}api/{path}").status == 401, path
    stranger.goto(PAGE)
    expect(stranger.locator("[name=password]")).to_be_visible()


def test_a_user_without_the_right_sees_nothing(stranger: Page, ledger: MixedLedger, airflow_up: Running) -> None:
    log_in(stranger, NOBODY, airflow_up.passwords[NOBODY])
    stranger.wait_for_url(lambda url: "login" not in url)
    for path in [*(f"{name}.csv" for name in PARTS[1:]), "overview", *PARTS[1:], f"history?CallSessionId={RELEASED}"]:
        answer = stranger.request.get(f"{PAGE}api/{path}")
        assert (answer.status, RELEASED in answer.text()) == (403, False), path
    stranger.goto(PAGE)
    expect(stranger.locator("body")).to_contain_text("You have no right to see this")
    shown = stranger.locator("body").inner_text()
    assert not re.search(r"CA[0-9a-f-]|delivered|twilio", shown)


# When there is nothing to show, or nothing comes


def answers(page: Page, names: str, status: int, body: Any) -> None:
    """Answer for the server, in ways that it has none of at hand."""

    def answer(route: Route) -> None:
        route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    page.route(re.compile(rf"/impactcall/api/({names})(\?|$)"), answer)


@pytest.fixture
def bare(page: Page, ledger: MixedLedger) -> Page:
    """A page that is not watched, as browsers complain about every 503."""
    page.set_viewport_size({"width": 1400, "height": 900})
    return page


def test_a_part_that_fails_leaves_the_others_standing(bare: Page, tmp_path: Path) -> None:
    answers(bare, "partners|calls", 503, {"detail": "the ledger cannot be reached (OperationalError)"})
    bare.goto(PAGE)
    for name in ("partners", "calls"):
        expect(part(bare, name).get_by_role("alert")).to_contain_text("the ledger cannot be reached")
    for name in set(PARTS) - {"partners", "calls"}:
        expect(part(bare, name).get_by_role("alert")).to_have_count(0)
    expect(part(bare, "answer").locator(".headline")).to_contain_text("arrived")
    bare.screenshot(path=tmp_path / "partly.png")
    bare.unroute_all()
    part(bare, "partners").get_by_role("button", name="Try again").click()
    expect(rows(bare, "partners")).to_have_count(4)


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (503, "There is no ledger to read"),
        (403, "You may not see the deliveries"),
        (401, "You are not logged in"),
        (500, "The deliveries cannot be shown"),
    ],
)
def test_what_all_parts_meet_is_said_once(bare: Page, status: int, title: str, tmp_path: Path) -> None:
    answers(bare, r"[a-z-]+", status, {"detail": "This is <b>why</b>."})
    bare.goto(PAGE)
    expect(bare.get_by_role("heading", name=title)).to_be_focused()
    expect(bare.get_by_role("alert").locator("visible=true")).to_have_count(0)
    expect(part(bare, "calls")).to_be_hidden()
    if status != 401:
        expect(part(bare, "trouble")).to_contain_text("This is <b>why</b>.")
    bare.screenshot(path=tmp_path / f"{status}.png")


def test_an_empty_ledger_says_what_will_be_there(bare: Page, tmp_path: Path) -> None:
    overview: dict[str, Any] = {"ledger": "embedded", "namespaces": [], "namespace": None, "states": {}}
    answers(bare, "overview", 200, {**overview, "oldest_undelivered": None, "can_be_corrected": False})
    answers(bare, "(?!overview|over-time|calls|changed)[a-z-]+", 200, [])
    answers(bare, "changed", 200, {"changed": 0, "calls": []})
    answers(bare, "over-time", 200, {"step": "day", "steps": []})
    answers(bare, "calls", 200, {"calls": [], "more": False})
    loaded_page = loaded(bare) if bare.goto(PAGE) else bare
    expect(loaded_page.get_by_role("heading", name="No calls yet")).to_be_visible()
    expect(part(loaded_page, "calls")).to_be_hidden()
    loaded_page.screenshot(path=tmp_path / "empty.png")


def test_the_charts_scales_have_whole_numbers(bare: Page) -> None:
    for most, scale in {1: ["0", "2", "4"], 5: ["0", "3", "6"], 7: ["0", "5", "10"], 50: ["0", "25", "50"]}.items():
        none = dict.fromkeys(("invalid", "unknown", "not_sent"), 0)
        step = {"at": "2026-09-10T00:00:00Z", "delivered": most, "rejected": most, **none}
        answers(bare, "over-time", 200, {"step": "day", "steps": [step]})
        opened(bare)
        assert part(bare, "over-time").locator(".axis[text-anchor=end]").all_text_contents() == 2 * scale
        bare.unroute_all()


def test_a_namespace_without_calls_says_so_in_each_part(bare: Page) -> None:
    opened(bare, "#namespace=https://nowhere.example.com")
    expect(part(bare, "answer")).to_contain_text("No call changed in the last 7 days.")
    expect(part(bare, "answer")).to_contain_text("Nothing needs a person")
    for name, words in {
        "rejected": "impact.com rejected no call",
        "invalid": "No row was rejected here",
        "changed": "No delivered call came again",
        "filtered": "No row was left out",
        "unknown": "No call of the last 7 days is of unknown fate",
        "partners": "No call of any partner",
        "runs": "No run began",
        "calls": "No call matches",
    }.items():
        expect(part(bare, name)).to_contain_text(words)


def test_a_slow_answer_is_waited_for_in_sight(bare: Page, tmp_path: Path) -> None:
    held: list[Route] = []
    bare.route(re.compile("/impactcall/api/partners"), lambda route: held.append(route))
    bare.goto(PAGE)
    partners = part(bare, "partners")
    expect(partners).to_have_attribute("aria-busy", "true")
    expect(partners).to_contain_text("Still reading: a large ledger takes a while")
    expect(rows(bare, "campaigns")).to_have_count(2)
    bare.screenshot(path=tmp_path / "slow.png")
    for route in held:
        route.continue_()
    expect(rows(bare, "partners")).to_have_count(4)
    expect(partners).to_have_attribute("aria-busy", "false")
