"""An Airflow connection into an endpoint: what its fields and its extra mean, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_impactcall.defaults import DEFAULT_ORIGIN
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.connection import Account, Extra, account, connection_of
from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS
from tests.delivery import canary
from tests.facts import named

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def no_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def of(extra: Any = None, **fields: Any) -> Account:
    text = json.dumps(extra) if isinstance(extra, dict) else extra
    return account(Connection(conn_id="c", conn_type="impactcall", extra=text, **fields))


@pytest.mark.parametrize(
    ("host", "port", "origin"),
    [
        (None, None, DEFAULT_ORIGIN),
        ("", None, DEFAULT_ORIGIN),
        ("calls.example.com", None, "https://calls.example.com"),
        ("calls.example.com", 8443, "https://calls.example.com:8443"),
        ("calls.example.com:8443", None, "https://calls.example.com:8443"),
        ("calls.example.com:8443", 9000, "https://calls.example.com:8443"),
        ("https://calls.example.com", None, "https://calls.example.com"),
        ("https://calls.example.com/", None, "https://calls.example.com"),
        ("http://127.0.0.1", 8900, "http://127.0.0.1:8900"),
        ("http://127.0.0.1:8900", None, "http://127.0.0.1:8900"),
        ("http://[::1]", 8900, "http://[::1]:8900"),
        ("[::1]", None, "https://[::1]"),
        ("https://proxy.example.com/impact", None, "https://proxy.example.com/impact"),
    ],
)
def test_host(host: str | None, port: int | None, origin: str) -> None:
    endpoint = of(host=host, port=port).endpoint
    assert endpoint.origin == origin
    assert endpoint.url == f"{origin}/calldata/logCallData"


@pytest.mark.parametrize(
    ("spellings", "origin"),
    [
        (
            [
                *("twilio.ivr.impactradius.com", "Twilio.IVR.ImpactRadius.com", "HTTPS://twilio.ivr.impactradius.com"),
                *(
                    "twilio.ivr.impactradius.com.",
                    "twilio.ivr.impactradius.com:443",
                    "https://twilio.ivr.impactradius.com:",
                ),
                *("https://TWILIO.ivr.impactradius.com.:443/", ""),
            ],
            DEFAULT_ORIGIN,
        ),
        (["http://calls.example.com", "HTTP://CALLS.example.com.:80/"], "http://calls.example.com"),
        (["calls.example.com:80", "CALLS.example.com.:80"], "https://calls.example.com:80"),
        (["https://calls.example.com:443/Impact/"], "https://calls.example.com/Impact"),
        (["bücher.example", "BÜCHER.example.", "XN--BCHER-KVA.example:443"], "https://xn--bcher-kva.example"),
        (["http://[0:0:0:0:0:0:0:1]:80", "http://[::1]"], "http://[::1]"),
    ],
)
def test_each_spelling_of_an_endpoint_is_one_namespace(spellings: list[str], origin: str) -> None:
    """The namespace is a part of each call's key: under another text, all past calls would be sent again."""
    assert {spelling: of(host=spelling).endpoint.origin for spelling in spellings} == dict.fromkeys(spellings, origin)


def test_the_usual_port_in_its_own_field_makes_no_other_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DEFAULT_ORIGIN == "https://twilio.ivr.impactradius.com", "the ledgers that exist have this namespace"
    assert of(host="twilio.ivr.impactradius.com", port=443).endpoint.origin == DEFAULT_ORIGIN
    monkeypatch.setenv("AIRFLOW_CONN_AS_URI", "impactcall://someone:word@Twilio.ivr.impactradius.com:443/")
    assert account(connection_of("as_uri")).endpoint.origin == DEFAULT_ORIGIN


@pytest.mark.parametrize(
    "host",
    [
        ".",
        "https://..",
        "ü..example.com",
        "ftp://calls.example.com",
        "https://",
        "://x",
        "https://calls.example.com:port",
        "https://calls.example.com:99999",
        "https://[::1",
        "::1",
        f"https://user:{canary.WORD}@calls.example.com",
        f"user:{canary.WORD}@calls.example.com",
        "https://calls.example.com?x=1",
        "https://calls.example.com#x",
        "calls example.com",
        "https:\\\\calls.example.com",
    ],
)
@pytest.mark.parametrize("port", [None, 8443])
def test_a_host_that_is_none(host: str, port: int | None) -> None:
    """Or every call would be tried for a minute, against nothing; and its credentials would stand in logs."""
    with pytest.raises(InvalidOption, match=r"\bhost\b") as raised:
        of(host=host, port=port)
    assert canary.found_in(str(raised.value)) == []


def test_credentials() -> None:
    endpoint = of(login="üser", password="pä:ss").endpoint
    assert (endpoint.login, endpoint.password) == ("üser", "pä:ss")
    assert of().endpoint.authorization == "Basic Og=="


def test_defaults() -> None:
    settings = of()
    assert settings.extra == Extra()
    assert settings.extra.concurrency == 8
    assert settings.extra.defaults == {}
    assert (settings.endpoint.timeout, settings.endpoint.parameters_in, settings.endpoint.proxy) == (30, "query", None)
    assert settings.endpoint.verify == requests.utils.DEFAULT_CA_BUNDLE_PATH


FORM = {
    "parameters_in": "form",
    "campaign_id": "1000",
    "action_tracker_id": "4000",
    "call_provider": "Vendor",
    "caller_id_format": "e164",
    "concurrency": "16",
    "requests_per_second": "2.5",
    "requests_per_hour": "1000",
    "timeout": "12.5",
    "verify": "false",
    "proxies": '{"https": "http://proxy.example.com:3128"}',
    "cert": '["client.crt", "client.key"]',
}


def test_a_form_gives_every_field_as_text() -> None:
    assert set(FORM) == set(CONNECTION_FIELDS) == set(Extra.model_fields)
    settings = of(FORM)
    extra = settings.extra
    assert extra.defaults == {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "Vendor"}
    assert (extra.concurrency, extra.requests_per_second, extra.requests_per_hour) == (16, 2.5, 1000.0)
    assert extra.caller_id_format == "e164"
    endpoint = settings.endpoint
    assert (endpoint.parameters_in, endpoint.timeout, endpoint.verify) == ("form", 12.5, False)
    assert endpoint.proxy == "http://proxy.example.com:3128"
    assert endpoint.cert == ("client.crt", "client.key")


def test_empty_fields_of_a_form_are_absent() -> None:
    assert of(dict.fromkeys(FORM, "")).extra == of(dict.fromkeys(FORM)).extra == Extra()


def test_everything_that_is_wrong_is_named_at_once_and_no_value_is_shown() -> None:
    wrong = {
        "parameters_in": canary.WORD,
        "campaign_id": canary.WORD,
        "action_tracker_id": 1.5,
        "call_provider": canary.WORD * 10,
        "caller_id_format": canary.WORD,
        "concurrency": 0,
        "requests_per_second": -1,
        "requests_per_hour": "inf",
        "timeout": "nan",
        "verify": [canary.WORD],
        "proxies": '{"https": ' + canary.WORD,
        "cert": [canary.WORD, canary.WORD, canary.WORD],
    }
    assert set(wrong) == set(Extra.model_fields)
    with pytest.raises(InvalidOption) as raised:
        of(wrong)
    message = str(raised.value)
    assert [name for name in wrong if f" {name}: " not in message] == []
    assert canary.found_in(message) == []
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 1001},
        {"concurrency": 1.5},
        {"concurrency": "many"},
        {"timeout": 0},
        {"timeout": "inf"},
        {"requests_per_second": "inf"},
        {"requests_per_second": 0},
        {"proxies": {"https": 5}},
        {"proxies": "{not json"},
        {"cert": ["only.crt"]},
    ],
)
def test_a_wrong_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=rf"'c'.*\bextra\b.*\b{next(iter(wrong))}: "):
        of(wrong)


def test_a_field_that_is_none_is_a_warning_with_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        of({"concurency": canary.WORD, "extra_options": {"x": canary.WORD}})
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    facts = ("'c'", "'concurency'", "'extra_options'", *Extra.model_fields)
    assert [named(warning, *facts) for warning in warnings] == [
        ["'c'", "'concurency'", "concurrency"],
        ["'c'", "'extra_options'"],
    ]
    assert canary.found_in("".join(warnings)) == []


@pytest.mark.parametrize(
    ("value", "verify"),
    [
        (True, requests.utils.DEFAULT_CA_BUNDLE_PATH),
        ("true", requests.utils.DEFAULT_CA_BUNDLE_PATH),
        ("True", requests.utils.DEFAULT_CA_BUNDLE_PATH),
        (False, False),
        ("false", False),
        ("FALSE", False),
        ("/etc/ca.pem", "/etc/ca.pem"),
    ],
)
def test_verify(value: Any, verify: Any) -> None:
    assert of({"verify": value}).endpoint.verify == verify


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_verify_from_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    assert of().endpoint.verify == str(tmp_path)
    assert of({"verify": "/etc/ca.pem"}).endpoint.verify == "/etc/ca.pem"
    assert of({"verify": False}).endpoint.verify is False


A, B = "http://a.example.com:3128", "http://b.example.com:3128"


@pytest.mark.parametrize(
    ("proxies", "environment", "proxy"),
    [
        (None, {}, None),
        (None, {"HTTPS_PROXY": A}, A),
        (None, {"https_proxy": A}, A),
        (None, {"ALL_PROXY": A}, A),
        (None, {"HTTP_PROXY": A}, None),
        (None, {"HTTPS_PROXY": A, "NO_PROXY": "example.com"}, None),
        (None, {"HTTPS_PROXY": A, "NO_PROXY": "example.org"}, A),
        (B, {}, B),
        (B, {"HTTPS_PROXY": A, "ALL_PROXY": A}, B),
        (B, {"NO_PROXY": "*"}, B),
        ({"https": B}, {"HTTPS_PROXY": A}, B),
        ({"http": B}, {}, None),
        ({"http": B}, {"HTTPS_PROXY": A}, A),
        ({"all": B}, {}, B),
        ({"https://calls.example.com": B, "https": A}, {}, B),
        ("b.example.com:3128", {}, B),
        ("https://b.example.com", {}, "https://b.example.com"),
        ("http://user:pass@b.example.com", {}, "http://user:pass@b.example.com"),
    ],
)
def test_proxies(proxies: Any, environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert of({"proxies": proxies}, host="calls.example.com").endpoint.proxy == proxy


@pytest.mark.parametrize("proxy", ["socks5://a.example.com", "http://", "http://a.example.com:port", "http://[a"])
@pytest.mark.parametrize("where", ["connection", "environment"])
def test_a_proxy_that_cannot_be_used(proxy: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or every call would be tried for a minute and none would leave."""
    if where == "environment":
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(InvalidOption, match="proxies"):
        of({"proxies": proxy if where == "connection" else None}, host="calls.example.com")


@pytest.mark.parametrize(
    ("host", "extra", "warned"),
    [
        ("http://calls.example.com", {}, "http://"),
        ("http://192.0.2.1", {}, "http://"),
        ("http://sandbox", {}, "http://"),
        ("HTTP://calls.example.com", {}, "http://"),
        ("Https://calls.example.com", {"verify": False}, "verify=false"),
        ("https://calls.example.com", {"verify": False}, "verify=false"),
        ("", {"verify": "false"}, "verify=false"),
        ("https://127.0.0.1", {"verify": False}, "verify=false"),
        ("https://calls.example.com", {}, None),
        ("http://127.0.0.1", {}, None),
        ("http://localhost", {"verify": False}, None),
        ("http://[::1]", {}, None),
    ],
)
def test_what_lets_others_read_on_the_way_is_said(host: str, extra: dict[str, object], warned: str | None) -> None:
    from airflow_provider_impactcall.integration.connection import unsafe

    said = unsafe(account(Connection(conn_id="c", conn_type="impactcall", host=host, extra=json.dumps(extra))).endpoint)
    assert [warned in each for each in said] == [True] if warned else said == []


@pytest.mark.parametrize(("extra", "words"), [({}, "http://"), ({"verify": False}, "verify=false")])
def test_once_a_run_and_in_test(
    extra: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = "http://nowhere.invalid" if not extra else "https://nowhere.invalid"
    fields = {"conn_type": "impactcall", "host": host, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps(fields))
    from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook

    assert words in ImpactCallHook().test_connection()[1]
    caplog.clear()
    ImpactCallHook().deliver([], max_wait=0)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum(words in each for each in warned) == 1
