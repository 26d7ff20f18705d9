"""The page in Airflow 3: the most used views of the ledger, read-only."""

from __future__ import annotations
