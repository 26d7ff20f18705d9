"""100,000 actions in flat memory: what a list of a tenth takes, it takes too."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

FEW, MANY = 10_000, 100_000
# Peak of the process, in kB, with pages of 5,000 actions, beside as many calls.
SCRIPT = """
import json, resource, sys, threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import requests

from airflow_provider_impactcall.delivery.actions import CallIdentity, ReadBack
from airflow_provider_impactcall.delivery.matching import Fate, Matching

COUNT, PAGE, FIRST = int(sys.argv[1]), 5_000, 1_789_000_000


def caller(number):
    return f"212{number:07}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        page = int(parse_qs(urlsplit(self.path).query).get("Page", ["1"])[0])
        numbers = range((page - 1) * PAGE, min(page * PAGE, COUNT))
        actions = [
            {
                "Id": f"1000.4000.{number}",
                "CampaignId": "1000",
                "ActionTrackerId": "4000",
                "State": ("PENDING", "APPROVED", "REVERSED")[number % 3],
                "Payout": "25.00",
                "Amount": "0.00",
                "Currency": "USD",
                "EventDate": datetime.fromtimestamp(FIRST + number, UTC).isoformat(),
                "CreationDate": "2026-09-10T00:00:00Z",
                "LockingDate": "2026-10-10T00:00:00Z",
                "ClearedDate": "",
                "CallerId": caller(number),
            }
            for number in numbers
        ]
        following = f"/Actions?Page={page + 1}" if page * PAGE < COUNT else ""
        body = json.dumps({"@nextpageuri": following, "Actions": actions}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = requests.Session()
session.trust_env = False
reader = ReadBack(session, f"http://127.0.0.1:{server.server_port}", "IRabc123")
since = datetime.fromtimestamp(FIRST, UTC)
found = 0
with Matching() as matching:
    for number in range(COUNT):
        identity = CallIdentity("1000", "4000", caller(number), FIRST + number)
        matching.add(f"{number:032}", identity, 0, Fate(delivered=True, attempts=1))
    matching.listed(reader.actions("1000", since, since + timedelta(days=40)))
    for match in matching.matches():
        found += match.action is not None
print(json.dumps({"found": found, "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


@pytest.mark.memory
def test_memory_does_not_grow_with_the_number_of_actions() -> None:
    def peak(count: int) -> int:
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(count)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert told["found"] == count
        return int(told["kilobytes"])

    few, many = peak(FEW), peak(MANY)
    # 90,000 more actions and calls, as objects, would take 100 MB and more.
    assert many < few + 16 * 1024
