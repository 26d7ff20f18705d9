"""The delivery ledger after the fact, for those who have an Airflow connection to it."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Unpack

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_impactcall.defaults import DEFAULT_API_CONN_ID
from airflow_provider_impactcall.delivery import actions as impact_actions
from airflow_provider_impactcall.delivery.actions import CallIdentity, ReadBack
from airflow_provider_impactcall.delivery.duplicates import names_of_key
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.items import NO_KEY, Item, Rejected, Skipped
from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.rules import as_known
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.rejects import Rejects
from airflow_provider_impactcall.integration.connection import Account, account, connection_of, unsafe
from airflow_provider_impactcall.integration.files import opened
from airflow_provider_impactcall.integration.ledger import open_ledger, reachable
from airflow_provider_impactcall.integration.mapping_files import mapping_of
from airflow_provider_impactcall.integration.options import RowKeywords, RowOptions, row_options_of
from airflow_provider_impactcall.integration.text_files import CsvFormat

log = logging.getLogger(__name__)


# Clocks differ: an action may seem to be older than its call.
_MARGIN = timedelta(days=1)
# impact.com: StartDate at most three years ago
_LONGEST_AGO = timedelta(days=3 * 365)


@dataclass(frozen=True)
class Adoption:
    """What came of rows that were to be adopted. The last five add up to the first.

    :param rows: rows read
    :param adopted: calls that are delivered from now on
    :param already_delivered: calls that were delivered before
    :param in_flight: calls that a live run is sending; left alone
    :param filtered: rows that the vendor's preset leaves out
    :param rejected: rows that are no valid call, or have a value that the ledger cannot hold
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
    """What came of looking for calls among impact.com's actions.

    :param rows: rows read
    :param filtered: rows that the vendor's preset leaves out
    :param rejected: rows that are no valid call
    :param unknown: calls of unknown fate before
    :param proven: those of them that were found, and are delivered from now on
    :param ambiguous: those of which some were found, without saying which: calls of one caller in one second; or of
        anyone, if the ledger has a call of that second that is not among the rows
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
        """Record calls as delivered that were sent by other means, such as the tool that this one replaces.

        Give the options that the delivering task has, or it will not know the calls again.

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
        given = _Rows(settings, rows, options)
        with self._opened(settings) as ledger:
            found = Corrections(ledger).adopt(_as_known(given.claims(ledger.namespace), ledger), author)
        given.log_rejects()
        unrecordable = found[ReasonCode.UNRECORDABLE]
        if unrecordable:
            log.warning(
                "%d calls were not adopted, as the ledger's database cannot hold one of their values", unrecordable
            )
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

        An action proves its call delivered by campaign, action tracker, caller and second. That there is none proves
        nothing: a call that does not pay never becomes an action.

        :param rows: every call of the time in question, complete, as it was delivered and whatever became of it: the
            ledger keeps no caller, and a call that is left out cannot be told from one that is asked for
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
        from airflow_provider_impactcall.integration.session import session

        settings = self._account()
        given = _Rows(settings, rows, options)
        api = account(connection_of(api_conn_id), impact_actions.DEFAULT_ORIGIN).endpoint
        calls: dict[CallIdentity, set[str]] = defaultdict(set)
        unknown: dict[str, CallIdentity] = {}
        with self._opened(settings) as ledger:
            claims = given.claims(ledger.namespace)
            while page := list(islice(claims, KEYS_A_QUERY)):
                entries = ledger.look_up([key for claim in page for key in claim.keys])
                for claim in (as_known(claim, entries) for claim in page):
                    identity = CallIdentity.of_call(claim.call)
                    calls[identity].add(claim.key)
                    entry = entries.get(claim.key)
                    if entry is not None and entry.in_doubt:
                        unknown[claim.key] = identity
            given.log_rejects()
            for problem in unsafe(api):
                log.warning("%s", problem)
            with session(api) as prepared:
                actions = _actions(ReadBack(prepared, api.origin, api.login, api.timeout), unknown.values())
                proven, ambiguous = impact_actions.proven(calls, unknown, actions)
            unsure = _beside_others(ledger, calls, {key: unknown[key] for key in proven})
            recorded = Corrections(ledger).prove(sorted(proven - unsure), author) if proven - unsure else 0
        return Reconciliation(
            rows=given.counts.total(),
            filtered=given.counts["filtered"],
            rejected=given.counts["rejected"],
            unknown=len(unknown),
            proven=recorded,
            ambiguous=len(ambiguous | unsure),
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


class _Rows:
    """Rows on their way to becoming claims; those that are no valid call are counted, and their reasons logged."""

    def __init__(self, settings: Account, rows: Any, options: RowOptions) -> None:
        self._items = read(rows, mapping_of(options, settings.extra))
        self._key = names_of_key(options.key)
        self._rejects = Rejects()
        self.counts: Counter[str] = Counter()

    def claims(self, namespace: str) -> Iterator[Claim]:
        for item in self._items:
            if isinstance(item, Skipped):
                self.counts["filtered"] += 1
                self._rejects.note(item, Outcome(RowOutcome.FILTERED, ReasonCode.FILTERED, item.reason))
            elif isinstance(item, Rejected):
                self._reject(item, ReasonCode.INVALID, "invalid")
            elif not any(item.record.key(self._key)):
                self._reject(item, ReasonCode.WITHOUT_KEY, NO_KEY)
            else:
                self.counts["calls"] += 1
                yield identify(namespace, self._key, item.record)

    def _reject(self, item: Item, code: ReasonCode, reason: str) -> None:
        self.counts["rejected"] += 1
        self._rejects.note(item, Outcome(RowOutcome.REJECTED, code, reason))

    def log_rejects(self) -> None:
        for _, reason, count in self._rejects.commonest():
            log.warning("Rejected, %d rows: %s", count, reason)
        for _, reason, count in self._rejects.commonest([RowOutcome.FILTERED]):
            log.info("Filtered, %d rows: %s", count, reason)


def _as_known(claims: Iterator[Claim], ledger: Ledger) -> Iterator[Claim]:
    while page := list(islice(claims, KEYS_A_QUERY)):
        entries = ledger.look_up([key for claim in page for key in claim.keys])
        yield from (as_known(claim, entries) for claim in page)


def _actions(reader: ReadBack, wanted: Iterable[CallIdentity]) -> Iterator[CallIdentity]:
    """All actions of the campaigns of these calls, from the time of each campaign's first."""
    now = datetime.now(UTC)
    earliest, latest = now - _LONGEST_AGO, now + _MARGIN
    first: dict[str, int] = {}
    beyond = 0
    for identity in wanted:
        if earliest.timestamp() < identity.at < latest.timestamp():
            first[identity.campaign_id] = min(identity.at, first.get(identity.campaign_id, identity.at))
        else:
            beyond += 1
    if beyond:
        log.warning("%d calls are of the future, or too long ago for impact.com to list them", beyond)
    for campaign_id, at in sorted(first.items()):
        yield from reader.actions(campaign_id, max(earliest, datetime.fromtimestamp(at, UTC) - _MARGIN), now)


def _beside_others(
    ledger: Ledger, calls: Mapping[CallIdentity, set[str]], found: Mapping[str, CallIdentity]
) -> set[str]:
    """Those of the calls beside which the ledger has another of that campaign, tracker and second that is not among
    the rows: the action may be of either, as the ledger keeps no caller.
    """
    given = set().union(*calls.values())
    taken: set[tuple[str, str, int]] = set()
    queries = CallQueries(ledger)
    for campaign_id in {identity.campaign_id for identity in found.values()}:
        moments = [identity.at for identity in found.values() if identity.campaign_id == campaign_id]
        first, last = (datetime.fromtimestamp(at, UTC).date() for at in (min(moments), max(moments)))
        # At its own offset, a call may be of the day before or after.
        for key, tracker_id, event_date in queries.possibly_arrived(campaign_id, first - _MARGIN, last + _MARGIN):
            if key not in given:
                taken.add((campaign_id, tracker_id, int(datetime.fromisoformat(event_date).timestamp())))
    return {
        key
        for key, identity in found.items()
        if (identity.campaign_id, identity.action_tracker_id, identity.at) in taken
    }
