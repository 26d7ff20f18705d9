"""The comparison with plain pydantic compares what it says: the same calls, read by everyone."""

from __future__ import annotations

from benchmarks.mapping import PEER, contenders, measure
from benchmarks.rows import row


def test_every_contender_reads_the_same_calls() -> None:
    peer, by_name, *others = contenders(200)
    assert peer.title == PEER
    assert len(row(0)) == 20
    for number, each in enumerate(peer.rows):
        call = peer.read(each)
        record = by_name.read(each)
        assert len(record.parameters()) == 20
        assert (record.CallSessionId, record.CallerId, record.MediaId) == (
            call.call_session_id,
            call.caller_id,
            call.media_id,
        )
        for other in others:
            # Where a table gives MediaId, it goes by the tracking number.
            found = other.read(other.rows[number]).parameters()
            assert found | {"MediaId": ""} == record.parameters() | {"MediaId": ""}, other.title


def test_every_contender_is_measured_in_every_round() -> None:
    results = measure(50, 2)
    assert [len(result.seconds) for result in results] == [2] * 6
    assert results[0].line(results[0])[-2:] == ("1.00 (1.00 to 1.00)", "1.00, 1.00")
