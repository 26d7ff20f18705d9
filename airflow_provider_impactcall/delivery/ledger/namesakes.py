"""Which calls of a ledger have the same ids as other calls, or nearly the same: a dry run asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.delivery.ledger.schema import calls

NEWEST = 100_000
"""How many of the newest calls are searched for any spelling of an id."""

_OTHER_IDS = ("CampaignId", "ActionTrackerId", "CallProvider")


def namesakes(
    connection: Connection, namespace: str, call_session_ids: Sequence[str]
) -> dict[str, list[Mapping[str, str]]]:
    """The calls that have these ids, even if the rest of their keys differs: their other ids, by parameter name."""
    query = sa.select(calls.c.CallSessionId, *(calls.c[name] for name in _OTHER_IDS)).where(
        calls.c.namespace == namespace, calls.c.CallSessionId.in_(call_session_ids)
    )
    found: dict[str, list[Mapping[str, str]]] = {}
    for session_id, *ids in connection.execute(query):
        found.setdefault(session_id, []).append(dict(zip(_OTHER_IDS, ids, strict=True)))
    return found


def alike(connection: Connection, namespace: str, call_session_ids: Sequence[str], newest: int = NEWEST) -> int:
    """How many of these ids differ from the id of a call only in upper and lower case or blanks.

    No index serves every such spelling, and reading ten million calls takes a database many seconds. So the usual
    spellings are looked up among all calls, and the other spellings only among the newest calls.

    :param newest: the number of the newest calls, of all namespaces
    """
    usual = list({each for given in call_session_ids for each in _usual_spellings(given)})
    found: set[str] = set()
    for part in in_parts(usual):
        found.update(namesakes(connection, namespace, part))
    # LIMIT comes before the condition on the namespace, so that many calls of other namespaces cost no more.
    some = sa.select(calls.c.CallSessionId, calls.c.namespace).order_by(calls.c.changed_at.desc()).limit(newest)
    young = some.subquery()
    bare = sa.func.lower(sa.func.trim(young.c.CallSessionId))
    known = {each.casefold() for each in call_session_ids}
    query = sa.select(young.c.CallSessionId).where(young.c.namespace == namespace, bare.in_(list(known)))
    found.update(connection.execute(query).scalars())
    return len({each.strip().casefold() for each in found.difference(call_session_ids)})


def _usual_spellings(call_session_id: str) -> Iterable[str]:
    """The spellings that programs make from an id, and those from which they may have made it."""
    return (
        *(call_session_id.upper(), call_session_id.lower(), call_session_id.capitalize()),
        *(f" {call_session_id}", f"{call_session_id} ", f" {call_session_id} "),
    )
