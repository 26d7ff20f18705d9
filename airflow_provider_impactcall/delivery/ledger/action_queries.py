"""People's queries about the way from a delivered call to its payout."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.delivery.ledger.periods import Period, moment_of
from airflow_provider_impactcall.delivery.ledger.queries import readable
from airflow_provider_impactcall.delivery.ledger.schema import call_actions, calls
from airflow_provider_impactcall.delivery.ledger.selection import CLEARED, NOT_FOLLOWED
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import ActionState, CallState

_SHOWN = (
    call_actions.c.state.label("action_state"),
    call_actions.c.action_id,
    call_actions.c.created_at.label("action_created_at"),
    call_actions.c.locking_at.label("action_locking_at"),
    call_actions.c.cleared_at.label("action_cleared_at"),
    call_actions.c.changed_at.label("action_changed_at"),
    call_actions.c.payout,
    call_actions.c.amount,
    call_actions.c.currency,
)

ACTION_COLUMNS = tuple(str(column.name) for column in _SHOWN)
"""The columns of what became of a call at impact.com; all are None for a call that nobody has looked for there."""

_OF_ACTIONS = (ActionState.PENDING, ActionState.APPROVED, ActionState.REVERSED, ActionState.OTHER)

WAY_COLUMNS = (
    *("MediaId", "CampaignId", "delivered", "actions", "pending", "approved", "cleared", "reversed", "other"),
    *("none", "none_since", "ambiguous", "not_followed"),
)
"""The columns of :meth:`ActionQueries.ways`."""


def actions_of(ledger: Ledger, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What became of calls, by key and column (:data:`ACTION_COLUMNS`); times are ISO 8601 in UTC. Calls that nobody
    has looked for are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in in_parts(keys):
        query = sa.select(call_actions.c.key, *_SHOWN).where(call_actions.c.key.in_(part))
        with ledger.reading() as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            values = readable(row)
            found[values.pop("key")] = values
    return found


class ActionQueries:
    """The way from the delivered calls of a ledger's namespace to their payout."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ways(self, period: Period | None = None) -> list[dict[str, Any]]:
        """How far the delivered calls of each partner and campaign have come; the most calls first.

        :param period: in which they were delivered; None for any time
        :return: :data:`WAY_COLUMNS`. Of the ``delivered`` calls: how many became ``actions``, and of these how many are
            ``pending``, ``approved``, ``reversed`` or ``other``, and how many of the approved ones ``cleared``. How
            many became ``none``, and since when the oldest of these is delivered (``none_since``). How many are
            ``ambiguous``; and how many nobody has looked for (``not_followed``)
        """
        when = period.has if period is not None else lambda _: ()
        group = (calls.c.MediaId, calls.c.CampaignId)
        delivered = sa.select(*group, sa.func.count()).where(
            calls.c.namespace == self._ledger.namespace,
            *when(calls.c.changed_at),
            calls.c.state == CallState.DELIVERED.value,
        )
        of_actions = (call_actions.c.MediaId, call_actions.c.CampaignId, call_actions.c.state)
        cleared = sa.func.count(call_actions.c.cleared_at)
        followed = sa.select(*of_actions, sa.func.count(), cleared, sa.func.min(call_actions.c.delivered_at)).where(
            call_actions.c.namespace == self._ledger.namespace, *when(call_actions.c.delivered_at)
        )
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        since: dict[tuple[str, str], str] = {}
        with self._ledger.reading() as connection:
            for media_id, campaign_id, number in connection.execute(delivered.group_by(*group)):
                counts[media_id, campaign_id]["delivered"] = number
            rows = connection.execute(followed.group_by(*of_actions))
            for media_id, campaign_id, state, number, of_cleared, oldest in rows:
                counts[media_id, campaign_id][state] = number
                if state == ActionState.APPROVED:
                    counts[media_id, campaign_id][CLEARED] = of_cleared
                if state == ActionState.NONE:
                    since[media_id, campaign_id] = moment_of(oldest).isoformat(timespec="milliseconds")
        most = sorted(counts.items(), key=lambda each: (-each[1]["delivered"], each[0]))
        return [_way(*who, of, since.get(who)) for who, of in most if of["delivered"]]


def _way(media_id: str, campaign_id: str, of: Counter[str], none_since: str | None) -> dict[str, Any]:
    actions = sum(of[state] for state in _OF_ACTIONS)
    looked_for = actions + of[ActionState.NONE] + of[ActionState.AMBIGUOUS]
    found = {
        **of,
        "MediaId": media_id,
        "CampaignId": campaign_id,
        "actions": actions,
        "none_since": none_since,
        # Not negative: a call may be delivered and looked for between the two queries.
        NOT_FOLLOWED: max(of["delivered"] - looked_for, 0),
    }
    return {name: found.get(name, 0) for name in WAY_COLUMNS}
