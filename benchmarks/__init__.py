"""Measures the cost of the package's promises; see README.md."""

from __future__ import annotations
