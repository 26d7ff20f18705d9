"""The page's application, which Airflow's API server mounts: who may see it, its headers, its files and its data.

Everyone who has logged in gets its files; its data need the right to look. It only answers GET, and changes nothing.
Only the API server imports this module: it needs FastAPI, which Airflow 2 does not have.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_impactcall.delivery.csv_cells import csv_lines
from airflow_provider_impactcall.delivery.ledger.selection import status_of
from airflow_provider_impactcall.exceptions import InvalidOption, LedgerUnusable
from airflow_provider_impactcall.pages import page_files
from airflow_provider_impactcall.plugins.answers import COLUMNS, DEFAULT_CALLS, Answers, Asked
from airflow_provider_impactcall.plugins.shared_ledger import SharedLedger
from airflow_provider_impactcall.plugins.urls import NAME, commands, login_url, page_url

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # For the files too: they are few, and belong to this version.
    "Cache-Control": "no-store",
}
"""The headers of every answer, also of errors."""

CORRECTIONS = "impactcall_corrections"

_FILES = page_files(Path(__file__).with_name("static"))


class _Guarded:
    """Adds the headers to every answer, and hides the details of errors.

    It wraps the application: FastAPI's answer to an unexpected error bypasses all other middlewares.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                ours = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                named = {name for name, _ in ours}
                others = [header for header in message.get("headers", []) if header[0].lower() not in named]
                message = {**message, "headers": [*others, *ours]}
            await send(message)

        try:
            await self._application(scope, receive, send_with_headers)
        except Exception as error:
            # Without the error's text, which may hold a query's values or a connection's details.
            last = traceback.extract_tb(error.__traceback__)[-1]
            log.error("The page failed (%s, %s:%s)", type(error).__name__, last.filename, last.lineno)
            if begun:
                # The answer must not look as if it were whole.
                raise ConnectionAbortedError("the answer was cut off") from None
            await _failure(500, "the page failed; the API server's log says why")(scope, receive, send_with_headers)


def may_look(user: BaseUser) -> bool:
    """Whether a user may see plugins in Airflow and read all DAGs and their runs: a ledger has calls of all DAGs.

    Without Airflow's ``requires_access_dag``: if the request names a DAG, that asks only for this DAG's runs.
    """
    manager = get_auth_manager()
    return bool(
        manager.is_authorized_view(access_view=AccessView.PLUGINS, user=user)
        and manager.is_authorized_dag(method="GET", user=user)
        and manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.RUN, user=user)
    )


def has_corrections() -> bool:
    """Whether this Airflow has the sample DAG that corrects a ledger, to which the page then links."""
    query = select(DagModel.dag_id).where(DagModel.dag_id == CORRECTIONS, DagModel.is_stale.is_(False))
    try:
        with create_session() as session:
            return session.scalar(query) is not None
    except SQLAlchemyError as error:  # Only a link depends on it.
        log.info(
            "Airflow's own database does not say whether it has the DAG %s (%s)", CORRECTIONS, type(error).__name__
        )
        return False


def permitted(user: GetUserDep) -> None:
    """Lets only users through who may look."""
    if not may_look(user):
        raise HTTPException(403, "You have no right to see this: it takes the rights to read plugins and DAG runs.")


def asked(
    since: str | None = None,
    until: str | None = None,
    namespace: str | None = None,
    state: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    reason_code: str | None = None,
    status: str | None = None,
    call_session_id: Annotated[list[str], Query(alias="CallSessionId")] = [],  # noqa: B006
    media_id: Annotated[list[str], Query(alias="MediaId")] = [],  # noqa: B006
    campaign_id: Annotated[list[str], Query(alias="CampaignId")] = [],  # noqa: B006
    run_id: Annotated[list[str], Query()] = [],  # noqa: B006
    action: Annotated[list[str], Query()] = [],  # noqa: B006
    source: str | None = None,
    dag_id: str | None = None,
    dag_run_id: str | None = None,
    limit: int = DEFAULT_CALLS,
) -> Asked:
    """The parameters of a request; an empty parameter counts as absent."""
    return Asked(
        since=since or None,
        until=until or None,
        namespace=namespace or None,
        states=[each for each in state if each],
        reason_code=reason_code or None,
        status=status_of(status) if status else None,
        call_session_ids=[each for each in call_session_id if each],
        media_ids=[each for each in media_id if each],
        campaign_ids=[each for each in campaign_id if each],
        run_ids=[each for each in run_id if each],
        actions=[each for each in action if each],
        source=(source or "").rstrip("/") or None,
        dag_id=dag_id or None,
        dag_run_id=dag_run_id or None,
        limit=limit,
    )


_Asked = Annotated[Asked, Depends(asked)]
_ANSWERS: Mapping[str, Callable[[Answers], Any]] = {
    "over-time": Answers.over_time,
    "partners": Answers.partners,
    "campaigns": Answers.campaigns,
    "actions": Answers.actions,
    "rejected": Answers.rejected,
    "unknown": Answers.unknown,
    "invalid": Answers.invalid,
    "filtered": Answers.filtered,
    "changed": Answers.changed,
    "calls": Answers.calls,
    "history": Answers.history,
    "runs": Answers.runs,
}
_ROWS: Mapping[str, Callable[[Answers], Iterable[Mapping[str, Any]]]] = {
    **_ANSWERS,
    "over-time": lambda answers: answers.over_time()["steps"],
    "invalid": Answers.each_problem,
    "changed": Answers.each_changed,
    "calls": Answers.each_call,
    "history": lambda answers: answers.history()["history"],
    "runs": Answers.each_run,
}
"""The rows of each listing's CSV: all calls and runs, not only the last."""


def create(kept: SharedLedger | None = None) -> FastAPI:
    """The application.

    :param kept: the ledger to look at; the configured one if None
    """
    # Without FastAPI's documentation pages, which everyone could read.
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    application.add_middleware(_Guarded)
    application.add_exception_handler(StarletteHTTPException, _refused)
    application.add_exception_handler(RequestValidationError, lambda *_: _failure(400, "limit must be a whole number"))
    application.add_exception_handler(InvalidOption, lambda _, error: _failure(400, str(error)))
    application.add_exception_handler(LedgerUnusable, lambda _, error: _failure(503, str(error)))
    application.add_api_route("/", _page, response_model=None)
    application.add_api_route("/static/{name}", _file, response_model=None)
    kept = kept or SharedLedger()
    command = commands()

    # These are plain functions, which FastAPI calls in threads, as they wait for databases.
    def overview(asked: _Asked) -> Response:
        with kept.opened() as ledger:
            told = Answers(ledger, asked, command).overview(kept.name)
        return JSONResponse({**told, "can_be_corrected": has_corrections()})

    def as_json(answer: Callable[[Answers], Any]) -> Callable[[Asked], Response]:
        def respond(asked: _Asked) -> Response:
            with kept.opened() as ledger:
                return JSONResponse(answer(Answers(ledger, asked, command)))

        return respond

    def as_csv(name: str, rows: Callable[[Answers], Iterable[Mapping[str, Any]]]) -> Callable[[Asked], Response]:
        def chunks(asked: Asked) -> Iterator[str]:
            with kept.opened() as ledger:
                yield from csv_lines(COLUMNS[name], rows(Answers(ledger, asked, command)))

        def respond(asked: _Asked) -> Response:
            lines = chunks(asked)
            # An error that prevents any answer is reported before the answer begins.
            whole = chain([next(lines)], lines)
            disposition = f'attachment; filename="impactcall-{name}.csv"'
            return StreamingResponse(
                whole, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition}
            )

        return respond

    data = APIRouter(prefix="/api", dependencies=[Depends(permitted)])
    data.add_api_route("/overview", overview, response_model=None)
    for name, answer in _ANSWERS.items():
        data.add_api_route(f"/{name}", as_json(answer), response_model=None)
    for name, rows in _ROWS.items():
        data.add_api_route(f"/{name}.csv", as_csv(name, rows), response_model=None)
    application.include_router(data)
    return application


def _page(user: GetUserDep) -> Response:
    # Without the right, the page says so and gets no data. Airflow's frame would show bare JSON.
    page = _file("index.html")
    page.status_code = 200 if may_look(user) else 403
    return page


def _file(name: str) -> Response:
    if name not in _FILES:
        raise HTTPException(404, "There is no such file.")
    body, content_type = _FILES[name]
    return Response(body, media_type=f"{content_type}; charset=utf-8")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - nothing else is handled so
    if error.status_code == 401 and request.scope["path"].endswith(f"/{NAME}/") and request.method == "GET":
        # For a link from a colleague: after the login, return to the page.
        return RedirectResponse(f"{login_url()}?next={quote(page_url(), safe='')}", 303)
    return _failure(error.status_code, error.detail)


def _failure(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status)
