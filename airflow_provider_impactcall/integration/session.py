"""An endpoint into a session of requests, as Airflow's HTTP provider makes one of a connection.

Only what uses such a session imports this: a delivery needs neither.
"""

from __future__ import annotations

import json

import requests
from airflow.providers.common.compat.sdk import Connection
from airflow.providers.http.hooks.http import HttpHook
from requests.auth import HTTPBasicAuth

from airflow_provider_impactcall.delivery.wire.bounded import BoundedAdapter
from airflow_provider_impactcall.delivery.wire.endpoint import HEADERS, Endpoint


class _OfConnection(HttpHook):
    """The provider's hook, of a connection that is at hand rather than looked up, so that each has its own."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(tcp_keep_alive=False)
        self.at_hand = connection

    def get_connection(self, conn_id: str) -> Connection:  # type: ignore[override]
        return self.at_hand


def session(endpoint: Endpoint) -> requests.Session:
    """A session with an account's credentials, certificates and proxies. It neither retries nor redirects by itself.

    :param endpoint: it has what the connection and the environment say, so that the session reads neither
    """
    # Nothing else of the account's connection: the provider makes HTTP headers of whatever else an extra holds.
    timeout = json.dumps({"timeout": endpoint.timeout})
    connection = Connection(conn_id="endpoint", conn_type="http", host=endpoint.origin, extra=timeout)
    # As options, since JSON makes a list of a certificate and its key, which requests takes for one file. The
    # provider's 5.3 reads options only beside an extra.
    options = {
        "verify": endpoint.verify,
        "cert": endpoint.cert,
        "proxies": {"all": endpoint.proxy} if endpoint.proxy else {},
        "trust_env": False,
    }
    prepared = _OfConnection(connection).get_conn(HEADERS, options)
    # As bytes, since requests, and so the provider, encodes text as Latin-1.
    prepared.auth = HTTPBasicAuth(endpoint.login.encode(), endpoint.password.encode())
    for scheme in ("http://", "https://"):
        prepared.mount(scheme, BoundedAdapter())
    return prepared
