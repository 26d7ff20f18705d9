"""A local stand-in for impact.com's Call Data API, which offers no sandbox of its own.

It takes calls as the documentation describes them, counts processed calls and answers separately, and fails on
demand::

    async with Sandbox(faults={"reset-after-processing": 0.1}) as sandbox:
        ...  # deliver to sandbox.url
        print(sandbox.calls, sandbox.counts)

Calls that pay are listed as actions, as impact.com lists them, at ``GET /Advertisers/{AccountSID}/Actions``. An action
is pending until it is approved or reversed: automatically after a time (``settle_after``), or by ``decide``.

From a shell: ``python -m airflow_provider_impactcall.sandbox``.
"""

from __future__ import annotations

from airflow_provider_impactcall.sandbox.faults import FAULTS, Fault, Moment
from airflow_provider_impactcall.sandbox.journal import Counts, ProcessedCall, ReceivedRequest
from airflow_provider_impactcall.sandbox.server import Sandbox

__all__ = ["FAULTS", "Counts", "Fault", "Moment", "ProcessedCall", "ReceivedRequest", "Sandbox"]
