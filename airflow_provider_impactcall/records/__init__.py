"""A call's 50 parameters, and how a row becomes a call. No Airflow, no I/O."""

from __future__ import annotations

from airflow_provider_impactcall.records.call_record import PARAMETERS, CallRecord, CallStatus, Parameter
from airflow_provider_impactcall.records.mapping import CallMapping

__all__ = ["PARAMETERS", "CallMapping", "CallRecord", "CallStatus", "Parameter"]
