"""What became of the calls of one delivery, according to the endpoint and to the ledger."""

from __future__ import annotations

from collections import Counter
from urllib.parse import parse_qs, urlsplit

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.entries import HISTORY
from airflow_provider_impactcall.delivery.ledger.schema import calls, runs
from airflow_provider_impactcall.delivery.outcome import CallState
from airflow_provider_impactcall.sandbox import FAULTS, Sandbox

_OF_KNOWN_FATE = ("429-", "500", "503", "400-", "slow")


class Story:
    """What is known at one moment of the calls whose ids begin with a prefix."""

    def __init__(self, sandbox: Sandbox, ledger_url: str, prefix: str) -> None:
        processed = [each["parameters"]["CallSessionId"] for each in tuple(sandbox.calls)]
        requested = [parse_qs(urlsplit(each.target).query)["CallSessionId"][0] for each in tuple(sandbox.requests)]
        self.processed = Counter(session_id for session_id in processed if session_id.startswith(prefix))
        self.requested = Counter(session_id for session_id in requested if session_id.startswith(prefix))
        ours = calls.c.CallSessionId.startswith(prefix, autoescape=True)
        intents = sa.select(calls.c.CallSessionId, sa.func.count()).join(HISTORY, HISTORY.c.key == calls.c.key)
        intents = intents.where(ours, HISTORY.c.state == CallState.OPEN.value).group_by(calls.c.CallSessionId)
        states = sa.select(calls.c.CallSessionId, calls.c.state, calls.c.deaths)
        engine = sa.create_engine(ledger_url)
        with engine.connect() as connection:
            found = connection.execute(states.where(ours)).all()
            self.intents = Counter({str(session_id): int(times) for session_id, times in connection.execute(intents)})
        engine.dispose()
        self.states = {str(session_id): str(state) for session_id, state, _ in found}
        self.deaths = {str(session_id): int(deaths) for session_id, _, deaths in found}

    def of_state(self, *wanted: str) -> set[str]:
        return {session_id for session_id, state in self.states.items() if state in wanted}

    @property
    def twice(self) -> set[str]:
        return {session_id for session_id, times in self.processed.items() if times > 1}

    @property
    def doubles(self) -> int:
        """How many extra times calls were processed."""
        return self.processed.total() - len(self.processed)

    def is_true(self) -> None:
        """What must hold at any moment, whatever happened."""
        assert self.requested <= self.intents, "nothing leaves without an intent"
        assert self.of_state("delivered") <= self.processed.keys(), "delivered means processed"
        assert not self.of_state("rejected", "not_sent") & self.processed.keys(), "processed is never taken as not"

    def is_complete(self, count: int) -> None:
        """What must hold when a run has ended."""
        self.is_true()
        assert len(self.states) == count, "every call is in the ledger"
        assert not self.of_state(CallState.OPEN), "nothing is left open"


def adds_up(report: dict[str, int]) -> bool:
    return report["rows"] == sum(number for end, number in report.items() if end not in _NO_ENDS)


_NO_ENDS = ("rows", "seconds", "rejects", "given_up")


def unknown_answers(sandbox: Sandbox) -> int:
    """How many answers left a call's fate unknown."""
    faults = sandbox.counts["faults"]
    assert faults.keys() <= FAULTS.keys()
    return sum(times for kind, times in faults.items() if not kind.startswith(_OF_KNOWN_FATE))


def expire_leases(ledger_url: str) -> None:
    """What waiting for one lease does to dead runs."""
    engine = sa.create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(sa.update(runs).values(lease_until=0.0))
    engine.dispose()
