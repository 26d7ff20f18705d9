"""The asset URI for the calls that impact.com has. Airflow imports this module when it parses a DAG with any asset.

``impactcall://<endpoint host>[:<port>]/<CampaignId>[/<ActionTrackerId>]``; without a path: all calls of the endpoint.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_impactcall.defaults import DEFAULT_ORIGIN

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

SCHEME = "impactcall"

_HTTPS = 443
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """One form for all ways to write the same asset, as Airflow compares URIs as text.

    The host is in lower case. A missing host means impact.com's, as for a connection. HTTPS' default port, a user and
    empty parts of the path are left out.

    :param uri: as :func:`urllib.parse.urlsplit` gives it
    :raises ValueError: if the port is not a number, a part of the path has characters other than letters, digits and
        ``-._~``, or the URI has a query, as a query cannot distinguish two assets
    """
    if uri.query:
        raise ValueError("URI format impactcall:// must not contain a query")
    host = uri.hostname or urlsplit(DEFAULT_ORIGIN).hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = f":{uri.port}" if uri.port not in (None, _HTTPS) else ""
    segments = [segment for segment in uri.path.split("/") if segment]
    if not all(map(_SEGMENT.fullmatch, segments)):
        raise ValueError("URI format impactcall:// must contain only letters, digits and -._~ in its path")
    return SplitResult(SCHEME, f"{host}{port}", "/" + "/".join(segments), "", "")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """The asset as an OpenLineage dataset, with the same names that an operator reports for its deliveries.

    The namespace is the endpoint's origin. The name is the path or, without a path, ``calls``.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

    parsed = urlsplit(asset.uri)
    return OpenLineageDataset(namespace=f"https://{parsed.netloc}", name=parsed.path.strip("/") or "calls")
