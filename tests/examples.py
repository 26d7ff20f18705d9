"""A valid call and credentials, for the tests of several folders. All phone numbers are reserved for examples."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_impactcall.sandbox import Sandbox

LOGIN = "advertiser-login"
PASSWORD = "canary-pässwörd-5150"
CALLER = "2125550177"
RECORDING = "https://recordings.example.com/canary-recording-7731.mp3"


def call(session_id: str, **changes: Any) -> dict[str, Any]:
    """A valid row, by parameter name."""
    return {
        "CampaignId": 1000,
        "MediaId": 10000,
        "EventDate": "2026-09-10T22:55:32-08:00",
        "ActionTrackerId": 4000,
        "CallProvider": "ExampleVendor",
        "CallSessionId": session_id,
        "CallerId": CALLER,
        "CalledPhoneNumber": "(303) 555-0191",
        "CallDuration": 180,
        "TalkDuration": 120,
        "CallStatus": "ANSWER",
        "CallRecording": RECORDING,
        **changes,
    }


def calls(count: int, prefix: str = "call") -> list[dict[str, Any]]:
    """So many valid rows."""
    return [call(f"{prefix}-{number}") for number in range(count)]


def connection(sandbox: Sandbox, **extra: Any) -> str:
    """The connection that leads to a sandbox, as Airflow's environment variables hold it."""
    return json.dumps(
        {
            "conn_type": "impactcall",
            "host": f"http://{sandbox.host}",
            "port": sandbox.port,
            "login": LOGIN,
            "password": PASSWORD,
            "extra": extra,
        }
    )


def session_ids(sandbox: Sandbox) -> list[str]:
    """The calls that the sandbox processed, by id, sorted."""
    return sorted(processed["parameters"]["CallSessionId"] for processed in sandbox.calls)
