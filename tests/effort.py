"""How many examples a proof tries. ``HYPOTHESIS_PROFILE`` is ``quick`` (the default), ``ci``, ``nightly``, ``few`` (for
other versions of Airflow or Python, beside a full run) or ``fuzz`` (for minutes or hours by hand).
"""

from __future__ import annotations

import os

FACTORS = {"few": 0.05, "quick": 0.12, "ci": 0.4, "nightly": 5.0, "fuzz": 1000.0}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")


def scaled(examples: int) -> int:
    """The number of examples, or seeds, in this profile: a share of the given number, or a multiple at night.

    :raises KeyError: if there is no such profile
    """
    return max(1, round(examples * FACTORS[PROFILE]))
