"""The sample DAGs in Airflow's pages: they say what came of the calls, and show no caller."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import BrowserContext, Page, expect
from requests.auth import HTTPBasicAuth

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.sandbox import Sandbox
from demo import warehouse
from tests.browser.running import ACCOUNT_SID, Running
from tests.browser.test_deliveries_page import loaded, number, opened, part, rows
from tests.dags.test_sample_dags import is_good
from tests.e2e.scene import wait_until
from tests.examples import PASSWORD, session_ids

pytestmark = pytest.mark.browser

SAMPLES = {
    "impactcall_from_warehouse": "deliver_calls",
    "impactcall_by_partner": "deliver_calls/mapped/0",
    "impactcall_taskflow": "paid_calls",
    "impactcall_from_upstream": "deliver_calls",
    "impactcall_backlog": "deliver_calls/mapped/0",
}
AFTER_DELIVERY = "impactcall_after_delivery"
UPSTREAM_CALLERS = ["+12125550123", "+16175550148"]


@dataclass(frozen=True)
class Shown:
    """The text of a task's pages, and of its run's."""

    run: str
    log: str
    xcom: str
    rendered: str
    details: str


@pytest.fixture(scope="module")
def addresses(airflow_up: Running, connection: str) -> dict[str, str]:
    """The page of each sample's delivering task, once all have run. One waits for another's delivery."""
    airflow_up.switch_on(AFTER_DELIVERY)
    runs = {dag_id: quote(airflow_up.run_of(dag_id), safe="") for dag_id in SAMPLES}
    return {dag_id: f"/dags/{dag_id}/runs/{runs[dag_id]}/tasks/{task}" for dag_id, task in SAMPLES.items()}


@pytest.fixture(scope="module", params=SAMPLES)
def shown(
    request: pytest.FixtureRequest,
    addresses: dict[str, str],
    browser: BrowserContext,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shown]:
    """The pages of a sample's delivering task. What each looked like is kept in a folder of that sample."""
    page, address = browser.new_page(), addresses[request.param]
    looks = tmp_path_factory.mktemp(request.param)
    yield Shown(
        run=text_of(page, address.partition("/tasks/")[0], "Task Instances", looks / "run.png"),
        log=log_of(page, address, looks / "log.png"),
        xcom=xcom_of(page, address, looks / "xcom.png"),
        rendered=text_of(page, f"{address}/rendered_templates", "impactcall_conn_id", looks / "rendered.png"),
        details=text_of(page, f"{address}/details", "Task ID", looks / "details.png"),
    )
    page.close()


@pytest.fixture(scope="module")
def private(airflow_up: Running) -> re.Pattern[str]:
    """Every number of the warehouse and of the upstream task, however it is written, recordings and the password."""
    with closing(sqlite3.connect(airflow_up.stage.warehouse)) as calls:
        stored = [number for row in calls.execute("SELECT caller_id, called_phone_number FROM calls") for number in row]
    digits = {re.sub(r"\D", "", number)[-9:] for number in [*stored, *UPSTREAM_CALLERS]}
    numbers = [r"[\s().+-]{0,3}".join(number) for number in digits if len(number) == 9]
    assert len(numbers) > 300
    return re.compile("|".join([*numbers, r"recordings\.example", re.escape(PASSWORD), "canary-p"]))


def log_of(page: Page, address: str, look: Path) -> str:
    """The whole log of a task, with its folded parts."""
    page.goto(address)
    expect(page.get_by_text("impact.com calls:")).to_be_visible()
    folded = page.get_by_text(re.compile("^▶"))
    while folded.count():
        folded.first.click()
    return seen(page, "impact.com calls:", look)


def xcom_of(page: Page, address: str, look: Path, last: str = '"rejects"') -> str:
    """What a task returned, unfolded as far as its last entry."""
    page.goto(f"{address}/xcom")
    page.get_by_role("button", name="Expand all").click()
    return seen(page, last, look)


def text_of(page: Page, address: str, until: str, look: Path) -> str:
    page.goto(address)
    return seen(page, until, look)


def seen(page: Page, until: str, look: Path) -> str:
    """The text of a page that is open, once something is on it."""
    expect(page.get_by_text(until).first).to_be_visible()
    page.screenshot(path=look)
    return page.locator("body").inner_text().replace("\xa0", " ")


def test_log_and_xcom_say_the_same_counts(shown: Shown) -> None:
    (line,) = re.findall(r"impact\.com calls: (.*) seconds=", shown.log)
    logged = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)}
    stored = {name: int(count) for name, count in re.findall(r'"(\w+)": (\d+),', shown.xcom) if name != "seconds"}
    assert len(stored) == 9
    assert logged == stored
    assert logged["rows"] == sum(logged.values()) - logged["rows"] > 0


def test_no_page_shows_anything_private(shown: Shown, private: re.Pattern[str]) -> None:
    assert {where: found for where, text in asdict(shown).items() if (found := private.findall(text))} == {}


def test_the_search_finds_what_the_upstream_task_returned(
    addresses: dict[str, str], private: re.Pattern[str], page: Page, tmp_path: Path
) -> None:
    """The positive control: the very same search, where Airflow itself keeps callers."""
    upstream = addresses["impactcall_from_upstream"].replace("deliver_calls", "finished_calls")
    returned = xcom_of(page, upstream, tmp_path / "xcom.png", last='"customer_state"')
    # Airflow draws as many lines as its box is high: those of the first call, and further down of the others.
    found = set(private.findall(returned))
    page.get_by_text('"customer_state"').first.hover()
    page.mouse.wheel(0, 100_000)

    def finds_all() -> bool:
        found.update(private.findall(page.locator("body").inner_text().replace("\xa0", " ")))
        return len(found) >= len(UPSTREAM_CALLERS)

    wait_until(finds_all)


def test_what_was_rejected_and_why_is_in_the_log(
    addresses: dict[str, str], airflow_up: Running, page: Page, tmp_path: Path
) -> None:
    log = log_of(page, addresses["impactcall_from_warehouse"], tmp_path / "log.png")
    of_a_row = rf"Rejected, (\d+) rows: (?:{'|'.join(ProblemCode)}): (\w+)"
    reasons = [(parameter, int(count)) for count, parameter in re.findall(of_a_row, log)]
    rejected_for = {each: sum(count for parameter, count in reasons if parameter == each) for each in dict(reasons)}
    assert rejected_for == airflow_up.expected.rejected_for


def test_partners_have_tasks_by_their_names(addresses: dict[str, str], page: Page) -> None:
    page.goto(addresses["impactcall_by_partner"].removesuffix("/0"))
    for partner in warehouse.PARTNERS:
        expect(page.get_by_role("row").filter(has_text=partner)).to_contain_text("Success")


def test_what_waits_for_a_delivery_gets_its_counts(
    addresses: dict[str, str], airflow_up: Running, page: Page, tmp_path: Path
) -> None:
    assert addresses
    run = f"/dags/{AFTER_DELIVERY}/runs/{quote(airflow_up.run_of(AFTER_DELIVERY), safe='')}"
    assert "Asset Triggered" in text_of(page, run, "Task Instances", tmp_path / "run.png")
    page.goto(f"{run}/tasks/refresh")
    more = f"impact.com has {airflow_up.expected.delivered} more calls"
    assert more in seen(page, more, tmp_path / "log.png")


def test_together_they_delivered_each_call_once(addresses: dict[str, str], airflow_up: Running) -> None:
    arrived = session_ids(airflow_up.sandbox)
    with closing(sqlite3.connect(airflow_up.stage.warehouse)) as calls:
        calls.row_factory = sqlite3.Row
        good = {row["call_session_id"] for row in map(dict, calls.execute("SELECT * FROM calls")) if is_good(row)}
    assert len(good) > airflow_up.expected.delivered, "the backlog has calls of any time"
    assert len(arrived) == len(set(arrived)) == len(good) + len(UPSTREAM_CALLERS)


def actions_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The sandbox's own list of the actions that calls became."""
    found = []
    for campaign in sorted({call["parameters"]["CampaignId"] for call in sandbox.calls}):
        answer = requests.get(
            f"{sandbox.url}/Advertisers/{ACCOUNT_SID}/Actions",
            params={"CampaignId": campaign},
            auth=HTTPBasicAuth(ACCOUNT_SID.encode(), PASSWORD.encode()),
            headers={"Accept": "application/json"},
            timeout=60,
        )
        found += answer.json()["Actions"]
    return found


def test_the_way_to_the_payout_is_what_the_sandbox_says(
    page: Page, airflow_up: Running, addresses: dict[str, str]
) -> None:
    page.set_viewport_size({"width": 1400, "height": 900})
    sandbox = airflow_up.sandbox
    origin = f"http://{sandbox.host}:{sandbox.port}"
    sandbox.decide("APPROVED", range(1, 120))
    sandbox.decide("REVERSED", range(120, 160))
    sandbox.decide("CLEARED", range(1, 60))
    airflow_up.run_of("impactcall_follow")
    opened(page, f"#namespace={origin}")
    expected: dict[tuple[str, str], Counter[str]] = {}
    # The upstream task's calls were not among the rows that are followed.
    for action in (each for each in actions_of(sandbox) if each["CallerId"] not in UPSTREAM_CALLERS):
        states = expected.setdefault((action["MediaPartnerId"], action["CampaignId"]), Counter())
        states["Actions"] += 1
        states[action["State"].capitalize()] += 1
        states["Cleared"] += action["ClearedDate"] != ""
    if part(page, "ways").get_by_role("button", name="Show all").count():
        part(page, "ways").get_by_role("button", name="Show all").click()
    drawn = {}
    for row in rows(page, "ways").all():
        partner, campaign = (row.locator(f"[data-title={name}]").inner_text() for name in ("MediaId", "CampaignId"))
        names = ("Actions", "Pending", "Approved", "Cleared", "Reversed")
        drawn[partner, campaign] = Counter(
            {name: number(row.locator(f"[data-title={name}]").inner_text()) for name in names}
        )
    assert drawn == expected
    assert sum(states["Reversed"] for states in drawn.values()) > 20
    shown = rows(page, "ways").first.get_by_role("button", name="Reversed")
    reversed_calls = number(shown.inner_text())
    shown.click()
    loaded(page)
    assert rows(page, "calls").count() == reversed_calls
