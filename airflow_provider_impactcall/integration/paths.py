"""Paths from a person, in a form that may be shown."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records.printable import printable

# Text before a colon and a port is a host. A path object keeps one of the two slashes. A password may hold every @
# except the last.
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:/{1,2})[^/@:]*:(?![0-9]+/).*@", re.DOTALL)
# The query of a signed URL. A ? without a = belongs to a pattern of names.
_QUERY = re.compile(r"(://[^?]*\?)[^?]*=.*", re.DOTALL)


def shown(path: Any) -> str:
    """A path or URL in a message: without the credentials in it and its query, and printable."""
    return printable(_QUERY.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", str(path))))


def refuse_credentials(path: Any) -> None:
    """Refuses a URL with a password in it: the URL is in the DAG's code, which Airflow stores and shows.

    :raises InvalidOption: with what to do instead
    """
    if _CREDENTIALS.search(str(path)):
        raise InvalidOption(
            f"{shown(path)} has a password in it: keep that in an Airflow connection, and write its id instead, as in "
            "sftp://conn_id@host/file.csv"
        )
