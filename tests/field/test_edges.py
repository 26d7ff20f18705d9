"""Inputs that people described, through operator and check: files, and what is given in the place of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import Command, impactcall

__all__ = ["impactcall"]

FIELD = Path(__file__).parent
MAPPING = str(FIELD / "calls.yaml")
PARTNER = {"MediaId": 10000}


@pytest.fixture
def account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox whose connection has the program's ids."""
    ids = {"campaign_id": 1000, "action_tracker_id": 4000, "call_provider": "ExampleVendor"}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(sandbox, **ids))
    return sandbox


def deliver(name: str, **options: Any) -> dict[str, Any]:
    calls: Any = str(FIELD / name)
    if name.endswith(".json"):
        calls = json.loads((FIELD / name).read_text())
    return ImpactCallOperator(task_id="t", calls=calls, **options).execute({})


def arrived(account: Sandbox) -> dict[str, dict[str, str]]:
    return {each["parameters"]["CallSessionId"]: dict(each["parameters"]) for each in account.calls}


@pytest.mark.parametrize(
    ("name", "session_id"),
    [("12_unnamed_trailing_columns.csv", "T-1"), ("13_spaces_after_commas.csv", "S-1"), ("14_sep_hint.csv", "H-1")],
)
def test_a_csv_file_of_another_hand_is_delivered(
    name: str, session_id: str, account: Sandbox, impactcall: Command
) -> None:
    done = impactcall("check", str(FIELD / name), "--mapping", MAPPING, "--json")
    assert (done.status, json.loads(done.out)["would_send"]) == (0, 1)
    assert deliver(name, mapping=MAPPING)["delivered"] == 1
    sent = arrived(account)[session_id]
    assert (sent["City"], sent["ClickId"], sent["SubId1"], sent["MediaId"]) == ("Denver", "abc:1", "x", "10000")
    assert sent["CallerId"] == "2125550123"


def test_what_databases_write_for_nothing_is_absent(account: Sandbox) -> None:
    assert deliver("05_null_markers.csv", mapping=MAPPING)["delivered"] == 4
    assert arrived(account)["N-1"].keys().isdisjoint({"City", "ClickId", "SubId1"})


@pytest.mark.parametrize(
    ("name", "options", "arguments", "remedy"),
    [
        (
            "15_api_page.jsonl",
            {"constants": PARTNER, "vendor": "callrail"},
            ["--vendor", "callrail", "--constants", json.dumps(PARTNER)],
            "calls=page['calls']",
        ),
        ("15_api_page.jsonl", {"mapping": MAPPING}, ["--mapping", MAPPING], "calls=page['calls']"),
        ("16_rows_without_names.json", {}, [], "SqlToImpactCallOperator"),
        ("20_pretty_printed.jsonl", {}, [], "jq -c ."),
    ],
)
def test_what_is_no_rows_is_refused_at_once_with_what_to_give(
    name: str, options: dict[str, Any], arguments: list[str], remedy: str, account: Sandbox, impactcall: Command
) -> None:
    """It was one rejection for a hundred calls, one a cell, or one a line."""
    with pytest.raises(AirflowFailException) as raised:
        deliver(name, **options)
    assert remedy in str(raised.value)
    assert not account.requests
    done = impactcall("check", str(FIELD / name), *arguments)
    assert (done.status, done.out) == (1, "")
    # A .json file is read as one of values that commas separate.
    assert remedy in done.err or (name.endswith(".json") and "jq -c ." in done.err)
    assert len(done.err.splitlines()) == 1


def test_the_separator_and_the_encoding_are_options_of_check(
    account: Sandbox, impactcall: Command, tmp_path: Path
) -> None:
    header, row = (FIELD / "12_unnamed_trailing_columns.csv").read_text().splitlines()
    file = tmp_path / "excel.csv"
    file.write_bytes("\r\n".join((header, row.replace("Denver", "Zürich"))).replace(",", ";").encode("cp1252"))
    done = impactcall("check", str(file), "--mapping", MAPPING)
    assert (done.status, "csv_delimiter=';'" in done.err) == (1, True)
    done = impactcall("check", str(file), "--mapping", MAPPING, "--csv-delimiter", ";")
    assert (done.status, "csv_encoding" in done.err) == (1, True)
    done = impactcall("check", str(file), "--mapping", MAPPING, "--csv-encoding", "cp1252", "--csv-delimiter", ";")
    assert (done.status, "Zürich" in done.out) == (0, True)


@pytest.mark.parametrize("named", ["", "/*.csv"])
def test_a_folder_or_a_pattern_is_answered_with_what_to_give(named: str, account: Sandbox, impactcall: Command) -> None:
    with pytest.raises(AirflowFailException, match=r"sorted\(glob\.glob"):
        ImpactCallOperator(task_id="t", calls=f"{FIELD}{named}").execute({})
    done = impactcall("check", f"{FIELD}{named}")
    assert (done.status, "sorted(glob.glob" in done.err) == (1, True)
