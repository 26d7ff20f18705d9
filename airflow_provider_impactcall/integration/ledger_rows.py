"""Rows of a query or a file, as calls to look up in the ledger."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from airflow_provider_impactcall.delivery.duplicates import names_of_key
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.items import NO_KEY, Item, Rejected, Skipped
from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import as_known
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.rejects import Rejects
from airflow_provider_impactcall.integration.connection import Account
from airflow_provider_impactcall.integration.mapping_files import mapping_of
from airflow_provider_impactcall.integration.options import RowOptions

log = logging.getLogger(__name__)


class LedgerRows:
    """Turns rows into claims. Rows that are not valid calls are counted, and their reasons logged.

    ``counts`` has how many became ``calls``, and how many were ``filtered`` and ``rejected``.
    """

    def __init__(self, settings: Account, rows: Any, options: RowOptions) -> None:
        self._items = read(rows, mapping_of(options, settings.extra))
        self._key = names_of_key(options.key)
        self._rejects = Rejects()
        self.counts: Counter[str] = Counter()

    def known(self, ledger: Ledger) -> Iterator[tuple[Claim, Entry | None]]:
        """Each call with the key that the ledger knows it by, and its entry in the ledger, if there is one."""
        claims = self._claims(ledger.namespace)
        while page := list(islice(claims, KEYS_A_QUERY)):
            entries = ledger.look_up([key for claim in page for key in claim.keys])
            for claim in (as_known(claim, entries) for claim in page):
                yield claim, entries.get(claim.key)

    def log_rejects(self) -> None:
        """Say why rows were rejected or left out, and how many."""
        for _, reason, count in self._rejects.commonest():
            log.warning("Rejected, %d rows: %s", count, reason)
        for _, reason, count in self._rejects.commonest([RowOutcome.FILTERED]):
            log.info("Filtered, %d rows: %s", count, reason)

    def _claims(self, namespace: str) -> Iterator[Claim]:
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
