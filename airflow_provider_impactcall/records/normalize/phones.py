"""Phone numbers in the one form in which they are always sent, and the marks of anonymous callers."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import unquote

import phonenumbers

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records.normalize.numbers import LONGEST_NUMBER, integer
from airflow_provider_impactcall.records.normalize.values import UnfitValue, plain, reader, unescaped

CallerIdFormat = Literal["national", "e164"]

_NANP = 1
_DIGITS_OF_NANP = 10
_IN_NANP = frozenset({None, *phonenumbers.COUNTRY_CODE_TO_REGION_CODE[_NANP]})
# The number types that phonenumbers checks to decide whether a number belongs to a country.
_TYPES = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail",
          "fixed_line", "mobile")  # fmt: skip
_LONGEST_ADDRESS = 255
# After +1, no area code begins with 0 or 1: such numbers are left to phonenumbers.
_USUAL_NANP = re.compile(r"\+1([2-9][0-9]{9})|([0-9]{10})|\(?([0-9]{3})(?:\) |-)([0-9]{3})-([0-9]{4})")
_DIALLED = re.compile(r"\+?[0-9 ().\-]+")
_PLUS_IN_BRACKETS = re.compile(r" *\( ?\+([0-9 ]+)\)(.*)")
# A number that went through a column of floats.
_FLOAT = re.compile(r"(\+?[0-9]+)\.0")
# At most nine digits in a row, as more may be a second number; phonenumbers has the same limit. Stars or hashes alone
# are not an extension: they hide the end of a number, and the rest of a foreign number may look like another number.
_EXTENSION = re.compile(
    r"(.*?[0-9)]) *(?:;ext=[0-9]{1,9}|(?:x|ext\.?|extn\.?|extension|int\.?)[ .:=]*[0-9]{1,9}#?|"
    r"(?:[,;]|#(?=[0-9]))(?:[0-9]{0,9}[,;#*wp ])*[0-9]{0,9})",
    re.IGNORECASE | re.ASCII,
)
_ADDRESS = re.compile(r"(?P<scheme>sips?|tel):(?P<user>[^@;]*)(?P<options>(?:;[^@]*)?)(?P<host>@[^@]*)?", re.IGNORECASE)
_MARKS = str.maketrans("", "", "+ ().-")
_WIDE = str.maketrans("＋（）．＃＊，；", "+().#*,;")

_WITHHELD = re.compile(
    r"(?:(?:caller|number|callerid|id)?(?:anonymous|restricted|private|unavailable|unknown|blocked|withheld)|"
    r"(?:anonymous|restricted|private|unavailable|unknown|blocked|withheld)(?:caller|number|callerid)|"
    r"no(?:callerid|number)|notavailable|outofarea)",
    re.IGNORECASE | re.ASCII,
)
# ANONYMOUS, RESTRICTED, UNAVAILABLE, UNKNOWN and BLOCKED on a keypad; Twilio does not say what 464 spells.
_KEYPAD = frozenset({"266696687", "86282452253", "8656696", "2562533", "464"})
# RESTRICTED has the ten digits of a number in Austin, Texas: it is the mark only as + and these ten digits.
_RESTRICTED = "+7378742833"

# Until 2019, Mexico's mobile numbers were called from abroad with a 1 after the calling code; many still write it.
_MEXICAN_MOBILE = re.compile(r"521[0-9]{10}")

_NOT_DIGITS = "must be a phone number of digits, + ( ) - . and spaces, and holds something else"
_ANONYMOUS = "stands for an anonymous caller; such a call cannot be matched, and must not be sent"


def is_anonymous(value: Any) -> bool:
    """Whether a value stands for a caller who hides the number, such as ``anonymous`` or ``+266696687``.

    The words come from SIP (RFC 3323, ``sip:anonymous@anonymous.invalid``) and from caller id, in any case. The
    digits are those words on a keypad, with or without ``+``, as Twilio gives them: support.twilio.com, article
    223179988, "Why am I getting calls from these strange numbers?". Five of these digit strings are not numbers of any
    country. RESTRICTED has the ten digits of a number in Austin, Texas: ``+7378742833`` is the mark; without ``+``, or
    with the 1 of North America, it is the number. A foreign number with such digits has ``+`` and its calling code, so
    it is not taken for a mark.

    An absent value (``None``, ``''``) is not such a mark. This function never raises.
    """
    if type(value) is str and _nanp(value) is not None:
        return False  # No keypad mark is ten digits without +, and none begins with +1.
    try:
        bare = plain(value)
        written = bare if isinstance(bare, str) else str(integer(bare))
        return len(written) <= _LONGEST_ADDRESS and _is_withheld(_readable(unescaped(written)))
    except Exception:
        return False


def _is_withheld(written: str) -> bool:
    try:
        return _is_keypad(_dialled(written))
    except UnfitValue:
        return _is_withheld_word(written)


def _is_keypad(dialled: str) -> bool:
    digits = _digits(dialled)
    return digits in _KEYPAD or (dialled.startswith("+") and f"+{digits}" == _RESTRICTED)


def _is_withheld_word(written: str) -> bool:
    address = _ADDRESS.fullmatch(written)
    named = unquote(address["user"]) if address else written
    return _WITHHELD.fullmatch(re.sub(r"[ _<>()\"'.-]", "", named)) is not None


def phone_number(value: Any, country: str | None = None, form: CallerIdFormat = "national") -> str:
    """A phone number in the one form in which it is always sent.

    impact.com matches calls by ``CallerId``, so this form is a promise of the package: the file
    ``tests/records/caller_ids.golden`` records it, and a line there is never changed.

    Ten digits, or eleven that start with 1, are a NANP number. It is sent as ten digits (``national``) or as ``+1`` and
    ten digits (``e164``). Any other number is sent as ``+`` and its digits. Spaces, dots, dashes and brackets are
    removed, and so are an extension (``x42``, ``ext. 42``, ``;ext=42``) and keys to press (``,,42#``). Also removed are
    the 1 that Mexico's mobile numbers had until 2019 (``+52 1 55...``), blanks around the number, and a spreadsheet's
    marks for text (``'+1...``, ``="+1..."``). Digits, dashes and spaces may be of any script. In a SIP or ``tel:``
    address, the user part is read. A value with anything else in it is not a phone number.

    :param country: two letters; needed for a number that is neither NANP nor starts with ``+``
    :raises UnfitValue: for an anonymous caller's mark (:func:`is_anonymous`), a value that is not a phone number, a
        number whose country cannot be known, or a number of another country than ``country``
    """
    national = _nanp(value) if type(value) is str and country in _IN_NANP else None
    if national is None:
        calling_code, national = _dialled_number(value, country)
        if calling_code != _NANP:
            return f"+{calling_code}{national}"
    return national if form == "national" else f"+{_NANP}{national}"


def _nanp(written: str) -> str | None:
    """The ten digits of a NANP number in a form that is usual in databases and at vendors; None for any other text."""
    found = _USUAL_NANP.fullmatch(written)
    if found is None:
        return None
    return found[1] or found[2] or f"{found[3]}{found[4]}{found[5]}"


@reader
def _dialled_number(value: Any, country: str | None) -> tuple[int, str]:
    """A number's calling code, and the digits after it."""
    # integer() refuses the sign or point of a numeric value, which could pass for a phone number's punctuation.
    written = unescaped(value) if isinstance(value, str) else str(integer(value, "a phone number"))
    if len(written) > _LONGEST_ADDRESS:
        raise UnfitValue(_NOT_DIGITS, ProblemCode.NOT_A_PHONE_NUMBER)
    readable = _readable(written)
    try:
        dialled = _dialled(readable)
    except UnfitValue:
        if _is_withheld_word(readable):
            raise UnfitValue(_ANONYMOUS, ProblemCode.ANONYMOUS_CALLER) from None
        raise
    digits = _digits(dialled)
    if _is_keypad(dialled):
        raise UnfitValue(_ANONYMOUS, ProblemCode.ANONYMOUS_CALLER)
    international = dialled.startswith("+")
    if _MEXICAN_MOBILE.fullmatch(digits) and (international or country == "MX"):
        digits = f"52{digits[3:]}"
        dialled, international = f"+{digits}", True
    if country in _IN_NANP:
        if international and (national := _nanp(f"+{digits}")) is not None:
            return _NANP, national
        if not international:
            if len(digits) != _DIGITS_OF_NANP and not (len(digits) == 1 + _DIGITS_OF_NANP and digits.startswith("1")):
                remedy = "write it with + and its country code" + ("" if country else ", or give its country")
                raise UnfitValue(f"is not a NANP number of ten digits; {remedy}", ProblemCode.WITHOUT_COUNTRY_CODE)
            return _NANP, digits[-_DIGITS_OF_NANP:]
    try:
        parsed = phonenumbers.parse(dialled, None if international else country)
    except phonenumbers.NumberParseException:
        raise UnfitValue("is not a phone number of any country", ProblemCode.NOT_A_PHONE_NUMBER) from None
    # is_possible_number would also accept a local number without its area code.
    if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise UnfitValue("is too short or too long for a phone number of its country", ProblemCode.NOT_A_PHONE_NUMBER)
    calling_code = parsed.country_code or 0
    if country is not None and phonenumbers.country_code_for_region(country) != calling_code:
        raise UnfitValue(
            f"starts with +{calling_code}, which is not the calling code of {country}", ProblemCode.NOT_A_PHONE_NUMBER
        )
    national = phonenumbers.national_significant_number(parsed)
    # The result must read as itself. In +49 00..., each reading would drop one more zero as Germany's trunk prefix.
    if phonenumbers.parse(f"+{calling_code}{national}") != parsed:
        raise UnfitValue("is not a phone number of any country", ProblemCode.NOT_A_PHONE_NUMBER)
    if f"{calling_code}{national}" in _KEYPAD:
        raise UnfitValue(_ANONYMOUS, ProblemCode.ANONYMOUS_CALLER)
    return calling_code, national


def _readable(written: str) -> str:
    """The text with digits, dashes and spaces in ASCII, and without the invisible marks that phones copy."""
    return written if written.isascii() else "".join(map(_ascii, written.translate(_WIDE)))


def _ascii(letter: str) -> str:
    match unicodedata.category(letter):
        case "Nd":
            return str(unicodedata.decimal(letter))
        case "Zs":
            return " "
        case "Pd":
            return "-"
        case "Cf":
            return ""
        case _:
            return "-" if letter == "\N{MINUS SIGN}" else letter


def _dialled(written: str) -> str:
    """The number alone, without address or extension: its ``+``, if any, and its digits and punctuation."""
    if not _DIALLED.fullmatch(written):  # the common case is the number alone
        if (address := _ADDRESS.fullmatch(written)) is not None:
            written = _of_address(address)
        elif len(written) <= LONGEST_NUMBER and (extended := _EXTENSION.fullmatch(written)) is not None:
            written = extended[1]
        if (bracketed := _PLUS_IN_BRACKETS.fullmatch(written)) is not None:
            written = f"+{bracketed[1]} {bracketed[2]}"
    if (from_float := _FLOAT.fullmatch(written)) is not None:
        written = from_float[1]
    if len(written) > LONGEST_NUMBER or not _DIALLED.fullmatch(written):
        raise UnfitValue(_NOT_DIGITS, ProblemCode.NOT_A_PHONE_NUMBER)
    return written


def _digits(dialled: str) -> str:
    return dialled.translate(_MARKS)


def _of_address(address: re.Match[str]) -> str:
    number = unquote(address["user"])
    if (address["scheme"].lower() != "tel") != bool(address["host"]) or not _DIALLED.fullmatch(number):
        raise UnfitValue("is an address whose user part is not a phone number", ProblemCode.NOT_A_PHONE_NUMBER)
    if ";phone-context=" in address["options"].lower() and not number.startswith("+"):
        raise UnfitValue(
            "is a number of a phone-context; write it with + and its country code", ProblemCode.WITHOUT_COUNTRY_CODE
        )
    return number


def is_no_nanp(phone_number: str) -> bool:
    """Whether a number looks like a NANP number but is not one, as no area code begins with 0 or 1.

    :param phone_number: in the form that :func:`phone_number` gives
    """
    return phone_number.removeprefix(f"+{_NANP}").startswith(("0", "1"))


def country_of(phone_number: str) -> str | None:
    """The country of a number; None if it belongs to no single country.

    :param phone_number: in the form that :func:`phone_number` gives
    """
    national = _nanp(phone_number)
    if national is not None and national[0] not in "01":
        found = _nanp_regions().match(national)
        return None if found is None else found.lastgroup
    # With its calling code: a NANP number that starts with 011 would be read as dialled abroad.
    parsed = phonenumbers.parse(phone_number if phone_number.startswith("+") else f"+{_NANP}{phone_number}")
    region = phonenumbers.region_code_for_number(parsed)
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def nanp(written: str) -> tuple[str, str] | None:
    """The ten digits and the country of a NANP number in a usual form; None for any other text.

    It gives the results of :func:`phone_number` and :func:`country_of` in one step.
    """
    usual = _USUAL_NANP.fullmatch(written)
    if usual is None:
        return None
    national = usual[1]  # the common case, for speed; its pattern has no area code with 0 or 1
    if national is None:
        national = usual[2] or f"{usual[3]}{usual[4]}{usual[5]}"
        if national[0] in "01":
            return None
    found = _nanp_regions().match(national)
    country = None if found is None else found.lastgroup
    return None if country is None else (national, country)


@lru_cache(maxsize=1)
def _nanp_regions() -> re.Pattern[str]:
    """A pattern that finds the country of a NANP number: the name of the group that its ten digits match.

    It is made from the data of ``phonenumbers``, in the order and by the rules of ``region_code_for_number``. A country
    with an area code of its own is found by that code, any other country by its patterns of numbers of any type. The
    library takes 10 to 40 us for a number, as it reads the number again for each country. This pattern takes 1 us, so
    no number has to be cached. A test compares the two for all possible first six digits.
    """
    known = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[_NANP]:
        country: Any = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
        pattern = country.leading_digits
        if pattern is None:
            types = [each for each in (getattr(country, name) for name in _TYPES) if each is not None]
            # The usual types come first, for speed. The order does not matter otherwise.
            patterns = [each.national_number_pattern for each in reversed(types)]
            numbers = dict.fromkeys(filter(None, patterns))
            pattern = f"(?=(?:{country.general_desc.national_number_pattern})$)(?:{'|'.join(numbers)})$"
        known.append(f"(?P<{region}>{pattern})")
    return re.compile("|".join(known))
