"""HTTP Basic credentials as a request carries them."""

from __future__ import annotations

import base64
import binascii


def read_basic(authorization: str) -> tuple[str, str] | None:
    """User and password; None if the header has none, or none that is UTF-8.

    :param authorization: the Authorization header, or ``''``
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeError):
        return None
    return (user, password) if colon else None
