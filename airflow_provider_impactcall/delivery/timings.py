"""How long a delivery waits for what, in one permit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """Seconds, each. The defaults are what is promised and proven; tests have others.

    :param lease: for which a run is taken to be alive since it was last heard of, by the database's clock
    :param renewal: after which a run that has nothing to record renews its lease
    :param lease_margin: before its end in which a lease is no longer relied on: what is checked in time must also leave
        in time
    :param patience: for which a database that fails is asked again
    :param first_pause: before it is asked again for the first time; each pause is twice the one before
    :param longest_pause: that such a pause may grow to
    :param progress: between two lines of the log that say how far a run is
    :param interrupt_poll: between two looks at whether a run is to stop
    :param grace: that a run which is to stop leaves the requests in flight. Airflow 3 kills a task 5 s after it asked
        it to stop
    :param other_run: between two looks at a call that another run is sending
    :param first_back_off: of a call's first back-off, at most; the bound doubles each time
    :param longest_back_off: that this bound may grow to
    :param shortest_wait: that is taken as asked for: a shorter one, as by a Retry-After in the past, would let us ask
        as fast as answers come
    :param idle_permit: after which a permit of the rate limit that nobody has used is given back
    :param tidying: between two removals of what the rate limit needs no longer
    :param lock_wait: for the locks that building an index takes, in whole milliseconds
    :param table_wait: for the lock that a change of a table takes, before another attempt: a session that comes
        later waits behind it, and has a lease to renew
    :param turn: that a purge or a migration leaves to others between its transactions. On SQLite, which has one writer,
        others look every 0.1 s at most whether it is their turn
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
"""What every delivery has that is not told otherwise."""
