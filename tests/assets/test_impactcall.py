"""The URI of an asset, by itself and as the installed Airflow takes it."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import urlsplit, urlunsplit

import pytest
from airflow.providers.common.compat.openlineage import facet
from airflow.providers.common.compat.sdk import Asset
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.assets.impactcall import convert_asset_to_openlineage, sanitize_uri
from airflow_provider_impactcall.defaults import DEFAULT_ORIGIN

HOST = DEFAULT_ORIGIN.removeprefix("https://")
names = st.from_regex(r"[A-Za-z0-9._~-]{1,20}", fullmatch=True)
hosts = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}\.[a-z]{2,5})?", fullmatch=True) | st.just("[::1]")


def sanitized(uri: str) -> str:
    return urlunsplit(sanitize_uri(urlsplit(uri)))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (f"impactcall://{HOST}/1000", f"impactcall://{HOST}/1000"),
        (f"IMPACTCALL://{HOST.upper()}:443//1000/4000/", f"impactcall://{HOST}/1000/4000"),
        ("impactcall:///1000", f"impactcall://{HOST}/1000"),
        ("impactcall://127.0.0.1:8900", "impactcall://127.0.0.1:8900/"),
        ("impactcall://login:secret@calls.example.com/1000", "impactcall://calls.example.com/1000"),
        ("impactcall://[::1]:8900/1000", "impactcall://[::1]:8900/1000"),
    ],
)
def test_one_form_for_all_ways_to_write_it(written: str, meant: str) -> None:
    assert sanitized(written) == meant


@given(hosts, st.none() | st.integers(1, 65_535), st.lists(names, max_size=3), st.booleans())
def test_what_is_sanitized_stays_as_it_is(host: str, port: int | None, path: list[str], user: bool) -> None:
    written = f"impactcall://{'login@' * user}{host}{'' if port is None else f':{port}'}/{'/'.join(path)}"
    once = sanitized(written)
    assert sanitized(once) == once
    assert urlsplit(once).path.strip("/").split("/") == (path or [""])
    assert urlsplit(once).username is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_anything_is_refused_or_understood(host: str, path: str) -> None:
    try:
        parts = urlsplit(f"impactcall://{host}/{path}")
        once = sanitize_uri(parts)
    except ValueError:
        return
    assert sanitize_uri(once) == once
    assert (once.scheme, once.query, once.fragment, once.username) == ("impactcall", "", "", None)


@pytest.mark.parametrize("wrong", ["?campaign=1000", "/1000/a b", "/+12125550177", ":99999/1000"])
def test_what_is_no_such_uri_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"impactcall://|[Pp]ort"):
        sanitized(f"impactcall://{HOST}{wrong}")


def test_airflow_has_it_registered() -> None:
    assert Asset(uri=f"impactcall://{HOST.upper()}:443/1000/").uri == f"impactcall://{HOST}/1000"


@pytest.mark.parametrize(("path", "name"), [("1000/4000", "1000/4000"), ("", "calls")])
def test_as_openlineage_knows_data(path: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenLineage is not among what Airflow needs: without it, its class for data makes nothing."""
    monkeypatch.setattr(facet, "Dataset", SimpleNamespace)
    dataset = convert_asset_to_openlineage(Asset(uri=f"impactcall://{HOST}/{path}"), None)
    assert (dataset.namespace, dataset.name) == (DEFAULT_ORIGIN, name)
