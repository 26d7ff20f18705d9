"""Commands for the ledger after deliveries: ``airflow impactcall ...`` on Airflow 3.3, and ``impactcall ...``."""

from __future__ import annotations
