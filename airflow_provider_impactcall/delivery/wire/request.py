"""The bytes of one call's request."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_impactcall.delivery.outcome import Attempt
from airflow_provider_impactcall.records import CallRecord


class Request(NamedTuple):
    """The HTTP request for one call. It is not bound to an event loop or a connection.

    :param record: the call
    :param data: head and body, as they are written to the connection; empty if the request must not be sent
    :param refused: why the request must not be sent, which then counts as the attempt; None if it may be sent
    """

    record: CallRecord
    data: bytes
    refused: Attempt | None = None
