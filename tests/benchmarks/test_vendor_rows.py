"""Vendors' rows are what is said of them: calls that presets read, each with a caller that no other has."""

from __future__ import annotations

import json

import pytest

from airflow_provider_impactcall.records import CallMapping
from benchmarks.rows import Rows
from benchmarks.vendor_mapping import HEAD, JUDGED, WORST, figure, measure, table
from benchmarks.vendor_models import MODELS
from benchmarks.vendor_rows import CALLRAIL, KINDS, VENDORS, of_a_new_prefix, with_new_prefixes
from tests.records.vendors.payloads import PAYLOADS, load

COUNT = 500
# What is not the vendor's country of the call, though its name says so.
COUNTRIES = {"customer_country", "country", "caller_country"}
LEFT_OUT = {"unix_time"}


@pytest.fixture(params=VENDORS)
def kind(request: pytest.FixtureRequest) -> Rows:
    return VENDORS[request.param]


def test_each_row_is_another_call_of_another_caller(kind: Rows) -> None:
    mapping = CallMapping(**kind.options)
    records = [mapping.record(row) for row in kind.of(COUNT)]
    assert len({record.CallSessionId for record in records}) == COUNT
    assert len({record.CallerId for record in records}) == COUNT
    statuses = {record.parameters()["CallStatus"] for record in records}
    assert statuses == {"ANSWER", "CANCEL"}
    for record in records[:20]:
        assert {"CallerPhoneNumberCountry", "CalledPhoneNumberCountry", "MediaId"} <= record.parameters().keys()


def test_vendors_have_no_callers_in_common() -> None:
    callers = [CallMapping(**kind.options).record(row).CallerId for kind in VENDORS.values() for row in kind.of(COUNT)]
    assert len({*callers}) == len(callers)


def test_rows_have_the_published_columns_but_for_the_country(kind: Rows) -> None:
    published = load(PAYLOADS[kind.name])
    row = kind.row(1)
    assert published.keys() - row.keys() <= COUNTRIES | LEFT_OUT
    assert not row.keys() & COUNTRIES
    # A row can be written as JSON, and is the same each time.
    assert json.loads(json.dumps(row)) == row == kind.row(1)


def test_plain_pydantic_reads_the_same_rows(kind: Rows) -> None:
    for row in kind.of(20):
        MODELS[kind.name].model_validate(row)


def test_new_prefixes_are_new() -> None:
    prefixes = {of_a_new_prefix(number)[:8] for number in range(COUNT)}
    assert len(prefixes) == COUNT
    record = CallMapping(**CALLRAIL.options).record
    assert all(record(with_new_prefixes(number)).parameters()["CallerId"] for number in range(COUNT))


def test_kinds_are_found_by_name() -> None:
    assert KINDS["vendor"] is CALLRAIL
    assert all(KINDS[kind.name] is kind for kind in KINDS.values())


def test_every_vendor_is_mapped_in_every_round() -> None:
    reads = measure(10, 2)
    assert [read.title for read in reads] == [*(kind.title for kind in VENDORS.values()), WORST]
    assert {len(seconds) for read in reads for seconds in (read.ours, read.peer)} == {2}
    judged = [read for read in reads if read.title in JUDGED]
    assert len(judged) == len(JUDGED)
    assert figure(reads).values[1] == sum(read.ours[1] for read in judged) / sum(read.peer[1] for read in judged)
    assert len(table(reads).splitlines()) == len(reads) + 3
    assert all(line.count("|") == len(HEAD) + 1 for line in table(reads).splitlines())
