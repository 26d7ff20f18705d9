"""What a run adds to the ledger beside its calls: rows that are not calls, and calls that came with other content.

Each function is a part of its caller's transaction, which can be repeated.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets as random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.identity import DIGEST_BYTES, digest
from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.delivery.ledger.schema import (
    LONGEST_REASON,
    calls,
    changed_calls,
    dead_letters,
    run_rows,
    secrets,
)
from airflow_provider_impactcall.delivery.outcome import CallState

_OF_ROWS = "rows"


class DeadLetter(NamedTuple):
    """A row that is not a valid call.

    :param known_as: the row's ``CallProvider`` and ``CallSessionId``, None unless it has both; not kept in the ledger
    :param session_key: a keyed digest of these two, or None
    :param call_session_id: None if the row has no id that can be shown
    :param media_id: None if the row has no id that can be shown
    :param problems: the parameter and the code of each problem, at least one
    :param reason: the problems as sentences, without any of the row's values
    :param row: its number in the input, from 1
    """

    known_as: tuple[str, str] | None
    session_key: str | None
    call_session_id: str | None
    media_id: str | None
    problems: Sequence[tuple[str, str]]
    reason: str
    row: int
    times: int = 1


class RunRow(NamedTuple):
    """Rows of a run that never became calls, and why."""

    outcome: str
    reason_code: str
    parameter: str
    reason: str


def known_secret(connection: Connection) -> bytes | None:
    """The ledger's own secret, or None if nothing has needed it yet."""
    value = connection.execute(sa.select(secrets.c.value).where(secrets.c.name == _OF_ROWS)).scalar()
    return None if value is None else bytes.fromhex(value)


def secret_of(connection: Connection) -> bytes:
    """The ledger's own secret, made at its first use."""
    secret = known_secret(connection)
    if secret is None:
        secret = random.token_bytes(32)
        connection.execute(sa.insert(secrets).values(name=_OF_ROWS, value=secret.hex()))
    return secret


def keyed_digest(secret: bytes, content: bytes) -> str:
    """A digest that tells one content from another. Without the secret, it says nothing about the content."""
    return hmac.new(secret, content, hashlib.sha256).digest()[:DIGEST_BYTES].hex()


def has_letters(connection: Connection, namespace: str) -> bool:
    """Whether any row of the namespace is a dead letter."""
    return _has_any(connection, dead_letters, namespace)


def keep_letters(
    connection: Connection, namespace: str, run_id: str, moment: float, letters: Mapping[str, DeadLetter]
) -> None:
    """Add dead letters, or note that they were read again.

    A dismissed dead letter stays dismissed while its problems are the same. A row whose call is delivered is not kept,
    and its earlier dead letter is removed.

    :param moment: when, in seconds since 1970
    :param letters: by key, any number of them
    """
    for keys in in_parts(sorted(letters)):
        of_group = {key: letters[key] for key in keys}
        delivered = _delivered(connection, namespace, of_group)
        discard_letters(connection, delivered)
        wanted = {key: letter for key, letter in of_group.items() if key not in delivered}
        rows = {key: _values(key, letter, run_id, moment) for key, letter in wanted.items()}
        _add_or_change(connection, dead_letters, rows, namespace, new=_NEW, again=_AGAIN)


def letters_of(connection: Connection, keys: Collection[str], session_keys: Collection[str]) -> set[str]:
    """The keys of the dead letters of some calls.

    :param keys: of the calls
    :param session_keys: of the calls, as :func:`session_key` makes them
    """
    found: set[str] = set()
    for column, values in ((dead_letters.c.key, keys), (dead_letters.c.session_key, session_keys)):
        for few in in_parts(sorted(values)):
            found.update(connection.execute(sa.select(dead_letters.c.key).where(column.in_(few))).scalars())
    return found


def discard_letters(connection: Connection, keys: Collection[str]) -> None:
    """Remove dead letters, as their calls are delivered.

    :param keys: of the letters
    """
    for few in in_parts(sorted(keys)):
        connection.execute(sa.delete(dead_letters).where(dead_letters.c.key.in_(few)))


def session_key(secret: bytes, namespace: str, provider: str, session_id: str) -> str:
    """The digest that identifies a dead letter whose row has a ``CallProvider`` and a ``CallSessionId``."""
    return keyed_digest(secret, digest([namespace, provider, session_id], DIGEST_BYTES))


def discard_letters_of(connection: Connection, namespace: str, keys: Sequence[str]) -> None:
    """Remove the dead letters of calls that the ledger has, and that a person recorded as delivered.

    :param keys: of the calls, as many as a statement may name
    """
    if not keys or not has_letters(connection, namespace):
        return
    secret = secret_of(connection)
    query = sa.select(calls.c.CallProvider, calls.c.CallSessionId).where(calls.c.key.in_(keys))
    known_by = {session_key(secret, namespace, *names) for names in connection.execute(query)}
    discard_letters(connection, letters_of(connection, keys, known_by))


def mark_changed(
    connection: Connection, namespace: str, moment: float, fingerprints: Mapping[str, tuple[int, int]]
) -> None:
    """Note that calls came again with other content.

    :param moment: when, in seconds since 1970
    :param fingerprints: by key, the fingerprint of the content that came last, and how often the call came so
    """
    for keys in in_parts(sorted(fingerprints)):
        rows = {
            key: {"of_key": key, "of_fingerprint": fingerprints[key][0], "of_times": fingerprints[key][1], "at": moment}
            for key in keys
        }
        _add_or_change(connection, changed_calls, rows, namespace, new=_CHANGED, again=_CHANGED_AGAIN)


def has_marks(connection: Connection, namespace: str) -> bool:
    """Whether any call of the namespace has come again with other content."""
    return _has_any(connection, changed_calls, namespace)


def marks_before(connection: Connection, keys: Collection[str], began: float) -> set[str]:
    """The keys of those calls that were last marked *changed* before a run began.

    :param keys: of the calls
    :param began: when the run began, in seconds since 1970
    """
    found: set[str] = set()
    for few in in_parts(sorted(keys)):
        found.update(connection.execute(sa.select(changed_calls.c.key).where(*_earlier(few, began))).scalars())
    return found


def discard_marks(connection: Connection, keys: Collection[str], began: float) -> None:
    """Take marks off, as the calls came with the content that impact.com has.

    A mark of the same run stays: another row of its input may differ.

    :param keys: of the calls
    :param began: when the run began, in seconds since 1970
    """
    for few in in_parts(sorted(keys)):
        connection.execute(sa.delete(changed_calls).where(*_earlier(few, began)))


def _earlier(keys: Sequence[str], began: float) -> tuple[ColumnElement[bool], ...]:
    return changed_calls.c.key.in_(keys), changed_calls.c.last_at < began


def count_rows(connection: Connection, run_id: str, counts: Mapping[RunRow, tuple[int, int]]) -> None:
    """Add how many rows of a run never became calls, and how many of them are kept as dead letters. Once per run."""
    if counts:
        told = [
            {**each._asdict(), "reason": each.reason[:LONGEST_REASON], "run_id": run_id, "rows": rows, "kept": kept}
            for each, (rows, kept) in counts.items()
        ]
        connection.execute(sa.insert(run_rows), told)


def _has_any(connection: Connection, table: sa.Table, namespace: str) -> bool:
    query = sa.select(table.c.key).where(table.c.namespace == namespace).limit(1)
    return connection.execute(query).first() is not None


def _add_or_change(
    connection: Connection,
    table: sa.Table,
    rows: Mapping[str, dict[str, Any]],
    namespace: str,
    *,
    new: sa.Insert,
    again: sa.Update,
) -> None:
    """Write rows by key: lock and update those that exist, insert the others.

    :param rows: by key, the parameters of the statements
    """
    locking = sa.select(table.c.key).where(table.c.key.in_(list(rows)))
    known = set(connection.execute(locking.order_by(table.c.key).with_for_update()).scalars())
    there = [row for key, row in rows.items() if key in known]
    if there:
        connection.execute(again, there)
    others = [{**row, "of_namespace": namespace} for key, row in rows.items() if key not in known]
    if others:
        connection.execute(new, others)


def _delivered(connection: Connection, namespace: str, letters: Mapping[str, DeadLetter]) -> set[str]:
    """The keys of the dead letters whose call is delivered, under the letter's key or under another."""
    delivered = calls.c.state == CallState.DELIVERED.value
    of_keys = sa.select(calls.c.key).where(calls.c.key.in_(list(letters)), delivered)
    found = set(connection.execute(of_keys).scalars())
    session_ids = [letter.known_as[1] for letter in letters.values() if letter.known_as is not None]
    of_ids = (calls.c.namespace == namespace, calls.c.CallSessionId.in_(session_ids), delivered)
    query = sa.select(calls.c.CallProvider, calls.c.CallSessionId).where(*of_ids)
    known = set(map(tuple, connection.execute(query))) if session_ids else set()
    return found.union(key for key, letter in letters.items() if letter.known_as in known)


def _values(key: str, letter: DeadLetter, run_id: str, moment: float) -> dict[str, Any]:
    parameter, code = letter.problems[0]
    return {
        "of_key": key,
        "of_session_key": letter.session_key,
        "of_session_id": letter.call_session_id,
        "of_media_id": letter.media_id,
        "of_reason_code": code,
        "of_parameter": parameter,
        "of_reason": letter.reason[:LONGEST_REASON],
        "of_problems": json.dumps(letter.problems),
        "of_row": letter.row,
        "of_run_id": run_id,
        "of_times": letter.times,
        "at": moment,
    }


_TOLD: Mapping[str, Any] = {
    "session_key": sa.bindparam("of_session_key"),
    "CallSessionId": sa.bindparam("of_session_id"),
    "MediaId": sa.bindparam("of_media_id"),
    "reason_code": sa.bindparam("of_reason_code"),
    "parameter": sa.bindparam("of_parameter"),
    "reason": sa.bindparam("of_reason"),
    "problems": sa.bindparam("of_problems"),
    "row": sa.bindparam("of_row"),
    "run_id": sa.bindparam("of_run_id"),
    "last_at": sa.bindparam("at"),
}
_NEW = sa.insert(dead_letters).values(
    **_TOLD,
    key=sa.bindparam("of_key"),
    namespace=sa.bindparam("of_namespace"),
    first_at=sa.bindparam("at"),
    times=sa.bindparam("of_times"),
)
_SAME = dead_letters.c.problems == sa.bindparam("of_problems")
_AGAIN = (
    sa.update(dead_letters)
    .where(dead_letters.c.key == sa.bindparam("of_key"))
    # MySQL sets columns one after the other: dismissed_at comes first, as it depends on the old problems.
    .ordered_values(
        (dead_letters.c.dismissed_at, sa.case((_SAME, dead_letters.c.dismissed_at))),
        (dead_letters.c.times, dead_letters.c.times + sa.bindparam("of_times")),
        *((dead_letters.c[name], value) for name, value in _TOLD.items()),
    )
)
_CHANGED = sa.insert(changed_calls).values(
    key=sa.bindparam("of_key"),
    namespace=sa.bindparam("of_namespace"),
    fingerprint=sa.bindparam("of_fingerprint"),
    first_at=sa.bindparam("at"),
    last_at=sa.bindparam("at"),
    times=sa.bindparam("of_times"),
)
_CHANGED_AGAIN = (
    sa.update(changed_calls)
    .where(changed_calls.c.key == sa.bindparam("of_key"))
    .values(
        fingerprint=sa.bindparam("of_fingerprint"),
        last_at=sa.bindparam("at"),
        times=changed_calls.c.times + sa.bindparam("of_times"),
    )
)
