"""Values that a ledger's database cannot hold: only the value's own call is rejected, not those recorded with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy.exc import DataError, DBAPIError

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import (
    LEASE_RAN_OUT,
    Decision,
    Recorded,
    Settled,
    Settlement,
    Wait,
)
from airflow_provider_impactcall.delivery.outcome import CallState, Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.exceptions import LedgerUnfit

# MySQL's drivers raise some of these as OperationalError or DatabaseError. A value is out of range, truncated, of
# characters that its column cannot hold, or too long; three codes are of a text that cannot be converted.
_OF_VALUES_ON_MYSQL = frozenset({1264, 1265, 1366, 1406, 1977, 3854, 3988})

_NOT_HELD = "not sent, as the ledger's database cannot hold one of its values"
_UNRECORDABLE = Settled(Outcome(RowOutcome.REJECTED, ReasonCode.UNRECORDABLE, _NOT_HELD))
_UNRECORDABLE_IN_DOUBT = Settled(Outcome(RowOutcome.UNKNOWN, ReasonCode.UNRECORDABLE, _NOT_HELD))

Record = Callable[[Sequence[Claim], Sequence[Settlement]], Recorded]
"""Records claims and settlements in one transaction, all or nothing."""


def is_over_a_value(error: Exception) -> bool:
    """Whether a database or its driver raised it because of a value: a repetition would fail in the same way."""
    if isinstance(error, (DataError, UnicodeError)):
        return True
    arguments = error.orig.args if isinstance(error, DBAPIError) and error.orig is not None else ()
    return bool(arguments) and arguments[0] in _OF_VALUES_ON_MYSQL


class Unrecordable(LedgerUnfit):
    """The ledger's database cannot hold a value that a person gave, or a value of a call that a person named."""


@contextmanager
def values_told_of() -> Iterator[None]:
    """In this context, an error because of a value becomes an :class:`Unrecordable`.

    :raises Unrecordable: instead of that error; nothing of the transaction is recorded then
    """
    try:
        yield
    except Exception as error:
        if is_over_a_value(error):
            raise Unrecordable(
                f"the ledger's database cannot hold one of the values that it is to record ({type(error).__name__}): a "
                "character that it does not know, or a text that is too long",
                ReasonCode.UNRECORDABLE.value,
            ) from None
        raise


def record_apart(
    record: Record,
    look_up: Callable[[Sequence[str]], Mapping[str, Entry]],
    claims: Sequence[Claim],
    settlements: Sequence[Settlement],
) -> Recorded:
    """Record what one transaction could not record because of a value: the settlements first, then call by call.

    Safe to repeat from the beginning, wherever it was cut off.

    :param look_up: the ledger's entries of calls, by key
    :return: as :meth:`.Ledger.record`; a call that cannot be claimed because of a value is rejected, or stays unknown
        if an earlier attempt is in doubt
    :raises Exception: any error of the database that is not about a value of a call
    """
    decisions, states = _settle(record, settlements)
    if decisions is None:
        return None, states
    for claim in claims:
        decided = _claim(record, look_up, claim)
        # Once the lease has run out, nothing may leave; the run that finds this takes back its earlier claims.
        decisions += decided or [Wait(ReasonCode.LEASE_LOST, LEASE_RAN_OUT)]
    return decisions, states


def _settle(record: Record, settlements: Sequence[Settlement]) -> Recorded:
    if not settlements:
        return record((), ())  # If this fails, the cause is not a value of a call.
    recorded = _unless_over_a_value(record, (), settlements)
    if recorded is not None:
        return recorded
    states: list[CallState] = []
    decisions: list[Decision] | None = []
    for settlement in settlements:
        # Only the endpoint's words can be the cause: all other texts of a settlement are this package's own.
        recorded = _unless_over_a_value(record, (), [settlement]) or record((), [_in_ascii(settlement)])
        decisions = None if decisions is None else recorded[0]
        states += recorded[1]
    return decisions, states


def _claim(
    record: Record, look_up: Callable[[Sequence[str]], Mapping[str, Entry]], claim: Claim
) -> list[Decision] | None:
    recorded = _unless_over_a_value(record, [claim], ())
    if recorded is not None:
        return recorded[0]
    entry = look_up([claim.key]).get(claim.key)
    if entry is None:
        return [_UNRECORDABLE]
    known = claim._replace(is_known=True)
    if entry.fingerprint == claim.fingerprint:  # The ledger has these values already.
        return record([known], ())[0]
    recorded = _unless_over_a_value(record, [known], ())
    if recorded is not None:
        return recorded[0]
    # An attempt with other values may have arrived.
    return [_UNRECORDABLE_IN_DOUBT if entry.in_doubt or entry.uncertain else _UNRECORDABLE]


def _unless_over_a_value(record: Record, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Recorded | None:
    """The result of recording, or None if the database cannot hold a value."""
    try:
        return record(claims, settlements)
    except Exception as error:
        if not is_over_a_value(error):
            raise
        return None


def _in_ascii(settlement: Settlement) -> Settlement:
    """The settlement with the endpoint's own words in ASCII, which any database can hold."""
    key, fence, attempt = settlement
    return Settlement(key, fence, replace(attempt, reason=attempt.reason.encode("ascii", "replace").decode()))
