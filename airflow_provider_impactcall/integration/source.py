"""Who sends: the try of a task, as the ledger records it for each run."""

from __future__ import annotations

import os
from typing import NamedTuple

from airflow.providers.common.compat.sdk import get_current_context

_MAP_INDEX = "map_index="


class TaskInstance(NamedTuple):
    """A task instance, for all its tries.

    :param map_index: the index of a mapped task; -1 for any other task
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1

    def __str__(self) -> str:
        """The common beginning of the sources of all its tries, before the last ``/``."""
        mapped = [] if self.map_index < 0 else [f"{_MAP_INDEX}{self.map_index}"]
        return "/".join([self.dag_id, self.task_id, self.run_id, *mapped])

    @classmethod
    def of(cls, source: str) -> TaskInstance | None:
        """The task instance of a source; None if the source is not a task try."""
        match source.split("/"):
            case [dag_id, task_id, run_id, try_number] if try_number.isdecimal():
                return cls(dag_id, task_id, run_id)
            case [dag_id, task_id, run_id, mapped, try_number] if (
                try_number.isdecimal()
                and mapped.startswith(_MAP_INDEX)
                and (index := mapped.removeprefix(_MAP_INDEX)).isdecimal()
            ):
                return cls(dag_id, task_id, run_id, int(index))
        return None


def source() -> str:
    """Who is sending: the current task try, if there is one.

    :return: ``dag/task/run/try``, of a mapped task ``dag/task/run/map_index=3/try``; ``python`` outside a task
    """
    names = ("DAG_ID", "TASK_ID", "DAG_RUN_ID", "TRY_NUMBER")
    dag_id, task_id, run_id, try_number = (os.environ.get(f"AIRFLOW_CTX_{name}", "") for name in names)
    instance = TaskInstance(dag_id, task_id, run_id, _map_index())
    return f"{instance}/{try_number}".strip("/") or "python"


def _map_index() -> int:
    """The index of this instance of a mapped task, which Airflow's environment variables do not have."""
    try:
        index = getattr(get_current_context().get("ti"), "map_index", None)
    except Exception:  # There is no context; the error differs between versions of Airflow.
        return -1
    return index if isinstance(index, int) else -1
