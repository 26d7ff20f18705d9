"""Reads and corrects the delivery ledger after deliveries, over an Airflow connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Unpack

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_impactcall.defaults import DEFAULT_API_CONN_ID
from airflow_provider_impactcall.delivery.actions import CallIdentity
from airflow_provider_impactcall.delivery.ledger.call_actions import CallActions
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.matching import Fate, Matching
from airflow_provider_impactcall.delivery.outcome import ActionState, CallState
from airflow_provider_impactcall.integration.connection import Account, account, connection_of
from airflow_provider_impactcall.integration.files import opened
from airflow_provider_impactcall.integration.impact_actions import (
    EventSpans,
    EventTime,
    list_of_actions,
    note_others,
    read_updates,
)
from airflow_provider_impactcall.integration.ledger import open_ledger, reachable
from airflow_provider_impactcall.integration.ledger_rows import LedgerRows
from airflow_provider_impactcall.integration.options import RowKeywords, RowOptions, row_options_of
from airflow_provider_impactcall.integration.text_files import CsvFormat

_OF_DELIVERED = ("delivered", "pending", "approved", "cleared", "reversed", "other", "none")


@dataclass(frozen=True)
class Adoption:
    """The outcome of an adoption. The last five counts add up to the first.

    :param rows: rows read
    :param adopted: calls that are delivered from now on
    :param already_delivered: calls that were delivered before
    :param in_flight: calls that a live run is sending; left alone
    :param filtered: rows that the vendor's preset leaves out
    :param rejected: rows that are not valid calls, or have a value that the ledger cannot hold
    """

    rows: int
    adopted: int
    already_delivered: int
    in_flight: int
    filtered: int
    rejected: int

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Reconciliation:
    """The outcome of looking for calls among impact.com's actions.

    :param rows: rows read
    :param filtered: rows that the vendor's preset leaves out
    :param rejected: rows that are not valid calls
    :param unknown: calls of unknown fate before
    :param proven: those of them that were found, and are delivered from now on
    :param ambiguous: unknown calls that an action may belong to, or to another call. The calls are of one caller and
        second; or of one second, if the ledger has another call of that second that was not sent as the rows have it
    """

    rows: int
    filtered: int
    rejected: int
    unknown: int
    proven: int
    ambiguous: int

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Following:
    """What became of calls at impact.com.

    :param rows: rows read
    :param filtered: rows that the vendor's preset leaves out
    :param rejected: rows that are not valid calls
    :param unknown: calls of unknown fate before, among those that were looked for
    :param proven: those of them that were found, and are delivered from now on
    :param delivered: delivered calls that were looked for, including the proven ones
    :param pending: delivered calls whose action is not decided yet
    :param approved: delivered calls whose action is approved
    :param cleared: those of the approved calls whose action was released for payment
    :param reversed: delivered calls whose action was taken back
    :param other: delivered calls whose action is in a state that this version does not know
    :param none: delivered calls that have no action
    :param ambiguous: calls that share a possible action with other calls, including calls of unknown fate
    :param updated: known actions of other calls of the same campaigns that changed since they were read last
    """

    rows: int
    filtered: int
    rejected: int
    unknown: int
    proven: int
    delivered: int
    pending: int
    approved: int
    cleared: int
    reversed: int
    other: int
    none: int
    ambiguous: int
    updated: int

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


class ImpactCallLedgerHook(BaseHook):
    """Shows and corrects what the delivery ledger holds.

    :param impactcall_conn_id: the connection that the calls were delivered with: it says the namespace, and the
        parameters of calls that lack them
    :param ledger_conn_id: as the delivering tasks have it; None for ``[impactcall] ledger_conn_id``
    :param ledger_namespace: as the delivering tasks have it; None for the endpoint's origin
    """

    def __init__(
        self,
        impactcall_conn_id: str = "impactcall_default",
        ledger_conn_id: str | None = None,
        ledger_namespace: str | None = None,
    ) -> None:
        super().__init__()
        self.impactcall_conn_id = impactcall_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.ledger_namespace = ledger_namespace

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, for :class:`.CallQueries`, :class:`.Corrections` and :func:`.purge`.

        :raises InvalidOption: if the connection is wrong
        :raises LedgerUnusable: if the ledger cannot be reached
        """
        with self._opened(self._account()) as ledger:
            yield ledger

    def adopt(self, rows: Any, author: Author, **options: Unpack[RowKeywords]) -> Adoption:
        """Record as delivered the calls that another tool sent, such as the tool that this package replaces.

        Give the same options as the delivering task, or that task will not recognize the calls.

        :param rows: the calls, complete, as :meth:`.ImpactCallHook.deliver` takes them
        :param options: every field of :class:`.RowOptions`, by its name
        :raises InvalidOption: if an option or the connection is wrong
        :raises LedgerUnusable: if the ledger cannot be reached
        :raises TypeError: for a keyword that is not an option
        """
        return self.adopt_with(rows, author, row_options_of("adopt", options))

    def adopt_with(self, rows: Any, author: Author, options: RowOptions) -> Adoption:
        """As :meth:`adopt`, with the options as an object."""
        with opened(rows, CsvFormat.of(options)) as found:
            return self._adopt(found, author, options)

    def _adopt(self, rows: Any, author: Author, options: RowOptions) -> Adoption:
        settings = self._account()
        given = LedgerRows(settings, rows, options)
        with self._opened(settings) as ledger:
            found = Corrections(ledger).adopt((claim for claim, _ in given.known(ledger)), author)
        given.log_rejects()
        unrecordable = found["unrecordable"]
        return Adoption(
            rows=given.counts.total(),
            adopted=found.total() - found["delivered"] - found["open"] - unrecordable,
            already_delivered=found["delivered"] + given.counts["calls"] - found.total(),
            in_flight=found["open"],
            filtered=given.counts["filtered"],
            rejected=given.counts["rejected"] + unrecordable,
        )

    def reconcile(
        self,
        rows: Any,
        author: Author,
        *,
        api_conn_id: str = DEFAULT_API_CONN_ID,
        **options: Unpack[RowKeywords],
    ) -> Reconciliation:
        """Look for calls of unknown fate among impact.com's actions, and record those that are there as delivered.

        An action proves that a call was delivered if campaign, action tracker, caller and second are the same, and no
        other call can have made it (:meth:`.Matching.matches`). A missing action proves nothing: only a call that pays
        becomes an action.

        :param rows: every call of the time in question, complete, as it was delivered, in whatever state it is. The
            ledger keeps no caller: a call that is left out, or that has other content than it was sent with, cannot be
            told from a call that is looked for
        :param api_conn_id: a connection with the account's ordinary API credentials: login is the AccountSID, password
            the AuthToken, host empty for ``https://api.impact.com``
        :param options: every field of :class:`.RowOptions`, by its name
        :raises InvalidOption: if an option or a connection is wrong
        :raises LedgerUnusable: if the ledger cannot be reached
        :raises ReadBackFailed: if impact.com does not answer as it should
        :raises TypeError: for a keyword that is not an option
        """
        return self.reconcile_with(rows, author, row_options_of("reconcile", options), api_conn_id=api_conn_id)

    def reconcile_with(
        self, rows: Any, author: Author, options: RowOptions, *, api_conn_id: str = DEFAULT_API_CONN_ID
    ) -> Reconciliation:
        """As :meth:`reconcile`, with the options as an object."""
        with opened(rows, CsvFormat.of(options)) as found:
            return self._reconcile(found, author, options, api_conn_id)

    def _reconcile(self, rows: Any, author: Author, options: RowOptions, api_conn_id: str) -> Reconciliation:
        settings = self._account()
        given = LedgerRows(settings, rows, options)
        spans = EventSpans()
        with list_of_actions(api_conn_id) as reader, self._opened(settings) as ledger, Matching() as matching:
            for claim, entry in given.known(ledger):
                identity, fate = CallIdentity.of_call(claim.call), _fate(entry)
                matching.add(claim.key, identity, claim.fingerprint, fate)
                if fate.in_doubt:
                    spans.note(identity)
            given.log_rejects()
            spans.read(reader, matching)
            note_others(ledger, matching)
            doubts = _Doubts(matching)
            proven = doubts.prove(ledger, author)
        return Reconciliation(
            rows=given.counts.total(),
            filtered=given.counts["filtered"],
            rejected=given.counts["rejected"],
            unknown=doubts.counts["unknown"],
            proven=proven,
            ambiguous=doubts.counts["ambiguous"],
        )

    def follow(
        self,
        rows: Any,
        author: Author,
        *,
        api_conn_id: str = DEFAULT_API_CONN_ID,
        since: datetime | None = None,
        until: datetime | None = None,
        keep_amounts: bool = False,
        **options: Unpack[RowKeywords],
    ) -> Following:
        """Look for delivered calls among impact.com's actions, and keep what became of each: pending, approved,
        cleared, reversed, or no action. Like :meth:`reconcile`, this also proves calls of unknown fate delivered.

        Known actions of the rows' campaigns are also brought up to date if they changed since they were read last,
        whenever their calls took place. Nothing at impact.com is changed.

        :param rows: every call of the time in question, as :meth:`reconcile` takes them
        :param api_conn_id: as :meth:`reconcile` has it
        :param since: look for calls that took place at this time or later; None for all calls of the rows
        :param until: the same, before this time
        :param keep_amounts: keep the payout, the amount and the currency of each action too
        :param options: every field of :class:`.RowOptions`, by its name
        :raises InvalidOption: if an option or a connection is wrong
        :raises LedgerUnusable: if the ledger cannot be reached
        :raises ReadBackFailed: if impact.com does not answer as it should
        :raises TypeError: for a keyword that is not an option
        """
        return self.follow_with(
            rows,
            author,
            row_options_of("follow", options),
            api_conn_id=api_conn_id,
            since=since,
            until=until,
            keep_amounts=keep_amounts,
        )

    def follow_with(
        self,
        rows: Any,
        author: Author,
        options: RowOptions,
        *,
        api_conn_id: str = DEFAULT_API_CONN_ID,
        since: datetime | None = None,
        until: datetime | None = None,
        keep_amounts: bool = False,
    ) -> Following:
        """As :meth:`follow`, with the options as an object."""
        time = EventTime(since, until)
        with opened(rows, CsvFormat.of(options)) as found:
            return self._follow(found, author, options, api_conn_id, time, keep_amounts=keep_amounts)

    def _follow(
        self, rows: Any, author: Author, options: RowOptions, api_conn_id: str, time: EventTime, *, keep_amounts: bool
    ) -> Following:
        settings = self._account()
        given = LedgerRows(settings, rows, options)
        began, spans, campaign_ids = datetime.now(UTC), EventSpans(), set()
        with list_of_actions(api_conn_id) as reader, self._opened(settings) as ledger, Matching() as matching:
            for claim, entry in given.known(ledger):
                identity, fate = CallIdentity.of_call(claim.call), _fate(entry)
                campaign_ids.add(identity.campaign_id)
                if not time.has(identity.at):
                    continue
                # Look only for calls of a time that impact.com lists.
                if not fate.arrived or spans.note(identity):
                    matching.add(claim.key, identity, claim.fingerprint, fate)
            given.log_rejects()
            spans.read(reader, matching)
            note_others(ledger, matching)
            doubts = _Doubts(matching)
            proven = doubts.prove(ledger, author)
            actions = CallActions(ledger, author, keep_amounts=keep_amounts)
            with actions.run():
                looked_for = (match for match in matching.matches() if match.arrived)
                counts = actions.record(looked_for, matching.action)
                updated = read_updates(reader, actions, campaign_ids, began)
        return Following(
            rows=given.counts.total(),
            filtered=given.counts["filtered"],
            rejected=given.counts["rejected"],
            unknown=doubts.counts["unknown"],
            proven=proven,
            **{name: counts[name] for name in _OF_DELIVERED},
            ambiguous=counts[ActionState.AMBIGUOUS] + doubts.counts["ambiguous"],
            updated=updated,
        )

    def _account(self) -> Account:
        return account(connection_of(self.impactcall_conn_id))

    @contextmanager
    def _opened(self, settings: Account) -> Iterator[Ledger]:
        namespace = self.ledger_namespace or settings.endpoint.origin
        ledger = open_ledger(self.ledger_conn_id, namespace)
        try:
            with reachable():
                yield ledger
        finally:
            ledger.close()


def _fate(entry: Entry | None) -> Fate:
    if entry is None:
        return Fate()
    return Fate(entry.in_doubt, entry.state is CallState.DELIVERED, entry.attempts)


class _Doubts:
    """A matching's calls of unknown fate, counted as they are read."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching
        self.counts: Counter[str] = Counter()

    def prove(self, ledger: Ledger, author: Author) -> int:
        """Record as delivered the calls that are proven; how many."""
        keys = self._proven()
        first = next(keys, None)
        # Without a proven call, the ledger keeps no run.
        return 0 if first is None else Corrections(ledger).prove(chain([first], keys), author)

    def _proven(self) -> Iterator[str]:
        for match in self._matching.matches():
            if match.in_doubt:
                self.counts["unknown"] += 1
                self.counts["ambiguous"] += match.ambiguous and not match.delivered
                if match.delivered:
                    yield match.key
