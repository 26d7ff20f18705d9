"""Delivers phone-call records to impact.com's Call Data API from Apache Airflow."""

from __future__ import annotations

__version__ = "0.1.0"
