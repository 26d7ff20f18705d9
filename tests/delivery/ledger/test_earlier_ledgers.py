"""What a ledger holds of calls whose rows had blanks around their ids is not sent again, now that blanks mean nothing.

Keys and fingerprints are those that the code before this change gave these rows.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.rules import Settlement, as_known
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, CallState, DeliveryReport
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.ledger import open_ledger
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.delivery.ledgers import in_memory
from tests.delivery.scripted import NO_ANSWER, NO_CONNECTION, OK, REFUSED

NAMESPACE = "https://calls.example.com"
EARLIER: list[tuple[dict[str, Any], str, int]] = [
    ({}, "6ec558a6a5d8d712f92c7ff1e07ddecf", 45001),
    ({"CallSessionId": "A-1   "}, "84b95392d7882b5e04d7628ce4769252", 33838),
    ({"CallSessionId": " A-2"}, "88d719288d84771d989379a133490919", 10659),
    ({"CallSessionId": "A-3\n"}, "65e46308bf5eeb6bf003839b8d97fd58", 42809),
    ({"CallSessionId": "'A-4"}, "e1b23b18e981e1f05d89ed9fcef22b45", 44437),
    ({"CallSessionId": '="A-5"'}, "f61fb48dec77269dbaf687f918b5f477", 5776),
    ({"CallSessionId": "\tA-6"}, "aee7c1b12698d863efda63934a1a8a3d", 23837),
    ({"CallSessionId": "A-7\N{NO-BREAK SPACE}"}, "0a732e9f4777ff27cad37456d3f15b2e", 61518),
    ({"CallProvider": "ExampleVendor "}, "56e851cdc4617e98ac72360942272fd0", 59659),
    ({"VendorEventId": " E-1"}, "93f5a7ae9cd0929784d38358590e29b2", 49252),
    (
        {"CallSessionId": "A-10 ", "CallProvider": " ExampleVendor", "VendorEventId": "E-2\t", "City": " Denver "},
        "d5191d7146e85568d74f461d49dec24f",
        41889,
    ),
    ({"CallSessionId": "A-11", "SubId1": " x "}, "f2b1b6bfb0f1d2aab3c3aec043bf2336", 63490),
]
ROWS = [
    examples.call(f"pinned-{number}", EventDate="2026-09-10T22:55:32Z", **changes)
    for number, (changes, _, _) in enumerate(EARLIER)
]


def written(ledger: Ledger, attempt: Attempt = OK) -> None:
    """Have the ledger hold the calls as the code before had them."""
    run_id = ledger.start("earlier", "")
    claims = [
        Claim(key, fingerprint, 0, CallMapping().record(row))
        for row, (_, key, fingerprint) in zip(ROWS, EARLIER, strict=True)
    ]
    ledger.record(run_id, claims, [], resend=False)
    ledger.record(run_id, [], [Settlement(claim.key, 1, attempt) for claim in claims], resend=False)
    ledger.end(run_id, DeliveryReport())


@pytest.mark.parametrize(("attempt", "end"), [(OK, "already_delivered"), (NO_ANSWER, "unknown"), (REFUSED, "rejected")])
def test_nothing_is_sent_again(attempt: Attempt, end: str, sandbox: Sandbox) -> None:
    ledger = open_ledger("embedded", NAMESPACE)
    written(ledger, attempt)
    ledger.close()
    for dry_run in (True, False):
        report = ImpactCallHook().deliver(ROWS, ledger_namespace=NAMESPACE, dry_run=dry_run)
        assert (report.rows, getattr(report, end)) == (len(ROWS), len(ROWS))
    assert sandbox.calls == []


def test_a_call_that_was_not_sent_goes_on_under_the_key_that_it_had(sandbox: Sandbox) -> None:
    ledger = open_ledger("embedded", NAMESPACE)
    written(ledger, NO_CONNECTION)
    assert ImpactCallHook().deliver(ROWS, ledger_namespace=NAMESPACE).delivered == len(ROWS)
    assert len(sandbox.calls) == len(ROWS)
    assert {each["parameters"]["CallSessionId"] for each in sandbox.calls} >= {"A-1", "A-2", "A-3", "A-4", "A-5"}
    entries = ledger.look_up([key for _, key, _ in EARLIER])
    assert {entry.state for entry in entries.values()} == {CallState.DELIVERED}
    assert ImpactCallHook().deliver(ROWS, ledger_namespace=NAMESPACE).already_delivered == len(ROWS)
    ledger.close()


def test_those_that_come_with_other_content_are_marked_and_accepted(sandbox: Sandbox) -> None:
    ledger = open_ledger("embedded", NAMESPACE)
    written(ledger)
    changed, marked = [{**row, "TalkDuration": 1} for row in ROWS], Selection(states=("changed",))
    for expected in ("changed", "already_delivered"):
        report = ImpactCallHook().deliver(changed, ledger_namespace=NAMESPACE)
        assert getattr(report, expected) == len(ROWS)
        assert Corrections(ledger).accept(marked, Author("alice", "test")) == report.changed
    ledger.close()
    assert sandbox.calls == []


def test_adopting_them_again_makes_no_other_calls_of_them() -> None:
    ledger = in_memory()
    written(ledger)
    claims = [identify(NAMESPACE, DEFAULT_KEY, CallMapping().record(row)) for row in ROWS]
    entries = ledger.look_up([key for claim in claims for key in claim.keys])
    known = [as_known(claim, entries) for claim in claims]
    assert [(claim.key, claim.fingerprint) for claim in known] == [(key, print_) for _, key, print_ in EARLIER]
    found = Corrections(ledger).adopt(known, Author("alice", "test"))
    assert found == {"delivered": len(ROWS)}


def test_of_two_entries_the_one_counts_that_keeps_a_call_from_being_sent() -> None:
    row = examples.call("A-1 ")
    claim = identify(NAMESPACE, DEFAULT_KEY, CallMapping().record(row))
    assert claim.as_given is not None
    given, bare = claim._replace(key=claim.as_given[0], fingerprint=claim.as_given[1]), claim._replace(as_given=None)
    attempts = (OK, NO_ANSWER, REFUSED)
    for place, first in enumerate(attempts):
        for other_place, second in enumerate(attempts):
            ledger = in_memory()
            run_id = ledger.start("test", "")
            ledger.record(run_id, [bare, given], [], resend=False)
            ends = [Settlement(each.key, 1, attempt) for each, attempt in ((bare, first), (given, second))]
            ledger.record(run_id, [], ends, resend=False)
            known = as_known(claim, ledger.look_up(claim.keys))
            assert known.key == (bare.key if place <= other_place else given.key)


def test_calls_that_differ_in_blanks_alone_are_one() -> None:
    mapping = CallMapping()
    keys = {
        identify(NAMESPACE, DEFAULT_KEY, mapping.record(examples.call(each))).key for each in ("A", " A", "A\t", "'A")
    }
    assert len(keys) == 1


def test_a_key_of_text_is_the_same_with_blanks_around_it() -> None:
    mapping = CallMapping()
    padded, bare = (
        identify(
            NAMESPACE, ["SubId1"], mapping.record(examples.call("pinned", EventDate="2026-09-10T22:55:32Z", SubId1=x))
        )
        for x in (" x ", "x")
    )
    assert padded.key == bare.key
    assert padded.as_given == ("87c16256cdefbc6dee26f1a52a4100dc", 25639)
    assert bare.as_given is None
