"""The log line with the outcome of a run, for people and for log searches."""

from __future__ import annotations

import json
import re

from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.outcome import DeliveryReport

# The apostrophe is for readers that parse a line as a shell does.
_TO_QUOTE = re.compile(r"""[ "'=\\]""")


def run_line(
    report: DeliveryReport,
    attempts: Attempts,
    limited_seconds: float,
    *,
    run_id: str,
    namespace: str,
    source: str,
    dry_run: bool = False,
) -> str:
    """A run in logfmt: ``key=value``, always the same keys in the same order, with all counts, zeros too.

    New keys may come at the end; keys are never renamed or left out. The line holds nothing of any call.

    :param limited_seconds: how long calls waited for the account's rate limit
    :param run_id: the ledger's id of the run; empty for a dry run, which the ledger does not keep
    :param source: who sent: DAG id, task id, run id, map index if there is one, and try number, or ``python``
    """
    fields = {
        **{name: str(count) for name, count in report.counts().items()},
        "seconds": f"{report.seconds:.3f}",
        "attempts": str(attempts.count),
        "attempt_mean": f"{attempts.mean:.3f}",
        "attempt_longest": f"{attempts.longest:.3f}",
        "rate_limit_wait": f"{limited_seconds:.3f}",
        "stopped_early": str(report.stop is not None).lower(),
        "dry_run": str(dry_run).lower(),
        "run": run_id,
        "namespace": namespace,
        "source": source,
    }
    return " ".join(f"{key}={_value(text)}" for key, text in fields.items())


def _value(text: str) -> str:
    if text.isprintable() and not _TO_QUOTE.search(text):
        return text
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    return character if character.isprintable() and character not in '"\\' else json.dumps(character)[1:-1]
