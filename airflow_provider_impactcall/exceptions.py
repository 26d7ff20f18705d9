"""What this package raises. None of these carries a caller's number, a recording URL or a credential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.outcome import DeliveryReport


class ImpactCallError(Exception):
    """Base of every error that this package raises itself."""


class InvalidOption(ImpactCallError, ValueError):
    """An option, a mapping or a connection says something that cannot be done. Nothing was sent."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one call.

    :param parameter: impact.com's name of the parameter, or ``row`` if it is the row as a whole
    :param message: what is wrong and what would be right; never the value itself
    :param missing: whether it is that the call lacks the parameter
    """

    parameter: str
    message: str
    missing: bool = False

    def __str__(self) -> str:
        return f"{self.parameter} {self.message}"


class InvalidCall(ImpactCallError, ValueError):
    """A row is no call that impact.com could take.

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


class LedgerOutdated(LedgerUnusable):
    """The ledger is of an earlier version of this package. A person has to migrate it: trying again changes nothing.

    :param reason: says by which command
    """


class ReadBackFailed(ImpactCallError):
    """impact.com's list of actions could not be read, which proves nothing of any call.

    :param reason: why, in words of this package: no URL, account, number or word of the answer
    :param status: HTTP status of the answer, or None if none came whole
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason if status is None else f"{status}, {reason}")
        self.reason = reason
        self.status = status
