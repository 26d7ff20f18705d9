"""What became of delivered calls at impact.com: recorded once a call was looked for, then updated by its action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.actions import Action, Money
from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY
from airflow_provider_impactcall.delivery.ledger.edits import Author, Edit
from airflow_provider_impactcall.delivery.ledger.schema import Now, action_readings, call_actions, calls
from airflow_provider_impactcall.delivery.ledger.selection import CLEARED
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.matching import Match
from airflow_provider_impactcall.delivery.outcome import ActionState, CallState

DELIVERED = CallState.DELIVERED.value

_STANDING = ("state", "action_id", "created_at", "locking_at", "cleared_at")
_OF_ACTION = (*_STANDING, *Money._fields)
_NOTHING: Mapping[str, Any] = dict.fromkeys(_OF_ACTION)
_CHANGE = (
    sa.update(call_actions)
    .where(call_actions.c.key == sa.bindparam("of_key"))
    .values({name: sa.bindparam(f"new_{name}") for name in (*_OF_ACTION, "changed_at")})
)


class _Told(Protocol):
    """An action, as the list of actions shows it."""

    @property
    def action_id(self) -> str: ...
    @property
    def state(self) -> ActionState: ...
    @property
    def created_at(self) -> float | None: ...
    @property
    def locking_at(self) -> float | None: ...
    @property
    def cleared_at(self) -> float | None: ...
    @property
    def money(self) -> Money: ...


class CallActions:
    """Keeps what became of the delivered calls of a ledger's namespace, in short transactions: live runs go first.

    Once an action was found to belong to a call, it stays with this call, and is not given to another.

    :param keep_amounts: keep payout, amount and currency too. If False, they are forgotten once their action is seen
        again
    """

    def __init__(self, ledger: Ledger, author: Author, *, keep_amounts: bool) -> None:
        self._ledger = ledger
        self._edit = Edit(ledger, author)
        self._keep_amounts = keep_amounts
        self._counts: Counter[str] = Counter()

    @contextmanager
    def run(self) -> Iterator[None]:
        """A run of the ledger: all that is recorded in this context belongs to it."""
        with self._edit.run("follow", self._counts):
            yield

    def record(self, matches: Iterable[Match], listed: Callable[[str], _Told | None] = lambda _: None) -> Counter[str]:
        """Keep what the list of actions shows of calls. Calls that are not delivered stay unchanged.

        :param listed: finds an action in the list by its id: a call keeps its own action, even if others look alike
        :return: how many calls are ``delivered``; how many of these are in each :class:`.ActionState` from now on; and
            how many of the approved ones are ``cleared``
        """
        remaining = iter(matches)
        while page := {match.key: match for match in islice(remaining, KEYS_A_QUERY)}:
            self._counts.update(self._edit.repeatedly(partial(self._record_page, page, listed)))
        return self._counts

    def update(self, actions: Iterable[Action]) -> int:
        """Keep what the list shows of actions that are known to belong to a call; other actions are ignored.

        :return: how many have changed at impact.com
        """
        changed = 0
        remaining = iter(actions)
        while page := {action.action_id: action for action in islice(remaining, KEYS_A_QUERY)}:
            changed += self._edit.repeatedly(partial(self._update_page, page))
        return changed

    def updates_until(self, campaign_id: str) -> float | None:
        """Until when the updates of a campaign's actions were read, in seconds since 1970; None if they never were."""
        query = sa.select(action_readings.c.updates_until).where(*self._of_campaign(campaign_id))
        with self._ledger.reading() as connection:
            moment: float | None = connection.execute(query).scalar()
        return moment

    def note_updates_until(self, campaign_id: str, moment: float) -> None:
        """Keep until when the updates of a campaign's actions were read; at most now by the database's clock: if the
        reader's clock is ahead, the updates from now on are not read yet.
        """

        def note(connection: Connection) -> None:
            until = min(moment, connection.execute(sa.select(Now())).scalar_one())
            later = sa.update(action_readings).where(*self._of_campaign(campaign_id)).values(updates_until=until)
            if connection.execute(later).rowcount == 0:
                of_campaign = {"namespace": self._ledger.namespace, "CampaignId": campaign_id}
                connection.execute(sa.insert(action_readings).values(**of_campaign, updates_until=until))

        self._edit.repeatedly(note)

    def _record_page(
        self, page: Mapping[str, Match], listed: Callable[[str], _Told | None], connection: Connection
    ) -> Counter[str]:
        moment = connection.execute(sa.select(Now())).scalar_one()
        of_call = (calls.c.key, calls.c.namespace, calls.c.CampaignId, calls.c.MediaId)
        delivered = sa.select(*of_call, calls.c.changed_at.label("delivered_at")).where(
            calls.c.key.in_(list(page)), calls.c.state == DELIVERED
        )
        # Ordered by key, so that two transactions that lock the same calls wait for each other and do not deadlock.
        found = connection.execute(delivered.order_by(calls.c.key).with_for_update()).mappings().all()
        known = self._known(connection, call_actions.c.key, [row["key"] for row in found])
        ids = [match.action.action_id for match in page.values() if match.action is not None]
        owners = self._known(connection, call_actions.c.action_id, ids)
        counts: Counter[str] = Counter()
        new, changed = [], []
        for row in found:
            key = row["key"]
            match, before = page[key], known.get(key)
            owner = None if match.action is None else owners.get(match.action.action_id)
            told = self._told(match, of_another=owner is not None and owner["key"] != key)
            if before is not None and before["action_id"] not in (None, told["action_id"]):
                own = listed(before["action_id"])
                told = before if own is None else self._of_action(own)
            if before is None:
                new.append({**row, **told, "first_at": moment, "changed_at": moment})
            elif _differ(_OF_ACTION, before, told):
                changed.append(_change(before, told, moment))
            counts[told["state"]] += 1
            counts[CLEARED] += told["state"] == ActionState.APPROVED and told["cleared_at"] is not None
        if new:
            connection.execute(sa.insert(call_actions), new)
        if changed:
            connection.execute(_CHANGE, changed)
        counts[DELIVERED] = len(found)
        return counts

    def _update_page(self, page: Mapping[str, Action], connection: Connection) -> int:
        moment = connection.execute(sa.select(Now())).scalar_one()
        changed, news = [], 0
        for action_id, before in self._known(connection, call_actions.c.action_id, list(page)).items():
            told = self._of_action(page[action_id])
            news += _is_news(before, told)
            if _differ(_OF_ACTION, before, told):
                changed.append(_change(before, told, moment))
        if changed:
            connection.execute(_CHANGE, changed)
        return news

    def _known(
        self, connection: Connection, column: sa.Column[Any], values: Sequence[str]
    ) -> dict[str, Mapping[str, Any]]:
        """The rows with these values of a column that tells calls apart; locked until the transaction ends."""
        if not values:
            return {}
        query = sa.select(call_actions).where(column.in_(values), call_actions.c.namespace == self._ledger.namespace)
        rows = connection.execute(query.order_by(call_actions.c.key).with_for_update()).mappings()
        return {row[column.name]: dict(row) for row in rows}

    def _told(self, match: Match, *, of_another: bool) -> Mapping[str, Any]:
        if match.action is not None and not of_another:
            return self._of_action(match.action)
        state = ActionState.AMBIGUOUS if match.ambiguous or of_another else ActionState.NONE
        return {**_NOTHING, "state": state.value}

    def _of_action(self, action: _Told) -> dict[str, Any]:
        payout, amount, currency = action.money if self._keep_amounts else Money()
        return {
            "state": action.state.value,
            "action_id": action.action_id,
            "created_at": action.created_at,
            "locking_at": action.locking_at,
            "cleared_at": action.cleared_at,
            "payout": payout,
            "amount": amount,
            "currency": currency,
        }

    def _of_campaign(self, campaign_id: str) -> tuple[Any, ...]:
        return action_readings.c.namespace == self._ledger.namespace, action_readings.c.CampaignId == campaign_id


def _change(before: Mapping[str, Any], told: Mapping[str, Any], moment: float) -> dict[str, Any]:
    changed_at = moment if _is_news(before, told) else before["changed_at"]
    return {"of_key": before["key"], **{f"new_{name}": told[name] for name in _OF_ACTION}, "new_changed_at": changed_at}


def _is_news(before: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether an action has changed at impact.com. To begin or to stop keeping amounts is not such a change."""
    amounts = [name for name in Money._fields if None not in (before[name], told[name])]
    return _differ((*_STANDING, *amounts), before, told)


def _differ(names: Iterable[str], before: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return any(before[name] != told[name] for name in names)
