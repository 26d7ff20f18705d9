from __future__ import annotations

from tests import lanes

pytest_itemcollected = lanes.pure
