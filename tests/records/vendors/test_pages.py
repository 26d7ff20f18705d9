"""The pages of the presets: those in the repository are what the presets give now."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from airflow_provider_impactcall.records import vendors
from airflow_provider_impactcall.records.vendors import VENDORS, Filter, VendorPreset, preset
from airflow_provider_impactcall.records.vendors.page import page
from tests.documentation import ROOT
from tests.tables import table

FOLDER = ROOT / "docs" / "vendors"


def test_each_page_is_what_the_preset_gives_now() -> None:
    with table() as row:
        for vendor in VENDORS:
            with row(vendor):
                written = (FOLDER / f"{vendor}.md").read_text(encoding="utf-8")
                assert written == page(preset(vendor)), "run make docs-vendors"


def test_the_index_leads_to_each_page() -> None:
    linked = re.findall(r"\]\(([a-z]+)\.md\) \| `([a-z]+)`", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert linked == [(vendor, vendor) for vendor in VENDORS]
    assert {path.stem for path in FOLDER.glob("*.md")} == {*VENDORS, "README"}


def test_the_index_explains_each_part_of_a_preset() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")

    def explained(head: str) -> list[str]:
        return re.findall(r"^\| `(\w+)", text.partition(f"\n| {head} |")[2].partition("\n\n")[0], re.MULTILINE)

    assert explained("part of a preset") == [part.name for part in fields(VendorPreset)]
    assert explained("part of a `Filter`") == [part.name for part in fields(Filter)]
    assert sorted(explained("helper")) == [name for name in vendors.__all__ if name.islower()]


def test_all_of_a_preset_is_on_its_page() -> None:
    def talk(row: object) -> int:
        """What ``a|b`` says,
        in seconds.

        And more, for developers.
        """
        return 0

    def once(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The first <row>."""
        return rows

    written = page(
        VendorPreset(
            name="acme",
            title="Acme Calls",
            facts=["a fact"],
            mapping={
                "CallSessionId": "ref",
                "CalledPhoneNumber": {"first_of": ["dialled", "pool.number"]},
                "TalkDuration": talk,
                "PhoneType": {"from": "line", "values": {"cell": "Mobile", "fixed": "Landline"}},
                "AdId": {"constant": 7},
                "RepeatCaller": {"from": "again", "values": {"y": "repeat", "yes": "repeat"}, "default": "new"},
                "OptInSms": {"from": "opted", "values": {"y": 1}, "default": None},
                "City": {"from": "pool", "lookup": {"a": "Rolla"}},
                "CallStatus": {"from": "result", "values": {"won": "ANSWER"}, "default": "CANCEL"},
            },
            known_by=["ref"],
            filters=[Filter("a test call", "kind", ["test", "demo"])],
            join=once,
            call="group",
            notes=["a note of <Dial> and ``<Dial>``"],
            blanks=["n/a"],
        )
    )
    assert '        vendor="acme",' in written
    assert (
        'mapping={"MediaId": {"from": {"first_of": ["dialled", "pool.number"]}, "lookup": {"3035550191": 10000}}},'
        in written
    )
    for line in (
        "# Acme Calls",
        "- a note of \\<Dial> and `<Dial>`",
        "`n/a` counts as no value.",
        "| **CalledPhoneNumber** | `dialled`, else `pool.number` |",
        "| **TalkDuration** | what `a\\|b` says, in seconds |",
        "| **EventDate** | you give it |",
        "| AdId | always `7` |",
        "| RepeatCaller | `again`: `y`, `yes` → `repeat`; any other → `new` |",
        "| OptInSms | `opted`: `y` → `1`; any other is not sent |",
        "| City | by `pool`, from a table |",
        "| PhoneType | `line`: `cell` → `Mobile`; `fixed` → `Landline` |",
        "The word for it is `result`.",
        "| `won` | ANSWER |",
        "Any other word is `CANCEL`.",
        "| a test call | `kind` is `test` or `demo` |",
        "Rows of one input belong to the same call if they have the same `group`.",
        "The first \\<row>.",
        "- a fact",
    ):
        assert line in written.splitlines()


def test_the_least_that_a_preset_can_say() -> None:
    written = page(
        VendorPreset(
            name="acme",
            title="Acme Calls",
            facts=["a fact"],
            mapping={"CallSessionId": "ref", "CalledPhoneNumber": lambda row: row["dialled"]},
            known_by=["ref"],
        )
    )
    assert '        mapping={"MediaId": {"from": "called_number", "lookup": {"3035550191": 10000}}},' in written
    for line in (
        "| **CalledPhoneNumber** | a function of the row |",
        "You give `CallStatus`.",
        "None.",
        "Each row is a call.",
    ):
        assert line in written.splitlines()


def test_a_page_on_the_command_line() -> None:
    command = [sys.executable, "-m", "airflow_provider_impactcall.records.vendors"]
    written = subprocess.run([*command, "ringba"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert written.stdout == page(preset("ringba"))
    unknown = subprocess.run([*command, "ringbo"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert unknown.returncode == 1
    assert "did you mean 'ringba'?" in unknown.stderr
