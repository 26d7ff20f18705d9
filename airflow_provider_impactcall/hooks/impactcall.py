"""An Airflow connection into a ready delivery."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import tzinfo
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import requests
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.defaults import DEFAULT_CONN_ID, DEFAULT_KEY, RETRY_STATUSES
from airflow_provider_impactcall.delivery.attempts import Attempts
from airflow_provider_impactcall.delivery.dry_run.dry_run import DryRun
from airflow_provider_impactcall.delivery.dry_run.page import page_of
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine import Engine
from airflow_provider_impactcall.delivery.identity import digest
from airflow_provider_impactcall.delivery.items import Item, Listener
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, Outcome, RowOutcome
from airflow_provider_impactcall.delivery.pacing import Pacing
from airflow_provider_impactcall.delivery.private_files import open_or_create
from airflow_provider_impactcall.delivery.rate_limit.limiter import Limiter
from airflow_provider_impactcall.delivery.rate_limit.permits import Permits, RateLimit
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.rejects import Rejects
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.shapes import names_values
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration import metrics
from airflow_provider_impactcall.integration.connection import Account, account, connection_of, unsafe
from airflow_provider_impactcall.integration.files import FileRows, opens_files
from airflow_provider_impactcall.integration.ledger import open_ledger, reachable
from airflow_provider_impactcall.integration.mapping_files import loaded
from airflow_provider_impactcall.integration.options import at_least_zero, positive, whole
from airflow_provider_impactcall.integration.paths import refuse_credentials
from airflow_provider_impactcall.integration.run_line import run_line
from airflow_provider_impactcall.integration.source import source
from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS, CONNECTION_TYPE, FIELD_BEHAVIOUR, HOOK_NAME
from airflow_provider_impactcall.records import CallMapping, CallRecord
from airflow_provider_impactcall.records.column_names import LOOK_LIKE_VALUES, may_be_shown
from airflow_provider_impactcall.records.printable import printable
from airflow_provider_impactcall.records.sources import Row, Source

log = logging.getLogger(__name__)


class ImpactCallHook(BaseHook):
    """Delivers calls to impact.com's Call Data API.

    :param impactcall_conn_id: a connection of type ``impactcall``: host (empty for impact.com), login and
        password (the special credentials), and in the extra ``parameters_in``, ``campaign_id``,
        ``action_tracker_id``, ``call_provider``, ``caller_id_format``, ``concurrency``,
        ``requests_per_second``, ``requests_per_hour``, ``timeout``, ``verify``, ``proxies``, ``cert``
    """

    conn_name_attr = "impactcall_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

    def __init__(self, impactcall_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.impactcall_conn_id = impactcall_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The connection form's hidden fields, labels and placeholders (Airflow 2.11 and 3.1)."""
        return {name.replace("-", "_"): value for name, value in FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The connection form's own fields (Airflow 2.11 and 3.1)."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import StringField
        from wtforms.validators import Optional, any_of  # by these names, Airflow 3.1 has its own in their place

        return {
            name: StringField(
                field["label"],
                description=field["description"],
                widget=BS3TextFieldWidget(),
                validators=[Optional(), *([any_of(field["schema"]["enum"])] if "enum" in field["schema"] else [])],
            )
            for name, field in CONNECTION_FIELDS.items()
        }

    def get_conn(self) -> requests.Session:
        """A session with the connection's credentials, certificates and proxies.

        It neither retries nor knows impact.com's rules: use :meth:`deliver` or :meth:`log_call` to send calls.
        """
        from airflow_provider_impactcall.integration.session import session

        return session(self._account().endpoint)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the endpoint is there and takes the credentials, proven without creating a call.

        Posts nothing: the endpoint must refuse that for its missing parameters.
        """
        from airflow_provider_impactcall.integration.probe import probe

        try:
            settings = self._account()
        except (InvalidOption, AirflowNotFoundException) as error:
            return False, str(error)
        except Exception as error:  # Airflow has its own for a connection that cannot be decrypted.
            return False, f"The connection cannot be read ({type(error).__name__})."
        takes, said = probe(settings.endpoint)
        return takes, " ".join([said, *(f"Note: {each}." for each in settings.ignored)])

    def log_call(self, call: Row | CallRecord, **options: Any) -> Outcome:
        """Deliver one call, by the same rules as :meth:`deliver`.

        :param call: a dict by column or parameter name, or a record
        :param options: those of :meth:`deliver`
        :return: what came of it; never raises for an invalid or refused call
        :raises DeliveryAborted: when no call can be delivered until a person changes something
        """
        if not isinstance(call, (Mapping, CallRecord)) and not names_values(call):
            raise InvalidOption("log_call takes one call: a dict by column name, or a CallRecord")
        outcomes: list[Outcome] = []
        self.deliver([call], on_settled=lambda _, outcome: outcomes.append(outcome), **options)
        return outcomes[0]

    def check(self, rows: Any, **options: Any) -> DryRun:
        """Do all that :meth:`deliver` does, but for the sending: read, map, validate, and ask the ledger.

        :param rows: as for :meth:`deliver`
        :param options: those of :meth:`deliver`
        :return: what would be sent, what would not and why, and what looks wrong
        :raises InvalidOption: if an option or the connection is wrong
        :raises LedgerUnusable: if the ledger cannot be reached
        """
        findings_of: list[DryRun] = []
        self.deliver(rows, dry_run=True, on_findings=findings_of.append, **options)
        return findings_of[0]

    @opens_files
    def deliver(
        self,
        rows: Any,
        *,
        mapping: Mapping[str, Source] | str | PathLike[str] | None = None,
        constants: Mapping[str, Any] | None = None,
        csv_delimiter: str = ",",
        csv_encoding: str = "utf-8",
        timezone: str | tzinfo | None = None,
        vendor: str | None = None,
        prefiltered: Collection[str] | None = None,
        nulls: Collection[str] | None = None,
        key: Sequence[str] = DEFAULT_KEY,
        on_unknown: Literal["hold", "resend"] = "hold",
        ledger_conn_id: str | None = None,
        ledger_namespace: str | None = None,
        retry_statuses: Collection[int] = RETRY_STATUSES,
        max_wait: float = 60.0,
        limit: int | None = None,
        dry_run: bool = False,
        rejects_path: str | None = None,
        concurrency: int | None = None,
        requests_per_second: float | None = None,
        requests_per_hour: float | None = None,
        on_settled: Listener | None = None,
        on_report: Callable[[DeliveryReport], None] | None = None,
        on_findings: Callable[[DryRun], None] | None = None,
        interrupt: threading.Event | None = None,
    ) -> DeliveryReport:
        """Deliver every row that is a valid call, and account for each.

        :param rows: any iterable of dicts or :class:`CallRecord`; iterables in it are flattened. Or the path of a
            file (``.jsonl``, ``.ndjson``, ``.csv``, each also with ``.gz``, or ``.parquet``; local, or any
            ``ObjectStoragePath`` or its URL), or paths among the rows; files are read to their end before anything is
            sent, except those that a generator names
        :param mapping: a source by parameter name: a column name, a dotted path into JSON, a callable of the row, or a
            dict such as ``{"first_of": [...]}``; see :mod:`~airflow_provider_impactcall.records.sources`. Or the path
            of a YAML or JSON file of them; see :func:`~airflow_provider_impactcall.integration.mapping_files.loaded`
        :param constants: parameter name to the value that every call gets
        :param csv_delimiter: what separates the values of CSV files, one character; a file's first line ``sep=;`` goes
            before it
        :param csv_encoding: of CSV files, a name that Python has for it, such as ``cp1252`` or ``utf-16``
        :param timezone: IANA name of the zone of times without an offset; without it such a row is rejected
        :param vendor: the name of a preset, which maps the calls of a call-tracking vendor; ``mapping`` goes before it
        :param prefiltered: the guards of the preset, ``direction`` or ``ended``, that the rows have passed already
        :param nulls: the words that stand for nothing, such as ``("NULL", "N/A")``
        :param key: the parameters that tell two calls apart
        :param on_unknown: ``hold``: a call whose fate is unknown is not sent again by itself. ``resend``: it is sent
            until that is known, and may arrive twice
        :param ledger_conn_id: the SQL connection of the delivery ledger, or ``embedded``; ``[impactcall]
            ledger_conn_id`` if None, and ``embedded`` where all workers share one machine
        :param ledger_namespace: calls of two namespaces never hide each other; the endpoint's origin if None
        :param retry_statuses: answers taken as "not processed", to be sent again
        :param max_wait: seconds without an answer that settles a call, or of a wait that the endpoint or a rate
            limit imposes, after which the run stops
        :param limit: send at most so many calls; None for all
        :param dry_run: send nothing; what would be sent counts as ``not_sent``, and the log shows what :meth:`check`
            gives, without ids and text of the calls
        :param rejects_path: a local path or any ``ObjectStoragePath``: one line of JSON a rejected row
        :param concurrency: requests in flight at once; the connection's (8) if None
        :param requests_per_second: of the account (the endpoint's origin and the login), over all runs that share the
            ledger's database and have such a limit, each of which counts them against its own; below one the second
            grows, else a fraction is left out; the connection's (no limit) if None
        :param requests_per_hour: likewise
        :param on_settled: told of every row's outcome, from the sending thread; it must be quick
        :param on_report: given the report, also if reading ``rows`` fails or is interrupted
        :param on_findings: given what a dry run found
        :param interrupt: set it from any thread to have the run stop well: nothing more leaves, and what is in flight
            is awaited for 4 s, then counted as unknown, or as not sent if it was still connecting
        :return: what came of every row
        :raises DeliveryAborted: when no call can be delivered until a person changes something
        :raises InvalidOption: before anything is sent, if an option, the connection or a file is wrong
        :raises LedgerUnusable: before anything is sent, if the ledger cannot be reached
        """
        if on_unknown not in ("hold", "resend"):
            raise InvalidOption("on_unknown must be 'hold' or 'resend'")
        if not isinstance(dry_run, bool):
            raise InvalidOption("dry_run must be True or False")
        settings = self._account()
        extra = settings.extra
        for problem in unsafe(settings.endpoint):
            log.warning("%s", problem)
        endpoint = replace(settings.endpoint, retry_statuses=_statuses(retry_statuses))
        how = (loaded(mapping), constants, timezone, extra.caller_id_format, extra.defaults, vendor)
        call_mapping = CallMapping(*how, prefiltered=prefiltered, nulls=nulls)
        read_ahead = isinstance(rows, (Spool, FileRows))
        columns = rows.columns if read_ahead else None
        first = next((row for row in rows if isinstance(row, Mapping)), None) if columns else None
        if columns and (problems := call_mapping.problems_with(columns, first)):
            if not may_be_shown(columns):
                problems.append(LOOK_LIKE_VALUES)
            raise InvalidOption("; ".join(problems))
        per_second = positive("requests_per_second", requests_per_second) or extra.requests_per_second
        per_hour = positive("requests_per_hour", requests_per_hour) or extra.requests_per_hour
        limits = [RateLimit(rate, window) for rate, window in ((per_second, 1.0), (per_hour, 3600.0)) if rate]
        at_least_zero("max_wait", max_wait)
        claims = Duplicates(key)
        at_once = whole("concurrency", positive("concurrency", concurrency)) or extra.concurrency
        allowance = whole("limit", limit)
        refuse_credentials(rejects_path)
        ledger = open_ledger(ledger_conn_id, ledger_namespace or endpoint.origin)
        rejects = Rejects(_opened(rejects_path) if rejects_path else None)

        def note(row: Item, outcome: Outcome) -> None:
            rejects.note(row, outcome)
            if on_settled is not None:
                try:
                    on_settled(row, outcome)
                except Exception as error:
                    # A listener is told, not asked: what it raises must not cost the calls in flight.
                    log.error("on_settled raised %s for row %d", type(error).__name__, row.row)

        resend = on_unknown == "resend"
        if dry_run:
            findings = DryRun(call_mapping, endpoint, per_second, per_hour)
            try:
                with closing(ledger), rejects, reachable():
                    items = read(rows, call_mapping, findings.watch)
                    findings.run(items, claims, ledger, resend=resend, on_settled=note)
            finally:
                _conclude(findings.report, rejects, rejects_path)
                _log_run(
                    run_line(
                        *(findings.report, Attempts(), 0.0),
                        run_id="",
                        namespace=ledger.namespace,
                        source=source(),
                        dry_run=True,
                    )
                )
                if on_report is not None:
                    on_report(findings.report)
            for line in filter(None, page_of(findings, anyone=True).splitlines()):
                log.info("%s", line)
            if on_findings is not None:
                on_findings(findings)
            return findings.report
        told = (mapping, constants, timezone, vendor, prefiltered, nulls)
        with reachable():
            sender = source()
            run_id = ledger.start(sender, _configuration(*told, key, on_unknown))
        books = LedgerWriter(ledger, run_id, claims.key, resend=resend)
        limiter = Limiter(Permits(ledger, run_id, endpoint.account, limits, endpoint.timeout)) if limits else None
        interrupt = interrupt or threading.Event()
        pacing = Pacing(limiter, max_wait)
        attempts = Attempts()
        engine = Engine(
            claims=claims,
            pacing=pacing,
            on_settled=note,
            concurrency=at_once,
            limit=allowance,
            total=len(rows) if read_ahead else None,
            interrupt=interrupt,
        )
        try:
            with rejects:
                run(engine, endpoint, books, rows, call_mapping, interrupt, attempts)
        except BaseException as error:
            error.add_note(f"What came of the rows before that: {engine.report}")
            raise
        finally:
            _log_reasons(rejects)
            _conclude(engine.report, rejects, rejects_path)
            _log_run(
                run_line(
                    *(engine.report, attempts, pacing.limited_seconds),
                    run_id=run_id,
                    namespace=ledger.namespace,
                    source=sender,
                )
            )
            # Airflow leaves a task that it stops no time for more than its report.
            measured = metrics.are_wanted() and not interrupt.is_set()
            oldest = _end(ledger, run_id, engine.report, look=measured)
            if on_report is not None:
                on_report(engine.report)
            limited = pacing.limited_seconds if limits else None
            metrics.tell(engine.report, attempts, limited, oldest, ledger.namespace)
        return engine.report

    def _account(self) -> Account:
        return account(connection_of(self.impactcall_conn_id))


def _statuses(statuses: Collection[int]) -> frozenset[int]:
    if not isinstance(statuses, Collection) or isinstance(statuses, (str, bytes)) or not all(map(_is_error, statuses)):
        raise InvalidOption("retry_statuses must be a list of HTTP statuses from 400 to 599")
    return frozenset(statuses)


def _is_error(status: Any) -> bool:
    return isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600


def _configuration(*options: Any) -> str:
    """A digest of what a run was told to do, by which runs can be told apart. Callables count by their name."""
    # Not sorted, and without what JSON has no keys for: a table may have both text and numbers as keys, or UUIDs.
    return digest([json.dumps(each, skipkeys=True, default=_named) for each in options], 16).hex()


def _named(value: Any) -> str:
    return getattr(value, "__qualname__", None) or str(value)


def _end(ledger: Ledger, run_id: str, report: DeliveryReport, *, look: bool) -> float | None:
    """End a run; the age of the ledger's oldest undelivered call, if that is to be looked for and can be."""
    try:
        ledger.end(run_id, report)
    except SQLAlchemyError as error:
        # The calls are settled, and the lease ends by itself; only the run's own counts are lost.
        log.error("The ledger could not keep this run's counts (%s)", type(error).__name__)
    try:
        return ledger.oldest_undelivered() if look else None
    except SQLAlchemyError as error:
        log.warning("The ledger did not say how old its oldest undelivered call is (%s)", type(error).__name__)
        return None
    finally:
        ledger.close()


def _opened(path: str) -> TextIO:
    try:
        storage: Any = ObjectStoragePath(path)
        if storage.protocol in ("", "file", "local"):
            return open(open_or_create("rejects_path", Path(storage.path)), "w", encoding="utf-8")
        return cast("TextIO", storage.open("w", encoding="utf-8"))
    except InvalidOption:
        raise
    except Exception as error:
        # Object stores have exceptions of their own.
        raise InvalidOption(f"rejects_path cannot be written ({type(error).__name__})") from None


def _log_reasons(rejects: Rejects) -> None:
    for state, reason, count in rejects.commonest():
        log.warning("%s, %d rows: %s", state.replace("_", " ").capitalize(), count, printable(reason))
    for _, reason, count in rejects.commonest([RowOutcome.FILTERED]):
        log.info("Filtered, %d rows: %s", count, printable(reason))


def _conclude(report: DeliveryReport, rejects: Rejects, rejects_path: str | None) -> None:
    report.rejects = rejects_path
    if rejects_path and report.rejected:
        log.warning("The rejected rows are listed in %s", printable(rejects_path))
    if rejects.failure is not None:
        log.error("The rejects file is not complete (%s)", type(rejects.failure).__name__)
    if report.stop is not None:
        log.warning("Stopped early: %s", printable(str(report.stop)))


def _log_run(line: str) -> None:
    # Searches, alarms and documentation rely on these words.
    log.info("impact.com calls: %s", line)
