"""Turns rows into calls to send; the other rows end here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from airflow_provider_impactcall.delivery.claims import claim_of
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.run_ledger import RunLedger
from airflow_provider_impactcall.delivery.engine.stages import Pending
from airflow_provider_impactcall.delivery.engine.tally import Tally
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call, Item
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import Settled, as_known, decide
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome, Stop
from airflow_provider_impactcall.exceptions import LedgerUnusable
from airflow_provider_impactcall.records import CallRecord


class Intake:
    """Finds the calls to send among rows, with one ledger query for each batch of rows.

    :param duplicates: finds the calls that the input holds twice
    :param tally: told of the rows that end here
    :param limit: let at most so many calls through; None for all
    :param refuses: whether no request can be made of a call; such a call takes no place of the limit
    :param continues: the ids of the runs that this run continues. Calls that they delivered also have a count of
        their own
    """

    def __init__(
        self,
        duplicates: Duplicates,
        tally: Tally,
        limit: int | None,
        refuses: Callable[[CallRecord], bool],
        continues: Collection[str] = (),
    ) -> None:
        self._duplicates = duplicates
        self._tally = tally
        self._allowance = limit
        self._refuses = refuses
        self._continues = continues
        self._without_ledger: Stop | None = None

    async def pending(
        self, batch: Sequence[Item], ledger: RunLedger, stop: Callable[[Stop], None]
    ) -> Sequence[Pending]:
        """The calls of a batch to send; the other rows are settled.

        :param stop: told why the run must stop, if the ledger cannot be read
        """
        settle = self._tally.settle
        self._tally.report.rows += len(batch)
        claims: list[tuple[Call, Claim]] = []
        for row in batch:
            claimed = claim_of(row, self._duplicates, ledger.identify)
            if isinstance(claimed, Outcome):
                settle(row, claimed)
            else:
                claims.append(claimed)
        if not claims:
            return ()
        entries: Mapping[str, Entry] = {}
        # A query to a database that is down takes minutes, and there may be thousands of batches.
        if self._without_ledger is None:
            keys = [claim.key for _, claim in claims]
            keys += [claim.as_given[0] for _, claim in claims if claim.as_given is not None]
            try:
                entries = await ledger.look_up(keys)
            except LedgerUnusable as error:
                self._without_ledger = Stop(ReasonCode(error.code), str(error))
                stop(self._without_ledger)
        if self._without_ledger is not None:
            for call, _ in claims:
                self._tally.leave(call, self._without_ledger.code, self._without_ledger.reason)
            return ()
        if not entries and self._allowance is None:  # nearly all batches
            return [Pending(call, claim) for call, claim in claims]
        pending = []
        for call, as_read in claims:
            claim = as_known(as_read, entries)
            entry = entries.get(claim.key)
            decision = decide(entry, claim, ledger.run_id, resend=ledger.resend)
            # A dead run's call is held, and this has to be recorded first. A run that may send nothing leaves it open.
            takes_over = entry is not None and entry.died and self._allowance != 0
            if isinstance(decision, Settled):
                if not takes_over:
                    if entry is not None and entry.run_id in self._continues:
                        self._tally.report.by_continued += decision.outcome.state is RowOutcome.ALREADY_DELIVERED
                    settle(call, decision.outcome)
                    continue
                uncertain = True
            else:
                uncertain = decision.uncertain
                if self._allowance == 0:
                    settle(call, Outcome.given_up(uncertain, ReasonCode.OVER_LIMIT, "over the limit"))
                    continue
                if self._allowance is not None and not self._refuses(call.record):
                    self._allowance -= 1
            if entry is not None:
                claim = claim._replace(is_known=True)
            pending.append(Pending(call, claim, uncertain))
        return pending
