"""The exceptions of this package. No exception carries a caller's number, a recording URL or a credential."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.outcome import DeliveryReport


class ImpactCallError(Exception):
    """Base of every error that this package raises itself."""


class InvalidOption(ImpactCallError, ValueError):
    """An option, a mapping or a connection is not valid. Nothing was sent."""


class ProblemCode(StrEnum):
    """What is wrong with a parameter of a row. Programs compare and group by the code, together with the parameter. A
    code never changes; the sentence beside it may. ``docs/errors.md`` says what to do about each code.
    """

    MISSING = "missing"
    """A required value is missing: no column, NULL, an empty text or blanks."""
    WRONG_TYPE = "wrong_type"
    """The value is of a type that the parameter does not take, such as a boolean, bytes, a list or an object."""
    NOT_A_NUMBER = "not_a_number"
    """The value is not a number, or is infinite; or it is not a duration that can be read in exactly one way."""
    FRACTION = "fraction"
    """A whole number is needed, and the number has a fraction."""
    OUT_OF_RANGE = "out_of_range"
    """The number is negative, has more than 64 digits, or is a float too large to be exact. Or the time is a
    placeholder that databases and programs write for a missing time, such as a time before 1990.
    """
    LONGER_THAN_THE_CALL = "longer_than_the_call"
    """``TalkDuration`` is more than ``CallDuration``."""
    NOT_A_TIME = "not_a_time"
    """The value is not a time that can be read in exactly one way: an unknown form, a date alone, ``NOW``."""
    TIME_WITHOUT_OFFSET = "time_without_offset"
    """The time has no offset from UTC, and the option ``timezone`` gives it none."""
    TIME_IN_THE_FUTURE = "time_in_the_future"
    """The time is more than a day ahead of the clock."""
    NOT_A_PHONE_NUMBER = "not_a_phone_number"
    """The value is not a phone number of any country, or not one of the country beside it."""
    WITHOUT_COUNTRY_CODE = "without_country_code"
    """The number has no country code, is not a NANP number of ten digits, and no country beside it gives the code."""
    ANONYMOUS_CALLER = "anonymous_caller"
    """The value is the mark of a caller who shows no number."""
    COUNTRY_NOT_DERIVABLE = "country_not_derivable"
    """The country cannot be derived from the number."""
    UNKNOWN_WORD = "unknown_word"
    """The word is not one of the allowed words for a status, a country, or yes and no."""
    NOT_IN_TABLE = "not_in_table"
    """The mapping's table (``values`` or ``lookup``) has no entry for what the row holds."""
    TEXT_TOO_LONG = "text_too_long"
    """The text has more characters than the parameter takes."""
    INVALID_CHARACTER = "invalid_character"
    """The text holds a character that cannot be sent or stored."""
    AMBIGUOUS_COLUMN = "ambiguous_column"
    """Two columns, or two keys of an object, could be meant."""
    UNKNOWN_PARAMETER = "unknown_parameter"
    """The name is not one of impact.com's 50 parameters."""
    MAPPING_FAILED = "mapping_failed"
    """A function of the mapping or of the preset failed at the row, or says that its value does not fit."""
    NOT_A_ROW = "not_a_row"
    """An item of the input is not a row, such as a broken line of a file."""
    UNREADABLE = "unreadable"
    """The row or the value could not be read: its source or its driver failed at it."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one call.

    :param parameter: impact.com's name of the parameter, or ``row`` if it is the row as a whole
    :param code: what is wrong
    :param message: the same as a sentence, and what would be right; never the value itself
    """

    parameter: str
    code: ProblemCode
    message: str

    def __str__(self) -> str:
        return f"{self.parameter} {self.message}"


class InvalidCall(ImpactCallError, ValueError):
    """A row is not a call that impact.com could take.

    :param problems: everything that is wrong with it, in the order of impact.com's page
    :param call_session_id: the row's ``CallSessionId``, if it has a readable one
    """

    def __init__(self, problems: tuple[Problem, ...], call_session_id: str | None = None) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems
        self.call_session_id = call_session_id


class CallLeftOut(ImpactCallError):
    """A row is a call that a vendor's preset leaves out on purpose, such as an outbound one.

    :param reason: what such a call is
    :param call_session_id: the row's ``CallSessionId``, if it has a readable one
    """

    def __init__(self, reason: str, call_session_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.call_session_id = call_session_id


class DeliveryAborted(ImpactCallError):
    """Nothing more can be delivered until a person changes something, such as the credentials.

    :param code: a :class:`.ReasonCode`: what the endpoint refused
    :param reason: the same as a sentence
    :param report: what came of every row that was read
    """

    def __init__(self, code: str, reason: str, report: DeliveryReport) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.report = report

    def __reduce__(self) -> tuple[type[DeliveryAborted], tuple[str, str, DeliveryReport]]:
        return type(self), (self.code, self.reason, self.report)


class LedgerUnusable(ImpactCallError):
    """The delivery ledger cannot be read or written, so nothing may be sent.

    :param reason: why, without credentials or values
    :param code: a :class:`.ReasonCode`
    """

    def __init__(self, reason: str, code: str = "ledger_unusable") -> None:
        super().__init__(reason)
        self.code = code


class LedgerUnfit(LedgerUnusable):
    """The ledger cannot be used until a person changes its database. A retry does not help.

    :param reason: says what to change
    """


class LedgerOutdated(LedgerUnfit):
    """The ledger is of an earlier version of this package. A person has to migrate it.

    :param reason: has the command that migrates it
    """


class CorrectionUnfinished(LedgerUnusable):
    """The ledger's database failed in the middle of a person's correction. The changes made by then stay.

    :param reason: says how many were changed
    :param changed: how many calls or rows were changed
    :param doubtful: how many more may have been changed: the database failed when it was to keep that change
    """

    def __init__(self, reason: str, changed: int, doubtful: int) -> None:
        super().__init__(reason)
        self.changed = changed
        self.doubtful = doubtful


class ReadBackFailed(ImpactCallError):
    """impact.com's list of actions could not be read. This proves nothing about any call.

    :param reason: why, in this package's words: without a URL, an account, a number or text of the answer
    :param status: HTTP status of the answer, or None if no complete answer came
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason if status is None else f"{status}, {reason}")
        self.reason = reason
        self.status = status
