from __future__ import annotations

from tests import lanes
from tests.cli.conftest import impactcall
from tests.delivery.canary import no_canary_in_logs

__all__ = ["impactcall", "no_canary_in_logs"]

pytest_itemcollected = lanes.airflow
