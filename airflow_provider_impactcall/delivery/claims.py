"""Who may send a call: at present, the first row of an input that holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from airflow_provider_impactcall.delivery.outcome import State
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import PARAMETERS, CallRecord

DEFAULT_KEY = ("CampaignId", "ActionTrackerId", "CallProvider", "CallSessionId")


class InputClaims:
    """Finds the rows of one input that hold the same call. It knows nothing of earlier runs.

    Keeps 24 bytes of digests a call, never the call.

    :param key: the parameters that tell two calls apart
    :raises InvalidOption: for a key that is empty or names what is none of the 50 parameters
    """

    def __init__(self, key: Sequence[str] = DEFAULT_KEY) -> None:
        unknown = [str(name) for name in key if name not in PARAMETERS]
        if isinstance(key, str) or not key or unknown:
            hint = f", and {', '.join(map(repr, unknown))} is none" if unknown and not isinstance(key, str) else ""
            raise InvalidOption(f"key must be a list of impact.com's parameters{hint}")
        self._key = tuple(key)
        self._seen: dict[bytes, bytes] = {}

    def claim(self, call: CallRecord) -> State | None:
        """None if the call may be sent, else what it is instead: a duplicate, or changed."""
        key = _digest(call.key(self._key), 16)
        content = _digest([part for pair in call.parameters().items() for part in pair], 8)
        claimed = self._seen.setdefault(key, content)
        if claimed is content:
            return None
        return State.DUPLICATE if claimed == content else State.CHANGED


def _digest(parts: Sequence[str], size: int) -> bytes:
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode()
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.digest()
