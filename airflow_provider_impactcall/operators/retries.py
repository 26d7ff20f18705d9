"""When to retry a task that could not send all its calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, Context

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # before Airflow 3.3
    RetryDecision, RetryPolicy = None, object  # type: ignore[assignment,misc]


class CallsNotSent(AirflowException):
    """Calls were not sent, and a later try may send them.

    :param retry_at: when a try may succeed (UTC), or None if that is not known
    """

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class RetryAtPolicy(RetryPolicy):
    """A ``retry_policy`` for Airflow 3.3 and later. If the endpoint or a rate limit said when to try again, the next
    try starts then, instead of after ``retry_delay``. Tries still count against ``retries``.

    :param longest: the longest wait before the next try
    :raises ImportError: on an Airflow that has no retry policies
    """

    def __init__(self, longest: timedelta = timedelta(hours=1)) -> None:
        if RetryDecision is None:
            raise ImportError("RetryAtPolicy needs Airflow 3.3: earlier ones have no retry policies")
        self.longest = longest

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Airflow's decision after this exception; its default without a time to try again."""
        if not isinstance(exception, CallsNotSent) or exception.retry_at is None:
            return RetryDecision.default()
        wait = min(max(exception.retry_at - datetime.now(UTC), timedelta(0)), self.longest)
        return RetryDecision.retry(wait, f"try again at {exception.retry_at:%Y-%m-%dT%H:%M:%SZ}")

    def serialize(self) -> dict[str, Any]:
        """The policy as the serialized DAG holds it."""
        return {"longest": self.longest.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> RetryAtPolicy:
        """The policy from the result of :meth:`serialize`."""
        return cls(timedelta(seconds=data["longest"]))
