"""Who may ask for what a person at this machine sees and does: that person, and no web page from elsewhere.

A browser lets any page on the Internet send requests to this machine. Three things keep such a page out: it cannot
make the browser leave out or forge ``Origin`` and ``Sec-Fetch-Site``; what changes anything is JSON or a method that
a browser asks leave for first, which is never given; and a name that the page's owner points at this machine
(DNS rebinding) is not a name that is answered to.
"""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp import hdrs, web
from yarl import URL

# None of these can be had on the Internet, nor can a name without a dot.
_PRIVATE_NAMES = (".localhost", ".local", ".internal", ".test")


def refusal(request: web.Request, own_host: str, *, may_be_linked: bool = False) -> web.Response | None:
    """Why this request is not answered, or None.

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
    # Another port of this machine is another site here: "same-site" would take it for ours.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get(hdrs.ORIGIN)
    # Without the scheme, as a proxy in between may speak TLS.
    return origin is not None and origin.partition("://")[2] != host
