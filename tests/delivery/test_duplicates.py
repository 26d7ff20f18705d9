"""The calls of one input so far: what a plain dict knows of them, in a quarter of its memory."""

from __future__ import annotations

import random
import tracemalloc
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.duplicates import CallIndex
from airflow_provider_impactcall.delivery.outcome import RowOutcome

# Of few halves, so that a key often stands across two entries as well.
halves = st.sampled_from([bytes(8), b"\x01" * 8, b"\xff" * 8])
keys = st.one_of(st.tuples(halves, halves).map(b"".join), st.binary(min_size=16, max_size=16))
contents = st.one_of(halves.map(partial(int.from_bytes, signed=True)), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.tuples(keys, contents)))
def test_it_says_what_a_dict_of_the_first_contents_says(rows: list[tuple[bytes, int]]) -> None:
    seen = CallIndex()
    first: dict[bytes, int] = {}
    for key, content in rows:
        expected = None if key not in first else RowOutcome.DUPLICATE if first[key] == content else RowOutcome.CHANGED
        first.setdefault(key, content)
        assert seen.state_of(key, content) is expected


def test_every_call_of_a_large_input_is_known_again_and_no_other() -> None:
    drawn = random.Random(1)
    calls = {drawn.randbytes(16): drawn.getrandbits(63) for _ in range(50_000)}
    seen = CallIndex()
    assert {seen.state_of(*call) for call in calls.items()} == {None}
    assert {seen.state_of(*call) for call in calls.items()} == {RowOutcome.DUPLICATE}
    assert {seen.state_of(key, content ^ 1 << 62) for key, content in calls.items()} == {RowOutcome.CHANGED}
    assert {seen.state_of(drawn.randbytes(16), 0) for _ in range(50_000)} == {None}


def test_keys_that_differ_in_one_bit_are_two_calls() -> None:
    key = bytes(range(16))
    seen = CallIndex()
    others = [(int.from_bytes(key, "big") ^ 1 << bit).to_bytes(16, "big") for bit in range(128)]
    assert {seen.state_of(each, 7) for each in [key, *others]} == {None}


def test_a_call_takes_a_few_dozen_bytes() -> None:
    calls = 200_000
    drawn = random.Random(1)
    tracemalloc.start()
    seen = CallIndex()
    empty = tracemalloc.get_traced_memory()[0]
    for _ in range(calls):
        seen.state_of(drawn.randbytes(16), drawn.getrandbits(63))
    taken = tracemalloc.get_traced_memory()[0] - empty
    tracemalloc.stop()
    assert empty < 2_000_000
    assert taken < 35 * calls
