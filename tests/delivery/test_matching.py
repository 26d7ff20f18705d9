"""Which action is of which call, and what the list of actions proves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.actions import Action, CallIdentity, Money
from airflow_provider_impactcall.delivery.matching import Listed, Match, Matching
from airflow_provider_impactcall.delivery.outcome import ActionState

ONE = CallIdentity("1", "2", "2125550100", 0)
OTHER = CallIdentity("1", "2", "2125550101", 0)
LATER = CallIdentity("1", "2", "2125550100", 1)
STRANGERS = (CallIdentity("1", "2", "2125550199", 0), CallIdentity("9", "2", "2125550100", 0))


def action(number: int, identity: CallIdentity = ONE, state: ActionState = ActionState.PENDING) -> Action:
    return Action(f"1.2.{number}", identity, state, 1.5, 2.5, None, Money("12.50", "0.00", "USD"))


def matched(
    calls: Mapping[CallIdentity, Collection[str]],
    actions: Iterable[Action],
    unknown: Collection[str] = (),
    others: Iterable[tuple[str, str, int]] = (),
) -> dict[str, Match]:
    with Matching() as matching:
        for identity, keys in calls.items():
            for key in keys:
                matching.add(key, identity, in_doubt=key in unknown)
        matching.listed(actions)
        matching.beside("1", others)
        found = list(matching.matches())
    assert [match.key for match in found] == sorted({key for keys in calls.values() for key in keys})
    assert all(match.in_doubt == (match.key in unknown) for match in found)
    return {match.key: match for match in found}


def proven(
    calls: Mapping[CallIdentity, Collection[str]], unknown: Collection[str], listed: Iterable[CallIdentity]
) -> tuple[set[str], set[str]]:
    """The calls of unknown fate that are proven delivered, and those that are ambiguous."""
    actions = (action(number, identity) for number, identity in enumerate(listed))
    doubts = [match for match in matched(calls, actions, unknown).values() if match.in_doubt]
    return (
        {match.key for match in doubts if match.delivered},
        {match.key for match in doubts if match.ambiguous and not match.delivered},
    )


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[CallIdentity, str, bool, bool, bool]]:
    """Calls, few of which are told apart: identity, key, delivered, paying, and whether its fate is unknown."""
    identities = [CallIdentity("1", "2", caller, at) for caller in ("2125550100", "2125550101") for at in (0, 1)]
    truth = st.tuples(st.sampled_from(identities), st.booleans(), st.booleans(), st.booleans())
    return [(call[0], f"key-{number}", *call[1:]) for number, call in enumerate(draw(st.lists(truth, max_size=12)))]


@given(deliveries(), st.lists(st.sampled_from(STRANGERS), max_size=3))
def test_only_what_was_delivered_is_proven(
    delivered: list[tuple[CallIdentity, str, bool, bool, bool]], of_others: list[CallIdentity]
) -> None:
    """Whatever pays or does not; and all that a list can prove is."""
    calls: dict[CallIdentity, list[str]] = {}
    for identity, key, *_ in delivered:
        calls.setdefault(identity, []).append(key)
    unknown = {key for _, key, _, _, is_unknown in delivered if is_unknown}
    actions = of_others + [identity for identity, _, arrived, pays, _ in delivered if arrived and pays]

    sure, ambiguous = proven(calls, unknown, iter(actions))

    arrived_keys = {key for _, key, arrived, _, _ in delivered if arrived}
    assert sure <= arrived_keys & unknown
    listed_of = Counter(actions)
    for identity, keys in calls.items():
        mine = unknown.intersection(keys)
        if listed_of[identity] == len(keys):
            assert (sure & mine, ambiguous & mine) == (mine, set())
        elif listed_of[identity]:
            assert (sure & mine, ambiguous & mine) == (set(), mine)
        else:
            assert (sure & mine, ambiguous & mine) == (set(), set())
    assert sure | ambiguous <= unknown


@given(deliveries(), st.lists(st.sampled_from(STRANGERS), max_size=3))
def test_an_action_is_that_of_its_own_call_or_of_nobody(
    delivered: list[tuple[CallIdentity, str, bool, bool, bool]], of_others: list[CallIdentity]
) -> None:
    calls: dict[CallIdentity, list[str]] = {}
    listed, own = [action(number, identity) for number, identity in enumerate(of_others)], {}
    for identity, key, arrived, pays, _ in delivered:
        calls.setdefault(identity, []).append(key)
        if arrived and pays:
            own[key] = action(len(listed), identity)
            listed.append(own[key])
    of_identity = Counter(each.identity for each in listed)
    for key, match in matched(calls, listed).items():
        (identity,) = (identity for identity, keys in calls.items() if key in keys)
        alone = len(calls[identity]) == 1
        expected = own.get(key) if alone else None
        assert (match.action and match.action.action_id) == (expected and expected.action_id)
        assert match.ambiguous == (not alone and of_identity[identity] > 0)


def test_more_actions_than_calls_prove_them() -> None:
    """An action may be of a call that this input does not hold; and a key that is named twice is one call."""
    assert proven({ONE: ["a", "b", "b"]}, ["a", "c"], [ONE, ONE, ONE]) == ({"a"}, set())
    assert proven({ONE: ["a", "a"]}, ["a"], [ONE]) == ({"a"}, set())
    assert proven({ONE: ["a", "b"]}, ["a"], [ONE]) == (set(), {"a"})
    assert proven({ONE: ["a", "b"]}, ["a"], []) == (set(), set())


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
    ("others", "action_id"),
    [
        ([], "1.2.0"),
        ([("x", "2", 0)], None),
        ([("a", "2", 0)], "1.2.0"),
        ([("x", "2", 1)], "1.2.0"),
        ([("x", "3", 0)], "1.2.0"),
    ],
)
def test_a_call_of_the_same_second_that_is_not_in_the_input_makes_an_action_ambiguous(
    others: list[tuple[str, str, int]], action_id: str | None
) -> None:
    match = matched({ONE: ["a"]}, [action(0)], others=others)["a"]
    assert (match.action and match.action.action_id) == action_id
    assert (match.delivered, match.ambiguous) == (action_id is not None, action_id is None)


def test_a_call_that_is_in_the_input_with_two_callers_has_the_one_action_and_never_two() -> None:
    both = {ONE: ["a"], OTHER: ["a"]}
    one = matched(both, [action(1, OTHER)])["a"]
    assert (one.action and one.action.action_id, one.ambiguous) == ("1.2.1", False)
    two = matched(both, [action(1, OTHER), action(2, ONE)])["a"]
    assert (two.delivered, two.action, two.ambiguous) == (True, None, True)


def test_the_days_that_have_actions() -> None:
    with Matching() as matching:
        for key, identity in (("a", ONE), ("b", LATER), ("c", CallIdentity("1", "2", "2125550100", 9))):
            matching.add(key, identity, in_doubt=False)
        matching.listed([action(1, ONE), action(2, LATER), action(3, STRANGERS[0])])
        assert matching.spans() == [("1", 0, 1)]
