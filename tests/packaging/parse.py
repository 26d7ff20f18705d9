"""Parses folders of DAG files like a DAG processor, in a process that can reach nothing, and notes what each folder
tried.

``python -m tests.packaging.parse RESULT FOLDER...`` writes the results, by folder, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_NETWORK = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_DATABASE = ("sqlite3.connect",)

reached: list[str] = []


def _refuse(what: str) -> None:
    reached.append(what)
    raise PermissionError(f"{what} while parsing")


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    makes_a_database = event == "open" and str(arguments[0]).endswith(".db")
    if makes_a_database or event in (*_NETWORK, *_DATABASE):
        _refuse(event)


def _parse(folder: str) -> dict[str, Any]:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    reached.clear()
    bag = DagBag(folder)
    return {
        "reached": [*reached],
        "dags": {dag_id: sorted(dag.task_ids) for dag_id, dag in bag.dags.items()},
        "errors": {Path(file).name: error for file, error in bag.import_errors.items()},
    }


if __name__ == "__main__":
    # An audit hook sees what C code and every module's own import of these functions do, and cannot be taken away.
    sys.addaudithook(_guard)
    import sqlalchemy as sa

    # Drivers such as psycopg2 connect by themselves, is_new by Python.
    sa.event.listen(sa.engine.Engine, "do_connect", lambda *_: _refuse("sqlalchemy.connect"))
    result, *folders = sys.argv[1:]
    Path(result).write_text(json.dumps({folder: _parse(folder) for folder in folders}))
