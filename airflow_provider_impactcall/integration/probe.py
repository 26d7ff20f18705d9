"""What the *Test* button of a connection does and says."""

from __future__ import annotations

from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult
from airflow_provider_impactcall.delivery.wire.answer import LONGEST_ANSWER
from airflow_provider_impactcall.delivery.wire.bounded import exchange
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from airflow_provider_impactcall.integration.connection import unsafe
from airflow_provider_impactcall.integration.session import session


def probe(endpoint: Endpoint) -> tuple[bool, str]:
    """Whether the endpoint is there and takes the credentials, in words. Never raises, and creates no call."""
    try:
        with session(endpoint) as prepared:
            answer = exchange(prepared, "POST", endpoint.url, seconds=endpoint.timeout, most_bytes=LONGEST_ANSWER)
        attempt = attempt_of(answer.status, answer.headers, answer.body)
    except Exception as error:  # From requests, urllib3, a host name's codec, a certificate; its text has the URL
        good, message = False, f"No answer from {endpoint.origin} ({type(error).__name__}). Nothing is proven."
    else:
        good, message = _what_it_proves(endpoint, attempt)
    return good, " ".join([message, *(f"{problem}." for problem in unsafe(endpoint))])


def _what_it_proves(endpoint: Endpoint, attempt: Attempt) -> tuple[bool, str]:
    """What the answer to an empty call says of an endpoint."""
    match attempt:
        case Attempt(status=401 | 403):
            return False, f"{endpoint.origin} refuses the credentials ({attempt.status}). No call was created."
        case Attempt(result=AttemptResult.REJECTED):
            return True, (
                f"{endpoint.origin} answered, did not refuse the credentials, and refused an empty call "
                f"({attempt.status}), as it should: no call was created. Not proven: that it checks credentials "
                "before parameters, and that your CampaignId, MediaId and ActionTrackerId exist."
            )
        case Attempt(result=AttemptResult.DELIVERED):
            return False, f"{endpoint.origin} accepts an empty call, so it is not the Call Data API."
        case _:
            return False, f"{endpoint.origin} answered {attempt.reason}. Whether it takes calls is not proven."
