"""What the package's promises cost, measured; see README.md."""

from __future__ import annotations
