"""Inputs that people described, each with what is right."""

from __future__ import annotations
