"""Ways to send the same calls, each in its own process: ``python -m benchmarks.senders NAME``.

Reads a :class:`Job` from standard input, writes a :class:`Spent` to standard output. The clock starts after imports,
the preparation of the peers' parameters and a few first calls.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_impactcall.delivery.wire.endpoint import PATH
from benchmarks.vendor_rows import KINDS

LOGIN, PASSWORD = "benchmark", "benchmark-password"
AUTHORIZATION = "Basic " + base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
# Connections that a job's process finds in its environment.
WAREHOUSE, LEDGER, ENDPOINT, HTTP = "warehouse", "ledger", "impactcall_default", "http_endpoint"

# Sends calls of the table: the number of the first one, and how many.
Send = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """The calls that a sender has to send.

    :param origin: the endpoint: scheme, host and port
    :param warm: how many of the table's first calls are sent before the clock starts
    :param calls: how many calls are sent after them
    :param concurrency: requests in flight, for senders that can have more than one
    :param rows: the kind of the table's rows, one of :data:`benchmarks.vendor_rows.KINDS`
    """

    origin: str
    warm: int
    calls: int
    concurrency: int
    rows: str


@dataclass(frozen=True)
class Spent:
    """The time of a job without its first few calls.

    :param wall: seconds by the clock
    :param cpu: seconds of the sending process's CPU, over all of its threads
    """

    wall: float
    cpu: float


def ours(job: Job) -> Send:
    """The package's whole pipeline, as a task runs it, with the embedded ledger."""
    return _operator(job, "embedded")


def ours_on_postgresql(job: Job) -> Send:
    """The same, with the ledger on PostgreSQL."""
    return _operator(job, LEDGER)


def _operator(job: Job, ledger_conn_id: str) -> Send:
    from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

    options = KINDS[job.rows].options

    def send(first: int, count: int) -> None:
        report = SqlToImpactCallOperator(
            task_id=f"deliver_{first}",
            sql="SELECT * FROM calls LIMIT ? OFFSET ?",
            parameters=(count, first),
            sql_conn_id=WAREHOUSE,
            ledger_conn_id=ledger_conn_id,
            concurrency=job.concurrency,
            **options,
        ).execute({})
        if report["delivered"] != count:
            raise RuntimeError(f"{count} calls were to be delivered, and the report says {report}")

    return send


def bare_aiohttp(job: Job) -> Send:
    """A plain loop on aiohttp: no ledger, no mapping, and no record of outcomes."""
    return _aiohttp(job, asyncio.run)


def bare_aiohttp_on_uvloop(job: Job) -> Send:
    """The same on the event loop that Airflow 3 installs."""
    import uvloop

    return _aiohttp(job, uvloop.run)


def _aiohttp(job: Job, run: Callable[[Any], None]) -> Send:
    import aiohttp

    ready = parameters_of(job)
    url = job.origin + PATH

    async def work(session: aiohttp.ClientSession, some: Iterator[Mapping[str, str]]) -> None:
        for parameters in some:
            async with session.post(url, params=parameters) as response:
                _expect_ok(response.status, await response.json())

    async def send_all(some: Iterator[Mapping[str, str]]) -> None:
        headers = {"Authorization": AUTHORIZATION}
        connector = aiohttp.TCPConnector(limit=job.concurrency)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session, asyncio.TaskGroup() as group:
            for _ in range(job.concurrency):
                group.create_task(work(session, some))

    return lambda first, count: run(send_all(iter(ready[first : first + count])))


def http_hook(job: Job) -> Send:
    """A loop over the HTTP provider's HttpHook, as a user's own task would have it."""
    from airflow.providers.http.hooks.http import HttpHook

    ready = parameters_of(job)

    def send(first: int, count: int) -> None:
        hook = HttpHook(method="POST", http_conn_id=HTTP)
        for parameters in ready[first : first + count]:
            response = hook.run(PATH, params=parameters)
            _expect_ok(response.status_code, response.json())

    return send


def requests_session(job: Job) -> Send:
    """A loop over one session of requests."""
    import requests

    ready = parameters_of(job)
    url = job.origin + PATH

    def send(first: int, count: int) -> None:
        with requests.Session() as session:
            session.auth = (LOGIN, PASSWORD)
            for parameters in ready[first : first + count]:
                response = session.post(url, params=parameters)
                _expect_ok(response.status_code, response.json())

    return send


def dlt_destination(job: Job) -> Send:
    """A custom destination of dlt, with a session of requests; dlt extracts, normalizes and loads."""
    import dlt
    import requests

    ready = parameters_of(job)
    url = job.origin + PATH
    session = requests.Session()
    session.auth = (LOGIN, PASSWORD)

    # dlt's own columns are not sent. Parameters keep their names and texts, as dlt would write times in its own form.
    @dlt.destination(batch_size=100, naming_convention="direct", skip_dlt_columns_and_tables=True)
    def impactcall(items: Any, table: Any) -> None:
        for parameters in items:
            response = session.post(url, params=parameters)
            _expect_ok(response.status_code, response.json())

    def send(first: int, count: int) -> None:
        pipeline = dlt.pipeline(f"calls_{first}", destination=impactcall, dataset_name="calls")
        text: Any = {name: {"data_type": "text"} for name in ready[first]}
        pipeline.run(ready[first : first + count], table_name="calls", columns=text).raise_on_failed_jobs()

    return send


def _expect_ok(status: int, answer: Any) -> None:
    if status != 200 or answer["Status"] != "OK":
        raise RuntimeError(f"the endpoint answered {status} {answer}")


def parameters_of(job: Job) -> list[dict[str, str]]:
    """The parameters of each call, with exactly the text that this package sends."""
    from airflow_provider_impactcall.records import CallMapping

    kind = KINDS[job.rows]
    record = CallMapping(**kind.options).record
    return [dict(record(row).parameters()) for row in kind.of(job.warm + job.calls)]


SENDERS: Mapping[str, Callable[[Job], Send]] = {
    each.__name__: each
    for each in (
        ours,
        ours_on_postgresql,
        bare_aiohttp,
        bare_aiohttp_on_uvloop,
        http_hook,
        requests_session,
        dlt_destination,
    )
}


def timed(send: Send, job: Job) -> Spent:
    """Send a job's calls, and measure the time."""
    if job.warm:
        send(0, job.warm)
    wall, cpu = time.perf_counter(), time.process_time()
    send(job.warm, job.calls)
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def main(name: str) -> None:
    job = Job(**json.load(sys.stdin))
    print(json.dumps(asdict(timed(SENDERS[name](job), job))))


if __name__ == "__main__":
    main(*sys.argv[1:])
