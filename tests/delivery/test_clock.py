from __future__ import annotations

import subprocess
import sys
import time

import pytest

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK

_SUSPENDED = 3600
_DIFFERENCE = "import time; from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK as clock; "
_DIFFERENCE += "print(clock.monotonic() - time.monotonic())"


def test_it_does_not_stop_while_the_machine_is_suspended() -> None:
    """In a namespace whose two clocks differ by a suspend of an hour."""
    began = time.monotonic(), SYSTEM_CLOCK.monotonic()
    assert began[1] - began[0] > -1.0
    suspended = ["unshare", "--user", "--map-root-user", "--time", "--fork", f"--boottime={_SUSPENDED}"]
    try:
        subprocess.run([*suspended, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine has no namespaces of time")
    told = subprocess.run([*suspended, sys.executable, "-c", _DIFFERENCE], check=True, capture_output=True, text=True)
    assert float(told.stdout) - (began[1] - began[0]) == pytest.approx(_SUSPENDED, abs=60)
