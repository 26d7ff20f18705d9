"""Turns an Airflow connection into a delivery."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Unpack, cast

import requests
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_impactcall.defaults import DEFAULT_CONN_ID
from airflow_provider_impactcall.delivery.dry_run.dry_run import DryRun
from airflow_provider_impactcall.delivery.items import Listener
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, Outcome
from airflow_provider_impactcall.delivery.shapes import names_values
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.connection import Account, account, connection_of
from airflow_provider_impactcall.integration.deliveries import Delivery
from airflow_provider_impactcall.integration.options import (
    DeliveryKeywords,
    DeliveryOptions,
    RowOptions,
    options_of,
)
from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS, CONNECTION_TYPE, FIELD_BEHAVIOUR, HOOK_NAME
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.records.sources import Row


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
        from wtforms.validators import Optional, any_of  # Airflow 3.1 has its own under these names

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
        """Test whether the endpoint answers and takes the credentials, without creating a call.

        Posts an empty call: the endpoint must refuse it because its parameters are missing.
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

    def log_call(
        self,
        call: Row | CallRecord,
        *,
        interrupt: threading.Event | None = None,
        **options: Unpack[DeliveryKeywords],
    ) -> Outcome:
        """Deliver one call, by the same rules as :meth:`deliver`.

        :param call: a dict by column or parameter name, or a record
        :param interrupt: as for :meth:`deliver`
        :param options: every field of :class:`.RowOptions` and of :class:`.DeliveryOptions`, by its name
        :return: what came of it; never raises for an invalid or refused call
        :raises DeliveryAborted: when no call can be delivered until a person changes something
        """
        if not isinstance(call, (Mapping, CallRecord)) and not names_values(call):
            raise InvalidOption("log_call takes one call: a dict by column name, or a CallRecord")
        delivery = Delivery(self.impactcall_conn_id, *options_of("log_call", options), interrupt=interrupt)
        delivery.run([call])
        return cast("Outcome", delivery.last)  # Each row has one.

    def check(self, rows: Any, **options: Unpack[DeliveryKeywords]) -> DryRun:
        """Do everything that :meth:`deliver` does except the sending: read, map, validate, and ask the ledger.

        :param rows: as for :meth:`deliver`
        :param options: every field of :class:`.RowOptions` and, except ``dry_run``, of :class:`.DeliveryOptions`, by
            its name
        :return: what would be sent, what would not be sent and why, and warnings
        :raises InvalidOption: if an option or the connection is wrong
        :raises LedgerUnusable: if the ledger cannot be reached
        """
        if "dry_run" in options:
            raise TypeError("check() got an unexpected keyword argument 'dry_run'")
        return self.check_with(rows, *options_of("check", options))

    def check_with(self, rows: Any, row_options: RowOptions, delivery_options: DeliveryOptions) -> DryRun:
        """As :meth:`check`, with the options as objects."""
        return Delivery(self.impactcall_conn_id, row_options, delivery_options).check(rows)

    def deliver(
        self,
        rows: Any,
        *,
        on_settled: Listener | None = None,
        on_report: Callable[[DeliveryReport], None] | None = None,
        interrupt: threading.Event | None = None,
        **options: Unpack[DeliveryKeywords],
    ) -> DeliveryReport:
        """Deliver every row that is a valid call, and account for each.

        :param rows: any iterable of dicts or :class:`CallRecord`; iterables in it are flattened. Or the path of a file,
            or paths among the rows: ``.jsonl``, ``.ndjson``, ``.csv``, each also with ``.gz``, or ``.parquet``; local,
            or any ``ObjectStoragePath`` or its URL. Files are read to their end before anything is sent, except files
            that a generator names
        :param on_settled: called with every row's outcome, in the sending thread; it must be quick
        :param on_report: called with the report, also if reading ``rows`` fails or is interrupted
        :param interrupt: set it from any thread to stop the run cleanly: no more requests are sent, and requests in
            flight are awaited for 4 s. Then they count as unknown, or as not sent if they were still connecting
        :param options: every field of :class:`.RowOptions` (how rows become calls) and of :class:`.DeliveryOptions`
            (how calls are delivered), by its name. With ``dry_run``, the log shows what :meth:`check` gives, without
            ids and text of the calls
        :return: what came of every row; with ``dry_run`` a :class:`.DryRunReport`, which also has the warnings and how
            long the sending would take
        :raises DeliveryAborted: when no call can be delivered until a person changes something
        :raises InvalidOption: before anything is sent, if an option, the connection or a file is wrong
        :raises LedgerUnusable: before anything is sent, if the ledger cannot be reached
        :raises TypeError: for a keyword that is not an option
        """
        row_options, delivery_options = options_of("deliver", options)
        return self.deliver_with(
            rows, row_options, delivery_options, on_settled=on_settled, on_report=on_report, interrupt=interrupt
        )

    def deliver_with(
        self,
        rows: Any,
        row_options: RowOptions,
        delivery_options: DeliveryOptions,
        *,
        on_settled: Listener | None = None,
        on_report: Callable[[DeliveryReport], None] | None = None,
        interrupt: threading.Event | None = None,
        continues: Collection[str] = (),
    ) -> DeliveryReport:
        """As :meth:`deliver`, with the options as objects.

        :param continues: the ledger's ids of the runs that this one continues: the calls that they delivered count as
            already delivered, and the report's ``by_continued`` says how many these are
        """
        delivery = Delivery(
            self.impactcall_conn_id,
            row_options,
            delivery_options,
            on_settled=on_settled,
            on_report=on_report,
            interrupt=interrupt,
            continues=continues,
        )
        return delivery.run(rows)

    def _account(self) -> Account:
        return account(connection_of(self.impactcall_conn_id))
