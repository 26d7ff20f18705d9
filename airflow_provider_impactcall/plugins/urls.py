"""Where the page is, and what of its needs this Airflow has. Every Airflow process imports this module."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import conf

NAME = "impactcall"


def page_url() -> str:
    """The page's path on the API server, with its last ``/``: a deployment may have a base path."""
    base: str = conf.get("api", "base_url", fallback="") or ""
    return f"{urlsplit(base).path.rstrip('/')}/{NAME}/"


def login_url() -> str:
    """Where Airflow asks who you are."""
    return f"{page_url().removesuffix(f'{NAME}/')}api/v2/auth/login"


def commands() -> list[str]:
    """How the commands are called in this Airflow: 3.3 is the first with providers' commands."""
    return ["airflow", NAME] if _version() >= (3, 3) else [NAME]


def has_page() -> bool:
    """Whether this Airflow can show the page: external views came with 3.1."""
    return _version() >= (3, 1)


def _version() -> tuple[int, int]:
    major, minor = airflow_version.split(".")[:2]
    return int(major), int(minor)
