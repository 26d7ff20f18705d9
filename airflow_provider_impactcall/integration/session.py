"""Turns an endpoint into a session of requests, as Airflow's HTTP provider does with a connection.

Import this module only where a session is used: a delivery needs neither the session nor the provider.
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
    """The provider's hook for a connection that is passed in, not looked up, so that each hook has its own."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(tcp_keep_alive=False)
        self.at_hand = connection

    def get_connection(self, conn_id: str) -> Connection:  # type: ignore[override]
        return self.at_hand


def session(endpoint: Endpoint) -> requests.Session:
    """A session with an account's credentials, certificates and proxies. It neither retries nor redirects by itself.

    :param endpoint: has the settings of the connection and the environment, so that the session reads neither
    """
    # Only the timeout: the provider makes an HTTP header of any other field of an extra.
    timeout = json.dumps({"timeout": endpoint.timeout})
    connection = Connection(conn_id="endpoint", conn_type="http", host=endpoint.origin, extra=timeout)
    # Not in the extra: JSON makes a list of a certificate and its key, which requests takes for one file. Version 5.3
    # of the provider reads options only if there is an extra too.
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
