"""Whole numbers, decimal numbers and amounts of money."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from enum import Enum
from numbers import Integral, Real
from typing import Any

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records.normalize.values import (
    UnfitValue,
    bare,
    described,
    misread,
    plain,
    reader,
    unescaped,
)

# Real ids, amounts and durations are far shorter. Without a limit, Decimal("1E+999999") would fill a lot of memory.
LONGEST_NUMBER = 64
_LONGEST_DECIMAL = LONGEST_NUMBER + len("-.")
TOO_LARGE = 10**LONGEST_NUMBER
_TOO_LONG = f"has more than {LONGEST_NUMBER} digits"

# Some whole numbers arrive as decimals: pandas writes 10000.0 to a CSV file if the column has gaps.
_WHOLE_NUMBER = re.compile(r"([+-]?[0-9]+)(?:\.([0-9]+))?")
_DECIMAL_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")

_SPACES = "[ \u00a0\u2009\u202f]"
_CURRENCIES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD "
    "RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX "
    "USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
)
# A code of ISO 4217, or a currency sign of Unicode, alone or with letters before it, as in US$ and CA$.
_CURRENCY = rf"(?:{_CURRENCIES.replace(' ', '|')}|[A-Z]{{0,2}}[$\u00a2-\u00a5\u20a0-\u20c0])"
_MINUS = "[-\u2212]"
_FIGURE = "[0-9.,'\u2019 \u00a0\u2009\u202f]*[0-9]"
_MONEY = re.compile(
    rf"{_SPACES}*(?P<minus>{_MINUS})?(?:{_CURRENCY}{_SPACES}?(?P<inner>{_MINUS})?)?"
    rf"(?P<figure>{_FIGURE})(?:{_SPACES}?{_CURRENCY})?{_SPACES}*"
)
_IN_BRACKETS = re.compile(
    rf"{_SPACES}*(?:{_CURRENCY}{_SPACES}?)?\((?P<money>[^()]*)\)(?:{_SPACES}?{_CURRENCY})?{_SPACES}*"
)
# A figure of one of these shapes has exactly one reading. Any other figure has several readings, or none.
_FIGURES = tuple(
    re.compile(shape)
    for shape in (
        r"(?P<whole>[0-9]*)\.(?P<part>[0-9]+)",  # 1234.50, .50
        r"(?P<whole>[0-9]+)",
        r"(?P<whole>[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.(?P<part>[0-9]+))?",  # 1,234.50, and 1,234
        r"(?P<whole>[0-9]+),(?P<part>[0-9]{1,2}|[0-9]{4,})",  # 1234,50
        r"(?P<whole>[1-9][0-9]{0,2}(?:\.[0-9]{3})+),(?P<part>[0-9]{1,2}|[0-9]{4,})",  # 1.234,50
        r"(?P<whole>[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,})",  # 1.234.567
        rf"(?P<whole>[1-9][0-9]{{0,2}}(?:(?P<gap>{_SPACES}|['\u2019])[0-9]{{3}})(?:(?P=gap)[0-9]{{3}})*)"
        r"(?:\.(?P<part>[0-9]+)|,(?P<cents>[0-9]{1,2}))?",  # 1 234,50, 1'234.50
    )
)


def integer(value: Any, what: str = "a whole number", remedy: str = "") -> int:
    """A whole number of zero or more: an integer, a whole float or decimal, or its digits as text.

    The text may have a fraction of zeros (``10000.0``), as a file has it when the column was one of floats.

    :param what: the required value, in a message
    :param remedy: the remedy for a fraction, in a message
    :raises UnfitValue: for any other value, such as a float too large to be exact; a boolean is not a number here
    """
    if type(value) is int:  # the common cases, for speed
        if 0 <= value < TOO_LARGE:
            return value
    elif type(value) is str and value.isdecimal() and value.isascii() and len(value) <= LONGEST_NUMBER:
        return int(value)
    return _integer(value, what, remedy)


@reader
def _integer(value: Any, what: str, remedy: str) -> int:
    if isinstance(value, str):
        value = bare(value)
    if isinstance(value, bool):
        raise UnfitValue(f"must be {what}, and is a boolean", ProblemCode.WRONG_TYPE)
    if is_number(value):
        whole = whole_number(value)
        if whole is None:
            raise UnfitValue(f"must be {what}, and has a fraction{remedy}", ProblemCode.FRACTION)
    elif (digits := _digits(value)) is not None:
        if digits[2] and digits[2].strip("0"):
            raise UnfitValue(f"must be {what}, and has a fraction{remedy}", ProblemCode.FRACTION)
        whole = int(digits[1])
    else:
        raise UnfitValue(f"must be {what}, and is {described(value)}", misread(value, ProblemCode.NOT_A_NUMBER))
    if whole < 0:
        raise UnfitValue("must be zero or more, and is negative", ProblemCode.OUT_OF_RANGE)
    return whole


def whole_id(value: Any) -> int:
    """An id that is a whole number, as :func:`integer` reads it. A spreadsheet's marks for text are removed first.

    :raises UnfitValue: as :func:`integer` does
    """
    if type(value) is int and 0 <= value < TOO_LARGE:  # the common cases, for speed
        return value
    if type(value) is str and value.isdecimal() and value.isascii() and len(value) <= LONGEST_NUMBER:
        return int(value)
    found = plain(value) if issubclass(type(value), (str, Enum)) else value  # isinstance() trusts __class__.
    return integer(unescaped(found) if issubclass(type(found), str) else found)


@reader
def number(value: Any) -> str:
    """A decimal number as plain text (``-12.50``, no exponent, no separators); text and decimals keep their zeros.

    :raises UnfitValue: for any other value; a boolean is not a number here
    """
    if isinstance(value, str):
        written = bare(value)
        if len(written) <= _LONGEST_DECIMAL and _DECIMAL_NUMBER.fullmatch(written):
            return written
    if isinstance(value, bool) or not is_number(value):
        raise UnfitValue(
            f"must be a number such as 12.50, and is {described(value)}", misread(value, ProblemCode.NOT_A_NUMBER)
        )
    spelled: str = format(decimal(value), "f")
    return spelled if isinstance(value, Decimal) else spelled.removesuffix(".0")


@reader
def amount(value: Any) -> str:
    """An amount of money as plain text, like :func:`number`; its currency is left out.

    Text is accepted if it has only one reading. A point alone is a decimal point, and a comma before exactly three
    digits groups thousands: ``$1,234.50``, ``1 234,50``, ``1.234,50 €``, ``USD 12.50``, ``12,50``. A currency is its
    sign or its three letters of ISO 4217 in capitals. Brackets make an amount negative: ``(12.50)``.

    :raises UnfitValue: for any other value, such as ``1.234,500``, ``0,125``, ``1.234 €`` or two currencies
    """
    if isinstance(value, str):
        value = bare(value)
        if len(value) <= _LONGEST_DECIMAL and not _DECIMAL_NUMBER.fullmatch(value):
            found = _plain_amount(value)
            if found is not None:
                return found
    return number(value)


def _plain_amount(written: str) -> str | None:
    bracketed = _IN_BRACKETS.fullmatch(written)
    money = _MONEY.fullmatch(bracketed["money"] if bracketed else written)
    if money is None:
        return None
    figures = money["figure"]
    if figures != written and re.fullmatch(r"[0-9]{1,3}\.[0-9]{3}", figures) and re.search(_CURRENCY, written):
        return None  # 1.234 € is doubtful: prices do not have three decimals, and the point may group thousands.
    if any(len(set(re.findall(kind, written))) > 1 for kind in ("[A-Z]{3}", "[$\u00a2-\u00a5\u20a0-\u20c0]")):
        return None
    signs = sum(map(bool, (bracketed, money["minus"], money["inner"])))
    for shape in _FIGURES:
        if signs <= 1 and (figure := shape.fullmatch(money["figure"])) is not None:
            whole = re.sub(r"[^0-9]", "", figure["whole"]) or "0"
            found = figure.groupdict()
            part = found.get("part") or found.get("cents")
            return ("-" if signs else "") + whole + (f".{part}" if part else "")
    return None


def _digits(value: Any) -> re.Match[str] | None:
    return _WHOLE_NUMBER.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST_NUMBER else None


def is_number(value: Any) -> bool:
    """Whether a value is a number of any type, numpy's included; a bool is one. Text is not."""
    if type(value) is int:  # the common case, for speed
        return True
    # numpy registers timedelta64 as an integer, but its unit is unknown here.
    return isinstance(value, (Real, Decimal)) and getattr(getattr(value, "dtype", None), "kind", None) != "m"


def whole_number(value: Any) -> int | None:
    """The whole number that a value is, or None if it has a fraction."""
    if type(value) is int or isinstance(value, Integral):
        whole = int(value)
        if abs(whole) >= TOO_LARGE:
            raise UnfitValue(_TOO_LONG, ProblemCode.OUT_OF_RANGE)
        return whole
    exact = decimal(value)
    if exact != exact.to_integral_value():
        return None
    if not isinstance(value, Decimal) and abs(value) + 1 - abs(value) != 1:
        # From 2**53 on, neighbouring whole numbers share a float: two calls would get the same id.
        raise UnfitValue("is a float too large to be exact; read it as a decimal or as text", ProblemCode.OUT_OF_RANGE)
    return int(exact)


def decimal(value: Any) -> Decimal:
    """The exact value of a number, as its shortest text shows it.

    :raises UnfitValue: if it is infinite, NaN, or has more digits than ``LONGEST_NUMBER``
    """
    if isinstance(value, Decimal):
        exact = value
    elif isinstance(value, float):
        exact = Decimal(float.__repr__(value))
    else:
        try:
            # The text of numpy's other floats has their own precision: 19.99, not 19.989999771118164.
            exact = Decimal(str(value))
        except InvalidOperation:
            exact = Decimal(repr(float(value)))
    if not exact.is_finite():
        raise UnfitValue("must be a number, and is infinite or not a number", ProblemCode.NOT_A_NUMBER)
    before, after = max(exact.adjusted() + 1, 1), max(-int(exact.as_tuple().exponent), 0)
    if before + after > LONGEST_NUMBER:
        raise UnfitValue(_TOO_LONG, ProblemCode.OUT_OF_RANGE)
    return exact
