from __future__ import annotations

from tests import lanes
from tests.delivery.canary import no_canary_in_logs

__all__ = ["no_canary_in_logs"]

pytest_itemcollected = lanes.long
