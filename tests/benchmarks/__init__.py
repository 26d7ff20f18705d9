"""The benchmarks still run, and still show what they are there to show."""

from __future__ import annotations
