"""Tells which rows hold the same call, and which of these have the same content."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from airflow_provider_impactcall.records import PARAMETERS, CallRecord, normalize

DIGEST_BYTES = 16
"""Size of the digests that identify an invalid row."""


class Claim(NamedTuple):
    """A call that wants to be sent.

    :param key: tells the call from every other call of the namespace
    :param fingerprint: the 16 bits of its content that the ledger keeps; they miss one changed call in 65,536
    :param content: 64 bits of its content, to compare calls of one input; differs between processes
    :param is_known: whether the run knows that the ledger has an entry for the call; if not, the call is first inserted
        as a new one
    :param as_given: key and fingerprint of the call with the blanks and the like that the row had around the values
        of its key. Earlier versions sent it under these. None if there were no blanks
    """

    key: str
    fingerprint: int
    content: int
    call: CallRecord
    is_known: bool = False
    as_given: tuple[str, int] | None = None

    @property
    def keys(self) -> Sequence[str]:
        """The keys under which a ledger may have the call."""
        return (self.key,) if self.as_given is None else (self.key, self.as_given[0])


def identify(namespace: str, key: Sequence[str], call: CallRecord) -> Claim:
    """The claim for a call.

    :param key: the parameters that tell two calls apart, in any order
    """
    names = _in_order(tuple(key))
    parameters = call.sent
    parts = call.key(names)
    bare = tuple(map(normalize.bare, parts))
    content = _measured_pairs(parameters, parameters.values())
    claim = Claim(_key(namespace, names, bare), _fingerprint(content), hash(content), call)
    given = call.as_given
    if not given and bare == parts:
        return claim
    parts = tuple(given.get(name, part) for name, part in zip(names, parts, strict=True))
    parameters = {**parameters, **given}
    content = _measured_pairs(parameters, parameters.values())
    return claim._replace(as_given=(_key(namespace, names, parts), _fingerprint(content)))


def key_of(namespace: str, key: Sequence[str], legible: Mapping[str, str]) -> str | None:
    """The key of an invalid call, or None if the parameters of its key cannot be read.

    :param key: the parameters that tell two calls apart, in any order
    :param legible: the text of the parameters that can be read; ``''`` for a parameter that is absent
    """
    names = _in_order(tuple(key))
    if not legible.keys() >= set(names):
        return None
    parts = tuple(normalize.bare(legible[name]) for name in names)
    lacking = any(not part and PARAMETERS[name].required for name, part in zip(names, parts, strict=True))
    return None if lacking or not any(parts) else _key(namespace, names, parts)


def _key(namespace: str, names: Sequence[str], parts: Sequence[str]) -> str:
    return _hashed(_measured_namespace(namespace) + _measured_pairs(names, parts), 16).hex()


def _fingerprint(content: bytes) -> int:
    return int.from_bytes(_hashed(content, 2))


@lru_cache(maxsize=16)
def _in_order(key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(key)))


def digest(parts: Sequence[str], size: int) -> bytes:
    """A digest of several texts. It depends on where one text ends: ``("a", "bc")`` and ``("ab", "c")`` differ.

    :param size: in bytes
    """
    return _hashed(_measured(parts), size)


def _hashed(measured: bytes, size: int) -> bytes:
    return hashlib.blake2b(measured, digest_size=size).digest()


def _measured(parts: Sequence[str]) -> bytes:
    return b"".join([b"%d:%b" % (len(part), part) for part in map(str.encode, parts)])


_MEASURED_NAMES = {name: f"{len(name)}:{name}" for name in PARAMETERS}
# For speed: looking a number up is faster than formatting it.
_MEASURES = [f"{length}:" for length in range(1024)]


@lru_cache(maxsize=16)
def _measured_namespace(namespace: str) -> bytes:
    return _measured((namespace,))


def _measured_pairs(names: Collection[str], values: Collection[str]) -> bytes:
    """Names of parameters and their values alternately, encoded as by :func:`_measured`."""
    with suppress(IndexError):
        pairs = zip(names, values, strict=True)
        measured = "".join([f"{_MEASURED_NAMES[name]}{_MEASURES[len(value)]}{value}" for name, value in pairs])
        if measured.isascii():  # Nearly all are, and a length in characters is then one in bytes.
            return measured.encode("ascii")
    return _measured([*chain.from_iterable(zip(names, values, strict=True))])
