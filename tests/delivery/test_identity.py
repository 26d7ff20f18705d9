from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.identity import DIGEST_BYTES, digest, identify, key_of
from airflow_provider_impactcall.delivery.outcome import RowOutcome
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import CallRecord, normalize
from tests import examples
from tests.delivery import canary

BASE = CallRecord.of(canary.row())


def but(**changes: Any) -> CallRecord:
    """The base call with other values."""
    return CallRecord.of({**BASE.parameters(), **changes})


def state_of(claims: Duplicates, call: CallRecord) -> RowOutcome | None:
    return claims.state_of(identify("https://calls.example.com", claims.key, call))


def test_first_duplicate_changed() -> None:
    claims = Duplicates()
    other = but(TalkDuration=1)
    assert [state_of(claims, call) for call in (BASE, BASE, other, other, BASE)] == [
        None,
        RowOutcome.DUPLICATE,
        RowOutcome.CHANGED,
        RowOutcome.CHANGED,
        RowOutcome.DUPLICATE,
    ]


@given(st.lists(st.tuples(st.text("ab", max_size=2), st.text("ab", max_size=2)), max_size=8))
def test_values_never_run_into_each_other(pairs: list[tuple[str, str]]) -> None:
    """A key of ("ab", "c") is not one of ("a", "bc")."""
    claims = Duplicates(["SubId1", "SubId2"])
    seen = set()
    for first, second in pairs:
        call = but(SubId1=first, SubId2=second)
        assert state_of(claims, call) is (RowOutcome.DUPLICATE if (first, second) in seen else None)
        seen.add((first, second))


@given(
    st.dictionaries(st.sampled_from(["City", "Region", "SubId1", "UserAgent"]), st.text(min_size=1), min_size=1),
    st.sampled_from(["https://calls.example.com", "https://é.example"]),
    st.sampled_from(["", "x" * 1023, "x" * 1024, "é" * 1024]),
)
def test_key_and_fingerprint_are_digests_of_names_and_values(
    values: dict[str, str], namespace: str, longer: str
) -> None:
    call = CallRecord.of_texts({**values, "CallSessionId": f"pinned{longer}"}, {})
    claim = identify(namespace, ["CallSessionId"], call)
    alternately = [text for pair in call.sent.items() for text in pair]
    assert claim.key == digest([namespace, "CallSessionId", f"pinned{longer}"], 16).hex()
    assert claim.fingerprint == int.from_bytes(digest(alternately, 2))


def test_absent_and_empty_differ_in_content() -> None:
    claims = Duplicates()
    assert state_of(claims, but(PhoneType="")) is None
    assert state_of(claims, BASE) is RowOutcome.CHANGED


@pytest.mark.parametrize("key", [[], (), "CallSessionId", ["CallSessionID"], ["CallSessionId", "Nope"]])
def test_a_key_that_tells_nothing_apart(key: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^key\b"):
        Duplicates(key)


def test_blanks_around_the_values_of_a_key_tell_nothing_apart() -> None:
    """Some of them are letters that are shown as blanks: Hangul fillers."""
    for blank in normalize.BLANKS:
        given = CallRecord.of({**BASE.parameters(), "ClickId": f"abc{blank}"})
        claim = identify("https://calls.example.com", ["ClickId"], given)
        assert claim.key == identify("https://calls.example.com", ["ClickId"], but(ClickId="abc")).key, ascii(blank)
        assert claim.key == key_of("https://calls.example.com", ["ClickId"], given.sent), ascii(blank)
        assert claim.as_given is not None, ascii(blank)


def test_a_call_is_known_again_by_later_versions() -> None:
    """What ledgers hold of calls stays: another key would send all of them again, another fingerprint the rejected."""
    claim = identify("https://calls.example.com", DEFAULT_KEY, CallRecord.of(examples.call("pinned", City="Zürich")))
    assert (claim.key, claim.fingerprint) == ("3d893c8c879e5ac9778d759ec1808ed6", 2461)
    # By this, rows that are not valid calls are known again.
    assert digest(["a", "é"], DIGEST_BYTES).hex() == "5f601e7e065687a23d108a59d934090d"
    order = ["CallSessionId", "CallProvider", "ActionTrackerId", "CampaignId", "CallSessionId"]
    assert identify("https://calls.example.com", order, claim.call).key == claim.key
