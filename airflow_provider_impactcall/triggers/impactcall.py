"""Waits in Airflow's triggerer, so that no worker has to wait. The trigger sends nothing: a restarted triggerer runs
all its triggers again from the beginning.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

log = logging.getLogger(__name__)

# The triggerer's clock may be set during the wait.
_LONGEST_SLEEP = 60.0


class WaitTrigger(BaseTrigger):
    """Waits until a moment, and returns the progress that it was given.

    Airflow keeps both in its database, and shows them: put only ids of the ledger's runs and counts there.

    :param moment: ISO 8601, with an offset
    :param progress: what the task continues with; JSON
    """

    def __init__(self, moment: str, progress: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self.progress = dict(progress)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class, and the arguments to make it again."""
        return f"{WaitTrigger.__module__}.{WaitTrigger.__qualname__}", {
            "moment": self.moment,
            "progress": self.progress,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, once the moment has come."""
        log.info("Waits until %s", self.moment)
        moment = datetime.fromisoformat(self.moment)
        while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110 - a calendar's time
            await asyncio.sleep(min(left, _LONGEST_SLEEP))
        yield TriggerEvent(self.progress)  # type: ignore[no-untyped-call]
