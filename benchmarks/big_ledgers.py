"""How long people's queries take on a ledger of ten million calls: ``python -m benchmarks.big_ledgers``.

The package's own code runs each query three times. The plan of each SQL statement is checked, and tables that are read
as a whole are reported.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.indexing import build_missing
from airflow_provider_impactcall.delivery.ledger.overview import Overview
from airflow_provider_impactcall.delivery.ledger.periods import Period
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.row_overview import RowOverview
from airflow_provider_impactcall.delivery.ledger.run_queries import (
    RunSelection,
    last_runs,
    latest_runs,
    namespaces,
    of_one_run,
)
from airflow_provider_impactcall.delivery.ledger.schema import UNDELIVERED, calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from benchmarks.databases import DATABASES, database
from benchmarks.filled import LAST, NAMESPACE, RUNS, fill, key_of, run_id_of, session_id_of
from benchmarks.results import load_average, markdown_table, measured_on, write_section

HEADING = "Big ledgers"
TARGET = 0.2
TRIES = 3

_WHOLE_TABLE = re.compile(
    r"Seq Scan on (impactcall_(?:call|event|dead_letter|changed_call|run_row)\b)|"
    r"^SCAN (impactcall_(?:call|event|dead_letter|changed_call|run_row)\b)(?! USING)",
    re.M,
)
_NOW = datetime.fromtimestamp(LAST, UTC)


@dataclass(frozen=True)
class Answer:
    """The measurements of a question.

    :param seconds: by the clock, for each time that it was asked
    :param reads_all: the tables that it reads as a whole
    """

    question: str
    seconds: Sequence[float]
    reads_all: Sequence[str]

    def cells(self) -> tuple[str, ...]:
        return (
            self.question,
            f"{min(self.seconds) * 1000:,.0f}",
            f"{max(self.seconds) * 1000:,.0f}",
            ", ".join(self.reads_all),
        )


HEAD = ("question", "ms at best", "at worst", "read whole")


def questions(ledger: Ledger, total: int) -> Mapping[str, Callable[[], Any]]:
    """The queries of people and of the package."""
    asked = CallQueries(ledger)
    some = total * 7 // 10
    spread = [number * (total // 500) for number in range(500)]
    week, month = (Selection(since=_NOW - timedelta(days=days), until=_NOW) for days in (7, 30))

    def latest(**conditions: Any) -> Callable[[], Any]:
        return lambda: asked.latest(Selection(**conditions), 100)

    def by(*columns: Any, selection: Selection) -> Callable[[], Any]:
        where = (calls.c.namespace == NAMESPACE, *selection.conditions())
        query = sa.select(*columns, calls.c.state, sa.func.count()).where(*where).group_by(*columns, calls.c.state)
        return lambda: rows_of(ledger, query)

    undelivered = (calls.c.namespace == NAMESPACE, UNDELIVERED)
    oldest = sa.select(calls.c.state, sa.func.min(calls.c.changed_at)).where(*undelivered).group_by(calls.c.state)
    reasons = (
        sa.select(calls.c.reason_code, calls.c.status, sa.func.count())
        .where(*undelivered, calls.c.state == "rejected")
        .group_by(calls.c.reason_code, calls.c.status)
    )
    partner = (
        sa.select(calls)
        .where(calls.c.namespace == NAMESPACE, calls.c.MediaId == "20123")
        .order_by(calls.c.changed_at.desc())
        .limit(100)
    )
    day = sa.cast(calls.c.changed_at / 86_400, sa.Integer)
    delivered_by_day = sa.select(sa.cast(runs.c.started_at / 86_400, sa.Integer), sa.func.sum(runs.c.delivered_rows))
    return {
        "the last 100 calls": latest(),
        "the last 100 unknown": latest(states=["unknown"]),
        "the last 100 rejected for a reason": latest(states=["rejected"], reason="not active"),
        "the last 100 of a partner": lambda: rows_of(ledger, partner),
        "the last 100 of a week": lambda: asked.latest(week, 100),
        "100 of a run of last week": latest(run_id=run_id_of(RUNS - 200)),
        "a call by its CallSessionId": latest(call_session_ids=[session_id_of(some)]),
        "a call's history": lambda: asked.history(Selection(call_session_ids=[session_id_of(some)])),
        "the oldest that is not delivered, by state": lambda: rows_of(ledger, oldest),
        "rejected by reason": lambda: rows_of(ledger, reasons),
        "all that is not delivered, by state": lambda: asked.count(
            Selection(states=["rejected", "unknown", "not_sent", "requeued", "open"])
        ),
        "a week by day and state": by(day, selection=week),
        "a week by partner and state": by(calls.c.MediaId, selection=week),
        "30 days by day and state": by(day, selection=month),
        "30 days by partner and state": by(calls.c.MediaId, selection=month),
        "30 days by campaign and state": by(calls.c.CampaignId, selection=month),
        "18 months by day, of the runs' counts": lambda: rows_of(
            ledger, delivered_by_day.group_by(sa.cast(runs.c.started_at / 86_400, sa.Integer))
        ),
        "the last 20 runs": lambda: last_runs(ledger, 20),
        "all calls by state": lambda: asked.count(Selection()),
        "500 keys, as a delivery asks": lambda: ledger.look_up([key_of(number) for number in spread]),
        "500 CallSessionIds, as a dry run asks": lambda: ledger.namesakes([session_id_of(each) for each in spread]),
        "the keys of all that is unknown": lambda: deque(asked.each(Selection(states=["unknown"])), 0),
        "10,000 calls of an export": lambda: deque(islice(asked.each(Selection()), 10_000), 0),
    }


def questions_of_the_page(ledger: Ledger, total: int) -> Mapping[str, Callable[[], Any]]:
    """The queries of each part of the page in Airflow."""
    asked, rows = Overview(ledger), RowOverview(ledger)
    some = session_id_of(total * 7 // 10)
    periods = {f"{days} days": Period(_NOW - timedelta(days=days), _NOW) for days in (2, 7, 31, 548)}
    week = periods["7 days"]
    of_week = Selection(since=week.since, until=week.until)

    def of_run(number: int) -> Any:
        _, selection = of_one_run(ledger, Selection(), run_id_of(number))
        return None if selection is None else asked.calls(selection, 100)

    of_periods: dict[str, Callable[[], Any]] = {}
    for name, period in periods.items():
        of_periods[f"page: {name}, by state"] = partial(asked.states, period)
        of_periods[f"page: {name}, over time"] = partial(asked.over_time, period)
        of_periods[f"page: {name}, rejected by reason"] = partial(asked.reasons, "rejected", period)
        of_periods[f"page: {name}, unknown by reason"] = partial(asked.reasons, "unknown", period)
        of_periods[f"page: {name}, rejected here by reason"] = partial(rows.problems, period)
        of_periods[f"page: {name}, left out by why"] = partial(rows.filtered, period)
        of_periods[f"page: {name}, changed calls"] = partial(rows.changed, period)
        if period.countable:
            of_periods[f"page: {name}, by partner"] = partial(asked.partners, period)
            of_periods[f"page: {name}, by campaign"] = partial(asked.campaigns, period)
    return {
        "page: namespaces": lambda: namespaces(ledger),
        "page: the oldest undelivered call": asked.oldest_undelivered,
        "page: open unknowns": asked.open_unknowns,
        "page: rejected by impact.com, of any time": asked.refused,
        "page: rejected here, of any time": rows.invalid,
        "page: changed calls, of any time": rows.changed,
        **of_periods,
        "page: the last 100 calls of a week": lambda: asked.calls(of_week, 100),
        "page: the last 100 unknown of a week": lambda: asked.calls(replace(of_week, states=["unknown"]), 100),
        "page: the last 100 rejected here of a week": lambda: asked.calls(replace(of_week, states=["invalid"]), 100),
        "page: the last 100 changed of a week": lambda: asked.calls(replace(of_week, states=["changed"]), 100),
        "page: rows of a run by reason": lambda: rows.problems_of([run_id_of(RUNS // 3)]),
        "page: the last 100 of a partner of a week": lambda: asked.calls(replace(of_week, media_ids=["20123"]), 100),
        "page: a partner that there is not, of a week": lambda: asked.calls(replace(of_week, media_ids=["7"]), 100),
        "page: 100 of a run of a year ago": lambda: of_run(RUNS // 3),
        "page: a call's history": lambda: asked.history(some),
        "page: the last 50 runs": lambda: list(latest_runs(ledger, RunSelection(NAMESPACE, week))),
        "page: the runs of a task": lambda: list(latest_runs(ledger, RunSelection(source="calls/deliver"))),
        "page: the runs of a DAG run": lambda: list(latest_runs(ledger, RunSelection(dag_run=("calls", "monday")))),
        "page: 10,000 calls of a CSV": lambda: deque(islice(asked.each_call(of_week), 10_000), 0),
    }


def rows_of(ledger: Ledger, query: Any) -> Sequence[Any]:
    with ledger.reading() as connection:
        return connection.execute(query).all()


def answers(ledger: Ledger, total: int) -> Iterator[Answer]:
    """Run every query, and check the plans."""
    for question, ask in {**questions(ledger, total), **questions_of_the_page(ledger, total)}.items():
        seconds = []
        with noted(ledger.engine) as statements:
            for _ in range(TRIES):
                began = time.perf_counter()
                ask()
                seconds.append(time.perf_counter() - began)
                if seconds[-1] > 10:
                    break
        yield Answer(question, seconds, whole_tables(ledger, statements))


@contextmanager
def noted(engine: sa.Engine) -> Iterator[dict[str, Any]]:
    """The statements that are executed within the context, each with its last parameters."""
    statements: dict[str, Any] = {}

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements[statement] = parameters

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def whole_tables(ledger: Ledger, statements: Mapping[str, Any]) -> list[str]:
    """The ledger's large tables that these statements read as a whole."""
    explain = "EXPLAIN QUERY PLAN " if ledger.engine.dialect.name == "sqlite" else "EXPLAIN "
    found: set[str] = set()
    with ledger.reading() as connection:
        for statement, parameters in statements.items():
            plan = connection.exec_driver_sql(explain + statement, parameters).all()
            text = "\n".join(str(line[-1]) for line in plan)
            found.update(first or second for first, second in _WHOLE_TABLE.findall(text))
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.big_ledgers", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000, help="default: %(default)s")
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one (default: both)")
    parser.add_argument("--folder", type=Path, help="where a ledger was filled before, or is to be kept")
    options = parser.parse_args()
    load, tables = load_average(), []
    for kind in options.database or DATABASES:
        with tempfile.TemporaryDirectory(prefix="impactcall-big-") as name:
            folder = (options.folder or Path(name)) / kind
            folder.mkdir(parents=True, exist_ok=True)
            with database(kind, folder) as url:
                ledger = Ledger(sa.create_engine(url), NAMESPACE)
                ledger.prepare()
                if not CallQueries(ledger).latest(Selection(), 1):
                    fill(ledger.engine, options.calls)
                build_missing(ledger)
                print(kind, flush=True)
                found = []
                for answer in answers(ledger, options.calls):
                    print("  " + " | ".join(answer.cells()), flush=True)
                    found.append(answer.cells())
                ledger.close()
        tables.append(f"### {kind}\n\n{markdown_table(HEAD, found)}")
    # Without --folder: it is a path of this machine.
    asked = [f"--calls {options.calls}", *(f"--database {kind}" for kind in options.database or ())]
    command = " ".join(["python -m benchmarks.big_ledgers", *asked])
    aim = f"{options.calls:,} calls. What a page asks is to take less than {TARGET * 1000:.0f} ms."
    write_section(HEADING, "\n\n".join([measured_on(command, load, ["psycopg2-binary"]), aim, *tables]))


if __name__ == "__main__":
    main()
