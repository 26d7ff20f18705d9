"""The package's own delivery, in a process that the benchmark kills: ``python -m benchmarks.ours``.

Arguments: the sandbox's URL, the ledger's URL, ``hold`` or ``resend``, the number of calls, a prefix of their ids.
Prints the report.
"""

from __future__ import annotations

import json
import sys
import threading

import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.timings import Timings
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallMapping
from tests.examples import LOGIN, PASSWORD, calls

# Shorter than the real ten seconds, so that a killed run counts as dead sooner; but long enough that a run that waits
# for a busy disk does not count as dead.
LEASE = 4.0
_TIMINGS = Timings(lease=LEASE, renewal=0.4, lease_margin=0.3)


def main(endpoint_url: str, ledger_url: str, on_unknown: str, count: str, prefix: str) -> int:
    kept = Ledger(sa.create_engine(ledger_url), "https://calls.example.com", _TIMINGS)
    kept.prepare()
    run_id = kept.start("benchmark", "")
    interrupt = threading.Event()
    sender = Engine(
        duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, interrupt=interrupt, timings=_TIMINGS
    )
    report = run(
        sender,
        Endpoint(endpoint_url, LOGIN, PASSWORD),
        LedgerWriter(kept, run_id, DEFAULT_KEY, resend=on_unknown == "resend"),
        calls(int(count), prefix),
        CallMapping(),
        interrupt,
    )
    kept.end(run_id, report)
    print(json.dumps(report.as_dict()))
    return 0 if not report.given_up else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
