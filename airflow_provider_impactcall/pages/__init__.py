"""What the two pages have in common: their look, and the types of their files. No Airflow, and no web framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# Not from the machine's MIME table: a browser does not run a script of any other type.
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SHARED = Path(__file__).with_name("static")


def page_files(own: Path) -> Mapping[str, tuple[bytes, str]]:
    """The files that a page's browser may load, by name, each with its content type.

    :param own: the folder of the page's own files; the shared files come with them
    """
    found = [file for folder in (_SHARED, own) for file in folder.iterdir() if file.suffix in _TYPES]
    return {file.name: (file.read_bytes(), _TYPES[file.suffix]) for file in found}
