"""How slow the sandbox is where it is slow, and how much its page gets."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True)
class Measures:
    """Seconds and numbers. The defaults are what the documentation says; tests have others.

    :param slow: seconds before the answer of the fault ``slow``
    :param drip: seconds between two bytes of the fault ``drip``
    :param minutes: seconds that the fault ``429-retry-after-minutes`` asks to wait
    :param pages: open pages, at most
    :param news: seconds between two looks at what is new for a page
    :param heartbeat: seconds for which a page hears of nothing, at most
    :param patience: seconds after which a page that takes nothing is given up
    :param stride: calls that a search looks through before the endpoint has its turn
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
"""What a sandbox has that is not told otherwise."""

KEY = web.AppKey("measures", Measures)
"""Where a sandbox's application has its own."""
