"""The connection form of our type, as a person uses it: seen, filled, saved, used, edited and tested."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS, FIELD_BEHAVIOUR
from tests.browser.conftest import OWN_FIELDS
from tests.browser.form import ConnectionForm, row
from tests.browser.running import Running
from tests.examples import LOGIN, PASSWORD

pytestmark = pytest.mark.browser


def test_airflows_own_fields(page: Page) -> None:
    form = ConnectionForm.new(page)
    expect(form.standard("login")).to_be_visible()
    for name, placeholder in FIELD_BEHAVIOUR["placeholders"].items():
        expect(form.standard(name)).to_have_attribute("placeholder", placeholder)
    shown = form.dialog.inner_text()
    assert [label for label in ("Host", "Login", "Password", "Port", "Schema") if f"\n{label}\n" in shown] == [
        "Host",
        "Login",
        "Password",
        "Port",
    ]


def test_our_fields_with_label_and_help_in_their_order(page: Page) -> None:
    form = ConnectionForm.new(page)
    form.open("Extra Fields")
    expect(form.own_fields.first).to_be_visible()
    labels, helps = (form.own_fields.locator(part) for part in ("label", "[data-part=helper-text]"))
    expect(labels).to_have_text([field["label"] for field in CONNECTION_FIELDS.values()])
    expect(helps).to_have_text([field["description"] for field in CONNECTION_FIELDS.values()])


def test_only_the_id_is_required(page: Page) -> None:
    form = ConnectionForm.new(page)
    save = form.dialog.get_by_role("button", name="Save")
    expect(save).to_be_disabled()
    form.standard("connection_id").fill("bare")
    form.standard("connection_id").blur()
    expect(save).to_be_enabled()


def test_a_task_uses_what_was_saved(airflow_up: Running, connection: str, page: Page) -> None:
    page.goto("/connections")
    expect(row(page, connection)).to_contain_text(f"http://{airflow_up.sandbox.host}")
    airflow_up.run_of("impactcall_from_upstream")
    ids = ("CAL8154748ae6bd4e278a7cddd38a662f4f", "CALb2b6fd0d7f2c4f1b8d5f0a1e6c3d9e42")
    calls = {each["parameters"]["CallSessionId"]: each["parameters"] for each in airflow_up.sandbox.calls}
    assert [calls[session_id]["CallerId"] for session_id in ids] == ["+12125550123", "+16175550148"], "e164"
    sent = [request for request in airflow_up.sandbox.requests if any(each in str(request.body) for each in ids)]
    assert len(sent) == len(ids), "parameters_in form: in the body"


def test_edited_it_shows_every_value_but_the_password(airflow_up: Running, connection: str, page: Page) -> None:
    form = ConnectionForm.of(page, connection)
    expect(form.standard("host")).to_have_value(f"http://{airflow_up.sandbox.host}")
    expect(form.standard("port")).to_have_value(str(airflow_up.sandbox.port))
    expect(form.standard("login")).to_have_value(LOGIN)
    expect(form.standard("password")).to_have_value("***")
    form.open("Extra Fields")
    for name in CONNECTION_FIELDS:
        expect(form.own(name)).to_have_value(OWN_FIELDS.get(name, ""))
    assert PASSWORD not in page.content()


def test_saved_anew_it_keeps_the_password(airflow_up: Running, connection: str, page: Page) -> None:
    form = ConnectionForm.of(page, connection)
    form.fill({}, {"concurrency": "5"})
    form.save()
    again = ConnectionForm.of(page, connection)
    again.open("Extra Fields")
    expect(again.own("concurrency")).to_have_value("5")
    page.keyboard.press("Escape")
    press_test(page, connection, good=True)


def test_the_test_button_says_yes_and_creates_no_call(airflow_up: Running, connection: str, page: Page) -> None:
    page.goto("/connections")
    before = airflow_up.sandbox.counts.copy()
    press_test(page, connection, "(400)", good=True)
    assert airflow_up.sandbox.counts["requests"] == before["requests"] + 1
    assert airflow_up.sandbox.counts["processed"] == before["processed"]
    # All that Airflow shows of a good answer is the colour.
    button = row(page, connection).get_by_role("button", name="Test Connection")
    expect(button.locator("svg")).to_have_css("color", "rgb(0, 128, 0)")


@pytest.mark.parametrize(
    ("name", "wrong", "own", "fact"),
    [
        ("refused", {"password": "not-the-password"}, {}, "(401)"),
        ("wrong", {}, {"timeout": "-1"}, "timeout: Input should be greater than 0"),
    ],
    ids=["refused", "wrong"],
)
def test_the_test_button_says_what_is_wrong(
    name: str, wrong: dict[str, str], own: dict[str, str], fact: str, airflow_up: Running, page: Page
) -> None:
    form = ConnectionForm.new(page)
    standard = {
        "connection_id": name,
        "host": f"http://{airflow_up.sandbox.host}",
        "login": LOGIN,
        "password": PASSWORD,
        "port": str(airflow_up.sandbox.port),
        **wrong,
    }
    form.fill(standard, own)
    form.save()
    press_test(page, name, fact, good=False)
    expect(page.get_by_text("Test Connection Failed")).to_be_visible()
    expect(page.get_by_text(fact)).to_be_visible()


def press_test(page: Page, conn_id: str, *facts: str, good: bool) -> None:
    """Press a connection's test button, and see what it is told: whether it is good, and facts of the message."""
    with page.expect_response("**/connections/test") as answer:
        row(page, conn_id).get_by_role("button", name="Test Connection").click()
    told = answer.value.json()
    assert (told["status"], [fact for fact in facts if fact not in told["message"]]) == (good, [])
