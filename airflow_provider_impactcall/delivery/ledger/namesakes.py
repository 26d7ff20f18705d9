"""Which calls a ledger has by the ids of others, or by nearly the same: what a dry run asks about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.delivery.ledger.schema import calls

NEWEST = 100_000
"""Calls among which any spelling of an id is found."""

_OTHER_IDS = ("CampaignId", "ActionTrackerId", "CallProvider")


def namesakes(
    connection: Connection, namespace: str, call_session_ids: Sequence[str]
) -> dict[str, list[Mapping[str, str]]]:
    """The calls that have these ids, whatever else of their keys differs: their other ids by parameter name."""
    query = sa.select(calls.c.CallSessionId, *(calls.c[name] for name in _OTHER_IDS)).where(
        calls.c.namespace == namespace, calls.c.CallSessionId.in_(call_session_ids)
    )
    found: dict[str, list[Mapping[str, str]]] = {}
    for session_id, *ids in connection.execute(query):
        found.setdefault(session_id, []).append(dict(zip(_OTHER_IDS, ids, strict=True)))
    return found


def alike(connection: Connection, namespace: str, call_session_ids: Sequence[str], newest: int = NEWEST) -> int:
    """How many of these ids differ from that of a call in case or blanks alone.

    No index serves any such spelling, and to look at all of ten million calls takes a database many seconds. So the
    usual spellings are looked up among all calls, and any other among the newest.

    :param newest: how many those are, of all namespaces
    """
    usual = list({each for given in call_session_ids for each in _usual_spellings(given)})
    found: set[str] = set()
    for part in in_parts(usual):
        found.update(namesakes(connection, namespace, part))
    # The limit comes before the namespace, so that calls of many others cost no more.
    some = sa.select(calls.c.CallSessionId, calls.c.namespace).order_by(calls.c.changed_at.desc()).limit(newest)
    young = some.subquery()
    bare = sa.func.lower(sa.func.trim(young.c.CallSessionId))
    known = {each.casefold() for each in call_session_ids}
    query = sa.select(young.c.CallSessionId).where(young.c.namespace == namespace, bare.in_(list(known)))
    found.update(connection.execute(query).scalars())
    return len({each.strip().casefold() for each in found.difference(call_session_ids)})


def _usual_spellings(call_session_id: str) -> Iterable[str]:
    """What programs make of an id, and what they may have made it of."""
    return (
        *(call_session_id.upper(), call_session_id.lower(), call_session_id.capitalize()),
        *(f" {call_session_id}", f"{call_session_id} ", f" {call_session_id} "),
    )
