"""The presets of call-tracking vendors: one module for each vendor, and presets that users add."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.vendors.filters import GUARDS
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
"""The names of the presets in this package."""

ENTRY_POINTS = "airflow_provider_impactcall.vendors"
"""The group of entry points by which an installed package adds presets: a preset's name, and its place in code."""


class Presets:
    """Presets by name. Registered presets go first, then presets of installed packages, then those of this package.

    :param find_installed: finds the entry points of installed packages
    """

    def __init__(self, find_installed: Callable[[], Iterable[EntryPoint]]) -> None:
        self._registered: dict[str, VendorPreset] = {}
        self._find_installed = find_installed

    def register(self, added: VendorPreset) -> None:
        """See :func:`register`."""
        self._registered[preset_of(added).name.casefold()] = added

    def find(self, name: str) -> VendorPreset:
        """See :func:`preset`."""
        if not isinstance(name, str):
            raise InvalidOption(f"vendor must be a preset's name, and is {normalize.described(name)}")
        wanted = name.casefold()
        if wanted in self._registered:
            return self._registered[wanted]
        if wanted in self._installed:
            return _preset_at(self._installed[wanted])
        if wanted in VENDORS:
            return preset_of(import_module(f"{__name__}.{wanted}").PRESET)
        known = sorted({*VENDORS, *self._installed, *self._registered})
        near = difflib.get_close_matches(wanted, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidOption(f"vendor: there is no preset {name!r}{hint} (there are {', '.join(known)})")

    @cached_property
    def _installed(self) -> Mapping[str, EntryPoint]:
        """Searched once per process: beside Airflow the search takes 15 to 45 ms, and a DAG may ask for each task."""
        return {point.name.casefold(): point for point in self._find_installed()}


def _preset_at(point: EntryPoint) -> VendorPreset:
    of_package = "" if point.dist is None else f" of the package {point.dist.name}"
    said = f"vendor: the entry point {point.name!r}{of_package} leads to {point.value!r}"
    try:
        found = point.load()
    except Exception as error:
        raise InvalidOption(f"{said}, which cannot be loaded ({type(error).__name__})") from error
    if not isinstance(found, VendorPreset):
        raise InvalidOption(f"{said}, which must be a VendorPreset, and is {normalize.described(found)}")
    return found


_presets = Presets(lambda: entry_points(group=ENTRY_POINTS))


def register(added: VendorPreset) -> None:
    """Add a preset of your own for the option ``vendor``, or replace the preset of that name.

    The preset is known only in the process that registers it, so register it where your DAG is defined. To make it
    known everywhere, also to the commands, offer it as an entry point of a package, in the group
    ``airflow_provider_impactcall.vendors``.

    :raises InvalidOption: if it is not a :class:`VendorPreset`
    """
    _presets.register(added)


def preset(name: str) -> VendorPreset:
    """The preset of a vendor.

    :param name: in upper or lower case
    :raises InvalidOption: if there is no preset of that name, or if its entry point does not give one
    """
    return _presets.find(name)
