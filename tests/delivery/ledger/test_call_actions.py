"""What became of delivered calls at impact.com, kept beside them, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.actions import Action, CallIdentity, Money
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.ledger.action_queries import WAY_COLUMNS, ActionQueries, actions_of
from airflow_provider_impactcall.delivery.ledger.call_actions import CallActions
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.periods import Period
from airflow_provider_impactcall.delivery.ledger.purge import purge
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.schema import call_actions
from airflow_provider_impactcall.delivery.ledger.selection import ACTIONS, Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.matching import Listed, Match
from airflow_provider_impactcall.delivery.outcome import ActionState
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.delivery.mixed import NAMESPACE, OK, attempted, fill, fill_rows, move

ALICE = Author("alice", "nightly")
MONEY = Money("12.50", "99.00", "EUR")
IDENTITY = CallIdentity("1000", "4000", "2125550100", 0)
CLEARED_AT = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def key_of(session_id: str, **changes: Any) -> str:
    return identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call(session_id, **changes))).key


def match(
    session_id: str,
    action_id: str | None = None,
    state: ActionState = ActionState.PENDING,
    *,
    cleared_at: float | None = None,
    ambiguous: bool = False,
    **changes: Any,
) -> Match:
    action = None if action_id is None else Listed(action_id, state, 1.5, 2.25, cleared_at, MONEY)
    return Match(key_of(session_id, **changes), False, action is not None, action, ambiguous)


def record(ledger: Ledger, *matches: Match, keep_amounts: bool = False) -> dict[str, int]:
    actions = CallActions(ledger, ALICE, keep_amounts=keep_amounts)
    with actions.run():
        return {name: count for name, count in actions.record(matches).items() if count}


def update(
    ledger: Ledger,
    *actions: tuple[str, ActionState, float | None],
    keep_amounts: bool = False,
    money: Money = MONEY,
) -> int:
    listed = [Action(action_id, IDENTITY, state, 1.5, 2.25, at, money) for action_id, state, at in actions]
    return CallActions(ledger, ALICE, keep_amounts=keep_amounts).update(listed)


def kept(ledger: Ledger) -> dict[str, tuple[str, str | None]]:
    """State and action of each call that was looked for."""
    rows = Listing(ledger).each(Selection())
    return {row["CallSessionId"]: (row["action_state"], row["action_id"]) for row in rows if row["action_state"]}


def selected(ledger: Ledger, *actions: str) -> set[str]:
    return {row["CallSessionId"] for row in Listing(ledger).each(Selection(actions=actions))}


def ways(ledger: Ledger, period: Period | None = None) -> list[dict[str, Any]]:
    found = ActionQueries(ledger).ways(period)
    assert all(tuple(way) == WAY_COLUMNS for way in found)
    return [{name: value for name, value in way.items() if value} for way in found]


def test_what_became_of_delivered_calls_is_kept_and_of_others_nothing(ledger: Ledger) -> None:
    fill(ledger)
    attempted(ledger, OK, "third", "fourth")
    others = [match(name, f"1.2.{name}") for name in ("rejected", "unknown", "not_sent", "requeued", "open", "gone")]
    counts = record(
        ledger,
        match("delivered", "1.2.1"),
        match("delivered-2"),
        match("third", ambiguous=True),
        match("fourth", "1.2.4", ActionState.APPROVED, cleared_at=CLEARED_AT),
        *others,
    )
    assert counts == {"delivered": 4, "pending": 1, "none": 1, "ambiguous": 1, "approved": 1, "cleared": 1}
    assert kept(ledger) == {
        "delivered": ("pending", "1.2.1"),
        "delivered-2": ("none", None),
        "third": ("ambiguous", None),
        "fourth": ("approved", "1.2.4"),
    }
    (row,) = actions_of(ledger, [key_of("fourth")]).values()
    assert (row["action_created_at"], row["action_cleared_at"][:10]) == ("1970-01-01T00:00:01.500+00:00", "2026-11-01")
    assert (row["payout"], row["amount"], row["currency"]) == (None, None, None)
    (run,) = last_runs(ledger, 1)
    assert (run["kind"], run["actor"], run["delivered_rows"]) == ("follow", "alice", 4)


def test_what_is_known_changes_with_the_list_and_stays_where_it_says_the_same(ledger: Ledger) -> None:
    fill(ledger)
    record(ledger, match("delivered"), match("delivered-2", ambiguous=True))
    before = actions_of(ledger, [key_of("delivered-2")])
    assert record(ledger, match("delivered", "1.2.1"), match("delivered-2", ambiguous=True)) == {
        "delivered": 2,
        "pending": 1,
        "ambiguous": 1,
    }
    assert actions_of(ledger, [key_of("delivered-2")]) == before, "not even when it changed"
    record(ledger, match("delivered", "1.2.1", ActionState.REVERSED), match("delivered-2", "1.2.2"))
    assert kept(ledger) == {"delivered": ("reversed", "1.2.1"), "delivered-2": ("pending", "1.2.2")}


@pytest.mark.parametrize(
    "later", [match("delivered"), match("delivered", ambiguous=True), match("delivered", "1.2.9", ActionState.APPROVED)]
)
def test_an_action_stays_its_calls_own(ledger: Ledger, later: Match) -> None:
    fill(ledger)
    record(ledger, match("delivered", "1.2.1"))
    assert record(ledger, later) == {"delivered": 1, "pending": 1}
    assert kept(ledger) == {"delivered": ("pending", "1.2.1")}


def test_an_action_is_never_given_to_a_second_call(ledger: Ledger) -> None:
    fill(ledger)
    record(ledger, match("delivered", "1.2.1"))
    assert record(ledger, match("delivered-2", "1.2.1")) == {"delivered": 1, "ambiguous": 1}
    assert kept(ledger) == {"delivered": ("pending", "1.2.1"), "delivered-2": ("ambiguous", None)}


def test_actions_that_are_known_are_updated_and_others_left_alone(ledger: Ledger) -> None:
    fill(ledger)
    record(ledger, match("delivered", "1.2.1"), match("delivered-2", "1.2.2"))
    news = (
        ("1.2.1", ActionState.APPROVED, None),
        ("1.2.2", ActionState.PENDING, None),
        ("1.2.3", ActionState.PENDING, None),
    )
    assert update(ledger, *news) == 1
    assert update(ledger, *news) == 0
    assert kept(ledger) == {"delivered": ("approved", "1.2.1"), "delivered-2": ("pending", "1.2.2")}
    assert update(ledger, ("1.2.1", ActionState.APPROVED, CLEARED_AT)) == 1
    assert selected(ledger, "cleared") == {"delivered"}
    other = Ledger(ledger.engine, "https://other.example.com")
    assert update(other, ("1.2.1", ActionState.REVERSED, None)) == 0, "another namespace has actions of its own"


def test_amounts_are_kept_only_for_who_asks(ledger: Ledger) -> None:
    fill(ledger)

    def row() -> dict[str, Any]:
        (found,) = actions_of(ledger, [key_of("delivered")]).values()
        return found

    def amounts() -> list[Any]:
        return [row()[name] for name in ("payout", "amount", "currency")]

    record(ledger, match("delivered", "1.2.1"))
    assert amounts() == [None] * 3
    first = row()["action_changed_at"]
    record(ledger, match("delivered", "1.2.1"), keep_amounts=True)
    assert amounts() == list(MONEY)
    unchanged = ("1.2.1", ActionState.PENDING, None)
    assert update(ledger, unchanged, keep_amounts=True) == 0
    assert amounts() == list(MONEY)
    assert update(ledger, unchanged) == 0
    assert amounts() == [None] * 3, "as they may be wrong by the next time"
    assert row()["action_changed_at"] == first, "nothing has changed at impact.com"
    update(ledger, unchanged, keep_amounts=True)
    paid_more = MONEY._replace(payout="13.00")
    assert update(ledger, unchanged, keep_amounts=True, money=paid_more) == 1
    assert amounts() == list(paid_more)
    assert row()["action_changed_at"] > first


def test_until_when_updates_were_read_is_kept_by_campaign(ledger: Ledger) -> None:
    actions = CallActions(ledger, ALICE, keep_amounts=False)
    assert actions.updates_until("1000") is None
    for moment in (17.5, 18.5):
        actions.note_updates_until("1000", moment)
        assert actions.updates_until("1000") == moment
    assert actions.updates_until("2000") is None
    actions.note_updates_until("3000", (datetime.now(UTC) + timedelta(days=9)).timestamp())
    known = datetime.fromtimestamp(actions.updates_until("3000") or 0.0, UTC)
    assert abs(known - datetime.now(UTC)) < timedelta(minutes=5), "of a reader whose clock is wrong"
    other = CallActions(Ledger(ledger.engine, "https://other.example.com"), ALICE, keep_amounts=False)
    assert other.updates_until("1000") is None


def test_the_way_of_each_partner_and_campaign(ledger: Ledger) -> None:
    fill(ledger)
    attempted(ledger, OK, *"abcd", MediaId=20000)
    attempted(ledger, OK, "e", CampaignId=2000)
    assert ways(ledger)[0] == {"MediaId": "20000", "CampaignId": "1000", "delivered": 4, "not_followed": 4}
    states = (ActionState.APPROVED, ActionState.APPROVED, ActionState.REVERSED, ActionState.OTHER)
    of_20000 = [match(name, f"1.2.{name}", state) for name, state in zip("abcd", states, strict=True)]
    of_20000[1] = match("b", "1.2.b", ActionState.APPROVED, cleared_at=CLEARED_AT)
    record(ledger, *of_20000, match("delivered"), match("delivered-2", ambiguous=True))
    move(ledger, ["delivered"], 0)
    oldest = next(row for row in Listing(ledger).each(Selection(call_session_ids=["delivered"])))
    since = oldest["changed_at"]
    of_a_call = {
        "MediaId": "10000",
        "CampaignId": "1000",
        "delivered": 2,
        "none": 1,
        "none_since": since,
        "ambiguous": 1,
    }
    of_states = {"actions": 4, "approved": 2, "cleared": 1, "reversed": 1, "other": 1}
    assert ways(ledger) == [
        {"MediaId": "20000", "CampaignId": "1000", "delivered": 4, **of_states},
        of_a_call,
        {"MediaId": "10000", "CampaignId": "2000", "delivered": 1, "not_followed": 1},
    ]
    now = datetime.now(UTC)
    assert ways(ledger, Period(now - timedelta(days=1), now + timedelta(seconds=1))) == ways(ledger)
    assert ways(ledger, Period(now - timedelta(days=2), now - timedelta(days=1))) == []
    assert ways(Ledger(ledger.engine, "https://other.example.com")) == []


def test_calls_are_selected_by_what_became_of_them(ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    attempted(ledger, OK, *"abcdef")
    states = {"a": ActionState.PENDING, "b": ActionState.APPROVED, "c": ActionState.REVERSED, "d": ActionState.OTHER}
    record(
        ledger,
        *(match(name, f"1.2.{name}", state) for name, state in states.items()),
        match("e", "1.2.e", ActionState.APPROVED, cleared_at=CLEARED_AT),
        match("delivered"),
        match("delivered-2", ambiguous=True),
    )
    found = {action: selected(ledger, action) for action in ACTIONS}
    assert found == {
        "none": {"delivered"},
        "ambiguous": {"delivered-2"},
        "pending": {"a"},
        "approved": {"b", "e"},
        "reversed": {"c"},
        "other": {"d"},
        "cleared": {"e"},
        "not_followed": {"f"},
    }
    both = Selection(actions=("pending", "cleared"), states=("delivered", "invalid"))
    listing = Listing(ledger)
    assert {row["CallSessionId"] for row in listing.latest(both, 10)} == {"a", "e"}
    assert {row["CallSessionId"] for row in listing.newest(both)} == {"a", "e"}
    assert (listing.total(both), listing.count(both)) == (2, {"delivered": 2})
    assert listing.count(Selection(actions=("none",))) == {"delivered": 1, "changed": 1}
    assert listing.total(Selection(actions=("pending",), states=("rejected", "invalid"))) == 0
    with pytest.raises(InvalidOption, match="action"):
        Selection(actions=("paid",))


def test_what_became_of_a_call_is_forgotten_with_it(ledger: Ledger) -> None:
    fill(ledger)
    attempted(ledger, OK, "young")
    record(ledger, match("delivered", "1.2.1"), match("delivered-2"), match("young", "1.2.3"))
    move(ledger, ["delivered", "delivered-2"], 86_400)
    purge(ledger, datetime.now(UTC) - timedelta(hours=1), ALICE)
    with ledger.reading() as connection:
        assert list(connection.execute(sa.select(call_actions.c.key)).scalars()) == [key_of("young")]


def test_a_delivery_that_is_taken_back_has_no_action_any_more(ledger: Ledger) -> None:
    fill(ledger)
    corrections = Corrections(ledger)
    corrections.prove([key_of("requeued")], ALICE)
    record(ledger, match("requeued", "1.2.1"), match("delivered", "1.2.2"))
    taken_back = Selection(states=("delivered",))
    assert corrections.resolve(taken_back, ALICE, delivered=False) == 1
    assert kept(ledger) == {"delivered": ("pending", "1.2.2")}


def test_many_are_kept_some_at_a_time(ledger: Ledger) -> None:
    names = [f"call-{number}" for number in range(1100)]
    for start in range(0, len(names), 100):
        attempted(ledger, OK, *names[start : start + 100])

    def matches(state: ActionState) -> Iterable[Match]:
        return [match(name, f"1.2.{name}", state) for name in names]

    assert record(ledger, *matches(ActionState.PENDING)) == {"delivered": 1100, "pending": 1100}
    assert update(ledger, *((f"1.2.{name}", ActionState.APPROVED, None) for name in names)) == 1100
    assert record(ledger, *matches(ActionState.APPROVED)) == {"delivered": 1100, "approved": 1100}
    assert len(kept(ledger)) == 1100
