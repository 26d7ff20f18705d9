"""Content codings of a body: ``gzip`` and ``deflate``, which every request asks for. Pure, and bounded."""

from __future__ import annotations

import zlib

_KNOWN = (b"gzip", b"x-gzip", b"deflate")
_GZIP, _ZLIB, _RAW = 31, 15, -15
_OF_GZIP = b"\x1f\x8b"


def decoded(body: bytes, coding: bytes, most: int, *, whole: bool) -> bytes:
    """A body without its coding; a body in any other coding as it is, as aiohttp and requests have it.

    Servers name codings that do not exist, such as ``UTF-8``. An answer in another real coding has no Status OK.

    :param coding: what ``Content-Encoding`` says, in lower case
    :param most: bytes that are wanted; no more are decoded, whatever there is
    :param whole: whether ``body`` is all of it
    :raises ValueError: if it is not what the coding says, or ends too early; if one of several is known, as nobody
        asked for several
    """
    if not body:
        return body
    if coding not in _KNOWN:
        if any(each.strip() in _KNOWN for each in coding.split(b",")):
            raise ValueError
        return body
    try:
        return _unzipped(body, most, whole) if coding != b"deflate" else _inflated(body, most, whole)[0]
    except zlib.error:
        raise ValueError from None


def _unzipped(body: bytes, most: int, whole: bool) -> bytes:
    """All members of a gzip file, RFC 1952, 2.2. Bytes after the last member are left out."""
    shown, rest = _inflated(body, most, whole, _GZIP)
    while len(shown) < most and rest.startswith(_OF_GZIP):
        more, rest = _inflated(rest, most - len(shown), whole, _GZIP)
        shown += more
    return shown


def _inflated(body: bytes, most: int, whole: bool, bits: int | None = None) -> tuple[bytes, bytes]:
    """What is in a stream, and what follows it."""
    stream = zlib.decompressobj(_bits(body) if bits is None else bits)
    shown = stream.decompress(body, most)
    if whole and not stream.eof and len(shown) < most:
        raise ValueError
    return shown, stream.unused_data


def _bits(body: bytes) -> int:
    """``deflate`` is a zlib stream (RFC 9110, 8.4.1.2), and servers in use send it without zlib's head."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _ZLIB if is_zlib else _RAW
