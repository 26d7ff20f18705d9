"""A dry run shows a call's caller and recording in no spelling."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from airflow_provider_impactcall.delivery.dry_run.masking import Private

CALLER = "3035550199"
RECORDING = "https://recordings.example.com/2026/canary-7731.mp3?sig=abc"


@pytest.mark.parametrize("form", [CALLER, f"+1{CALLER}"])
@pytest.mark.parametrize(
    "value",
    [
        "(303) 555-0199", "303-555-0199", "303.555.0199", "+1 303 555 0199", "1-303-555-0199", "3035550199",
        "tel:+13035550199",        "from 303 5550199 to x", "555-0199", "5550199", "%28303%29%20555-0199",
        "\uff13\uff10\uff13\uff15\uff15\uff15\uff10\uff11\uff19\uff19",
        "a3035550199b", "303\u2013555\u20130199", "303&#45;555&#x2d;0199", "555&nbsp;0199",
    ],
)  # fmt: skip
def test_a_number_is_found_by_its_digits(value: str, form: str) -> None:
    shown = Private(form, None).masked(value)
    assert shown.count("*") >= 5
    digits = re.sub(r"\D", "", shown)
    assert digits.endswith("99") or "99" in digits
    assert "0199" not in digits
    assert "5550" not in digits


@pytest.mark.parametrize("value", ["Springfield", "3035550198", "303", "180", "555", "2026-09-10T22:55:32-08:00", ""])
def test_any_other_text_stays(value: str) -> None:
    assert Private(CALLER, RECORDING).masked(value) == value


@pytest.mark.parametrize(
    "value",
    [
        RECORDING,
        RECORDING.removeprefix("https://"),
        RECORDING.replace("https", "http"),
        RECORDING.partition("?")[0],
        RECORDING.upper(),
        quote(RECORDING, safe=""),
        quote(quote(RECORDING, safe=""), safe=""),
        "recordings.example.com",
        "/2026/canary-7731.mp3",
        f"see {RECORDING} for it",
        "//recordings.example.com:443/2026/canary-7731.mp3",
    ],
)
def test_a_recording_is_found_by_its_host_and_its_path(value: str) -> None:
    assert Private(CALLER, RECORDING).masked(value) == f"(a URL of {len(RECORDING)} characters)"


@pytest.mark.parametrize("recording", ["RE0123456789abcdef", "http://[broken", "recordings/a.mp3"])
def test_one_that_is_no_url_is_found_as_it_is(recording: str) -> None:
    assert recording not in Private(CALLER, recording).masked(f"x {recording} y")


def test_one_of_a_path_of_one_part_is_found_by_that() -> None:
    shown = Private(CALLER, "https://recordings.example.com/canary-7731.mp3").masked("canary-7731.mp3")
    assert shown == "(a URL of 46 characters)"


def test_without_a_recording_nothing_is_one() -> None:
    assert Private(CALLER, None).masked("https://example.com/") == "https://example.com/"
