"""After all of it, nothing private is found in Airflow's database, its logs, its pages or the ledger.

Except in what upstream tasks returned, which Airflow itself keeps and logs.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
import sqlalchemy as sa

from tests.e2e.scene import endpoint
from tests.e2e.standalone import Standalone
from tests.examples import session_ids
from tests.privacy.test_canary import found_in

pytestmark = pytest.mark.e2e

DAY = "2026-09-02"


@pytest.fixture(scope="module")
def afterwards(running: Standalone) -> Standalone:
    """Once calls from an upstream task were delivered, refused in words that quote them, rejected, and lost."""
    with endpoint(0.0, running.endpoint_port) as sandbox:
        sandbox.script = ["ok", "400-echo", "reset-after-processing"]
        running.trigger("private", DAY)
        running.wait_for_run("private", DAY, "failed")
        assert session_ids(sandbox) == ["private-good", "private-lost"]
    (report,) = running.reports("private", DAY, key="report")
    assert [report[name] for name in ("rows", "delivered", "rejected", "unknown")] == [4, 1, 2, 1]
    return running


def texts_of(engine: sa.Engine) -> dict[str, list[str]]:
    """Every row of a database as text, decompressed where it is compressed, by table."""
    with engine.connect() as connection:
        return {
            table: [
                "\n".join(_text(cell) for cell in row)
                for row in connection.execute(sa.text(f'SELECT * FROM "{table}"'))
            ]
            for table in sa.inspect(connection).get_table_names()
        }


def _text(cell: Any) -> str:
    if not isinstance(cell, (bytes, memoryview)):
        return json.dumps(cell, ensure_ascii=False, default=str)
    try:
        return zlib.decompress(cell).decode()
    except zlib.error:
        return bytes(cell).decode(errors="replace")


def test_not_in_the_metadata_database(afterwards: Standalone) -> None:
    texts = texts_of(afterwards.scene.metadata)
    with afterwards.scene.metadata.connect() as connection:
        upstream = [
            _text(value) for (value,) in connection.execute(sa.text("SELECT value FROM xcom WHERE task_id = 'rows'"))
        ]
    assert [set(found_in(text)) for text in upstream] == [{"caller", "recording"}], "the search finds them"
    assert any("impactcall_default" in text for text in texts["connection"]), "and looks where the password is"
    holders = {table: sum(bool(found_in(text)) for text in rows) for table, rows in texts.items()}
    assert {table: count for table, count in holders.items() if count} == {"xcom": 1}


def test_not_in_the_ledger(afterwards: Standalone) -> None:
    texts = texts_of(afterwards.scene.ledger)
    assert any("private-lost" in text for text in texts["impactcall_call"]), "the search looks at the right place"
    assert [text for rows in texts.values() for text in rows if found_in(text)] == []


def test_not_in_the_logs(afterwards: Standalone) -> None:
    home = afterwards.scene.airflow.home
    files = [*(home / "logs").rglob("*.log"), home / "standalone.log", *home.glob("*.jsonl")]
    holders = {str(file.relative_to(home)): lines_with(file.read_text(errors="replace")) for file in files}
    found = {name: lines for name, lines in holders.items() if lines}
    assert found.keys() == {"standalone.log", f"logs/dag_id=private/run_id={DAY}/task_id=rows/attempt=1.log"}
    assert all("Returned value was" in line for lines in found.values() for line in lines)


def test_not_on_the_pages(afterwards: Standalone) -> None:
    holders: dict[str, set[str]] = {}
    seen: dict[str, set[str]] = {}
    for kind, task_id, text in afterwards.pages():
        seen.setdefault(kind, set()).add(task_id)
        if found_in(text):
            holders.setdefault(kind, set()).add(task_id)
    assert {"deliver", "rows"} <= seen["log"]
    assert seen.keys() >= {"runs", "events", "connections", "rendered fields", "task", "xcom", "log"}
    assert holders == {"xcom": {"rows"}, "log": {"rows"}}


def lines_with(text: str) -> list[str]:
    return [line for line in text.splitlines() if found_in(line)]
