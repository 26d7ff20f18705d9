"""The sandbox's page in a real browser: what a person sees and does there, and what it looks like."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect
from playwright.sync_api import Error as PlaywrightError
from requests.auth import HTTPBasicAuth

from airflow_provider_impactcall.sandbox import Sandbox, recent
from tests.browser.conftest import PATIENCE
from tests.examples import CALLER, LOGIN, PASSWORD, RECORDING, call

pytestmark = pytest.mark.browser

MASKED = f"••••••{CALLER[-2:]}"
MARKUP = "<img src=x onerror=alert(1)>"
WIDE: ViewportSize = {"width": 1360, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 780}
FAULTS = {"429-retry-after": 0.2, "reset-after-processing": 0.15}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7).in_thread() as sandbox:
        yield sandbox


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(locale="en-US", viewport=WIDE)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext, sandbox: Sandbox) -> Iterator[Callable[[], Page]]:
    """Opens the page, which must never complain nor break its policy."""
    complaints: list[str] = []

    def open_page() -> Page:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(sandbox.url)
        expect(page.locator("#connection")).to_have_text("Live")
        return page

    yield open_page
    # A browser says so itself when the sandbox is gone, or refuses.
    assert [each for each in complaints if "Failed to load resource" not in each and "ERR_" not in each] == []


@pytest.fixture
def page(open_page: Callable[[], Page]) -> Page:
    return open_page()


def send(sandbox: Sandbox, session_id: str, **changes: object) -> None:
    """A call as the client sends it, which may meet a fault; None leaves a parameter out."""
    parameters = call(session_id, CalledPhoneNumber="3035550191", **changes)
    parameters = {name: value for name, value in parameters.items() if value is not None}
    # As bytes: requests makes Latin-1 of text, which the sandbox refuses.
    credentials = HTTPBasicAuth(LOGIN.encode(), PASSWORD.encode())
    with suppress(requests.RequestException):
        requests.post(f"{sandbox.url}/calldata/logCallData", params=parameters, auth=credentials, timeout=5)


def a_day(sandbox: Sandbox) -> None:
    """Calls of all kinds: processed, refused and met by faults."""
    sandbox.faults = FAULTS
    for number in range(24):
        changes: dict[str, object] = {"CallerId": f"212555{100 + number:04}"}
        if number == 22:
            changes |= {"EventDate": "2026-09-10 22:55", "TalkDuration": 500, "MediaId": None}
        if number == 12:
            changes |= {"CallerId": None, "caller_id": CALLER}
        send(sandbox, f"CAL{number * 0x9E3779B97F4A7C15 % 2**64:016x}", **changes)


def row(page: Page, session_id: str) -> Locator:
    return page.locator("#requests li").filter(has=page.get_by_role("button", name=session_id, exact=True))


def switch(page: Page, kind: str) -> Locator:
    return page.get_by_role("switch", name=kind, exact=True)


def rate(page: Page, kind: str) -> Locator:
    return page.get_by_label(f"Percent of requests that meet {kind}", exact=True)


def accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def settled(page: Page) -> None:
    """Every transition at its end, so that no colour between two is taken for the real one."""
    page.evaluate("Promise.all(document.getAnimations().map((animation) => animation.finished))")


def test_calls_appear_as_they_arrive_newest_first(page: Page, sandbox: Sandbox) -> None:
    expect(page.get_by_role("heading", name="Nothing has arrived yet")).to_be_visible()
    expect(page.locator("#own-port")).to_have_text(str(sandbox.port))
    send(sandbox, "first")
    expect(row(page, "first")).to_contain_text("200processed")
    send(sandbox, "second", MediaId=None)
    expect(page.locator("#requests .id")).to_have_text(["second", "first"])
    expect(row(page, "second")).to_contain_text("400refused: 1 problem")
    expect(page.get_by_role("heading", name="Nothing has arrived yet")).to_be_hidden()
    for name, count in (("requests", "2"), ("processed", "1"), ("ok", "1"), ("refused", "1"), ("faults", "0")):
        expect(page.locator(f"#count-{name}")).to_have_text(count)
    expect(page.locator("#count-refused-by")).to_have_text("400 × 1")


def test_a_callers_number_is_masked_until_it_is_shown(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, "one")
    expect(row(page, "one").locator(".caller")).to_have_text(MASKED)
    page.get_by_role("button", name="one", exact=True).click()
    detail = page.get_by_role("dialog")
    expect(detail.get_by_role("row", name="CallerId")).to_contain_text(MASKED)
    assert CALLER not in page.content()
    assert RECORDING not in page.content()
    detail.get_by_role("button", name="Show number").click()
    expect(detail.get_by_role("row", name="CallerId")).to_contain_text(CALLER)
    expect(detail.get_by_role("row", name="CallRecording")).to_contain_text(RECORDING)
    page.keyboard.press("Escape")
    expect(row(page, "one").locator(".caller")).to_have_text(CALLER)
    page.get_by_role("switch", name="Show callers' numbers").uncheck()
    expect(row(page, "one").locator(".caller")).to_have_text(MASKED)
    assert CALLER not in page.content()
    expect(page.get_by_text("No real calls belong here.")).to_be_visible()


def test_a_refused_call_says_what_was_wrong_by_parameter(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, "bad", MediaId=None, TalkDuration=500, caller_id="1")
    page.get_by_role("button", name="bad", exact=True).click()
    detail = page.get_by_role("dialog", name="bad")
    expect(detail.locator(".problems li")).to_have_text(
        [
            "MediaId is missing",
            "TalkDuration must not exceed CallDuration",
            "caller_id is not one of impact.com's 50 parameters; did you mean CallerId?",
        ]
    )
    expect(detail.locator("tr.wrong th")).to_have_text(["TalkDuration (wrong)", "caller_id (wrong)"])
    expect(detail.get_by_role("row", name="EventDate")).to_contain_text("2026-09-10T22:55:32-08:00")


def test_text_of_a_call_is_text(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, MARKUP, City=MARKUP, **{MARKUP: "1"})
    page.get_by_role("button", name=MARKUP, exact=True).click()
    detail = page.get_by_role("dialog")
    expect(detail.get_by_role("row", name="City")).to_contain_text(MARKUP)
    expect(detail.locator(".problems")).to_contain_text(MARKUP)
    expect(page.get_by_role("heading", name=MARKUP)).to_be_visible()
    assert page.locator("img").count() == 0


def test_the_list_is_bounded_and_the_search_goes_beyond_it(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, "the-very-first")
    for number in range(recent.KEPT + 1):
        send(sandbox, f"n-{number}")
    expect(row(page, f"n-{recent.KEPT}")).to_be_visible()
    expect(page.locator("#requests li")).to_have_count(recent.KEPT)
    page.get_by_label("Find by CallSessionId").fill("VERY")
    expect(page.locator("#requests .id")).to_have_text(["the-very-first"])
    expect(page.locator("#about")).to_have_text("1 found.")
    page.get_by_role("button", name="the-very-first").click()
    expect(page.get_by_role("dialog").get_by_role("row", name="CallSessionId")).to_contain_text("the-very-first")
    page.keyboard.press("Escape")
    page.get_by_label("Find by CallSessionId").fill("nothing-like-it")
    expect(page.locator("#about")).to_have_text("None found.")
    page.get_by_label("Find by CallSessionId").fill("")
    expect(page.locator("#requests li")).to_have_count(recent.KEPT)


def test_paused_it_stands_still(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, "one")
    expect(row(page, "one")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    send(sandbox, "two")
    expect(page.locator("#about")).to_have_text("Paused. 1 new request.")
    expect(page.locator("#requests .id")).to_have_text(["one"])
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#requests .id")).to_have_text(["two", "one"])


def test_forget_all_asks_first(open_page: Callable[[], Page], sandbox: Sandbox) -> None:
    page, other = open_page(), open_page()
    send(sandbox, "one")
    expect(row(other, "one")).to_be_visible()
    page.get_by_role("button", name="Forget all").click()
    page.get_by_role("button", name="Keep them").click()
    expect(row(page, "one")).to_be_visible()
    page.get_by_role("button", name="Forget all").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget all").click()
    for each in (page, other):
        expect(each.get_by_role("heading", name="Nothing has arrived yet")).to_be_visible()
    assert sandbox.calls == []


def test_faults_change_with_the_next_request_and_on_every_page(open_page: Callable[[], Page], sandbox: Sandbox) -> None:
    page, other = open_page(), open_page()
    expect(page.locator("#seed")).to_have_text("7")
    rate(page, "403").fill("100")
    switch(page, "403").check()
    expect(switch(other, "403")).to_be_checked()
    expect(rate(other, "403")).to_have_value("100")
    expect(other.locator("#faults-about")).to_contain_text("1 kind on: together 100 %")
    send(sandbox, "barred")
    expect(row(page, "barred")).to_contain_text("403not processed: 403")
    expect(page.locator("#faults li.on")).to_contain_text("given 1 ×")

    switch(page, "500").click()
    expect(page.get_by_role("alert")).to_have_text("All rates together must be at most 100 %; this makes 110 %.")
    expect(switch(page, "500")).not_to_be_checked()
    rate(page, "403").fill("12.5")
    rate(page, "403").press("Enter")
    expect(rate(other, "403")).to_have_value("12.5")
    expect(page.get_by_role("alert")).to_be_hidden()
    switch(other, "slow").check()
    expect(switch(page, "slow")).to_be_checked()
    assert sandbox.faults == {"403": 0.125, "slow": 0.1}

    page.get_by_label("Latency").fill("50")
    page.get_by_label("Latency").press("Tab")
    expect(other.get_by_label("Latency")).to_have_value("50")
    assert sandbox.latency == 0.05
    page.get_by_role("button", name="All off").click()
    expect(other.locator("#faults li.on")).to_have_count(0)
    assert sandbox.faults == {}


def test_it_says_that_it_is_disconnected_and_comes_back(page: Page, context: BrowserContext, sandbox: Sandbox) -> None:
    send(sandbox, "before")
    expect(row(page, "before")).to_be_visible()
    context.set_offline(True)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#connection")).to_have_text("Reconnecting …")
    expect(page.locator("#connection")).to_contain_text("Disconnected")
    expect(row(page, "before")).to_be_visible()
    send(sandbox, "meanwhile")
    context.set_offline(False)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#requests .id")).to_have_text(["meanwhile", "before"])


def test_a_sandbox_that_was_started_anew_is_found_again(context: BrowserContext) -> None:
    page = context.new_page()
    with Sandbox().in_thread() as sandbox:
        page.goto(sandbox.url)
        send(sandbox, "before")
        expect(row(page, "before")).to_be_visible()
    expect(page.locator("#connection")).to_contain_text("Disconnected")
    with Sandbox(port=sandbox.port, seed=9, faults={"500": 0.5}).in_thread():
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#requests li")).to_have_count(0)
        expect(page.locator("#seed")).to_have_text("9")
        expect(switch(page, "500")).to_be_checked()
        page.close()


def test_it_is_used_with_the_keyboard_alone(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, "one")
    expect(row(page, "one")).to_be_visible()
    focused = page.locator(":focus")
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to the requests")
    page.keyboard.press("Enter")
    names = ["numbers", "pause", "forget", "text"]
    for name in names:
        page.keyboard.press("Tab")
        expect(focused).to_have_id(name)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    expect(focused).to_have_text("one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="one")).to_be_visible()
    page.keyboard.press("Escape")
    expect(focused).to_have_text("one")
    # The next requests do not take the focus away.
    send(sandbox, "two")
    expect(row(page, "two")).to_be_visible()
    expect(focused).to_have_text("one")
    for name in ("all-off", "latency"):
        page.keyboard.press("Tab")
        if page.locator(f"#{name}").is_enabled():
            expect(focused).to_have_id(name)
        else:
            break
    switch(page, "429-bare").focus()
    page.keyboard.press("Space")
    expect(switch(page, "429-bare")).to_be_checked()
    expect(page.locator("#faults li.on code")).to_have_text("429-bare")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_looks_well(
    page: Page, sandbox: Sandbox, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    page.emulate_media(color_scheme=scheme)
    settled(page)
    page.screenshot(path=tmp_path / f"{scheme}-empty.png")
    accessible(page)
    a_day(sandbox)
    expect(page.locator("#count-requests")).to_have_text("24")
    expect(page.locator("#faults li.on")).to_have_count(2)
    settled(page)
    page.screenshot(path=tmp_path / f"{scheme}.png")
    accessible(page)
    page.locator("#requests li").filter(has_text="3 problems").get_by_role("button").click()
    expect(page.get_by_role("dialog").locator(".problems li")).to_have_count(3)
    settled(page)
    page.screenshot(path=tmp_path / f"{scheme}-detail.png")
    accessible(page)


def test_a_narrow_screen_scrolls_in_one_direction(page: Page, sandbox: Sandbox, tmp_path: Path) -> None:
    page.set_viewport_size(NARROW)
    width = "document.scrollingElement.scrollWidth"
    assert page.evaluate(width) == NARROW["width"]
    a_day(sandbox)
    sandbox.script = ["ok"]
    send(sandbox, "x" * 200, MediaId=None, **{"n" * 90: "1"})
    expect(row(page, "x" * 200)).to_be_visible()
    assert page.evaluate(width) == NARROW["width"]
    page.screenshot(path=tmp_path / "narrow.png", full_page=True)
    accessible(page)
    row(page, "x" * 200).get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".problems li")).to_have_count(2)
    page.screenshot(path=tmp_path / "narrow-detail.png")
    assert dialog.evaluate("(dialog) => dialog.scrollWidth <= dialog.clientWidth")
    accessible(page)


def test_reduced_motion_moves_nothing(page: Page) -> None:
    duration = "getComputedStyle(document.querySelector('.switch input')).transitionDuration"
    assert page.evaluate(duration) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(duration) == "0s"


def test_a_hidden_page_lets_go_of_its_connection(page: Page, sandbox: Sandbox) -> None:
    expect(page.locator("#connection")).to_have_text("Live")
    page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: true, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    send(sandbox, "is_new")
    page.wait_for_timeout(600)
    expect(page.locator("#requests li")).to_have_count(0)
    page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: false, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    expect(row(page, "is_new")).to_be_visible()


def test_with_a_user_the_browser_asks_for_the_credentials(chromium: Browser) -> None:
    with Sandbox(user=LOGIN, password=PASSWORD).in_thread() as sandbox:
        stranger = chromium.new_context()
        # Chromium without a window asks nobody, and shows nothing at all.
        with pytest.raises(PlaywrightError, match="ERR_INVALID_AUTH_CREDENTIALS"):
            stranger.new_page().goto(sandbox.url)
        stranger.close()
        known = chromium.new_context(http_credentials={"username": LOGIN, "password": PASSWORD})
        page = known.new_page()
        page.goto(sandbox.url)
        expect(page.locator("#connection")).to_have_text("Live")
        switch(page, "403").check()
        expect(page.locator("#faults li.on")).to_have_count(1)
        assert sandbox.faults == {"403": 0.1}
        known.close()


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>Another site</title>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def another_site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


ATTACK = """async (sandbox) => {
  const body = JSON.stringify({ faults: { 500: 1 } });
  const json = { "Content-Type": "application/json" };
  const tries = [
    [`${sandbox}/page/faults`, { method: "PATCH", headers: json, body }],
    [`${sandbox}/page/faults`, { method: "POST", mode: "no-cors", body }],
    [`${sandbox}/page/faults`, { method: "POST", headers: json, body, mode: "no-cors", credentials: "include" }],
    [`${sandbox}/calls`, { method: "DELETE" }],
    [`${sandbox}/calls`, {}],
    [`${sandbox}/page/feed`, {}],
  ];
  const read = [];
  for (const [address, options] of tries) {
    try {
      read.push(await (await fetch(address, options)).text());
    } catch (error) {
      read.push("");
    }
  }
  return read.join("");
}"""


def test_another_sites_page_can_neither_change_nor_read_nor_frame_it(
    page: Page, context: BrowserContext, sandbox: Sandbox
) -> None:
    send(sandbox, "one")
    with another_site() as address:
        foreign = context.new_page()
        foreign.goto(address)
        assert foreign.evaluate(ATTACK, sandbox.url) == ""
        foreign.evaluate(
            """(sandbox) => new Promise((loaded) => {
              const frame = document.createElement("iframe");
              frame.onload = loaded;
              frame.src = sandbox;
              document.body.append(frame);
            })""",
            sandbox.url,
        )
        assert "Sandbox" not in foreign.frames[1].content()
        foreign.close()
    assert (sandbox.faults, len(sandbox.calls)) == ({}, 1)
