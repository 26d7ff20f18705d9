"""Delivers an upstream task's output, with the rules by which a task succeeds or fails."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import tzinfo
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    Asset,
    BaseOperator,
    Context,
    conf,
)

from airflow_provider_impactcall.defaults import DEFAULT_CONN_ID
from airflow_provider_impactcall.exceptions import DeliveryAborted, InvalidOption, LedgerUnfit, LedgerUnusable
from airflow_provider_impactcall.integration.options import DeliveryOptions, Problems, RowOptions
from airflow_provider_impactcall.operators.deferral import Progress, can_be_read_once, wait_if_that_helps
from airflow_provider_impactcall.operators.redaction import HiddenFields, redact, reveal
from airflow_provider_impactcall.operators.rendered import flag, refuse_missing, rendered_limit, tolerance
from airflow_provider_impactcall.operators.retries import CallsNotSent
from airflow_provider_impactcall.operators.signature import names_options_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_impactcall.delivery.outcome import DeliveryReport, ReportValue
    from airflow_provider_impactcall.integration.lineage import Delivered
    from airflow_provider_impactcall.records.sources import Source


class DeliverCallsOperator(HiddenFields, BaseOperator):
    """What every operator of this package shares: the options, and what it returns and raises.

    :param impactcall_conn_id: the connection of type ``impactcall`` (templated)
    :param mapping: a source by parameter name: a column name, a dotted path into JSON, a callable of the row, or a dict
        such as ``{"first_of": [...]}``; see :mod:`~airflow_provider_impactcall.records.sources`. Or the path of a YAML
        or JSON file of them; see :func:`~airflow_provider_impactcall.integration.mapping_files.loaded`
    :param constants: parameter name to the value that every call gets (templated)
    :param csv_delimiter: what separates the values of CSV files, one character; a file's first line ``sep=;`` has
        precedence
    :param csv_encoding: Python's name for the encoding of CSV files, such as ``cp1252`` or ``utf-16``
    :param timezone: IANA name of the zone of times without an offset; if None, a row with such a time is rejected
        (templated)
    :param vendor: the name of a preset, which maps the calls of a call-tracking vendor; ``mapping`` has precedence
        (templated)
    :param prefiltered: the guards of the preset, ``direction`` or ``ended``, that the rows have passed already
    :param nulls: the words that mean no value, such as ``("NULL", "N/A")``
    :param key: the parameters that tell two calls apart
    :param on_unknown: ``hold``: a call whose fate is unknown is not sent again by itself. ``resend``: it is sent until
        its fate is known, and may arrive twice
    :param ledger_conn_id: the SQL connection of the delivery ledger, or ``embedded``; ``[impactcall]
        ledger_conn_id`` if None (templated)
    :param ledger_namespace: a call of one namespace never hides a call of another; the endpoint's origin if None
        (templated)
    :param retry_statuses: answers taken as "not processed", to be sent again
    :param max_rejected: how many rejected rows the task tolerates: an int is a count, a float a share of the
        rows (templated)
    :param max_unknown: the same for calls whose fate is unknown (templated)
    :param max_changed: the same for calls that were sent before with other content; None for any number (templated)
    :param max_wait: the run stops, and Airflow may retry, after so many seconds without an answer that settles a call,
        or if the endpoint or a rate limit imposes a longer wait
    :param deferrable: if the endpoint or a rate limit asks to wait, free the worker until then; after that, read the
        rows again and continue. By default, ``[operators] default_deferrable`` of Airflow's configuration
    :param on_empty: what the task does if there are no rows: ``succeed``, ``skip`` or ``fail``
    :param limit: send at most so many calls (templated)
    :param dry_run: send nothing; what would be sent counts as ``not_sent`` (templated)
    :param rejects_path: a local path or any ``ObjectStoragePath``: one line of JSON for each rejected row (templated)
    :param concurrency: requests in flight at once; the connection's (8) if None
    :param requests_per_second: of the account, over all tasks that share a ledger; the connection's (no limit) if None
    :param requests_per_hour: likewise
    """

    template_fields: Sequence[str] = (
        "impactcall_conn_id",
        "constants",
        "timezone",
        "vendor",
        "ledger_conn_id",
        "ledger_namespace",
        "max_rejected",
        "max_unknown",
        "max_changed",
        "limit",
        "dry_run_only",
        "rejects_path",
    )
    ui_color = "#d8ecff"
    # Of the current delivery; a task instance runs one at a time.
    _interrupted: threading.Event | None = None
    # Likewise, until OpenLineage has asked for it.
    _delivered: Delivered | None = None
    # A stop may be asked for while a query is read, before there is a delivery to tell.
    _asked_to_stop = False
    # Of this try, before the current run.
    _progress = Progress()

    def __init__(
        self,
        *,
        impactcall_conn_id: str = DEFAULT_CONN_ID,
        mapping: Mapping[str, Source] | str | PathLike[str] | None = None,
        constants: Mapping[str, Any] | None = None,
        csv_delimiter: str = RowOptions.csv_delimiter,
        csv_encoding: str = RowOptions.csv_encoding,
        timezone: str | tzinfo | None = None,
        vendor: str | None = None,
        prefiltered: Collection[str] | None = None,
        nulls: Collection[str] | None = None,
        key: Sequence[str] = RowOptions.key,
        on_unknown: Literal["hold", "resend"] = DeliveryOptions.on_unknown,
        ledger_conn_id: str | None = None,
        ledger_namespace: str | None = None,
        retry_statuses: Collection[int] = DeliveryOptions.retry_statuses,
        max_rejected: float | str = 0,
        max_unknown: float | str = 0,
        max_changed: float | str | None = None,
        max_wait: float = DeliveryOptions.max_wait,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_empty: Literal["succeed", "skip", "fail"] = "succeed",
        limit: int | str | None = None,
        dry_run: bool | str = DeliveryOptions.dry_run,
        rejects_path: str | None = None,
        concurrency: int | None = None,
        requests_per_second: float | None = None,
        requests_per_hour: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.impactcall_conn_id = impactcall_conn_id
        self.mapping = mapping
        self.constants = constants
        self.csv_delimiter = csv_delimiter
        self.csv_encoding = csv_encoding
        self.timezone = timezone
        self.vendor = vendor
        self.prefiltered = prefiltered
        self.nulls = nulls
        self.key = key
        self.on_unknown = on_unknown
        self.ledger_conn_id = ledger_conn_id
        self.ledger_namespace = ledger_namespace
        self.retry_statuses = retry_statuses
        self.max_rejected = max_rejected
        self.max_unknown = max_unknown
        self.max_changed = max_changed
        self.max_wait = max_wait
        self.deferrable = deferrable
        self.on_empty = on_empty
        self.limit = limit
        # BaseOperator.dry_run is a method of Airflow's.
        self.dry_run_only = dry_run
        self.rejects_path = rejects_path
        self.concurrency = concurrency
        self.requests_per_second = requests_per_second
        self.requests_per_hour = requests_per_hour

    def deliver(self, rows: Any, context: Context) -> dict[str, ReportValue]:
        """Deliver the rows, and decide by the report whether the task succeeds.

        The counts are also in the event of each outlet whose URI begins with ``impactcall://``, which Airflow sends if
        the task succeeds.

        :return: the report's counts, ``seconds`` and ``rejects``; of a dry run also ``warnings``, a list of codes with
            their counts, and ``expected_seconds``
        :raises AirflowFailException: an option is wrong, nothing can be delivered until a person changes
            something, or more rows were rejected, unknown or changed than the task tolerates
        :raises CallsNotSent: (an AirflowException) a later try may send the calls that were not sent, or were not
            confirmed under ``resend``; the exception says when to try again
        :raises AirflowException: the ledger cannot be reached or is of a later version, or a connection is not defined
        :raises AirflowSkipException: there were no rows, and ``on_empty`` says so
        :raises TaskDeferred: in place of CallsNotSent, where the task is deferrable and waits without a worker
        """
        # Not at the top: every parse of a DAG file would import aiohttp, phonenumbers and all that sending needs.
        from airflow_provider_impactcall.integration.lineage import Delivered

        delivered = self._delivered = Delivered()
        try:
            report = self._deliver(rows, context, delivered)
        except BaseException:
            for report in delivered.reports:
                _push(context, report)
            raise
        if self._progress.runs:  # The XCom from before the wait is out of date.
            _push(context, report)
        _announce(context, self.outlets, report)
        return report.as_dict()

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, ReportValue]:
        """Read the rows again and continue, after a wait without a worker. Airflow calls this method like ``execute``.

        :param event: what the trigger handed back
        :return: what ``execute`` returns; calls that this try delivered before the wait count as delivered
        """
        self._progress = Progress.of(event)
        try:
            # Airflow 2.11 wraps ``execute`` in a warning for any caller except Airflow.
            returned: dict[str, ReportValue] = inspect.unwrap(type(self).execute)(self, context)
        finally:
            self._progress = Progress()
        return returned

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """The lineage of the task after its end, also if it failed; None without OpenLineage's provider.

        :param task_instance: Airflow's; not used, so it may be None
        """
        from airflow_provider_impactcall.integration.lineage import Delivered, of_delivery

        return of_delivery(
            self.impactcall_conn_id,
            self._delivered or Delivered(),
            self.constants,
            inlets=self.inlets,
            outlets=self.outlets,
        )

    def _deliver(self, rows: Any, context: Context, delivered: Delivered) -> DeliveryReport:
        self._interrupted = threading.Event()
        if self._asked_to_stop:
            self._interrupted.set()
        from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook

        try:
            tolerated, row_options, delivery_options = self._options()
            report = ImpactCallHook(self.impactcall_conn_id).deliver_with(
                rows,
                row_options,
                self._progress.rest_of(delivery_options),
                on_settled=delivered.listener,
                on_report=lambda each: delivered.reports.append(each.of_the_try()),
                interrupt=self._interrupted,
                continues=self._progress.runs,
            )
        except (InvalidOption, LedgerUnfit) as error:
            raise AirflowFailException(str(error)) from None
        except LedgerUnusable as error:
            raise AirflowException(str(error)) from None
        except DeliveryAborted as aborted:
            raise AirflowFailException(f"Aborted: {aborted}. {aborted.report.of_the_try()}") from None
        report = report.of_the_try()
        self._progress.look_at(report)
        failure = self._failure(report, tolerated)
        if isinstance(failure, CallsNotSent) and self._may_wait():
            wait_if_that_helps(self, context, report, self._progress, readable_again=self._readable_again())
        if failure is not None:
            raise failure
        return report

    def _may_wait(self) -> bool:
        return flag("deferrable", self.deferrable) and not self._asked_to_stop

    def _readable_again(self) -> bool:
        return True

    def _options(self) -> tuple[Mapping[str, float], RowOptions, DeliveryOptions]:
        """How many rows are tolerated, by how they end, and the options of the delivery.

        :raises InvalidOption: with everything that is wrong with them
        """
        problems = Problems()
        limit, dry_run = None, False
        tolerated: dict[str, float] = {}
        for end in ("rejected", "unknown", "changed"):
            with problems.noted():
                most = tolerance(f"max_{end}", getattr(self, f"max_{end}"))
                if most is not None:
                    tolerated[end] = most
        with problems.noted():
            if self.on_empty not in ("succeed", "skip", "fail"):
                raise InvalidOption("on_empty must be 'succeed', 'skip' or 'fail'")
        with problems.noted():
            limit = rendered_limit(self.limit)
        with problems.noted():
            dry_run = flag("dry_run", self.dry_run_only)
        with problems.noted():
            flag("deferrable", self.deferrable)
        with problems.noted():
            refuse_missing(self, "vendor", "constants", "ledger_namespace", "rejects_path")
        with problems.noted():
            row_options = RowOptions(
                mapping=self.mapping,
                constants=self.constants,
                csv_delimiter=self.csv_delimiter,
                csv_encoding=self.csv_encoding,
                timezone=self.timezone or None,
                vendor=self.vendor or None,
                prefiltered=self.prefiltered,
                nulls=self.nulls,
                key=self.key,
            )
        with problems.noted():
            delivery_options = DeliveryOptions(
                on_unknown=self.on_unknown,
                ledger_conn_id=self.ledger_conn_id or None,
                ledger_namespace=self.ledger_namespace or None,
                retry_statuses=self.retry_statuses,
                max_wait=self.max_wait,
                limit=limit,
                dry_run=dry_run,
                rejects_path=self.rejects_path or None,
                concurrency=self.concurrency,
                requests_per_second=self.requests_per_second,
                requests_per_hour=self.requests_per_hour,
            )
        problems.refuse()
        return tolerated, row_options, delivery_options

    def on_kill(self) -> None:
        """Stop cleanly: no more requests are sent, and requests in flight are awaited while Airflow leaves time."""
        self._asked_to_stop = True
        if self._interrupted is not None:
            self._interrupted.set()

    def _failure(self, report: DeliveryReport, tolerated: Mapping[str, float]) -> AirflowException | None:
        if report.given_up or report.unread:
            return _calls_not_sent(report)
        counts = report.counts()
        excess = [
            f"{counts[end]} rows are {end}, and max_{end} is {most}"
            for end, most in tolerated.items()
            if (counts[end] / max(report.rows, 1) if isinstance(most, float) else counts[end]) > most
        ]
        if excess:
            return AirflowFailException(f"{'; '.join(excess)}. {report}")
        # An input that is empty only after a wait had rows before it.
        if not report.rows and not self._progress.rows:
            if self.on_empty == "fail":
                return AirflowFailException("There were no rows.")
            if self.on_empty == "skip":
                return AirflowSkipException("There were no rows.")
        return None


class ImpactCallOperator(DeliverCallsOperator):
    """Delivers the calls that an upstream task gave.

    :param calls: any iterable of dicts, an ``XComArg``, or a mapped upstream's output (flattened); or the path of a
        file, or paths among these, as :meth:`.ImpactCallHook.deliver` takes them. Paths are templated, text in rows is
        not; shown only if it is one path
    :param kwargs: every option of :class:`DeliverCallsOperator`, and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = ("calls", *DeliverCallsOperator.template_fields)

    @names_options_of(DeliverCallsOperator)
    def __init__(self, *, calls: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.calls = calls

    @property
    def calls(self) -> Any:
        """The calls, hidden unless they are a reference or a path."""
        return self._calls

    @calls.setter
    def calls(self, calls: Any) -> None:
        self._calls = redact(calls)

    def execute(self, context: Context) -> dict[str, ReportValue]:
        """Deliver the calls. See :meth:`DeliverCallsOperator.deliver` for what it returns and raises."""
        return self.deliver(reveal(self.calls), context)

    def _readable_again(self) -> bool:
        return not can_be_read_once(reveal(self.calls))


def _calls_not_sent(report: DeliveryReport) -> CallsNotSent:
    reason = "other_run: another run is sending them; try again when it has ended"
    if report.stop is not None:
        reason = f"{report.stop.code}: {report.stop}"
    retry_at = None if report.stop is None else report.stop.retry_at
    if not report.given_up:
        return CallsNotSent(f"rows are still to be read: {reason}. {report}", retry_at)
    return CallsNotSent(f"{report.given_up} calls are still to be sent: {reason}. {report}", retry_at)


def _announce(context: Context, outlets: Iterable[Any], report: DeliveryReport) -> None:
    """Put the counts into the events of assets that stand for calls at impact.com; invalid rows also by the code of
    their first problem.
    """
    events = context.get("outlet_events")
    for asset in outlets:
        if events is not None and isinstance(asset, Asset) and asset.uri.startswith("impactcall://"):
            by_code = {f"invalid.{code}": rows for code, rows in report.invalid.items()}
            events[asset].extra.update(report.counts(), invalid=sum(report.invalid.values()), **by_code)


def _push(context: Context, report: DeliveryReport) -> None:
    task_instance = context.get("ti")
    if task_instance is not None:
        task_instance.xcom_push(key="report", value=report.as_dict())
