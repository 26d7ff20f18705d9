"""One browser, and one running Airflow that it is logged in to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import airflow
import pytest
from packaging.version import Version
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import lanes
from tests.browser.form import ConnectionForm
from tests.browser.running import Running, running
from tests.examples import LOGIN, PASSWORD

pytest_itemcollected = lanes.long

# Nothing that asks the Internet, and no sandbox of its own, as tests may run as root.
SWITCHES = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Milliseconds, for each thing that has to appear: the machine may be busy.
PATIENCE = 60_000

OWN_FIELDS = {
    "parameters_in": "form",
    "campaign_id": "41010",
    "action_tracker_id": "401100",
    "call_provider": "CallRail",
    "caller_id_format": "e164",
    "concurrency": "4",
    "requests_per_second": "200.5",
    "timeout": "12.5",
    "verify": "false",
}


@pytest.fixture(scope="package")
def airflow_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if Version(airflow.__version__) < Version("3.3"):
        pytest.skip("Airflow before 3.3 has other pages")
    with running(tmp_path_factory.mktemp("browser")) as airflow_up:
        yield airflow_up


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Chromium: the system's if there is one, else Playwright's own."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def browser(airflow_up: Running, chromium: Browser) -> Iterator[BrowserContext]:
    """Chromium, logged in to Airflow."""
    # High enough for every field and log line: what is out of sight, Airflow does not draw.
    context = chromium.new_context(base_url=airflow_up.url, locale="en-US", viewport={"width": 1400, "height": 2000})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    log_in(page, airflow_up.user, airflow_up.password)
    page.get_by_test_id("nav-home-link").wait_for()
    page.close()
    yield context
    context.close()


def log_in(page: Page, user: str, password: str) -> None:
    page.goto("/")
    page.locator("[name=username]").fill(user)
    page.locator("[name=password]").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def page(browser: BrowserContext, tmp_path: Path) -> Iterator[Page]:
    """A new page. Its last view is kept as ``last.png`` in the test's folder."""
    page = browser.new_page()
    yield page
    page.screenshot(path=tmp_path / "last.png")
    page.close()


@pytest.fixture(scope="package")
def connection(airflow_up: Running, browser: BrowserContext, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a connection to the sandbox, made in the form. Screenshots of the form are kept in a folder."""
    looks = tmp_path_factory.mktemp("connection")
    page = browser.new_page()
    form = ConnectionForm.new(page)
    page.screenshot(path=looks / "empty.png")
    standard = {
        "connection_id": "impactcall_default",
        "host": f"http://{airflow_up.sandbox.host}",
        "login": LOGIN,
        "password": PASSWORD,
        "port": str(airflow_up.sandbox.port),
    }
    form.fill(standard, OWN_FIELDS)
    page.screenshot(path=looks / "filled.png")
    form.save()
    page.screenshot(path=looks / "saved.png")
    page.close()
    return standard["connection_id"]
