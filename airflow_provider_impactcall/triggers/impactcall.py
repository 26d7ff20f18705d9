"""What waits in Airflow's triggerer, so that no worker has to. It sends nothing: a triggerer that is restarted begins
all its triggers anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

log = logging.getLogger(__name__)

# The clock of the triggerer may be set meanwhile.
_LONGEST_SLEEP = 60.0


class WaitTrigger(BaseTrigger):
    """Waits until a moment, and hands back what it was given.

    Airflow keeps both in its database, and shows them: ids of the ledger's runs and counts are all that belongs there.

    :param moment: ISO 8601, with an offset
    :param progress: what the task goes on with; JSON
    """

    def __init__(self, moment: str, progress: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self.progress = dict(progress)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Its class and what it is made of again."""
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
