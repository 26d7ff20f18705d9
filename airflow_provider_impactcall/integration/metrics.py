"""The outcome of a run as metrics, sent by Airflow to StatsD, Datadog or OpenTelemetry.

A run sends about fifteen metrics once, at its end, whatever the number of its calls.
"""

from __future__ import annotations

import logging
import os
import re
from datetime import timedelta

from airflow.providers.common.compat.sdk import Stats, conf

from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.outcome import ENDS, DeliveryReport

log = logging.getLogger(__name__)

_SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")
_NOT_IN_A_TAG = re.compile(r"[^a-zA-Z0-9_.\-/]")
# InfluxDB's StatsD puts tags into a metric's name, and Airflow allows 250 characters for the whole name.
_LONGEST_NAMESPACE = 60


def are_wanted() -> bool:
    """Whether Airflow's configuration ``[metrics]`` turns a backend on. False, and logged, if it cannot be read."""
    try:
        return any(conf.getboolean("metrics", switch, fallback=False) for switch in _SWITCHES)
    except Exception as error:  # A secrets backend may have the values, and raise anything.
        log.warning("The configuration of metrics cannot be read (%s)", type(error).__name__)
        return False


def tell(
    report: DeliveryReport,
    attempts: Attempts,
    limited_seconds: float | None,
    oldest_undelivered: float | None,
    namespace: str,
) -> None:
    """Hand a run's metrics to Airflow. Errors are logged, never raised.

    :param report: the counts of the rows' outcomes
    :param attempts: how many requests were made, and how long they took
    :param limited_seconds: how long calls waited for the account's rate limit; None if there is none
    :param oldest_undelivered: seconds; None if it is not known
    :param namespace: of the ledger
    """
    try:
        _tell(report, attempts, limited_seconds, oldest_undelivered, namespace)
    except Exception as error:
        # A custom backend may raise anything, and the text may hold its address.
        log.warning("The metrics of this run could not be told (%s)", type(error).__name__)


def _tell(
    report: DeliveryReport,
    attempts: Attempts,
    limited_seconds: float | None,
    oldest_undelivered: float | None,
    namespace: str,
) -> None:
    of_the_ledger = {"namespace": _tag(re.sub(r"^\w+://", "", namespace))[:_LONGEST_NAMESPACE]}
    of_the_task = {
        name: _tag(value)
        for name in ("dag_id", "task_id")
        if (value := os.environ.get(f"AIRFLOW_CTX_{name.upper()}", ""))
    }
    tags = {**of_the_task, **of_the_ledger}
    for end in ENDS:
        # Counts of zero too: a series that begins with the first failure has no rise that an alert could see.
        Stats.incr(f"impactcall.calls.{end}", getattr(report, end), tags=tags)
    Stats.incr("impactcall.attempts", attempts.count, tags=tags)
    if attempts.count:
        # As timedelta: the unit of a plain number differs between Airflow's versions and between backends.
        Stats.timing("impactcall.attempt", timedelta(seconds=attempts.mean), tags=tags)
        Stats.timing("impactcall.attempt.longest", timedelta(seconds=attempts.longest), tags=tags)
    if limited_seconds is not None:
        Stats.timing("impactcall.rate_limit.wait", timedelta(seconds=limited_seconds), tags=tags)
    if oldest_undelivered is not None:
        # Tagged by ledger: the gauge of a retired task would keep its last value for ever.
        Stats.gauge("impactcall.oldest_undelivered", round(oldest_undelivered, 3), tags=of_the_ledger)


def _tag(value: str) -> str:
    return _NOT_IN_A_TAG.sub("_", value)
