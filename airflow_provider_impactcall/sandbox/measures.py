"""The delays of the sandbox's slow faults, and the limits of its page."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True)
class Measures:
    """Seconds and numbers. The documentation states the defaults; tests use other values.

    :param slow: seconds before the answer of the fault ``slow``
    :param drip: seconds between two bytes of the fault ``drip``
    :param minutes: seconds that the fault ``429-retry-after-minutes`` asks to wait
    :param pages: the most open pages
    :param news: seconds between two checks for news for a page
    :param heartbeat: the most seconds without a message to a page
    :param patience: seconds after which a page that does not read is disconnected
    :param stride: calls that a search checks before it lets the endpoint run
    """

    slow: float = 2.0
    drip: float = 0.1
    minutes: int = 120
    pages: int = 16
    news: float = 0.2
    heartbeat: float = 15.0
    patience: float = 30.0
    stride: int = 2_000


MEASURES = Measures()
"""The default measures."""

KEY = web.AppKey("measures", Measures)
"""The application's key for its measures."""
