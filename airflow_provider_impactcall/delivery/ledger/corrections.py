"""What people do with calls after the fact: requeue, resolve, adopt; always with who and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, KEYS_A_QUERY, BatchSizes
from airflow_provider_impactcall.delivery.ledger.edits import Author, Edit
from airflow_provider_impactcall.delivery.ledger.entries import (
    Changes,
    Entry,
    lock,
    look_up,
)
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.schema import (
    events,
)
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT, TRANSITIONS, Cause, correctable
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState, ReasonCode
from airflow_provider_impactcall.exceptions import InvalidOption

_CODES = {
    Cause.REQUEUE: ReasonCode.REQUEUED,
    Cause.RESOLVE_AS_DELIVERED: ReasonCode.RESOLVED,
    Cause.RESOLVE_AS_NOT_DELIVERED: ReasonCode.RESOLVED,
    Cause.ADOPT: ReasonCode.ADOPTED,
    Cause.RECONCILE: ReasonCode.RECONCILED,
}


class Corrections:
    """What people may change of the calls of a ledger's namespace.

    Every change is a run of its own in the ledger, with who and why. Calls that a live run has in flight are left
    alone.

    :param batch_sizes: how much is read at once
    """

    def __init__(self, ledger: Ledger, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self._ledger = ledger
        self._queries = CallQueries(ledger, batch_sizes)

    def requeue(self, selection: Selection, author: Author) -> int:
        """Have the next run that reads these calls send them: rejected ones anew, and unknown ones although they may
        have been processed and may arrive twice.

        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be requeued
        """
        allowed = correctable(Cause.REQUEUE)
        keys = self._keys(selection, allowed, allowed, "be requeued")
        return self._amend("requeue", Cause.REQUEUE, selection.states or allowed, keys, author)

    def resolve(self, selection: Selection, author: Author, *, delivered: bool) -> int:
        """Record what someone learnt from impact.com of calls of unknown fate.

        :param delivered: impact.com has them. If not, the next run that reads them sends them. A delivery that a person
            recorded can be taken back by selecting the state ``delivered``; one that an answer proved cannot
        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be resolved so
        """
        cause = Cause.RESOLVE_AS_DELIVERED if delivered else Cause.RESOLVE_AS_NOT_DELIVERED
        what = f"be resolved as {'' if delivered else 'not '}delivered"
        keys = self._keys(selection, IN_DOUBT, correctable(cause), what)
        return self._amend("resolve", cause, selection.states or IN_DOUBT, keys, author)

    def prove(self, keys: Iterable[str], author: Author) -> int:
        """Record that calls of unknown fate were found at impact.com.

        :return: how many; what is not of unknown fate any more is left alone
        """
        return self._amend("reconcile", Cause.RECONCILE, IN_DOUBT, iter(keys), author)

    def adopt(self, claims: Iterable[Claim], author: Author) -> Counter[str]:
        """Record calls as delivered that were sent by other means than this ledger.

        :return: how many were adopted, by what they were: ``new``, or a state; ``delivered`` and ``open`` ones were
            left alone
        """
        found: Counter[str] = Counter()
        ends: Counter[str] = Counter()
        remaining = iter(claims)
        edit = Edit(self._ledger, author)
        with edit.run("adopt", ends) as run_id:
            while page := {claim.key: claim for claim in islice(remaining, KEYS_A_QUERY)}:
                found.update(edit.repeatedly(partial(_adopt_page, edit, run_id, page)))
                ends[CallState.DELIVERED] = found.total() - found[CallState.DELIVERED] - found[CallState.OPEN]
        return found

    def _keys(
        self, selection: Selection, usual: Sequence[CallState], allowed: Sequence[CallState], what: str
    ) -> Iterator[str]:
        """The keys of a selection, which means the usual states if it names none."""
        strange = sorted(set(selection.states) - set(allowed))
        if strange:
            raise InvalidOption(f"{' and '.join(strange)} calls cannot {what}: only {', '.join(allowed)} ones can")
        return (row["key"] for row in self._queries.each(replace(selection, states=selection.states or usual)))

    def _amend(self, kind: str, cause: Cause, states: Collection[str], keys: Iterator[str], author: Author) -> int:
        """Bring calls into the state that follows theirs; those that are in another state by now are left alone.

        :param states: that the calls were selected in
        """
        ends: Counter[str] = Counter()
        edit = Edit(self._ledger, author)
        with edit.run(kind, ends) as run_id:
            while page := sorted(islice(keys, KEYS_A_QUERY)):
                ends.update(edit.repeatedly(partial(_amend_page, edit, kind, cause, states, run_id, page)))
        return ends.total()


def _amend_page(
    edit: Edit,
    kind: str,
    cause: Cause,
    states: Collection[str],
    run_id: str,
    page: Sequence[str],
    connection: Connection,
) -> Counter[str]:
    ends: Counter[str] = Counter()
    entries = look_up(connection, lock(connection, page))
    changes = edit.changes(connection, run_id)
    proven = _proven_by_answers(connection, page, entries)
    for key, entry in entries.items():
        state = _state_of(entry)
        target = TRANSITIONS[cause].get(state)
        if target is not None and state in states and key not in proven:
            _change(changes, key, entry, edit.author, kind, cause, target)
            ends[target] += 1
    changes.write(connection)
    return ends


def _adopt_page(edit: Edit, run_id: str, page: Mapping[str, Claim], connection: Connection) -> Counter[str]:
    found: Counter[str] = Counter()
    entries = look_up(connection, lock(connection, page))
    changes = edit.changes(connection, run_id)
    for key, claim in page.items():
        entry = entries.get(key)
        state = None if entry is None else _state_of(entry)
        target = TRANSITIONS[Cause.ADOPT].get(state)
        if entry is None:
            changes.note(key, 0, CallState.DELIVERED, ReasonCode.ADOPTED, edit.author.why)
            changes.adopt(claim, _reason("adopt", edit.author))
        elif target is not None:
            adopted = {"fingerprint": claim.fingerprint}
            _change(changes, key, entry, edit.author, "adopt", Cause.ADOPT, target, **adopted)
        found["new" if state is None else state] += 1
    changes.write(connection)
    return found


def _state_of(entry: Entry) -> CallState:
    return TRANSITIONS[Cause.DEATH][CallState.OPEN] if entry.died else entry.state


def _change(
    changes: Changes,
    key: str,
    entry: Entry,
    author: Author,
    kind: str,
    cause: Cause,
    target: CallState,
    **values: int,
) -> None:
    code = _CODES[cause]
    changes.note(key, entry.fence, target, code, author.why)
    why = {"reason_code": code.value, "status": None, "reason": _reason(kind, author)}
    uncertain = target is CallState.REQUEUED
    changes.change(key, entry, state=target, **why, uncertain=uncertain, deaths=0, run_id=changes.run_id, **values)


def _reason(kind: str, author: Author) -> str:
    return f"{kind} by {author.actor}: {author.why}"


def _proven_by_answers(connection: Connection, keys: Sequence[str], entries: Mapping[str, Entry]) -> set[str]:
    """Those of the calls that impact.com itself answered OK to."""
    answered = (events.c.key.in_(keys), events.c.state == CallState.DELIVERED.value, events.c.actor.is_(None))
    answered_keys = connection.execute(sa.select(events.c.key).where(*answered)).scalars()
    return {*answered_keys, *(key for key, entry in entries.items() if entry.first_answer)}
