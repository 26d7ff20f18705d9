"""Which action is of which call, and what the list of actions proves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.actions import Action, CallIdentity, Money
from airflow_provider_impactcall.delivery.matching import Fate, Listed, Match, Matching, Other
from airflow_provider_impactcall.delivery.outcome import ActionState

ONE = CallIdentity("1", "2", "2125550100", 0)
OTHER = CallIdentity("1", "2", "2125550101", 0)
LATER = CallIdentity("1", "2", "2125550100", 1)
UNKNOWN = Fate(in_doubt=True, attempts=1)
DELIVERED = Fate(delivered=True, attempts=1)
CONTENT = 4711
STRANGERS = (CallIdentity("1", "2", "2125550199", 0), CallIdentity("9", "2", "2125550100", 0))


def action(number: int, identity: CallIdentity = ONE, state: ActionState = ActionState.PENDING) -> Action:
    return Action(f"1.2.{number}", identity, state, 1.5, 2.5, None, Money("12.50", "0.00", "USD"))


def matched(
    calls: Mapping[CallIdentity, Collection[str]],
    actions: Iterable[Action],
    fates: Mapping[str, Fate] | Collection[str] = (),
    others: Iterable[Other] = (),
) -> dict[str, Match]:
    """What the list tells of calls.

    :param fates: of calls that are not delivered; in a collection, those that are unknown, and were sent once
    """
    known = fates if isinstance(fates, Mapping) else dict.fromkeys(fates, UNKNOWN)
    with Matching() as matching:
        for identity, keys in calls.items():
            for key in keys:
                matching.add(key, identity, CONTENT, known.get(key, DELIVERED))
        matching.listed(actions)
        matching.beside("1", others)
        found = list(matching.matches())
    assert [match.key for match in found] == sorted({key for keys in calls.values() for key in keys})
    assert all(match.in_doubt == known.get(match.key, DELIVERED).in_doubt for match in found)
    return {match.key: match for match in found}


def proven(
    calls: Mapping[CallIdentity, Collection[str]],
    fates: Mapping[str, Fate] | Collection[str],
    listed: Iterable[CallIdentity],
    others: Iterable[Other] = (),
) -> tuple[set[str], set[str]]:
    """The calls of unknown fate that are proven delivered, and those that are ambiguous."""
    actions = (action(number, identity) for number, identity in enumerate(listed))
    doubts = [match for match in matched(calls, actions, fates, others).values() if match.in_doubt]
    return (
        {match.key for match in doubts if match.delivered},
        {match.key for match in doubts if match.ambiguous and not match.delivered},
    )


class Truth(NamedTuple):
    """A call, and what only impact.com knows of it: how many actions it has."""

    identity: CallIdentity
    key: str
    fate: Fate
    actions: int


@st.composite
def deliveries(draw: st.DrawFn) -> list[Truth]:
    """Calls, few of which are told apart. A call may have an action for each time that it was sent; a delivered one may
    also have been sent by other means.
    """
    truths = []
    for number in range(draw(st.integers(0, 12))):
        caller, at = draw(st.sampled_from(["2125550100", "2125550101"])), draw(st.integers(0, 1))
        fate = draw(st.sampled_from([UNKNOWN, UNKNOWN, DELIVERED, Fate(in_doubt=True, attempts=2), Fate()]))
        actions = draw(st.integers(0, fate.attempts + fate.delivered))
        truths.append(Truth(CallIdentity("1", "2", caller, at), f"key-{number}", fate, actions))
    return truths


@given(deliveries(), st.lists(st.sampled_from(STRANGERS), max_size=3))
def test_only_what_was_delivered_is_proven(truths: list[Truth], of_others: list[CallIdentity]) -> None:
    """Whatever pays or does not, and arrived once or twice; and all that a list can prove is."""
    calls: dict[CallIdentity, list[Truth]] = {}
    for truth in truths:
        calls.setdefault(truth.identity, []).append(truth)
    fates = {truth.key: truth.fate for truth in truths}
    listed = of_others + [truth.identity for truth in truths for _ in range(truth.actions)]
    keys = {identity: [truth.key for truth in alike] for identity, alike in calls.items()}

    sure, ambiguous = proven(keys, fates, listed)

    assert sure <= {truth.key for truth in truths if truth.actions}
    listed_of = Counter(listed)
    for identity, alike in calls.items():
        unknown = {truth.key for truth in alike if truth.fate.in_doubt}
        told_apart = len(alike) == 1 or all(truth.fate == UNKNOWN for truth in alike)
        if told_apart and listed_of[identity] >= len(alike):
            assert (sure & unknown, ambiguous & unknown) == (unknown, set())
        elif listed_of[identity]:
            assert (sure & unknown, ambiguous & unknown) == (set(), unknown)
        else:
            assert not (sure | ambiguous) & unknown


@given(deliveries(), st.lists(st.sampled_from(STRANGERS), max_size=3))
def test_an_action_is_that_of_its_own_call_or_of_nobody(truths: list[Truth], of_others: list[CallIdentity]) -> None:
    calls: dict[CallIdentity, list[Truth]] = {}
    listed, own = [action(number, identity) for number, identity in enumerate(of_others)], {}
    for truth in truths:
        calls.setdefault(truth.identity, []).append(truth)
        for _ in range(truth.actions):
            own[truth.key] = action(len(listed), truth.identity)
            listed.append(own[truth.key])
    of_identity = Counter(each.identity for each in listed)
    keys = {identity: [truth.key for truth in alike] for identity, alike in calls.items()}
    found = matched(keys, listed, {truth.key: truth.fate for truth in truths})
    for truth in truths:
        certain = len(calls[truth.identity]) == of_identity[truth.identity] == 1
        match, expected = found[truth.key], own.get(truth.key) if certain else None
        assert (match.action and match.action.action_id) == (expected and expected.action_id)
        assert match.ambiguous == (not certain and of_identity[truth.identity] > 0)


def test_more_actions_than_calls_prove_them() -> None:
    """An action may be of a call that this input does not hold; and a key that is named twice is one call."""
    assert proven({ONE: ["a", "b", "b"]}, ["a", "b", "c"], [ONE, ONE, ONE]) == ({"a", "b"}, set())
    assert proven({ONE: ["a", "a"]}, ["a"], [ONE]) == ({"a"}, set())
    assert proven({ONE: ["a", "b"]}, ["a", "b"], [ONE]) == (set(), {"a", "b"})
    assert proven({ONE: ["a", "b"]}, ["a", "b"], []) == (set(), set())


@pytest.mark.parametrize(
    "beside", [DELIVERED, Fate(delivered=True, attempts=0), Fate(in_doubt=True, attempts=2), Fate(attempts=1), Fate()]
)
def test_all_the_actions_may_be_of_a_call_that_may_have_several(beside: Fate) -> None:
    """Of one that arrived twice, or was also sent by other means; the call that is asked for may have none."""
    assert proven({ONE: ["a"], LATER: ["b"]}, {"a": UNKNOWN, "b": beside}, [ONE, ONE, LATER])[0] >= {"a"}
    sure, ambiguous = proven({ONE: ["a", "b"]}, {"a": UNKNOWN, "b": beside}, [ONE, ONE])
    assert (sure, "a" in ambiguous) == (set(), True)
    assert proven({ONE: ["a"]}, {"a": Fate(in_doubt=True, attempts=3)}, [ONE]) == ({"a"}, set())


def test_what_the_list_says_of_a_call() -> None:
    found = matched({ONE: ["a"], OTHER: ["b"]}, [action(7, ONE, ActionState.APPROVED)])
    listed = Listed("1.2.7", ActionState.APPROVED, 1.5, 2.5, None, Money("12.50", "0.00", "USD"))
    assert found == {
        "a": Match("a", in_doubt=False, delivered=True, action=listed, ambiguous=False),
        "b": Match("b", in_doubt=False, delivered=False, action=None, ambiguous=False),
    }


def test_two_actions_of_one_call_prove_it_and_neither_is_taken_for_its_own() -> None:
    match = matched({ONE: ["a"]}, [action(1), action(2)])["a"]
    assert (match.delivered, match.action, match.ambiguous) == (True, None, True)


def test_an_action_that_comes_again_is_one_and_its_last_state_counts() -> None:
    match = matched({ONE: ["a"]}, [action(1), action(1, state=ActionState.REVERSED)])["a"]
    assert match.action is not None
    assert match.action.state is ActionState.REVERSED


@pytest.mark.parametrize(
    ("other", "is_certain"),
    [
        (None, True),
        (Other("x", "2", 0, CONTENT), False),
        (Other("a", "2", 0, CONTENT), True),
        (Other("x", "2", 1, CONTENT), True),
        (Other("x", "3", 0, CONTENT), True),
        (Other("x", "2", None, CONTENT), False),
        (Other("x", "3", None, CONTENT), True),
    ],
)
def test_a_call_of_the_same_second_that_is_not_in_the_input_makes_an_action_ambiguous(
    other: Other | None, is_certain: bool
) -> None:
    match = matched({ONE: ["a"]}, [action(0)], others=[] if other is None else [other])["a"]
    assert (match.action and match.action.action_id) == ("1.2.0" if is_certain else None)
    assert (match.delivered, match.ambiguous) == (is_certain, not is_certain)


@pytest.mark.parametrize("now", [ONE, OTHER, LATER], ids=["as it was", "another caller", "another time"])
@pytest.mark.parametrize(
    ("sent", "is_certain"),
    [
        (Other("b", "2", 0, CONTENT + 1), False),
        (Other("b", "2", 0, None), False),
        (Other("b", "2", 5, CONTENT + 1), True),
        (Other("b", "3", 0, CONTENT + 1), True),
    ],
)
def test_a_call_counts_as_it_was_sent_whatever_the_input_has_of_it_now(
    now: CallIdentity, sent: Other, is_certain: bool
) -> None:
    """The one action may be of call b, which is delivered, and had this caller or this time when it was sent."""
    calls = {ONE: ["a"], now: ["b"]} if now != ONE else {ONE: ["a", "b"]}
    sure, ambiguous = proven(calls, ["a"], [ONE], [sent])
    assert (sure, ambiguous) == (({"a"}, set()) if is_certain and now != ONE else (set(), {"a"}))


def test_a_call_that_was_sent_otherwise_is_not_another_call_for_itself() -> None:
    others = [Other("a", "2", 0, CONTENT + 1), Other("b", "2", 0, CONTENT)]
    assert proven({ONE: ["a"], OTHER: ["b"]}, ["a"], [ONE], others) == ({"a"}, set())
    assert proven({ONE: ["a"], OTHER: ["b"]}, ["b"], [OTHER], others) == (set(), {"b"})
    assert proven({ONE: ["a", "b"]}, ["a", "b"], [ONE, ONE], others) == ({"a", "b"}, set())


def test_a_call_that_had_not_arrived_when_it_was_looked_up() -> None:
    fates = {"new": Fate(), "refused": Fate(attempts=1), "unknown": UNKNOWN, "delivered": DELIVERED}
    found = matched({ONE: list(fates)}, [], fates)
    assert [key for key, match in found.items() if match.arrived] == ["delivered", "unknown"]


def test_a_call_that_is_in_the_input_with_two_callers_has_the_one_action_and_never_two() -> None:
    both = {ONE: ["a"], OTHER: ["a"]}
    one = matched(both, [action(1, OTHER)])["a"]
    assert (one.action and one.action.action_id, one.ambiguous) == ("1.2.1", False)
    two = matched(both, [action(1, OTHER), action(2, ONE)])["a"]
    assert (two.delivered, two.action, two.ambiguous) == (True, None, True)


def test_the_days_that_have_actions() -> None:
    with Matching() as matching:
        for key, identity in (("a", ONE), ("b", LATER), ("c", CallIdentity("1", "2", "2125550100", 9))):
            matching.add(key, identity, CONTENT, DELIVERED)
        matching.listed([action(1, ONE), action(2, LATER), action(3, STRANGERS[0])])
        assert matching.spans() == [("1", 0, 1)]
