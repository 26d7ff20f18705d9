"""What Airflow is told of the page. Every Airflow process imports this, so it imports nothing that takes time.

The one thing it cannot do without is the class that Airflow knows a plugin by.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import AirflowPlugin, conf

log = logging.getLogger(__name__)

NAME = "impactcall"
TITLE = "impact.com calls"


def page_url() -> str:
    """The page's path on the API server, with its last ``/``: a deployment may have a base path."""
    base: str = conf.get("api", "base_url", fallback="") or ""
    return f"{urlsplit(base).path.rstrip('/')}/{NAME}/"


def login_url() -> str:
    """Where Airflow asks who you are."""
    return f"{page_url().removesuffix(f'{NAME}/')}api/v2/auth/login"


def commands() -> list[str]:
    """How the commands are called in this Airflow: 3.3 was the first to have those of providers."""
    return ["airflow", NAME] if _version() >= (3, 3) else [NAME]


def has_page() -> bool:
    """Whether this Airflow can show it: external views came with 3.1."""
    return _version() >= (3, 1)


def _version() -> tuple[int, int]:
    major, minor = airflow_version.split(".")[:2]
    return int(major), int(minor)


@cache
def _application() -> Any:
    """The page's application; None if this Airflow does not have what it needs."""
    try:
        from airflow_provider_impactcall.plugins.application import create

        return create()
    except Exception:  # An Airflow to come may differ: its API server must start nevertheless.
        log.exception("The page of the delivery ledger cannot be shown by this version of Airflow")
        return None


class ImpactCallPlugin(AirflowPlugin):  # type: ignore[misc] # Airflow has no types here
    """The page, its two places in Airflow's navigation, and the link from a task to it.

    Airflow makes one of this, as its entry point is of the group ``airflow.plugins``: a provider's own list of plugins
    is read only without ``[core] lazy_discover_providers``, and what is in both is refused as double.
    """

    name = NAME

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The page; asked for by the API server alone, which has FastAPI."""
        application = _application() if has_page() else None
        return [] if application is None else [{"app": application, "url_prefix": f"/{NAME}", "name": TITLE}]

    @property
    def external_views(self) -> list[dict[str, Any]]:
        """Where Airflow's own pages show it."""
        if not has_page():
            return []
        url = page_url()
        return [
            {"name": TITLE, "href": url, "destination": "nav", "category": "browse", "url_route": NAME},
            {
                "name": TITLE,
                "href": f"{url}#dag_run={{DAG_ID}}/{{RUN_ID}}",
                "destination": "dag_run",
                "url_route": f"{NAME}-run",
            },
        ]
