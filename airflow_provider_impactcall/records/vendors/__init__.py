"""The call-tracking vendors whose calls are known here, one module each, and those that users add."""

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
"""The names of those known here."""

ENTRY_POINTS = "airflow_provider_impactcall.vendors"
"""The group of entry points by which an installed package adds presets: a preset's name, and where it is."""


class Presets:
    """Presets by name: those that are registered go before those of installed packages, and these before the ones here.

    :param find_installed: finds the entry points of installed packages
    """

    def __init__(self, find_installed: Callable[[], Iterable[EntryPoint]]) -> None:
        self._registered: dict[str, VendorPreset] = {}
        self._find_installed = find_installed

    def register(self, added: VendorPreset) -> None:
        """As :func:`register` says."""
        self._registered[preset_of(added).name.casefold()] = added

    def find(self, name: str) -> VendorPreset:
        """As :func:`preset` says."""
        if not isinstance(name, str):
            raise InvalidOption(f"vendor must be a preset's name, and is {normalize.described(name)}")
        wanted = name.casefold()
        if wanted in self._registered:
            return self._registered[wanted]
        if wanted in self._installed:
            return preset_of(self._installed[wanted].load())
        if wanted in VENDORS:
            return preset_of(import_module(f"{__name__}.{wanted}").PRESET)
        known = sorted({*VENDORS, *self._installed, *self._registered})
        near = difflib.get_close_matches(wanted, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidOption(f"vendor: there is no preset {name!r}{hint} (there are {', '.join(known)})")

    @cached_property
    def _installed(self) -> Mapping[str, EntryPoint]:
        """Looked for once a process: beside Airflow that is 15 to 45 ms, and a DAG may ask for each of its tasks."""
        return {point.name.casefold(): point for point in self._find_installed()}


_presets = Presets(lambda: entry_points(group=ENTRY_POINTS))


def register(added: VendorPreset) -> None:
    """Have the option ``vendor`` know a preset of your own, or take it in place of the one of that name.

    It is known in the process that registers it: do so where your DAG is defined. A package that has it as an entry
    point of the group ``airflow_provider_impactcall.vendors`` makes it known everywhere, the commands included.

    :raises InvalidOption: if it is not a :class:`VendorPreset`
    """
    _presets.register(added)


def preset(name: str) -> VendorPreset:
    """The preset of a vendor.

    :param name: in any case
    :raises InvalidOption: if there is none of that name
    """
    return _presets.find(name)
