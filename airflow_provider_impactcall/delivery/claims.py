"""Which rows of one input hold the same call."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from airflow_provider_impactcall.delivery.outcome import State
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import PARAMETERS, CallRecord

DEFAULT_KEY = ("CampaignId", "ActionTrackerId", "CallProvider", "CallSessionId")


class InputClaims:
    """Finds the rows of one input that hold the same call. Of earlier runs, the ledger knows.

    Keeps 24 bytes of digests a call, never the call.

    :param key: the parameters that tell two calls apart
    :raises InvalidOption: for a key that is empty or names what is none of the 50 parameters
    """

    def __init__(self, key: Sequence[str] = DEFAULT_KEY) -> None:
        if isinstance(key, str) or not isinstance(key, Sequence) or not key:
            raise InvalidOption("key must be a list of impact.com's parameters")
        unknown = [name for name in key if not isinstance(name, str) or name not in PARAMETERS]
        if unknown:
            raise InvalidOption(
                f"key must be a list of impact.com's parameters: {', '.join(map(repr, unknown))} is none"
            )
        self.key = tuple(key)
        self._seen: dict[bytes, bytes] = {}

    def claim(self, call: CallRecord) -> State | None:
        """None if the call may be sent, else what it is instead: a duplicate, or changed."""
        key = digest(call.key(self.key), 16)
        content = digest([part for pair in call.parameters().items() for part in pair], 8)
        claimed = self._seen.setdefault(key, content)
        if claimed is content:
            return None
        return State.DUPLICATE if claimed == content else State.CHANGED


def digest(parts: Sequence[str], size: int) -> bytes:
    """A digest of several texts, told apart from every other way of splitting the same text.

    :param size: in bytes
    """
    hashed = hashlib.blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode()
        hashed.update(b"%d:" % len(encoded))
        hashed.update(encoded)
    return hashed.digest()
