"""A person's decisions on calls and rows, as tasks: requeue, resolve, accept, dismiss.

``dags/impactcall_corrections.py`` turns them into a form that a person fills in to trigger a run.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow.providers.common.compat.sdk import AirflowFailException, Context

from airflow_provider_impactcall.exceptions import CorrectionUnfinished, InvalidOption
from airflow_provider_impactcall.integration.options import Problems
from airflow_provider_impactcall.operators.correcting import CorrectLedgerOperator, as_airflow_says_it
from airflow_provider_impactcall.operators.rendered import count, flag
from airflow_provider_impactcall.operators.signature import names_options_of

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
    from airflow_provider_impactcall.delivery.ledger.edits import Author
    from airflow_provider_impactcall.delivery.ledger.seen import Seen
    from airflow_provider_impactcall.delivery.ledger.selection import Selection
    from airflow_provider_impactcall.integration.selections import Several

log = logging.getLogger(__name__)


class Change(Protocol):
    """A method of :class:`.Corrections`."""

    def __call__(self, corrections: Corrections, selected: Seen, author: Author, /, *, at_most: int | None) -> int: ...


@dataclass(frozen=True)
class Correction:
    """A change of the selected calls or rows.

    :param usual: the states that are selected if none is given
    :param allowed: all states that can be changed so
    :param change: makes the change, and returns how many were changed
    :param withheld: the states that need a permission which was not given
    """

    usual: Collection[str]
    allowed: Collection[str]
    change: Change
    withheld: Collection[str] = ()

    def of(self, selection: Selection) -> Selection:
        """The selection, with the states that it stands for.

        :raises InvalidOption: if it names a state that cannot be changed so
        """
        return selection.limited_to(self.allowed, self.usual)

    def refuse_doubtful(self, selected: Mapping[str, int]) -> None:
        """Refuse a selection with calls that need a permission which was not given.

        :param selected: how many are selected, by state
        :raises InvalidOption: if it has such calls
        """
        doubtful = self.doubtful(selected)
        if doubtful:
            raise InvalidOption(
                f"{doubtful} of the calls may have arrived, and would be sent once more: give may_arrive_twice=True, "
                "or select rejected ones alone"
            )

    def doubtful(self, selected: Mapping[str, int]) -> int:
        """How many selected calls need a permission which was not given."""
        return sum(selected.get(state, 0) for state in self.withheld)


class CorrectSelectedOperator(CorrectLedgerOperator):
    """The base of operators that correct what a person selects. All given conditions must hold, and at least one must
    be given; None and an empty text mean: not given.

    :param call_session_ids: any of these: a list, or a text of several, separated by commas or line breaks (templated)
    :param state: one or several, likewise; None for the states that this operator corrects (templated)
    :param reason_code: a :class:`.ReasonCode` (templated)
    :param run_id: the ledger's run that changed the call last (templated)
    :param since: changed at this time or later: a datetime or ISO 8601, in UTC if it has no offset (templated)
    :param until: changed before this time, likewise (templated)
    :param reason: a part of the reason, in any case (templated)
    :param status: the HTTP status of the answer that decided the call's state; 0 if no answer did (templated)
    :param media_ids: any of these partners, as ``call_session_ids`` (templated)
    :param campaign_ids: any of these campaigns, likewise (templated)
    :param at_most: if more than so many are selected, refuse and change nothing; None for any number (templated)
    :param dry_run: change nothing, and log what would be changed (templated)
    :param kwargs: every option of :class:`.CorrectLedgerOperator`, and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = (
        "call_session_ids",
        "state",
        "reason_code",
        "run_id",
        "since",
        "until",
        "reason",
        "status",
        "media_ids",
        "campaign_ids",
        "at_most",
        "dry_run_only",
        *CorrectLedgerOperator.template_fields,
    )

    @names_options_of(CorrectLedgerOperator)
    def __init__(
        self,
        *,
        call_session_ids: Several = None,
        state: Several = None,
        reason_code: str | None = None,
        run_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        reason: str | None = None,
        status: int | str | None = None,
        media_ids: Several = None,
        campaign_ids: Several = None,
        at_most: int | str | None = None,
        dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.call_session_ids = call_session_ids
        self.state = state
        self.reason_code = reason_code
        self.run_id = run_id
        self.since = since
        self.until = until
        self.reason = reason
        self.status = status
        self.media_ids = media_ids
        self.campaign_ids = campaign_ids
        self.at_most = at_most
        # BaseOperator.dry_run is a method of Airflow's.
        self.dry_run_only = dry_run

    def execute(self, context: Context) -> dict[str, int]:
        """Correct what is selected.

        :return: ``selected``, the same by state (``selected_rejected``, ...), and ``changed``. A selected call is not
            changed if it changes after it was counted, or if an answer proved it. A later try of the same task counts
            only what has not changed since the first try began
        :raises AirflowFailException: an option is wrong, no condition is given, or more than ``at_most`` are selected:
            nothing was changed. Or the ledger's database failed after a part was changed: a retry could apply the
            decision to calls that were sent again since
        :raises AirflowException: the ledger cannot be reached; nothing was changed
        """
        with as_airflow_says_it():
            try:
                return self._correct(context)
            except CorrectionUnfinished as error:
                raise AirflowFailException(str(error)) from None

    def correction(self, problems: Problems) -> Correction:
        """What this operator does to the selected calls or rows.

        :param problems: collects what is wrong with the options that only this operator has
        """
        raise NotImplementedError

    def _correct(self, context: Context) -> dict[str, int]:
        from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
        from airflow_provider_impactcall.delivery.ledger.edits import first_began
        from airflow_provider_impactcall.delivery.ledger.selection import CHANGED, INVALID
        from airflow_provider_impactcall.integration.selections import selection_of

        problems = Problems()
        correction = self.correction(problems)
        with problems.noted():
            author = self.author(context)
        with problems.noted():
            at_most = count("at_most", self.at_most)
        with problems.noted():
            dry_run = flag("dry_run", self.dry_run_only)
        with problems.noted():
            selection = correction.of(
                selection_of(
                    call_session_ids=self.call_session_ids,
                    state=self.state,
                    reason_code=self.reason_code,
                    run_id=self.run_id,
                    since=self.since,
                    until=self.until,
                    reason=self.reason,
                    status=self.status,
                    media_ids=self.media_ids,
                    campaign_ids=self.campaign_ids,
                )
            )
        problems.refuse()
        with self.hook().ledger() as ledger:
            corrections = Corrections(ledger)
            # A mark or a row is told of anew whenever it is read again, and nothing is sent of it.
            earlier = _earlier_tries(author.source) if {*correction.allowed} - {CHANGED, INVALID} else []
            if earlier and (began := first_began(ledger, earlier)) is not None:
                # The decision was made before that: it is not about calls that were sent again since.
                selection = replace(selection, as_of=began)
                log.warning("An earlier try began at %s: what changed after that is left alone", _utc(began))
            seen = corrections.look(selection)
            selected = {state: seen.counts[state] for state in selection.states if seen.counts[state]}
            changed = 0
            if selected and not dry_run:
                correction.refuse_doubtful(selected)
                changed = correction.change(corrections, seen, author, at_most=at_most)
        _log(selected, changed, author.actor, correction.doubtful(selected), dry_run=dry_run)
        by_state = {f"selected_{state}": number for state, number in selected.items()}
        return {"selected": sum(selected.values()), **by_state, "changed": changed}


class RequeueCallsOperator(CorrectSelectedOperator):
    """Has the next run that reads these calls send them: rejected calls again, and unknown calls although they may
    arrive twice.

    :param may_arrive_twice: also requeue calls whose fate is unknown; if False, the task refuses a selection with such
        calls (templated)
    :param kwargs: every option of :class:`CorrectSelectedOperator`, and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = ("may_arrive_twice", *CorrectSelectedOperator.template_fields)

    @names_options_of(CorrectSelectedOperator)
    def __init__(self, *, may_arrive_twice: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.may_arrive_twice = may_arrive_twice

    def correction(self, problems: Problems) -> Correction:
        from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
        from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT, Cause, correctable

        withheld: Collection[str] = IN_DOUBT
        with problems.noted():
            if flag("may_arrive_twice", self.may_arrive_twice):
                withheld = ()
        states = correctable(Cause.REQUEUE)
        return Correction(states, states, Corrections.requeue, withheld)


class ResolveCallsOperator(CorrectSelectedOperator):
    """Records what a person learnt from impact.com about calls of unknown fate.

    :param outcome: ``delivered``: impact.com has the calls. ``not_delivered``: impact.com does not have them, and the
        next run that reads them sends them (templated)
    :param kwargs: every option of :class:`CorrectSelectedOperator`, and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = ("outcome", *CorrectSelectedOperator.template_fields)

    @names_options_of(CorrectSelectedOperator)
    def __init__(self, *, outcome: Literal["delivered", "not_delivered"], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outcome = outcome

    def correction(self, problems: Problems) -> Correction:
        from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
        from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT, Cause, correctable

        with problems.noted():
            if self.outcome not in ("delivered", "not_delivered"):
                raise InvalidOption("outcome must be 'delivered' or 'not_delivered'")
        delivered = self.outcome == "delivered"
        cause = Cause.RESOLVE_AS_DELIVERED if delivered else Cause.RESOLVE_AS_NOT_DELIVERED
        return Correction(IN_DOUBT, correctable(cause), partial(Corrections.resolve, delivered=delivered))


class AcceptChangesOperator(CorrectSelectedOperator):
    """Takes the mark *changed* off delivered calls, until their content changes again. Nothing is sent.

    :param kwargs: every option of :class:`CorrectSelectedOperator`, and of Airflow's ``BaseOperator``
    """

    def correction(self, problems: Problems) -> Correction:
        from airflow_provider_impactcall.delivery.ledger.corrections import Corrections

        return Correction(("changed",), ("changed",), Corrections.accept)


class DismissRowsOperator(CorrectSelectedOperator):
    """Hides rows that are not valid calls, and that nobody will correct.

    :param kwargs: every option of :class:`CorrectSelectedOperator`, and of Airflow's ``BaseOperator``
    """

    def correction(self, problems: Problems) -> Correction:
        from airflow_provider_impactcall.delivery.ledger.corrections import Corrections

        return Correction(("invalid",), ("invalid",), Corrections.dismiss)


def _log(selected: Mapping[str, int], changed: int, actor: str, doubtful: int, *, dry_run: bool) -> None:
    shown = ", ".join(f"{number} {state}" for state, number in selected.items()) or "none"
    if not dry_run:
        log.info("Selected: %s. Changed: %d, by %s", shown, changed, actor)
        if left := sum(selected.values()) - changed:
            log.warning("Left alone, as they changed after they were counted, or an answer proved them: %d", left)
        return
    log.info("A dry run, nothing was changed. Selected: %s; at_most=%d is their number", shown, sum(selected.values()))
    if doubtful:
        log.warning("%d of the calls may have arrived: to requeue them takes may_arrive_twice=True", doubtful)


def _earlier_tries(source: str | None) -> list[str]:
    """The sources of a task's earlier tries, from the source of this try. Outside a task, there are none."""
    from airflow_provider_impactcall.integration.source import TaskInstance

    if source is None or TaskInstance.of(source) is None:
        return []
    instance, _, number = source.rpartition("/")
    return [f"{instance}/{earlier}" for earlier in range(1, int(number))]


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
