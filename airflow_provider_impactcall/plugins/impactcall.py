"""Registers the page with Airflow. Every Airflow process imports this module, so it imports nothing that takes time.

The module needs only Airflow's classes of plugins and links, which Airflow has imported by then.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_impactcall.plugins.links import LedgerLink
from airflow_provider_impactcall.plugins.urls import NAME, has_page, page_url

log = logging.getLogger(__name__)

TITLE = "impact.com calls"


@cache
def _application() -> Any:
    """The page's application; None if this Airflow does not have what it needs."""
    try:
        from airflow_provider_impactcall.plugins.application import create

        return create()
    except Exception:  # A future Airflow may differ; its API server must still start.
        log.exception("The page of the delivery ledger cannot be shown by this version of Airflow")
        return None


class ImpactCallPlugin(AirflowPlugin):
    """The page, its two places in Airflow's navigation, and the link from a task to it.

    Airflow finds this class by an entry point of the group ``airflow.plugins``. A provider's own list of plugins is
    read only without ``[core] lazy_discover_providers``, and a plugin in both is refused as a duplicate.
    """

    name = NAME

    # Properties, so that only a process that needs a part imports it.
    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The page. Only the API server, which has FastAPI, asks for it."""
        application = _application() if has_page() else None
        return [] if application is None else [{"app": application, "url_prefix": f"/{NAME}", "name": TITLE}]

    @property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Where Airflow's own pages show the page."""
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

    @property
    def operator_extra_links(self) -> list[Any]:  # type: ignore[override]
        """The link from a task instance to the page, if there is a page."""
        return [LedgerLink()] if has_page() else []
