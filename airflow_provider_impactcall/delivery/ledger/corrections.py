"""People's corrections of calls and dead letters after the fact: requeue, resolve, accept, dismiss, adopt; always with
who and why.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, KEYS_A_QUERY, BatchSizes
from airflow_provider_impactcall.delivery.ledger.dead_letters import discard_letters_of
from airflow_provider_impactcall.delivery.ledger.edits import Author, Edit
from airflow_provider_impactcall.delivery.ledger.entries import (
    Changes,
    Entry,
    locked,
)
from airflow_provider_impactcall.delivery.ledger.schema import (
    Now,
    call_actions,
    calls,
    changed_calls,
    dead_letters,
    events,
)
from airflow_provider_impactcall.delivery.ledger.seen import Seen, look
from airflow_provider_impactcall.delivery.ledger.selection import CHANGED, INVALID, Selection
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT, TRANSITIONS, Cause, correctable
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.unrecordable import Unrecordable
from airflow_provider_impactcall.delivery.outcome import CallState, ReasonCode, RowOutcome
from airflow_provider_impactcall.exceptions import CorrectionUnfinished, InvalidOption

log = logging.getLogger(__name__)

_CODES = {
    Cause.REQUEUE: ReasonCode.REQUEUED,
    Cause.RESOLVE_AS_DELIVERED: ReasonCode.RESOLVED,
    Cause.RESOLVE_AS_NOT_DELIVERED: ReasonCode.RESOLVED,
    Cause.ADOPT: ReasonCode.ADOPTED,
    Cause.RECONCILE: ReasonCode.RECONCILED,
}


# Only the fingerprint: the call's other columns tell its history.
_ACCEPT = sa.update(calls).where(calls.c.key == sa.bindparam("of_key")).values(fingerprint=sa.bindparam("came"))

_Page: TypeAlias = Mapping[str, float | None]
"""The keys of what is to be changed, and the version that was seen of each; None for whatever version it has."""

_Change = Callable[[Edit, str, _Page, Connection], Counter[str]]


class Corrections:
    """What people may change of the calls and the dead letters of a ledger's namespace.

    Every change is a run of its own in the ledger, with who and why. Calls that a live run has in flight are left
    alone. So is each call, mark and dead letter that has changed since it was selected: the person who decided saw
    another state of it. To ask a person first, :meth:`look`, show the counts, and correct what was seen. If more than
    ``at_most`` are selected, nothing is changed.

    If the database fails in the middle, the changes made by then stay. Look again before you repeat such a correction:
    a call may have been sent again since, and the decision was about its earlier attempt.

    :param batch_sizes: how much is read at once
    """

    def __init__(self, ledger: Ledger, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self._ledger = ledger
        self._sizes = batch_sizes

    def look(self, selection: Selection) -> Seen:
        """The selected calls and dead letters as they are now. A correction of them leaves alone each one that changes
        from now on.
        """
        return look(self._ledger, selection, self._sizes)

    def requeue(self, selected: Selection | Seen, author: Author, *, at_most: int | None = None) -> int:
        """Have the next run that reads these calls send them: rejected calls again; and unknown calls too, although
        they may have been processed, and may arrive twice.

        :param at_most: how many may be selected
        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be requeued, or selects more than ``at_most``
        :raises CorrectionUnfinished: if the database failed after a part of the calls was changed
        """
        allowed = correctable(Cause.REQUEUE)
        seen = self._seen(selected, allowed, allowed, "be requeued", at_most)
        return self._amend("requeue", Cause.REQUEUE, seen.selection.states, seen.pages(), author)

    def resolve(
        self, selected: Selection | Seen, author: Author, *, delivered: bool, at_most: int | None = None
    ) -> int:
        """Record what someone learnt from impact.com about calls of unknown fate.

        :param delivered: whether impact.com has them. If not, the next run that reads them sends them. A delivery that
            a person recorded can be taken back by selecting the state ``delivered``; a delivery that an answer proved
            cannot
        :param at_most: how many may be selected
        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be resolved so, or selects more than
            ``at_most``
        :raises CorrectionUnfinished: if the database failed after a part of the calls was changed
        """
        cause = Cause.RESOLVE_AS_DELIVERED if delivered else Cause.RESOLVE_AS_NOT_DELIVERED
        what = f"be resolved as {'' if delivered else 'not '}delivered"
        seen = self._seen(selected, correctable(cause), IN_DOUBT, what, at_most)
        return self._amend("resolve", cause, seen.selection.states, seen.pages(), author)

    def accept(self, selected: Selection | Seen, author: Author, *, at_most: int | None = None) -> int:
        """Take the mark off calls that came again with other content. The content that came last is the known one from
        now on: a call is marked again only if it comes with yet other content. Nothing is sent to impact.com.

        :param at_most: how many may be selected
        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be accepted, or selects more than ``at_most``
        :raises CorrectionUnfinished: if the database failed after a part of the marks was taken off
        """
        seen = self._seen(selected, (CHANGED,), (CHANGED,), "be accepted", at_most)
        return self._in_pages("accept", seen.pages(), author, _accept_page)

    def dismiss(self, selected: Selection | Seen, author: Author, *, at_most: int | None = None) -> int:
        """Take dead letters off the list, until the problems of their rows change.

        :param at_most: how many may be selected
        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be dismissed, or selects more than ``at_most``
        :raises CorrectionUnfinished: if the database failed after a part of the dead letters was dismissed
        """
        seen = self._seen(selected, (INVALID,), (INVALID,), "be dismissed", at_most)
        return self._in_pages("dismiss", seen.pages(), author, _dismiss_page)

    def prove(self, keys: Iterable[str], author: Author) -> int:
        """Record that calls of unknown fate were found at impact.com.

        :return: how many; calls that are no longer of unknown fate are left alone
        :raises CorrectionUnfinished: if the database failed after a part of the calls was changed
        """
        remaining = iter(keys)
        pages = iter(lambda: dict.fromkeys(islice(remaining, KEYS_A_QUERY)), {})
        return self._amend("reconcile", Cause.RECONCILE, IN_DOUBT, pages, author)

    def adopt(self, claims: Iterable[Claim], author: Author) -> Counter[str]:
        """Record calls as delivered that were sent by other means than this ledger.

        :return: how many calls were read, by what they were before: ``new``, or a state. All are adopted but these:
            ``delivered`` and ``open`` calls are left alone, and the ledger cannot hold ``unrecordable`` calls
        """
        found: Counter[str] = Counter()
        ends: Counter[str] = Counter()
        remaining = iter(claims)
        edit = Edit(self._ledger, author)
        with edit.run("adopt", ends) as run_id:
            while page := {claim.key: claim for claim in islice(remaining, KEYS_A_QUERY)}:
                found.update(_adopt(edit, run_id, page))
                left_alone = (CallState.DELIVERED, CallState.OPEN, ReasonCode.UNRECORDABLE)
                ends[CallState.DELIVERED] = found.total() - sum(found[each] for each in left_alone)
        if unrecordable := found[ReasonCode.UNRECORDABLE]:
            log.warning(
                "%d calls were not adopted, as the ledger's database cannot hold one of their values", unrecordable
            )
        return found

    def _seen(
        self,
        selected: Selection | Seen,
        allowed: Collection[str],
        usual: Collection[str],
        what: str,
        at_most: int | None,
    ) -> Seen:
        """What is to be changed; a selection without states selects the usual states.

        :raises InvalidOption: if the selection names a state that is not allowed, or if more than ``at_most`` were seen
        """
        if at_most is not None and at_most < 0:
            raise InvalidOption("at_most must be 0 or more")
        selection = selected.selection if isinstance(selected, Seen) else selected
        if isinstance(selected, Seen) and not selection.states:
            raise InvalidOption("a correction of what was seen needs a selection that names its states")
        limited = selection.limited_to(allowed, usual, what)
        seen = replace(selected, selection=limited) if isinstance(selected, Seen) else self.look(limited)
        if at_most is not None and seen.counts.total() > at_most:
            raise InvalidOption(f"at_most is {at_most}, and more are selected: nothing was changed")
        return seen

    def _amend(self, kind: str, cause: Cause, states: Collection[str], pages: Iterator[_Page], author: Author) -> int:
        """Bring calls into the state that follows theirs; calls that are in another state by now are left alone.

        :param states: in which the calls were selected
        """
        return self._in_pages(kind, pages, author, partial(_amend_page, kind, cause, states))

    def _in_pages(self, kind: str, pages: Iterator[_Page], author: Author, change: _Change) -> int:
        """Change calls or dead letters, page by page, in a run of its own.

        :raises CorrectionUnfinished: if the database failed after a part of them was changed
        """
        ends: Counter[str] = Counter()
        edit = Edit(self._ledger, author)
        with edit.run(kind, ends) as run_id:
            # A page that is being committed when the database fails may be committed.
            doubtful = 0

            def change_page(page: _Page, connection: Connection) -> Counter[str]:
                nonlocal doubtful
                of_page = change(edit, run_id, page, connection)
                doubtful = max(doubtful, of_page.total())
                return of_page

            try:
                for page in pages:
                    ends.update(edit.repeatedly(partial(change_page, page)))
                    doubtful = 0
            except SQLAlchemyError as error:
                if not (ends.total() or doubtful):
                    raise
                changed = ends.total()
                raise CorrectionUnfinished(
                    f"the ledger failed in the middle of the correction ({type(error).__name__}): {changed} calls or "
                    f"rows were changed, and {doubtful} more may have been; look at the others, and decide again",
                    changed,
                    doubtful,
                ) from None
            except BaseException as error:
                error.add_note(f"changed so far: {ends.total()} calls or rows")
                raise
        return ends.total()


def _amend_page(
    kind: str,
    cause: Cause,
    states: Collection[str],
    edit: Edit,
    run_id: str,
    page: _Page,
    connection: Connection,
) -> Counter[str]:
    ends: Counter[str] = Counter()
    entries = locked(connection, page, run_id)
    changes = edit.changes(connection, run_id)
    proven = _proven_by_answers(connection, [*page], entries)
    taken_back: list[str] = []
    delivered: list[str] = []
    for key, entry in entries.items():
        if entry.run_id == run_id:
            # A repetition: the first transaction was committed after all.
            ends[entry.state] += 1
            continue
        state = _state_of(entry)
        target = TRANSITIONS[cause].get(state)
        as_seen = page[key] in (None, entry.changed_at)
        if target is not None and state in states and as_seen and key not in proven:
            _change(changes, key, entry, edit.author, kind, cause, target)
            ends[target] += 1
            if state is CallState.DELIVERED:
                taken_back.append(key)
            if target is CallState.DELIVERED:
                delivered.append(key)
    changes.write(connection)
    _take_marks_off(connection, taken_back)
    _forget_actions(connection, taken_back)
    discard_letters_of(connection, edit.namespace, delivered)
    return ends


def _accept_page(edit: Edit, run_id: str, page: _Page, connection: Connection) -> Counter[str]:
    entries = locked(connection, page, run_id)
    columns = (changed_calls.c.key, changed_calls.c.fingerprint, changed_calls.c.last_at)
    of_page = sa.select(*columns).where(changed_calls.c.key.in_([*page])).order_by(changed_calls.c.key)
    rows = connection.execute(of_page.with_for_update())
    # With yet other content since, the mark says what nobody has seen.
    marks = {key: fingerprint for key, fingerprint, last_at in rows if last_at == page[key]}
    changes = edit.changes(connection, run_id)
    accepted = []
    for key, entry in entries.items():
        if key in marks and entry.state is CallState.DELIVERED and entry.fingerprint != marks[key]:
            changes.note(key, entry.fence, entry.state, ReasonCode.ACCEPTED, edit.author.why)
            accepted.append({"of_key": key, "came": marks[key]})
    if accepted:
        connection.execute(_ACCEPT, accepted)
        changes.write(connection)
        _take_marks_off(connection, [each["of_key"] for each in accepted])
    return Counter({RowOutcome.CHANGED.value: len(accepted)})


def _dismiss_page(edit: Edit, run_id: str, page: _Page, connection: Connection) -> Counter[str]:
    listed = (dead_letters.c.key.in_([*page]), dead_letters.c.dismissed_at.is_(None))
    letters = sa.select(dead_letters.c.key, dead_letters.c.last_at).where(*listed).order_by(dead_letters.c.key)
    # A row that was read since may have other problems.
    keys = [key for key, last_at in connection.execute(letters.with_for_update()) if last_at == page[key]]
    connection.execute(sa.update(dead_letters).where(dead_letters.c.key.in_(keys)).values(dismissed_at=Now()))
    return Counter({INVALID: len(keys)})


def _take_marks_off(connection: Connection, keys: Sequence[str]) -> None:
    if keys:
        connection.execute(sa.delete(changed_calls).where(changed_calls.c.key.in_(keys)))


def _adopt(edit: Edit, run_id: str, page: Mapping[str, Claim]) -> Counter[str]:
    """Adopt calls; a call with a value that the ledger cannot hold does not keep the others from being adopted."""
    try:
        return edit.repeatedly(partial(_adopt_page, edit, run_id, page))
    except Unrecordable:
        if len(page) == 1:
            return Counter({ReasonCode.UNRECORDABLE.value: 1})
    found: Counter[str] = Counter()
    for key, claim in page.items():
        found.update(_adopt(edit, run_id, {key: claim}))
    return found


def _forget_actions(connection: Connection, keys: Sequence[str]) -> None:
    if keys:
        connection.execute(sa.delete(call_actions).where(call_actions.c.key.in_(keys)))


def _adopt_page(edit: Edit, run_id: str, page: Mapping[str, Claim], connection: Connection) -> Counter[str]:
    found: Counter[str] = Counter()
    entries = locked(connection, page, run_id)
    changes = edit.changes(connection, run_id)
    delivered: list[str] = []
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
            changes.describe(claim)
        found["new" if state is None else state] += 1
        if state is not CallState.OPEN:
            delivered.append(key)
    changes.write(connection)
    discard_letters_of(connection, edit.namespace, delivered)
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
    """The keys of the calls to which impact.com itself answered OK."""
    answered = (events.c.key.in_(keys), events.c.state == CallState.DELIVERED.value, events.c.actor.is_(None))
    answered_keys = connection.execute(sa.select(events.c.key).where(*answered)).scalars()
    return {*answered_keys, *(key for key, entry in entries.items() if entry.first_answer)}
