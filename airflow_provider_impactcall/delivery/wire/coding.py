"""Decodes the content codings ``gzip`` and ``deflate``, which every request accepts. Pure, and bounded."""

from __future__ import annotations

import zlib

_KNOWN = (b"gzip", b"x-gzip", b"deflate")
_GZIP, _ZLIB, _RAW = 31, 15, -15
_OF_GZIP = b"\x1f\x8b"


def decoded(body: bytes, coding: bytes, most: int, *, whole: bool) -> bytes:
    """The decoded body. A body in any other coding is returned unchanged, as aiohttp and requests do.

    Some servers name codings that do not exist, such as ``UTF-8``. An answer in another real coding has no readable
    Status OK.

    :param coding: the value of ``Content-Encoding``, in lower case
    :param most: bytes to decode at most
    :param whole: whether ``body`` is the whole body
    :raises ValueError: if the body is not in this coding, or ends too early; also if several codings are named and one
        of them is known, as no request asks for several
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
    """All members of a gzip file (RFC 1952, 2.2). Bytes after the last member are dropped."""
    shown, rest = _inflated(body, most, whole, _GZIP)
    while len(shown) < most and rest.startswith(_OF_GZIP):
        more, rest = _inflated(rest, most - len(shown), whole, _GZIP)
        shown += more
    return shown


def _inflated(body: bytes, most: int, whole: bool, bits: int | None = None) -> tuple[bytes, bytes]:
    """The content of a compressed stream, and the bytes after the stream."""
    stream = zlib.decompressobj(_bits(body) if bits is None else bits)
    shown = stream.decompress(body, most)
    if whole and not stream.eof and len(shown) < most:
        raise ValueError
    return shown, stream.unused_data


def _bits(body: bytes) -> int:
    """The window bits of ``deflate``: a zlib stream (RFC 9110, 8.4.1.2), which some servers send without its header."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _ZLIB if is_zlib else _RAW
