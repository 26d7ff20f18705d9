"""What a preset does with rows, how a user's own mapping goes before it, and how presets are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, InvalidOption
from airflow_provider_impactcall.records import CallMapping, vendors
from airflow_provider_impactcall.records.vendors import Filter, VendorPreset, anonymous, click_id
from airflow_provider_impactcall.records.vendors.preset import whole_id
from tests.facts import named

IDS = {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"}


def acme(**changes: Any) -> VendorPreset:
    """A vendor with columns of its own."""
    return VendorPreset(
        **{
            "name": "acme",
            "title": "Acme Calls",
            "facts": (),
            "mapping": {
                "MediaId": "partner",
                "EventDate": "at",
                "CallSessionId": "uid",
                "CallerId": "from",
                "CalledPhoneNumber": "to",
                "CallDuration": "seconds",
                "TalkDuration": {"first_of": ["talk", "seconds"]},
                "CallStatus": {"from": "status", "values": {"done": "ANSWER", "no-answer": "CANCEL"}},
            },
            "known_by": ("uid",),
            "filters": (Filter("a call that has not ended", "status", ("ringing",)), anonymous("from")),
            **changes,
        }
    )


def row(**changes: Any) -> dict[str, Any]:
    """A call of that vendor's."""
    return {
        "uid": "a-1",
        "partner": 10000,
        "at": "2026-09-10T22:55:32-08:00",
        "from": "+12125550142",
        "to": "3035550191",
        "seconds": 30,
        "talk": 20,
        "status": "done",
        **changes,
    }


def wire(given: Any, **options: Any) -> dict[str, str]:
    """The parameters that a row leaves as."""
    return CallMapping(**{"vendor": acme(), "constants": IDS, **options}).record(given).parameters()


def problems(given: Any, **options: Any) -> list[str]:
    """What is wrong with a row."""
    with pytest.raises(InvalidCall) as raised:
        wire(given, **options)
    return [str(problem) for problem in raised.value.problems]


def test_a_call_is_mapped() -> None:
    assert wire(row()) == {
        "CampaignId": "1000",
        "MediaId": "10000",
        "EventDate": "2026-09-10T22:55:32-08:00",
        "ActionTrackerId": "4000",
        "CallProvider": "ExampleVendor",
        "CallSessionId": "a-1",
        "CallerId": "2125550142",
        "CalledPhoneNumber": "3035550191",
        "CallDuration": "30",
        "TalkDuration": "20",
        "CallStatus": "ANSWER",
        "CallerPhoneNumberCountry": "US",
        "CalledPhoneNumberCountry": "US",
    }


def test_nothing_maps_by_name_beside_a_preset() -> None:
    assert "City" not in wire(row(City="Denver", city="Denver"))


def test_own_mapping_goes_before_the_presets() -> None:
    assert wire(row(other=7), mapping={"MediaId": "other"})["MediaId"] == "7"
    assert wire(row(), constants={**IDS, "MediaId": 8})["MediaId"] == "8"


def test_the_connections_defaults_come_after_the_presets() -> None:
    preset = acme(mapping={**acme().mapping, "CampaignId": "program"})
    options = {"vendor": preset, "constants": None, "defaults": IDS}
    assert wire(row(program=5), **options)["CampaignId"] == "5"
    assert wire(row(), **options)["CampaignId"] == "1000"


def test_a_status_that_the_table_lacks_rejects_the_row_and_is_named() -> None:
    (problem,) = problems(row(status="Transferred"))
    assert named(problem, "CallStatus", "'Transferred'") == ["CallStatus", "'Transferred'"]


def test_words_are_the_same_in_any_case_and_with_dashes_for_spaces() -> None:
    assert wire(row(status="No Answer"))["CallStatus"] == "CANCEL"


def test_words_can_be_added_and_changed() -> None:
    mapping = {"CallStatus": {"values": {"transferred": "ANSWER", "No answer": "IVR_DROPOFF"}}}
    found = [wire(row(status=word), mapping=mapping)["CallStatus"] for word in ("transferred", "no-answer", "done")]
    assert found == ["ANSWER", "IVR_DROPOFF", "ANSWER"]


def test_words_can_be_added_only_to_a_table() -> None:
    for vendor in (None, acme()):
        with pytest.raises(InvalidOption, match=r"\bMediaId\b.*'from'"):
            CallMapping({"MediaId": {"values": {"a": 1}}}, IDS, vendor=vendor)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "Ringing"}, "a call that has not ended"),
        ({"from": "Restricted"}, "an anonymous caller"),
        ({"from": "anonymous", "status": "ringing"}, "a call that has not ended"),
    ],
)
def test_calls_are_left_out_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CallLeftOut) as raised:
        wire(row(**changes))
    assert (raised.value.reason, raised.value.call_session_id) == (reason, "a-1")


def test_a_call_is_left_out_even_if_its_id_cannot_be_computed() -> None:
    def failing(given: Any) -> str:
        raise KeyError(given["from"])

    with pytest.raises(CallLeftOut) as raised:
        wire(row(status="ringing"), mapping={"CallSessionId": failing})
    assert (raised.value.reason, raised.value.call_session_id) == ("a call that has not ended", None)


def test_only_without_a_preset_is_a_column_named_like_a_parameter_its_source() -> None:
    preset = CallMapping({"City": "town"}, IDS, defaults={"SubId1": "x"}, vendor=acme())
    assert preset.sourced(["zip", "uid"]) == {"City", "SubId1", *IDS, *acme().mapping}
    assert CallMapping({"City": "town"}).sourced(["zip", "uid", "Media_Id"]) == {"City", "Zip", "MediaId"}


def test_a_filter_without_its_column_leaves_nothing_out() -> None:
    preset = acme(filters=(Filter("an outbound call", "direction", ("outbound",)),))
    assert wire(row(), vendor=preset)["CallSessionId"] == "a-1"


def test_a_filter_may_name_what_stays() -> None:
    preset = acme(filters=(Filter("an outbound call", "direction", ("outbound",), stays=("inbound",)),))
    assert wire(row(direction="Inbound"), vendor=preset)["CallSessionId"] == "a-1"
    assert wire(row(direction=""), vendor=preset)["CallSessionId"] == "a-1"
    (problem,) = problems(row(direction="sideways"), vendor=preset)
    assert named(problem, "row", "direction", 8, "sideways") == ["row", "direction", 8]


def test_an_id_that_is_a_number_loses_the_fraction_that_a_column_of_floats_gives_it() -> None:
    read = whole_id("id")
    assert [read({"id": given}) for given in ("729485.0", "729485", 729485, "a.0", "7.50", None)] == [
        "729485", "729485", 729485, "a.0", "7.50", None,
    ]  # fmt: skip


def test_a_filter_that_cannot_be_read_rejects_the_row() -> None:
    def failing(given: Any) -> bool:
        raise KeyError(given["from"])

    (problem,) = problems(row(), vendor=acme(filters=(Filter("x", failing, (True,)),)))
    assert named(problem, "row", "KeyError", row()["from"]) == ["row", "KeyError"]


@pytest.mark.parametrize("wrapped", [row(), json.dumps(row())], ids=["object", "text"])
def test_a_call_in_a_column_of_json_is_found(wrapped: Any) -> None:
    found = wire({"received": "2026-09-11", "payload": wrapped, "partner_id": 7}, mapping={"MediaId": "partner_id"})
    assert (found["CallSessionId"], found["MediaId"]) == ("a-1", "7")


def test_every_required_parameter_without_a_source_is_named_before_any_row() -> None:
    preset = acme(mapping={name: source for name, source in acme().mapping.items() if name != "MediaId"})
    with pytest.raises(InvalidOption) as raised:
        CallMapping(vendor=preset, defaults={"CampaignId": 1})
    said = str(raised.value)
    assert named(said, *preset.mapping, "MediaId", *IDS) == ["MediaId", "ActionTrackerId", "CallProvider"]
    remedies = ["mapping", "constants", "action_tracker_id", "call_provider"]
    assert named(said, *remedies, "campaign_id") == remedies


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://example.com/?irclickid=QiiW:x-Y_z&utm_source=a", "QiiW:x-Y_z"),
        ("https://example.com/p?a=1&irclickid=a%3Ab#top", "a:b"),
        ("https://example.com/", None),
        ("https://[example.com/?irclickid=a", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_the_click_id_of_a_landing_page(url: Any, found: str | None) -> None:
    assert click_id("landing_page_url")({"landing_page_url": url}) == found


def test_a_preset_of_ones_own_is_known_once_it_is_registered() -> None:
    # Other tests of this process may have theirs.
    with pytest.raises(InvalidOption, match="'only here'"):
        CallMapping(vendor="only here")
    vendors.register(acme(name="only here"))
    assert CallMapping(constants=IDS, vendor="Only Here").record(row()).CallSessionId == "a-1"


def test_a_preset_of_ones_own_goes_before_one_that_is_known() -> None:
    presets = vendors.Presets(lambda: [EntryPoint("retreaver", f"{__name__}:ACME", vendors.ENTRY_POINTS)])
    own = acme(name="CallRail", title="Ours")
    presets.register(own)
    assert presets.find("callrail") is own
    assert presets.find("Retreaver") is ACME
    assert presets.find("ringba") is vendors.preset("ringba")


def install(folder: Path, points: str, module: str) -> None:
    """Installs the package ``acme-calls`` with these entry points and its module ``acme_calls``."""
    installed = folder / "acme_calls-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-calls\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{vendors.ENTRY_POINTS}]\n{points}")
    (folder / "acme_calls.py").write_text(module)


def asked(folder: Path, code: str) -> str:
    """What code prints in a process that has a folder's packages too."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)


def test_a_preset_of_an_installed_package_is_known(tmp_path: Path) -> None:
    module = (
        "from dataclasses import replace\n"
        "from airflow_provider_impactcall.records.vendors import preset\n"
        "PRESET = replace(preset('ringba'), name='another', title='Ours')\n"
    )
    install(tmp_path, "acme = acme_calls:PRESET\n", module)
    code = "from airflow_provider_impactcall.records.vendors import preset; print(preset('Acme').title)"
    assert asked(tmp_path, code) == "Ours\n"


def test_an_entry_point_that_gives_no_preset_is_named(tmp_path: Path) -> None:
    places = {
        "misspelled": ("acme_calls:PRESETT", "AttributeError"),
        "elsewhere": ("acme_call:PRESET", "ModuleNotFoundError"),
        "incomplete": ("acme_calls", "type module"),
        "another": ("acme_calls:NAME", "text of 4 characters"),
    }
    install(
        tmp_path,
        "".join(f"{name} = {place}\n" for name, (place, _) in places.items()),
        "NAME = 'acme'\n",
    )
    code = (
        "from airflow_provider_impactcall.exceptions import InvalidOption\n"
        "from airflow_provider_impactcall.records import CallMapping\n"
        f"for name in {[*places]}:\n"
        "    try:\n"
        "        CallMapping(vendor=name)\n"
        "    except InvalidOption as error:\n"
        "        print(error)\n"
    )
    said = asked(tmp_path, code).splitlines()
    assert len(said) == len(places)
    for line, (name, (place, why)) in zip(said, places.items(), strict=True):
        wanted = ["vendor", repr(name), "acme-calls", repr(place), why]
        assert [each for each in wanted if each not in line] == []


def test_what_is_no_preset_is_refused() -> None:
    for given in ({"name": "acme"}, "acme", None):
        with pytest.raises(InvalidOption, match=r"\bVendorPreset\b"):
            vendors.register(given)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match=r"\bvendor\b.*\bint\b"):
        vendors.preset(5)  # type: ignore[arg-type]


ACME = acme()
