from __future__ import annotations

import math

from airflow_provider_impactcall.delivery.engine.stages import Pending
from airflow_provider_impactcall.delivery.engine.waiting_room import WaitingRoom
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.items import Call
from tests.delivery.scripted import a_call


def pending(number: int, attempts: int = 0) -> Pending:
    call: Call = a_call(number)
    return Pending(call, identify("test", ["CallSessionId"], call.record), uncertain=False, attempts=attempts)


def in_turn(room: WaitingRoom) -> list[int]:
    return [pending.call.row for pending in room.take(len(room))]


def test_whoever_was_tried_least_often_is_next_and_among_equals_who_came_first() -> None:
    room = WaitingRoom()
    for number, attempts in [(1, 2), (2, 0), (3, 1), (4, 0), (5, 1)]:
        room.enter(pending(number, attempts))
    assert (len(room), room.untried) == (5, 2)
    assert in_turn(room) == [2, 4, 3, 5, 1]


def test_several_that_come_or_go_at_once_keep_their_order() -> None:
    room = WaitingRoom()
    room.enter(pending(1, attempts=1))
    room.enter_untried([pending(number) for number in (2, 3, 4)])
    assert (len(room), room.untried) == (4, 3)
    assert [each.call.row for each in room.take(2)] == [2, 3]
    room.enter_untried([pending(5)])
    assert room.take(0) == []
    assert in_turn(room) == [4, 5, 1]


def test_who_rests_is_not_next_until_the_moment_has_come() -> None:
    room = WaitingRoom()
    room.rest(pending(1, attempts=1), 5.0)
    room.rest(pending(2, attempts=3), 2.0)
    room.enter(pending(3, attempts=2))
    assert room.due == 2.0
    room.wake(1.9)
    assert len(room) == 1
    room.wake(2.0)
    assert (len(room), room.due) == (2, 5.0)
    room.wake(9.0)
    assert room.due == math.inf
    assert in_turn(room) == [1, 3, 2], "whoever was tried least often, however long it has waited"


def test_all_of_them_go_when_nothing_more_leaves() -> None:
    room = WaitingRoom()
    room.rest(pending(1, attempts=1), 5.0)
    room.rest(pending(2), 2.0)
    room.enter(pending(3, attempts=2))
    room.enter(pending(4))
    assert [each.call.row for each in room.clear()] == [4, 3, 2, 1]
    assert (len(room), room.due) == (0, math.inf)
