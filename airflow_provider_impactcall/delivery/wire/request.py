"""The bytes of one call's request."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_impactcall.delivery.outcome import Attempt
from airflow_provider_impactcall.records import CallRecord


class Request(NamedTuple):
    """What leaves for one call. It belongs to no event loop and to no connection.

    :param record: the call
    :param data: the request, head and body, as it is written to the connection; empty if it must not be sent
    :param refused: why it must not be sent, or None; it then counts as the attempt
    """

    record: CallRecord
    data: bytes
    refused: Attempt | None = None
