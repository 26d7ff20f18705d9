"""Keeps other sites' web pages away from the addresses that are meant for the person at this machine.

A browser lets any page on the Internet send requests to this machine. Three checks keep such a page out:

- The page cannot make the browser leave out or forge ``Origin`` and ``Sec-Fetch-Site``.
- Every change needs JSON, or a method, for which a browser first sends a CORS preflight; the sandbox never allows it.
- The page's owner may point a name at this machine (DNS rebinding), but the sandbox does not answer to such a name.
"""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp import hdrs, web
from yarl import URL

# Nobody can register one of these names, or a name without a dot, on the Internet.
_PRIVATE_NAMES = (".localhost", ".local", ".internal", ".test")


def refusal(request: web.Request, own_host: str, *, may_be_linked: bool = False) -> web.Response | None:
    """The refusal of a request, or None if the request may be answered.

    :param own_host: the host that the sandbox was told to listen on
    :param may_be_linked: whether a link on another site may lead here
    """
    host = request.headers.get(hdrs.HOST, "")
    if not _is_ours(host, own_host):
        names = f"an IP address, a name without a dot, one that ends with {', '.join(_PRIVATE_NAMES)}, or its --host"
        return web.Response(status=421, text=f"The sandbox answers to {names}.\n")
    if _is_foreign(request, host) and not (may_be_linked and request.headers.get("Sec-Fetch-Mode") == "navigate"):
        return web.Response(status=403, text="Another site's page may not ask the sandbox for this.\n")
    return None


def _is_ours(host: str, own_host: str) -> bool:
    try:
        name = (URL(f"http://{host}").host or "").removesuffix(".").lower()
    except ValueError:
        return False
    return name != "" and (
        _is_address(name) or "." not in name or name.endswith(_PRIVATE_NAMES) or name == own_host.lower()
    )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(request: web.Request, host: str) -> bool:
    # A page on another port of this machine is foreign too, though the browser calls it "same-site".
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get(hdrs.ORIGIN)
    # The scheme is not compared, as a proxy in between may speak TLS.
    return origin is not None and origin.partition("://")[2] != host
