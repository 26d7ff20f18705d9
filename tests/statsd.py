"""A StatsD server that keeps what it receives, on a free port of this machine."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_METRIC = re.compile(r"(?P<name>[^:|,]+)(?P<tags>[^:|]*):(?P<value>[^|]+)\|(?P<kind>\w+)")


class Metric(NamedTuple):
    """One metric, as it came.

    :param kind: ``c`` (a counter), ``ms`` (a timing) or ``g`` (a gauge)
    """

    name: str
    value: float
    kind: str
    tags: dict[str, str]


class StatsD:
    """What the server has received so far about this package.

    :param port: where it listens
    :param packets: the packets, as they came
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.packets: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make an Airflow send its metrics here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.port),
        }

    @property
    def metrics(self) -> list[Metric]:
        found = []
        for packet in self.packets:
            match = _METRIC.fullmatch(packet)
            assert match, packet
            tags = dict(tag.split("=", 1) for tag in match["tags"].split(",")[1:])
            found.append(Metric(match["name"], float(match["value"]), match["kind"], tags))
        return found

    def heard(self, name: str) -> list[Metric]:
        """The metrics of a name, given without Airflow's prefix."""
        return [metric for metric in self.metrics if metric.name == f"airflow.{name}"]


@contextmanager
def statsd() -> Iterator[StatsD]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.1)
        server = StatsD(listening.getsockname()[1])
        ended = threading.Event()

        def listen() -> None:
            while not ended.is_set():
                try:
                    packet = listening.recv(65_536).decode()
                except TimeoutError:
                    continue
                server.packets += [line for line in packet.splitlines() if line.startswith("airflow.impactcall.")]

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            thread.join()
