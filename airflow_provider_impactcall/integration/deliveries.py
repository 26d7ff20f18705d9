"""A delivery in its steps: prepare it, open what it needs, run it, end it, and tell what came of it."""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO, cast

from airflow.providers.common.compat.sdk import AirflowException, ObjectStoragePath
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.delivery.dry_run.dry_run import DryRun
from airflow_provider_impactcall.delivery.dry_run.page import page_of
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.identity import digest
from airflow_provider_impactcall.delivery.items import Item, Listener
from airflow_provider_impactcall.delivery.ledger.row_writer import RowWriter
from airflow_provider_impactcall.delivery.ledger.run_queries import has_runs, namespaces
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, Outcome, RowOutcome
from airflow_provider_impactcall.delivery.private_files import open_or_create
from airflow_provider_impactcall.delivery.rate_limit.limiter import Limiter
from airflow_provider_impactcall.delivery.rate_limit.permits import Permits, RateLimit
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.rejects import Rejects
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.exceptions import ImpactCallError, InvalidOption
from airflow_provider_impactcall.integration import metrics
from airflow_provider_impactcall.integration.connection import account, connection_of, unsafe
from airflow_provider_impactcall.integration.files import opened
from airflow_provider_impactcall.integration.ledger import open_ledger, reachable, warn_of_new
from airflow_provider_impactcall.integration.mapping_files import mapping_of
from airflow_provider_impactcall.integration.options import DeliveryOptions, RowOptions, whole
from airflow_provider_impactcall.integration.paths import shown
from airflow_provider_impactcall.integration.run_line import run_line
from airflow_provider_impactcall.integration.source import source
from airflow_provider_impactcall.integration.text_files import CsvFormat
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.column_names import LOOK_LIKE_VALUES, may_be_shown
from airflow_provider_impactcall.records.printable import printable

log = logging.getLogger(__name__)

_MOST_NAMESPACES = 5
# What no retry mends: the path, a right, or a provider that is not installed.
_LASTING = (
    *(ValueError, TypeError, ImportError, NotImplementedError),
    *(FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError),
)
_LASTING_ERRNOS = (errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS)


@dataclass(frozen=True)
class _Prepared:
    """Everything of a delivery that can be prepared without opening anything.

    :param requests_per_second: None for no limit
    :param requests_per_hour: None for no limit
    """

    endpoint: Endpoint
    mapping: CallMapping
    duplicates: Duplicates
    concurrency: int
    requests_per_second: float | None
    requests_per_hour: float | None

    @property
    def limits(self) -> Sequence[RateLimit]:
        rates = ((self.requests_per_second, 1.0), (self.requests_per_hour, 3600.0))
        return [RateLimit(rate, window) for rate, window in rates if rate]


@dataclass(frozen=True)
class _Run:
    """A run that the ledger keeps, with everything that its end needs."""

    ledger: Ledger
    run_id: str
    source: str
    engine: Engine
    rows: RowWriter
    pacing: Pacing
    is_limited: bool
    attempts: Attempts = field(default_factory=Attempts)


class Delivery:
    """One delivery of one input. Use it once.

    :param impactcall_conn_id: the connection
    :param row_options: how rows become calls
    :param options: how calls are delivered
    :param on_settled: called with every row's outcome, in the sending thread; it must be quick
    :param on_report: called with the report, also if reading rows fails or is interrupted
    :param interrupt: set it from any thread to have the run stop cleanly
    :param continues: the ids of the runs that this one continues, of the same try of a task
    :ivar last: the outcome that was settled last
    """

    def __init__(
        self,
        impactcall_conn_id: str,
        row_options: RowOptions,
        options: DeliveryOptions,
        *,
        on_settled: Listener | None = None,
        on_report: Callable[[DeliveryReport], None] | None = None,
        interrupt: threading.Event | None = None,
        continues: Collection[str] = (),
    ) -> None:
        self.last: Outcome | None = None
        self._conn_id = impactcall_conn_id
        self._row_options = row_options
        self._options = options
        self._on_settled = on_settled
        self._on_report = on_report
        self._interrupt = interrupt or threading.Event()
        self._continues = continues

    def run(self, rows: Any) -> DeliveryReport:
        """Deliver the rows, or do a dry run if the options say so. See :meth:`.ImpactCallHook.deliver`."""
        if self._options.dry_run:
            return self.check(rows).report
        with opened(rows, CsvFormat.of(self._row_options)) as found:
            return self._send(found)

    def check(self, rows: Any) -> DryRun:
        """Do everything of a delivery except the sending. See :meth:`.ImpactCallHook.check`."""
        with opened(rows, CsvFormat.of(self._row_options)) as found:
            return self._dry_run(found)

    def _send(self, rows: Any) -> DeliveryReport:
        prepared = self._prepared(rows)
        with ExitStack() as stack:
            ledger = stack.enter_context(closing(self._ledger(prepared, sends=True)))
            # The last one opened is closed first: a run ends after the file of rejects is complete, and before the
            # ledger is closed.
            ending = stack.enter_context(ExitStack())
            rejects = stack.enter_context(self._rejects())
            started = self._started(ledger, prepared, rejects, rows)
            ending.callback(self._end, started, rejects)
            with reachable():
                ending.enter_context(started.rows)
            self._run(started, prepared, rows)
        return started.engine.report

    def _dry_run(self, rows: Any) -> DryRun:
        prepared = self._prepared(rows)
        mapping, per_second, per_hour = prepared.mapping, prepared.requests_per_second, prepared.requests_per_hour
        findings = DryRun(mapping, prepared.endpoint, per_second, per_hour)
        with ExitStack() as stack:
            ledger = stack.enter_context(closing(self._ledger(prepared, sends=False)))
            ending = stack.enter_context(ExitStack())
            rejects = stack.enter_context(self._rejects())
            ending.callback(self._end_dry_run, findings, rejects, ledger.namespace)
            with reachable():
                findings.run(
                    read(rows, mapping, findings.watch),
                    prepared.duplicates,
                    ledger,
                    resend=self._options.on_unknown == "resend",
                    on_settled=self._noting(rejects),
                )
        for line in filter(None, page_of(findings, anyone=True).splitlines()):
            log.info("%s", line)
        return findings

    def _prepared(self, rows: Any) -> _Prepared:
        settings = account(connection_of(self._conn_id))
        for problem in unsafe(settings.endpoint):
            log.warning("%s", problem)
        mapping = mapping_of(self._row_options, settings.extra)
        if isinstance(rows, Spool):
            _refuse_lacking_columns(mapping, rows)
        return _Prepared(
            endpoint=replace(settings.endpoint, retry_statuses=frozenset(self._options.retry_statuses)),
            mapping=mapping,
            duplicates=Duplicates(self._row_options.key),
            concurrency=whole("concurrency", self._options.concurrency) or settings.extra.concurrency,
            requests_per_second=self._options.requests_per_second or settings.extra.requests_per_second,
            requests_per_hour=self._options.requests_per_hour or settings.extra.requests_per_hour,
        )

    def _ledger(self, prepared: _Prepared, *, sends: bool) -> Ledger:
        namespace = self._options.ledger_namespace or prepared.endpoint.origin
        ledger = open_ledger(self._options.ledger_conn_id, namespace)
        try:
            with reachable():
                if not has_runs(ledger):
                    self._warn_of_unknown_past(namespace, namespaces(ledger), sends=sends)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _warn_of_unknown_past(self, namespace: str, others: Sequence[str], *, sends: bool) -> None:
        if others:
            log.warning(
                "The ledger has no run of the namespace %s, and has runs of %s: a call that was delivered under "
                "another namespace is not known here, and is sent again",
                printable(namespace),
                ", ".join(map(printable, others[:_MOST_NAMESPACES])),
            )
        elif sends:
            warn_of_new(self._options.ledger_conn_id)

    def _rejects(self) -> Rejects:
        path = self._options.rejects_path
        return Rejects(_file_of_rejects(path) if path else None)

    def _started(self, ledger: Ledger, prepared: _Prepared, rejects: Rejects, rows: Any) -> _Run:
        sender = source()
        with reachable():
            run_id = ledger.start(sender, _configuration(self._row_options, self._options))
        endpoint, limits = prepared.endpoint, prepared.limits
        limiter = Limiter(Permits(ledger, run_id, endpoint.account, limits, endpoint.timeout)) if limits else None
        pacing = Pacing(limiter, self._options.max_wait)
        written = RowWriter(ledger, run_id, prepared.duplicates.key, interrupt=self._interrupt)
        engine = Engine(
            duplicates=prepared.duplicates,
            pacing=pacing,
            on_settled=self._noting(rejects, written),
            concurrency=prepared.concurrency,
            limit=whole("limit", self._options.limit),
            refuses=lambda call: endpoint.request(call).refused is not None,
            total=len(rows) if isinstance(rows, Spool) else None,
            interrupt=self._interrupt,
            continues=self._continues,
        )
        engine.report.run_id = run_id
        return _Run(ledger, run_id, sender, engine, written, pacing, limiter is not None)

    def _run(self, started: _Run, prepared: _Prepared, rows: Any) -> None:
        resend = self._options.on_unknown == "resend"
        writer = LedgerWriter(started.ledger, started.run_id, prepared.duplicates.key, resend=resend)
        try:
            run(started.engine, prepared.endpoint, writer, rows, prepared.mapping, self._interrupt, started.attempts)
        except BaseException as error:
            error.add_note(f"What came of the rows before that: {started.engine.report}")
            raise

    def _noting(self, rejects: Rejects, rows: RowWriter | None = None) -> Listener:
        def note(row: Item, outcome: Outcome) -> None:
            self.last = outcome
            rejects.note(row, outcome)
            if rows is not None:
                rows.note(row, outcome)
            if self._on_settled is not None:
                try:
                    self._on_settled(row, outcome)
                except Exception as error:
                    # A listener's error must not cost the calls in flight.
                    log.error("on_settled raised %s for row %d", type(error).__name__, row.row)

        return note

    def _end(self, ended: _Run, rejects: Rejects) -> None:
        report, attempts, limited_seconds = ended.engine.report, ended.attempts, ended.pacing.limited_seconds
        report.invalid = dict(ended.rows.invalid)
        namespace = ended.ledger.namespace
        _log_reasons(rejects)
        self._conclude(report, rejects)
        line = run_line(
            report, attempts, limited_seconds, run_id=ended.run_id, namespace=namespace, source=ended.source
        )
        _log_run(line)
        # When Airflow stops a task, there is time for its report and no more.
        measured = metrics.are_wanted() and not self._interrupt.is_set()
        oldest = _ended(ended.ledger, ended.run_id, report, look=measured)
        if self._on_report is not None:
            self._on_report(report)
        metrics.tell(report, attempts, limited_seconds if ended.is_limited else None, oldest, namespace)

    def _end_dry_run(self, findings: DryRun, rejects: Rejects, namespace: str) -> None:
        self._conclude(findings.report, rejects)
        line = run_line(findings.report, Attempts(), 0.0, run_id="", namespace=namespace, source=source(), dry_run=True)
        _log_run(line)
        if self._on_report is not None:
            self._on_report(findings.report)

    def _conclude(self, report: DeliveryReport, rejects: Rejects) -> None:
        path = self._options.rejects_path
        # As text, also of a path object: XCom holds the report.
        report.rejects = None if path is None else str(path)
        if path and report.rejected:
            log.warning("The rejected rows are listed in %s", shown(path))
        if rejects.failure is not None:
            log.error("The rejects file is not complete (%s)", type(rejects.failure).__name__)
        if report.stop is not None:
            log.warning("Stopped early: %s: %s", report.stop.code, printable(str(report.stop)))


def _refuse_lacking_columns(mapping: CallMapping, rows: Spool) -> None:
    """Refuses rows that lack a column without which no call can be made of them.

    :raises InvalidOption: with every column that is missing
    """
    if not rows.columns:
        return
    columns = tuple(rows.columns)
    first = next((row for row in rows if isinstance(row, Mapping)), None)
    problems = mapping.problems_with(columns, first)
    if problems and not may_be_shown(columns):
        problems.append(LOOK_LIKE_VALUES)
    if problems:
        raise InvalidOption("; ".join(problems))


def _file_of_rejects(path: str | ObjectStoragePath) -> TextIO:
    """Open the file of rejects, anew.

    :raises InvalidOption: if it can never be written
    :raises AirflowException: if its store cannot be reached
    """
    try:
        storage: Any = path if isinstance(path, ObjectStoragePath) else ObjectStoragePath(path)
        if storage.protocol in ("", "file", "local"):
            return open(open_or_create("rejects_path", Path(storage.path)), "w", encoding="utf-8")
        return cast("TextIO", storage.open("w", encoding="utf-8"))
    except InvalidOption:
        raise
    except Exception as error:
        if isinstance(error, _LASTING) or getattr(error, "errno", None) in _LASTING_ERRNOS:
            raise InvalidOption(f"rejects_path cannot be written ({type(error).__name__})") from None
        # Object stores have exceptions of their own, whose text may hold a URL. A retry may reach the store.
        raise AirflowException(f"rejects_path cannot be reached ({type(error).__name__})") from None


def _configuration(rows: RowOptions, options: DeliveryOptions) -> str:
    """A digest of a run's options, to tell runs with different options apart. Callables count by their name."""
    told = (rows.mapping, rows.constants, rows.timezone, rows.vendor, rows.prefiltered, rows.nulls, rows.key)
    # Not sorted, and without keys that JSON cannot hold: a table's keys may be both text and numbers, or UUIDs.
    return digest([json.dumps(each, skipkeys=True, default=_named) for each in (*told, options.on_unknown)], 16).hex()


def _named(value: Any) -> str:
    return getattr(value, "__qualname__", None) or str(value)


def _ended(ledger: Ledger, run_id: str, report: DeliveryReport, *, look: bool) -> float | None:
    """End a run in the ledger. With ``look``, return the age of its oldest undelivered call, or None if the ledger
    fails.
    """
    try:
        ledger.end(run_id, report)
    except (SQLAlchemyError, ImpactCallError) as error:
        # The calls are settled, and the lease ends by itself; only the run's own counts are lost. A connection that is
        # opened for this may be refused by this package: it may have come without the TLS that it asks for.
        log.error("The ledger could not keep this run's counts (%s)", type(error).__name__)
    try:
        return ledger.oldest_undelivered() if look else None
    except (SQLAlchemyError, ImpactCallError) as error:
        log.warning("The ledger did not say how old its oldest undelivered call is (%s)", type(error).__name__)
        return None


def _log_reasons(rejects: Rejects) -> None:
    for state, reason, count in rejects.commonest():
        log.warning("%s, %d rows: %s", state.replace("_", " ").capitalize(), count, printable(reason))
    for _, reason, count in rejects.commonest([RowOutcome.FILTERED]):
        log.info("Filtered, %d rows: %s", count, printable(reason))


def _log_run(line: str) -> None:
    # Searches, alarms and documentation rely on these words.
    log.info("impact.com calls: %s", line)
