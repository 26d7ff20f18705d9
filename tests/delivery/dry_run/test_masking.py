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


@pytest.mark.parametrize(
    "value",
    [
        *("+4915112345678", "4915112345678", "004915112345678", "+49 151 12345678", "+49 (0)151 12345678"),
        *("015112345678", "0151 1234-5678", "tel:+4915112345678", "15112345678", "5112345678", "2345678"),
    ],
)
def test_of_a_number_of_any_length_two_digits_are_shown(value: str) -> None:
    shown = Private("+4915112345678", None).masked(f"from {value}, and {value}.")
    assert re.sub(r"[^0-9]", "", shown) == "7878"


@pytest.mark.parametrize("form", [CALLER, f"+1{CALLER}"])
@pytest.mark.parametrize("value", [f"+1{CALLER}", "1 (303) 555-0199", "+1 303 555 0199", CALLER])
def test_nor_more_of_one_of_north_america(value: str, form: str) -> None:
    assert re.sub(r"[^0-9]", "", Private(form, None).masked(value)) == "99"


def test_a_long_value_of_digits_takes_no_time() -> None:
    """Steps that grow with the square of its length would take minutes."""
    values = ["1" * 15_000, "0" * 15_000, f"{CALLER[:9]}-" * 1_500, "01-" * 5_000]
    for caller in (f"+1{CALLER}", "+10101010101010", "+11111111111111"):
        for value in values:
            Private(caller, None).masked(value)


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


@pytest.mark.parametrize(
    "recording",
    ["http://pbx/rec/2026/jane-doe.wav", "s3://recordings/rec/2026/jane-doe.wav", "//pbx/rec/2026/jane-doe.wav"],
)
@pytest.mark.parametrize("value", ["rec/2026/jane-doe.wav", "https://cdn.example/REC/2026/jane-doe.wav?x=1"])
def test_one_on_a_host_without_a_dot_is_found_by_its_path(value: str, recording: str) -> None:
    assert Private(CALLER, recording).masked(value) == f"(a URL of {len(recording)} characters)"
    assert Private(CALLER, recording).masked("pbx recordings") == "pbx recordings"


def test_without_a_recording_nothing_is_one() -> None:
    assert Private(CALLER, None).masked("https://example.com/") == "https://example.com/"
