"""How long a delivery waits for what, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """All times are in seconds. The defaults are the promised and tested values; tests use others.

    :param lease: how long a run counts as alive after its last sign of life, by the database's clock
    :param renewal: a run with nothing to record renews its lease after so long
    :param lease_margin: a lease is no longer relied on so long before its end: a request that is checked in time must
        also leave in time
    :param patience: how long a failing database operation is retried
    :param first_pause: the pause before the first such retry; each further pause is twice as long
    :param longest_pause: the longest such pause
    :param progress: between two progress lines in the log
    :param interrupt_poll: between two checks whether the run has to stop
    :param grace: how long a run that has to stop waits for its requests in flight. Airflow 3 kills a task 5 s after
        it asked the task to stop
    :param other_run: between two checks of a call that another run is sending
    :param first_back_off: the longest first back-off of a call; this bound doubles each time
    :param longest_back_off: the largest value of this bound
    :param shortest_wait: the shortest wait that is obeyed as the endpoint's. A shorter one, such as a Retry-After in
        the past, would let us send as fast as answers come, so our own back-off applies too
    :param idle_permit: an unused permit of the rate limit is given back after so long
    :param tidying: between two removals of data that the rate limit no longer needs
    :param lock_wait: how long to wait for the locks for building an index; a whole number of milliseconds
    :param table_wait: how long to wait for the lock for changing a table, before another attempt. Later sessions queue
        behind this lock, and they have leases to renew
    :param turn: the pause of a purge or a migration between its transactions, in which others may write. On SQLite,
        which has one writer, a waiting writer checks at least every 0.1 s
    """

    lease: float = 10.0
    renewal: float = 3.0
    lease_margin: float = 1.0
    patience: float = 60.0
    first_pause: float = 0.05
    longest_pause: float = 2.0
    progress: float = 5.0
    interrupt_poll: float = 0.2
    grace: float = 4.0
    other_run: float = 0.5
    first_back_off: float = 0.5
    longest_back_off: float = 30.0
    shortest_wait: float = 1.0
    idle_permit: float = 1.0
    tidying: float = 10.0
    lock_wait: float = 10.0
    table_wait: float = 1.0
    turn: float = 0.05


TIMINGS = Timings()
"""The timings of every delivery that is not given others."""
