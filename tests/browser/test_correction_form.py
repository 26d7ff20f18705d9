"""The form of the correction DAG, filled in by a person who is logged in, and what the ledger keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.integration.ledger import EMBEDDED, open_ledger
from tests.browser.running import Running
from tests.delivery.mixed import REFUSED, attempted

pytestmark = pytest.mark.browser

CORRECTIONS = "impactcall_corrections"


@pytest.fixture
def ledger(airflow_up: Running, connection: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The embedded ledger of that Airflow, with calls of the connection's namespace."""
    monkeypatch.setenv("AIRFLOW_HOME", str(airflow_up.stage.airflow_home))
    namespace = f"http://{airflow_up.sandbox.host}:{airflow_up.sandbox.port}"
    with closing(open_ledger(EMBEDDED, namespace)) as ledger:
        yield ledger


def trigger(page: Page, look: Path, **fields: str) -> None:
    """Fill in the form and send it. What it looks like, empty and filled in, is kept in a folder."""
    page.goto(f"/dags/{CORRECTIONS}")
    page.get_by_test_id("trigger-dag-button").click()
    form = page.get_by_role("dialog")
    expect(form.locator("[name=element_why]")).to_be_visible()
    page.screenshot(path=look / "empty.png")
    expect(form.get_by_test_id("trigger-dag-submit")).to_be_disabled()
    for name, text in fields.items():
        form.locator(f"[name=element_{name}]").fill(text)
    page.screenshot(path=look / "filled.png")
    form.get_by_test_id("trigger-dag-submit").click()
    expect(form).to_be_hidden()


def test_a_dry_run_then_its_number_and_the_history_has_the_persons_name(
    airflow_up: Running, ledger: Ledger, page: Page, tmp_path: Path
) -> None:
    attempted(ledger, REFUSED, "form-1", "form-2")
    airflow_up.switch_on(CORRECTIONS)
    answers = {"call_session_ids": "form-1\nform-2", "why": "the partner is set up now"}
    trigger(page, tmp_path, **answers)
    (dry_run,) = airflow_up.ended_runs(CORRECTIONS, 1)
    page.goto(f"/dags/{CORRECTIONS}/runs/{quote(dry_run, safe='')}/tasks/requeue")
    expect(page.get_by_text("Selected: 2 rejected")).to_be_visible()
    page.screenshot(path=tmp_path / "log.png")
    assert last_of(ledger, "form-1") == ("rejected", None)
    trigger(page, tmp_path, **answers, apply="2")
    assert len(airflow_up.ended_runs(CORRECTIONS, 2)) == 2
    assert last_of(ledger, "form-1") == last_of(ledger, "form-2") == ("not_sent", airflow_up.user)


def last_of(ledger: Ledger, session_id: str) -> tuple[str, str | None]:
    last = CallQueries(ledger).history(Selection(call_session_ids=[session_id]))[-1]
    return last["state"], last["actor"]
