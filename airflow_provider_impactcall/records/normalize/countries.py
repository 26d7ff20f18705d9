"""Countries as two letters."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import phonenumbers

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records.normalize.values import UnfitValue, bare, misread, reader, word

_LONGEST_NAME = 64
REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""The countries, as two letters."""
_BETWEEN_WORDS = re.compile(r"[ ,()'\u2019-]+")
# Names that people write and ISO 3166-1 lacks. Great Britain's code is GB; ISO 3166-1 reserves UK for it alone.
_OTHER_NAMES = {
    "AE": "UAE",
    "BN": "Brunei",
    "CC": "Cocos Islands",
    "CD": "DR Congo, Democratic Republic of Congo, Congo-Kinshasa",
    "CG": "Republic of the Congo, Congo-Brazzaville",
    "CI": "Ivory Coast",
    "CV": "Cape Verde",
    "CZ": "Czech Republic",
    "FM": "Federated States of Micronesia",
    "GB": "UK, United Kingdom, Great Britain, Britain, England, Scotland, Wales, Northern Ireland",
    "KP": "North Korea",
    "KR": "South Korea",
    "LA": "Laos",
    "MM": "Burma",
    "MO": "Macau",
    "MK": "Macedonia",
    "NL": "Holland",
    "NR": "Nauru",
    "PS": "Palestinian Territories",
    "RU": "Russia",
    "ST": "São Tomé and Príncipe",
    "SJ": "Svalbard",
    "SX": "Sint Maarten",
    "SY": "Syria",
    "SZ": "Swaziland",
    "TL": "East Timor",
    "TR": "Turkey, Turkiye",
    "US": "United States, US",
    "VA": "Vatican, Vatican City",
    "VC": "Saint Vincent",
    "VG": "British Virgin Islands",
    "VI": "US Virgin Islands, United States Virgin Islands",
    "VN": "Vietnam",
}


def country(value: Any) -> str:
    """A country as its two letters in capitals (ISO 3166-1 alpha-2, the codes that phone numbers use).

    Takes those two letters, ``UK``, three letters (``USA``), and English names, official and common ones
    (``United States of America``, ``South Korea``), in any case, with or without accents.

    :raises UnfitValue: for any other value, and for a name of two countries (``Congo``, ``Korea``)
    """
    if type(value) is str and value in phonenumbers.SUPPORTED_REGIONS:  # the common case, for speed
        return value
    return _country(value)


@reader
def _country(value: Any) -> str:
    written = bare(value) if isinstance(value, str) else ""
    code: str | None = written.upper() if written.isascii() else ""  # "ß".upper() is SS, the code of South Sudan.
    if code not in phonenumbers.SUPPORTED_REGIONS:
        # A value with a digit is not a country. It may be a caller's number, which must not stay in memory.
        is_name = 0 < len(written) <= _LONGEST_NAME and not any(map(str.isdigit, written))
        code = _named(written) if is_name else None
        if code is None:
            raise UnfitValue(
                f"must be a country such as US, USA or United States, and is {word(value)}",
                misread(value, ProblemCode.UNKNOWN_WORD),
            )
    return code


@lru_cache(maxsize=1024)
def _named(name: str) -> str | None:
    return _codes().get(_folded(name))


@lru_cache(maxsize=1)
def _codes() -> Mapping[str, str]:
    from iso3166 import countries  # Two letters, the common case, need no import.

    found = defaultdict(set)
    for listed in countries:
        full = listed.name
        # People also write "Republic of Korea" for "Korea, Republic of", and only "Iran".
        short, _, rest = full.partition(", ")
        for name in (listed.alpha3, full, listed.apolitical_name, short, f"{rest} {short}", full.partition(" (")[0]):
            found[_folded(name)].add(listed.alpha2)
    for code, names in _OTHER_NAMES.items():
        for name in names.split(", "):
            found[_folded(name)].add(code)
    return {
        name: code
        for name, codes in found.items()
        if len(codes) == 1 and (code := next(iter(codes))) in phonenumbers.SUPPORTED_REGIONS
    }


def _folded(name: str) -> str:
    bare = unicodedata.normalize("NFD", name).casefold().replace("&", " and ").replace(".", "")
    words = _BETWEEN_WORDS.split("".join(letter for letter in bare if not unicodedata.combining(letter)))
    return " ".join("saint" if word == "st" else word for word in words if word not in ("", "the"))
