"""The call-tracking vendors whose calls are known here, one module each, and those that users add."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.vendors.model import GUARDS
from airflow_provider_impactcall.records.vendors.preset import (
    Filter,
    Guard,
    Join,
    VendorPreset,
    anonymous,
    click_id,
    country_beside,
    latest,
    marked,
    preset_of,
    reads,
    spam,
    yes_or_no,
)

__all__ = [
    "ENTRY_POINTS",
    "GUARDS",
    "VENDORS",
    "Filter",
    "Guard",
    "Join",
    "VendorPreset",
    "anonymous",
    "click_id",
    "country_beside",
    "latest",
    "marked",
    "preset",
    "reads",
    "register",
    "spam",
    "yes_or_no",
]

VENDORS = ("callrail", "calltrackingmetrics", "invoca", "retreaver", "ringba", "twilio", "whatconverts")
"""The names of those known here."""

ENTRY_POINTS = "airflow_provider_impactcall.vendors"
"""The group of entry points by which an installed package adds presets: a preset's name, and where it is."""

_registered: dict[str, VendorPreset] = {}


def register(added: VendorPreset) -> None:
    """Have the option ``vendor`` know a preset of your own, or take it in place of the one of that name.

    It is known in the process that registers it: do so where your DAG is defined. A package that has it as an entry
    point of the group ``airflow_provider_impactcall.vendors`` makes it known everywhere, the commands included.

    :raises InvalidOption: if it is no :class:`VendorPreset`
    """
    _registered[preset_of(added).name.casefold()] = added


def preset(name: str) -> VendorPreset:
    """The preset of a vendor.

    :param name: in any case
    :raises InvalidOption: if there is none of that name
    """
    if not isinstance(name, str):
        raise InvalidOption(f"vendor must be a preset's name, and is {normalize.described(name)}")
    wanted = name.casefold()
    if wanted in _registered:
        return _registered[wanted]
    installed = _installed()
    if wanted in installed:
        return preset_of(installed[wanted].load())
    if wanted in VENDORS:
        return preset_of(import_module(f"{__name__}.{wanted}").PRESET)
    known = sorted({*VENDORS, *installed, *_registered})
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InvalidOption(f"vendor: there is no preset {name!r}{hint} (there are {', '.join(known)})")


@cache
def _installed() -> Mapping[str, EntryPoint]:
    """Looked for once a process: beside Airflow that is 15 to 45 ms, and a DAG may ask for each of its tasks."""
    return {point.name.casefold(): point for point in entry_points(group=ENTRY_POINTS)}
