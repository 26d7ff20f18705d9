"""Turns an Airflow connection into an endpoint, with one function for all HTTP clients."""

from __future__ import annotations

import ast
import difflib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import requests
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from yarl import URL

from airflow_provider_impactcall.defaults import DEFAULT_ORIGIN
from airflow_provider_impactcall.delivery.wire.endpoint import PATH, Endpoint, ParametersIn
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.provider_info import CONNECTION_TYPE
from airflow_provider_impactcall.records.normalize import CallerIdFormat

log = logging.getLogger(__name__)


def _from_json(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        return json.loads(value)
    return value


def _truth(value: Any) -> Any:
    words = {"true": True, "false": False}
    return words.get(value.casefold(), value) if isinstance(value, str) else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Extra(BaseModel):
    """The connection's extra. Empty fields of a form count as absent.

    :raises pydantic.ValidationError: with every wrong field
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    parameters_in: ParametersIn = Field("query", description="Where a call's parameters go: the URL, or the body.")
    campaign_id: int | None = Field(None, description="CampaignId of calls that lack one.")
    action_tracker_id: int | None = Field(None, description="ActionTrackerId of calls that lack one.")
    call_provider: str | None = Field(None, max_length=64, description="CallProvider of calls that lack one.")
    caller_id_format: CallerIdFormat = Field("national", description="How a US or Canadian CallerId leaves.")
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(8, description="Requests in flight at once.")
    requests_per_second: Positive | None = Field(None, description="Of the account, over all tasks; none if empty.")
    requests_per_hour: Positive | None = Field(None, description="Of the account, over all tasks; none if empty.")
    timeout: Positive = Field(30.0, description="Seconds for a whole request.")
    verify: Annotated[bool | str, BeforeValidator(_truth)] = Field(True, description="Or a file of certificates.")
    proxies: Annotated[dict[str, str] | str | None, BeforeValidator(_from_json)] = Field(
        None, repr=False, description="By scheme."
    )
    cert: Annotated[tuple[str, str] | str | None, BeforeValidator(_from_json)] = Field(None, description="A client's.")

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, extra: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in extra.items() if value is not None and value != ""}

    @property
    def defaults(self) -> dict[str, int | str]:
        """The parameters of calls that lack them."""
        candidates = {
            "CampaignId": self.campaign_id,
            "ActionTrackerId": self.action_tracker_id,
            "CallProvider": self.call_provider,
        }
        return {name: value for name, value in candidates.items() if value is not None}


@dataclass(frozen=True)
class Account:
    """What a connection says: where calls go, and the account's own conventions and limits.

    :param endpoint: where calls go, and as whom
    :param extra: the account's conventions and limits
    :param ignored: a sentence for each setting of the connection that is not read
    """

    endpoint: Endpoint
    extra: Extra
    ignored: Sequence[str] = ()


def connection_of(conn_id: str) -> Any:
    """The Airflow connection of this id.

    :raises AirflowNotFoundException: if Airflow does not find it
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        # Airflow cannot load such a connection from its database (Airflow 3.1: from any source), and reports it as
        # missing.
        raise AirflowNotFoundException(
            f"{error}, or its extra is not a JSON object, which looks the same from here"
        ) from None


def account(connection: Any, default_origin: str = DEFAULT_ORIGIN) -> Account:
    """What an Airflow connection of type ``impactcall`` says.

    Settings that are not read are logged, once for each call of this function.

    :param connection: an :class:`airflow.sdk.Connection`
    :param default_origin: scheme, host and port where the connection names no host
    :raises InvalidOption: if the extra is not a JSON object; or with every wrong field of it, without the field's value
    """
    if ":" in (connection.login or ""):
        raise InvalidOption("the connection's login must not hold a colon, as HTTP Basic cannot carry it")
    fields = _fields(connection)
    try:
        extra = Extra.model_validate(fields)
    except ValidationError as error:
        problems = [f"{detail['loc'][0] if detail['loc'] else 'extra'}: {detail['msg']}" for detail in error.errors()]
        raise InvalidOption(
            f"the connection {connection.conn_id!r}: its extra is wrong; {'; '.join(dict.fromkeys(problems))}"
        ) from None
    origin = _origin(connection.host or default_origin, connection.port)
    ignored = tuple(_ignored(connection, fields, origin))
    for each in ignored:
        log.warning("The connection %r: %s", connection.conn_id, each)
    # The rules of requests for certificates, proxies and environment variables, as in the HTTP provider.
    proxies = extra.proxies or {}
    if isinstance(proxies, str):
        # By scheme, not "all": the variables of the environment fill in only the schemes that are missing.
        proxies = {"http": proxies, "https": proxies}
    with requests.Session() as session:
        settings: Any = session.merge_environment_settings(origin, proxies, False, extra.verify, extra.cert)
    endpoint = Endpoint(
        origin=origin,
        login=connection.login or "",
        password=connection.password or "",
        parameters_in=extra.parameters_in,
        timeout=extra.timeout,
        verify=requests.utils.DEFAULT_CA_BUNDLE_PATH if settings["verify"] is True else settings["verify"],
        cert=extra.cert,
        proxy=_proxy(requests.utils.select_proxy(origin, settings["proxies"])),
    )
    return Account(endpoint, extra, ignored)


def unsafe(endpoint: Endpoint) -> list[str]:
    """A sentence for each setting of an endpoint that lets others read credentials and calls on the way."""
    parts = urlsplit(endpoint.origin)
    problems = []
    if parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
        problems.append("The connection sends credentials and calls over http://, which everyone on the way can read")
    if parts.scheme == "https" and endpoint.verify is False:
        problems.append("The connection has verify=false, so that anyone on the way can pass for the endpoint")
    return problems


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _fields(connection: Any) -> Mapping[str, Any]:
    """The fields of a connection's extra. Airflow's own reader takes text that is not JSON for an empty extra.

    :raises InvalidOption: if it is not a JSON object. The message quotes nothing of it: an extra may hold credentials
    """
    problem = _problem_with(connection)
    if problem is not None:
        raise InvalidOption(f"the connection {connection.conn_id!r}: its extra must be a JSON object, and is {problem}")
    # Reading ``extra_dejson`` has Airflow mask the secrets in it.
    fields: Mapping[str, Any] = connection.extra_dejson
    return fields


def _problem_with(connection: Any) -> str | None:
    """Why a connection's extra is not a JSON object; None if it is one, or empty."""
    try:
        text = connection.extra
    except ValueError:  # Airflow's own check, of a connection from its database
        return "something else"
    if text is None or text == "":
        return None
    if not text.strip():
        return "blank; leave it empty"
    try:
        fields = json.loads(text, object_pairs_hook=_with_each_name_once)
    except json.JSONDecodeError as error:
        at = f"no JSON from line {error.lineno}, column {error.colno}"
        return f"a dict as Python writes it; write {_JSON_FORM}" if _is_of_python(text) else f"{at}; write {_JSON_FORM}"
    except _NamedTwice as error:
        return f"an object that names {error.args[0]!r} twice"
    except (ValueError, RecursionError):
        return f"no JSON; write {_JSON_FORM}"
    if isinstance(fields, dict):
        return None
    return f"{_IN_WORDS.get(type(fields), 'a number')}; write {_JSON_FORM}, or leave it empty"


_JSON_FORM = '{"campaign_id": 1000}'
_IN_WORDS = {list: "a list", str: "a JSON string", bool: "true or false", type(None): "null"}


class _NamedTwice(ValueError):
    """A name stands twice in an object, and only one of its values could count."""


def _with_each_name_once(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise _NamedTwice(name)
        fields[name] = value
    return fields


def _is_of_python(text: str) -> bool:
    if not re.search(r"'|\b(True|False|None)\b", text):
        return False  # Perhaps only a comma too many: the error's position says more.
    try:
        return isinstance(ast.literal_eval(text.strip()), dict)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _ignored(connection: Any, fields: Mapping[str, Any], origin: str) -> Iterator[str]:
    """A sentence for each setting of a connection that is not read."""
    schema = connection.schema
    # Connections of type http have the scheme in this field.
    if schema and (connection.conn_type == CONNECTION_TYPE or not origin.startswith(f"{schema}://")):
        yield "its schema is not read; a scheme stands before the host, as in https://calls.example.com"
    for name in sorted(set(fields) - set(Extra.model_fields)):
        near = difflib.get_close_matches(name.casefold(), Extra.model_fields, n=1)
        yield f"{name!r} in its extra is not read" + (f"; did you mean {near[0]}?" if near else "")


def _origin(host: str, port: int | None) -> str:
    """One text for all spellings of an endpoint: it is the ledger's namespace, and so a part of every call's key.

    :raises InvalidOption: if it is not the origin of an HTTP endpoint
    """
    origin = (host if "://" in host else f"https://{host}").rstrip("/")
    parts = _http_url(origin)
    if parts is None or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidOption(_NO_HOST)
    if parts.path.endswith(PATH):
        raise InvalidOption(f"the connection's host must go without {PATH}")
    if port is not None and not 0 < port < 65_536:
        raise InvalidOption("the connection's port must be from 1 to 65535")
    try:
        # Has scheme and host in lower case, and the host in ASCII.
        url = URL(origin if port is None or parts.port else parts._replace(netloc=f"{parts.netloc}:{port}").geturl())
        name = url.raw_host or ""
        if name.endswith("."):
            url = url.with_host(name.rstrip("."))
        if url.is_default_port():
            url = url.with_port(None)
    except ValueError:  # Of the host's encoding, too
        raise InvalidOption(_NO_HOST) from None
    return str(url).rstrip("/")


_NO_HOST = "the connection's host must be a name, or http:// or https:// and a name"


def _proxy(url: str | None) -> str | None:
    if not url:
        return None
    proxy = url if "://" in url else f"http://{url}"
    if _http_url(proxy) is None:
        raise InvalidOption("proxies (the connection's, or those of the environment) must be URLs of HTTP proxies")
    return proxy


def _http_url(text: str) -> SplitResult | None:
    """The parts of a URL, or None if it is not an HTTP URL: aiohttp would parse it again for every call."""
    try:
        parts = urlsplit(text)
        readable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if readable and text.isprintable() and not re.search(r"[\s\\]", text) else None
