"""How many examples and seeds the tests try: HYPOTHESIS_PROFILE is ``quick`` (the default), ``ci`` or ``nightly``."""

from __future__ import annotations

import os

# Shares of the number that a test asks for.
PROFILES = {"quick": 0.2, "ci": 1.0, "nightly": 5.0}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")


def scaled(examples: int, profile: str = PROFILE) -> int:
    """How many examples to try of those that a test asks for; at least ten."""
    return max(min(examples, 10), round(examples * PROFILES[profile]))
