"""The endpoints' answers without a fault: processed, refused, or unauthorized."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from aiohttp import hdrs, web

from airflow_provider_impactcall.sandbox.validation import Complaint

# Exactly as impact.com's page prints it. The trailing comma makes it invalid JSON. A strict parser would take every
# delivered call for a failed call; its author should find that out here.
OK_JSON = '{"Status": "OK",}'
OK_XML = "<ImpactRadiusResponse><Status>OK</Status></ImpactRadiusResponse>"


def ok(request: web.Request) -> web.Response:
    """The call is processed."""
    return _json(200, OK_JSON) if _wants_json(request) else _xml(200, OK_XML)


def refused(request: web.Request, problems: Sequence[Complaint]) -> web.Response:
    """400, with every problem of the call.

    impact.com documents no refusal of this endpoint. The form is the one that it documents for its other endpoints
    (Errors, "Detailed Error Response").
    """
    errors = [{"Field": problem.parameter, "Message": problem.message} for problem in problems]
    return _error(request, 400, "Validation Failed", errors)


def unauthorized(request: web.Request) -> web.Response:
    """401: the credentials are missing, unreadable or not the expected ones."""
    answer = _error(request, 401, "HTTP Basic credentials, encoded as UTF-8, are missing or wrong")
    answer.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="Call Data API", charset="UTF-8"'
    return answer


def target_too_long(request: web.Request, limit: int) -> web.Response:
    """414: the parameters do not fit into a query string.

    :param limit: the most bytes of a request target
    """
    return _error(request, 414, f"The request target has more than {limit} bytes; send a form instead")


def body_too_long(request: web.Request, limit: int) -> web.Response:
    """413: the body is longer than any call's.

    :param limit: the most bytes of a body
    """
    return _error(request, 413, f"The body has more than {limit} bytes")


def listed(request: web.Request, about: Mapping[str, str], actions: Sequence[Mapping[str, str | int]]) -> web.Response:
    """200, with a page of the list of actions.

    :param about: the page's attributes by name, such as its number and size
    """
    if _wants_json(request):
        return _json(200, json.dumps({f"@{name}": value for name, value in about.items()} | {"Actions": actions}))
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in about.items())
    rows = "".join(f"<Action>{_elements(action)}</Action>" for action in actions)
    return _xml(200, f"<ImpactRadiusResponse><Actions{attributes}>{rows}</Actions></ImpactRadiusResponse>")


def not_listed(request: web.Request, message: str) -> web.Response:
    """400: the request for the list of actions is invalid."""
    return _error(request, 400, message)


def too_many(request: web.Request, limit: int, wait: int) -> web.Response:
    """429, with the headers that impact.com documents.

    :param limit: requests per hour
    :param wait: seconds until the next request is allowed
    """
    answer = _error(request, 429, f"The limit is {limit} requests an hour")
    answer.headers.update(
        {
            "X-RateLimit-Limit-hour": str(limit),
            "X-RateLimit-Remaining-hour": "0",
            "X-RateLimit-Reset": str(wait),
            "Retry-After": str(wait),
        }
    )
    return answer


def _error(request: web.Request, status: int, message: str, errors: Sequence[dict[str, str]] = ()) -> web.Response:
    if _wants_json(request):
        content = {"Status": "ERROR", "Message": message} | ({"Errors": list(errors)} if errors else {})
        return _json(status, json.dumps(content))
    fields = "".join(f"<Error>{_elements(error)}</Error>" for error in errors)
    details = f"<Errors>{fields}</Errors>" if errors else ""
    head = _elements({"Status": "ERROR", "Message": message})
    return _xml(status, f"<ImpactRadiusResponse>{head}{details}</ImpactRadiusResponse>")


def _elements(content: Mapping[str, str | int]) -> str:
    return "".join(f"<{name}>{escape(str(value), quote=False)}</{name}>" for name, value in content.items())


def _wants_json(request: web.Request) -> bool:
    # Per impact.com's pages, XML is the default, and only this header (or a suffix .json) asks for JSON.
    return "application/json" in request.headers.get(hdrs.ACCEPT, "").lower()


def _json(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/json")


def _xml(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/xml")
