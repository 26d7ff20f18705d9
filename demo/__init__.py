"""A small warehouse, a real Airflow and the sandbox: the package at work on one machine."""

from __future__ import annotations
