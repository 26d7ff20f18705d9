"""What the endpoint says when nothing goes wrong on the way: done, refused, or who are you."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from aiohttp import hdrs, web

from airflow_provider_impactcall.exceptions import Problem

# Letter for letter as impact.com's page prints it. The trailing comma makes it invalid JSON: a client that
# parses strictly would take every delivered call for a failed one, and should find that out here.
OK_JSON = '{"Status": "OK",}'
OK_XML = "<ImpactRadiusResponse><Status>OK</Status></ImpactRadiusResponse>"


def ok(request: web.Request) -> web.Response:
    """The call is processed."""
    return _json(200, OK_JSON) if _wants_json(request) else _xml(200, OK_XML)


def refused(request: web.Request, problems: Sequence[Problem]) -> web.Response:
    """400, with everything that is wrong with the call.

    No refusal of this endpoint is documented; this is the shape that impact.com documents for its other
    endpoints (Errors, "Detailed Error Response").
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
    """413: no call has so long a body.

    :param limit: the most bytes of a body
    """
    return _error(request, 413, f"The body has more than {limit} bytes")


def _error(request: web.Request, status: int, message: str, errors: Sequence[dict[str, str]] = ()) -> web.Response:
    if _wants_json(request):
        content = {"Status": "ERROR", "Message": message} | ({"Errors": list(errors)} if errors else {})
        return _json(status, json.dumps(content))
    fields = "".join(f"<Error>{_elements(error)}</Error>" for error in errors)
    details = f"<Errors>{fields}</Errors>" if errors else ""
    head = _elements({"Status": "ERROR", "Message": message})
    return _xml(status, f"<ImpactRadiusResponse>{head}{details}</ImpactRadiusResponse>")


def _elements(content: dict[str, str]) -> str:
    return "".join(f"<{name}>{escape(value, quote=False)}</{name}>" for name, value in content.items())


def _wants_json(request: web.Request) -> bool:
    # impact.com's pages: XML is the default, and only this header (or a suffix .json) asks for JSON.
    return "application/json" in request.headers.get(hdrs.ACCEPT, "").lower()


def _json(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/json")


def _xml(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/xml")
