"""Remembers in little memory which calls an input has held so far."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.outcome import RowOutcome
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import PARAMETERS

_KEY_BYTES = 16
_entry = Struct(f"<{_KEY_BYTES}sq")
_BUCKETS = 1 << 14


class CallIndex:
    """The calls of one input so far: by key, the content with which each call was first seen.

    Exact: whole keys are compared. A call takes 24 bytes plus the spare room of its bucket: 35 MB for a million calls,
    where a dict takes 150 MB. One look-up takes 1 to 3 us, and more in a larger input: a bucket is searched from its
    start, and holds 61 of a million calls.
    """

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]

    def state_of(self, key: bytes, content: int) -> RowOutcome | None:
        """Add a call. None if it is new; else ``DUPLICATE`` if its content is the same, or ``CHANGED``.

        :param key: 16 bytes, evenly distributed: a digest
        :param content: 64 bits as a signed number; all bits are compared
        """
        entry = _entry.pack(key, content)
        bucket = self._buckets[int.from_bytes(key[:2], "little") % _BUCKETS]
        at = bucket.find(key)
        while at > 0 and at % _entry.size:  # the end of one entry and the beginning of another
            at = bucket.find(key, at + 1)
        if at < 0:
            bucket += entry
            return None
        return RowOutcome.DUPLICATE if bucket.startswith(entry, at) else RowOutcome.CHANGED


def names_of_key(key: Any) -> tuple[str, ...]:
    """The parameters that tell two calls apart, checked.

    :raises InvalidOption: for an empty key, or a name that is not one of the 50 parameters
    """
    if isinstance(key, str) or not isinstance(key, Sequence) or not key:
        raise InvalidOption("key must be a list of impact.com's parameters")
    unknown = [name for name in key if not isinstance(name, str) or name not in PARAMETERS]
    if unknown:
        problems = [f"key: {name!r} is not one of impact.com's 50 parameters" for name in unknown]
        raise InvalidOption("; ".join(problems))
    return tuple(key)


class Duplicates:
    """Finds the rows of one input that hold the same call. The ledger finds the calls of earlier runs.

    Keeps only digests of calls: 35 MB for a million calls.

    :param key: the parameters that tell two calls apart
    :raises InvalidOption: for an empty key, or a name that is not one of the 50 parameters
    :ivar may_lack_key: whether a call may have none of these parameters
    """

    def __init__(self, key: Sequence[str] = DEFAULT_KEY) -> None:
        self.key = names_of_key(key)
        self.may_lack_key = not any(PARAMETERS[name].required for name in self.key)
        self._seen = CallIndex()

    def state_of(self, claim: Claim) -> RowOutcome | None:
        """None if the call may be sent; else ``DUPLICATE`` or ``CHANGED``."""
        return self._seen.state_of(bytes.fromhex(claim.key), claim.content)
