"""Tells which rows hold the same call, and which of these have the same content."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
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
    parts = bare = call.key(names)
    together = "".join(parts)
    if not (together.isascii() and together.isalnum()):  # Letters that are shown as blanks are alphanumeric too.
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
    # A copy of an empty hash is there sooner than a new one.
    hashed = _KEY_HASH.copy()
    hashed.update(_measured_pairs(names, parts, namespace))
    return hashed.hexdigest()


def _fingerprint(content: bytes) -> int:
    hashed = _FINGERPRINT_HASH.copy()
    hashed.update(content)
    return int.from_bytes(hashed.digest())


_KEY_HASH = hashlib.blake2b(digest_size=16)
_FINGERPRINT_HASH = hashlib.blake2b(digest_size=2)


@lru_cache(maxsize=16)
def _in_order(key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(key)))


def digest(parts: Sequence[str], size: int) -> bytes:
    """A digest of several texts. It depends on where one text ends: ``("a", "bc")`` and ``("ab", "c")`` differ.

    :param size: in bytes
    """
    return hashlib.blake2b(_measured(parts), digest_size=size).digest()


def _measured(parts: Sequence[str]) -> bytes:
    return b"".join([b"%d:%b" % (len(part), part) for part in map(str.encode, parts)])


# For speed: looking a number up is faster than formatting it.
_MEASURES = [f"{length}:" for length in range(1024)]


def _measured_pairs(names: Collection[str], values: Collection[str], *before: str) -> bytes:
    """Names of parameters and their values alternately, encoded as by :func:`_measured`.

    :param before: texts that come before them
    """
    pieces = _pieces(tuple(names), before).copy()
    pieces[3::3] = values
    try:
        pieces[2::3] = [_MEASURES[len(value)] for value in values]
        return "".join(pieces).encode("ascii")  # Then a length in characters is one in bytes.
    except (IndexError, UnicodeEncodeError):
        return _measured([*before, *chain.from_iterable(zip(names, values, strict=True))])


@lru_cache(maxsize=256)
def _pieces(names: Sequence[str], before: Sequence[str]) -> list[str]:
    """The texts before, then for each name its length and itself, and two places: for the value's length, and for the
    value.
    """
    measured = [(f"{len(name)}:{name}", "", "") for name in names]
    return ["".join([f"{len(text)}:{text}" for text in before]), *chain.from_iterable(measured)]
