"""The page's requests, and the data that answers them. No FastAPI here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

from airflow_provider_impactcall.delivery.ledger import remedies
from airflow_provider_impactcall.delivery.ledger.action_queries import WAY_COLUMNS, ActionQueries
from airflow_provider_impactcall.delivery.ledger.listing import LISTED_COLUMNS
from airflow_provider_impactcall.delivery.ledger.overview import BREAKDOWN, Overview
from airflow_provider_impactcall.delivery.ledger.periods import Period, zulu
from airflow_provider_impactcall.delivery.ledger.row_overview import RowOverview
from airflow_provider_impactcall.delivery.ledger.run_queries import (
    RunSelection,
    each_run,
    latest_runs,
    namespaces,
    namespaces_of_call,
    of_one_run,
)
from airflow_provider_impactcall.delivery.ledger.selection import CHANGED, INVALID, Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import ENDS
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.source import TaskInstance

DEFAULT_PERIOD = timedelta(days=7)
DEFAULT_CALLS = 100
MOST_CALLS = 1_000

_MOST_VALUES = 50
# As many characters as a value in the ledger may have; a CallSessionId has no limit there.
_LONGEST_VALUE = 4_000
# A time outside these years is a mistake, and may not exist in UTC.
_FIRST_YEAR, _LAST_YEAR = 1970, 9000

_SENTENCES = 3

_REASON_COLUMNS = ("reason_code", "status", "reason", "calls", "last_at", "what_to_do", "command")
COLUMNS = {
    "over-time": ("at", *BREAKDOWN, INVALID),
    "partners": ("MediaId", "calls", *BREAKDOWN, INVALID),
    "campaigns": ("CampaignId", "calls", *BREAKDOWN),
    "actions": WAY_COLUMNS,
    "rejected": _REASON_COLUMNS,
    "unknown": _REASON_COLUMNS,
    "invalid": ("reason_code", "parameter", "rows", "not_kept", "reason", "last_at", "what_to_do", "command"),
    "filtered": ("reason_code", "reason", "rows", "runs", "last_at"),
    "changed": LISTED_COLUMNS,
    "calls": LISTED_COLUMNS,
    "history": ("CallSessionId", "at", "state", "reason_code", "status", "reason", "actor", "attempt", "run_id", "key"),
    "runs": (
        *(
            "run_id",
            "kind",
            "source",
            "namespace",
            "started_at",
            "ended_at",
            "seconds",
            "alive",
            "stop_code",
            "stop",
            "actor",
            "why",
        ),
        *ENDS,
    ),
}
"""The columns of each listing, as it is written to CSV."""


@dataclass(frozen=True)
class Asked:
    """A request's parameters. An absent parameter is None or empty.

    :param since: ISO 8601 with an offset from UTC
    :param until: the same
    :param limit: how many calls at most, 1 to 1,000
    :raises InvalidOption: if a value is not valid for its parameter
    """

    since: str | None = None
    until: str | None = None
    namespace: str | None = None
    states: Sequence[str] = ()
    reason_code: str | None = None
    status: int | None = None
    call_session_ids: Sequence[str] = ()
    media_ids: Sequence[str] = ()
    campaign_ids: Sequence[str] = ()
    run_ids: Sequence[str] = ()
    actions: Sequence[str] = ()
    source: str | None = None
    dag_id: str | None = None
    dag_run_id: str | None = None
    limit: int = DEFAULT_CALLS

    def __post_init__(self) -> None:
        of_calls = (self.states, self.call_session_ids, self.media_ids, self.campaign_ids, self.actions)
        several = (*of_calls, self.run_ids)
        single = (self.namespace, self.reason_code, self.source, self.dag_id, self.dag_run_id)
        if any(len(values) > _MOST_VALUES for values in several):
            raise InvalidOption(f"a parameter may be given at most {_MOST_VALUES} times")
        texts = [*(value for value in single if value is not None), *(value for values in several for value in values)]
        if any(len(text) > _LONGEST_VALUE or "\0" in text for text in texts):
            raise InvalidOption(f"a parameter has at most {_LONGEST_VALUE} characters, and none of them is NUL")
        if not 1 <= self.limit <= MOST_CALLS:
            raise InvalidOption(f"limit must be 1 to {MOST_CALLS}")
        if (self.dag_id is None) != (self.dag_run_id is None):
            raise InvalidOption("dag_id and dag_run_id go together")

    def period(self) -> Period:
        """The period, by default the last seven days.

        :raises InvalidOption: if it is not a valid period
        """
        until = datetime.now(UTC) if self.until is None else _time("until", self.until)
        return Period(until - DEFAULT_PERIOD if self.since is None else _time("since", self.since), until)

    def given_period(self) -> Period | None:
        """The period, or None if the request names none.

        :raises InvalidOption: if it is not a valid period
        """
        return None if self.since is None and self.until is None else self.period()


class Answers:
    """The data for one request.

    :param ledger: of any namespace
    :param asked: the request's parameters
    :param command: how the commands are called in this Airflow
    :raises InvalidOption: if the parameters do not go together
    """

    def __init__(self, ledger: Ledger, asked: Asked, command: Sequence[str]) -> None:
        self._ledger = ledger
        self._asked = asked
        self._command = command

    def overview(self, name: str) -> dict[str, Any]:
        """The figures at the top of the page.

        :param name: of the ledger
        """
        period, of, rows = self._asked.period(), self._of(), self._rows
        changed, more_changed = rows.changed()
        return {
            "ledger": name,
            "namespaces": self._namespaces,
            "namespace": self._namespace or None,
            "since": zulu(period.since),
            "until": zulu(period.until),
            "states": of.states(period),
            "invalid": rows.invalid(period),
            "not_kept": rows.not_kept(period),
            "changed": rows.changed(period)[0],
            "oldest_undelivered": of.oldest_undelivered(),
            "needs_a_person": {
                "invalid": rows.invalid(),
                "changed": changed,
                "more_changed": more_changed,
                "unknown": of.open_unknowns(),
                "refused": of.refused(),
            },
        }

    def over_time(self) -> dict[str, Any]:
        """The calls by outcome, over time."""
        return self._of().over_time(self._asked.period())

    def partners(self) -> list[dict[str, Any]]:
        """The calls by outcome, for each ``MediaId``."""
        return self._of().partners(self._asked.period())

    def campaigns(self) -> list[dict[str, Any]]:
        """The calls by outcome, for each ``CampaignId``."""
        return self._of().campaigns(self._asked.period())

    def actions(self) -> list[dict[str, Any]]:
        """How far the delivered calls of each ``MediaId`` and ``CampaignId`` have come at impact.com."""
        return ActionQueries(self._in(self._namespace)).ways(self._asked.period().counted_one_by_one())

    def rejected(self) -> list[dict[str, Any]]:
        """The rejected calls by reason, each with what to do and the command for it."""
        return self._reasons("rejected", remedies.about_rejected, remedies.requeue)

    def unknown(self) -> list[dict[str, Any]]:
        """The calls of unknown fate by reason, each with what to do and the command for it."""
        return self._reasons("unknown", remedies.about_unknown, remedies.resolve)

    def invalid(self) -> list[dict[str, Any]]:
        """The rows that were rejected here, of a period or of some runs, by the code of each row's first problem.

        Each group has ``parameters`` (where the problem is), what to do, and the command that dismisses its rows. For
        runs there is no command, as several runs may have read the same rows.
        """
        groups: dict[str, list[dict[str, Any]]] = {}
        for problem in self.each_problem():
            groups.setdefault(problem["reason_code"], []).append(problem)
        found = [_of_code(code, problems) for code, problems in groups.items()]
        return sorted(found, key=lambda group: -group["rows"] - group["not_kept"])

    def each_problem(self) -> Iterator[dict[str, Any]]:
        """The rows that were rejected here, by code and parameter."""
        run_ids, period = self._asked.run_ids, self._asked.period()
        for problem in self._rows.problems_of(run_ids) if run_ids else self._rows.problems(period):
            code = problem["reason_code"]
            yield {
                **problem,
                "reason": next(iter(problem["reasons"]), ""),
                "what_to_do": remedies.about_invalid(code),
                "command": "" if run_ids else remedies.dismiss(self._command, self._namespace, code, period),
            }

    def filtered(self) -> list[dict[str, Any]]:
        """The rows that were left out on purpose, of a period or of some runs, by reason."""
        run_ids = self._asked.run_ids
        return self._rows.filtered_of(run_ids) if run_ids else self._rows.filtered(self._asked.period())

    def changed(self) -> dict[str, Any]:
        """The delivered calls that came again with other content, the last first, and how many there are."""
        period = self._asked.period()
        number, more_changed = self._rows.changed(period)
        calls, _ = self._of().calls(Selection((CHANGED,), since=period.since, until=period.until), self._asked.limit)
        return {
            "changed": number,
            "more_changed": more_changed,
            "calls": calls,
            "what_to_do": remedies.about_changed(),
            "command": remedies.accept(self._command, self._namespace, period),
        }

    def each_changed(self) -> Iterator[dict[str, Any]]:
        """All delivered calls that came again with other content."""
        period = self._asked.period()
        return _flat(self._of().each_call(Selection((CHANGED,), since=period.since, until=period.until)))

    def calls(self) -> dict[str, Any]:
        """The calls and dead letters that changed last, and whether there are more."""
        found: list[dict[str, Any]] = []
        more = False
        for of, selection in self._selections():
            some, even_more = of.calls(selection, self._asked.limit)
            found += some
            more = more or even_more
        found.sort(key=lambda call: str(call["changed_at"]), reverse=True)
        limit = self._asked.limit
        return {"calls": found[:limit], "more": more or len(found) > limit}

    def each_call(self) -> Iterator[dict[str, Any]]:
        """All selected calls and dead letters."""
        for of, selection in self._selections():
            yield from _flat(of.each_call(selection))

    def history(self) -> dict[str, Any]:
        """The calls and dead letters of an id, and the history of the calls; and ``elsewhere``, the other namespaces
        that have the id.

        :raises InvalidOption: if the request does not name exactly one id
        """
        if len(self._asked.call_session_ids) != 1:
            raise InvalidOption("give one CallSessionId")
        of = self._of()
        calls, _ = of.calls(Selection(call_session_ids=self._asked.call_session_ids), MOST_CALLS)
        elsewhere = namespaces_of_call(self._ledger, self._asked.call_session_ids[0]) - {self._namespace}
        return {
            "calls": calls,
            "history": of.history(self._asked.call_session_ids[0]),
            "elsewhere": sorted(elsewhere),
        }

    def runs(self) -> list[dict[str, Any]]:
        """The last runs, each with where Airflow shows its task."""
        return [{**run, "task_url": _task_url(run)} for run in latest_runs(self._ledger, self._of_runs())]

    def each_run(self) -> Iterator[dict[str, Any]]:
        """All selected runs."""
        return each_run(self._ledger, self._of_runs())

    def _of_runs(self) -> RunSelection:
        asked = self._asked
        dag_run = None if asked.dag_id is None or asked.dag_run_id is None else (asked.dag_id, asked.dag_run_id)
        if asked.run_ids or asked.source is not None or dag_run is not None:
            of_period, namespace = asked.given_period(), asked.namespace
        else:
            of_period, namespace = asked.period(), self._namespace
        return RunSelection(namespace, of_period, tuple(asked.run_ids), asked.source, dag_run)

    @cached_property
    def _namespaces(self) -> list[str]:
        return namespaces(self._ledger)

    @cached_property
    def _namespace(self) -> str:
        return self._asked.namespace if self._asked.namespace is not None else next(iter(self._namespaces), "")

    def _of(self, namespace: str | None = None) -> Overview:
        return Overview(self._in(self._namespace if namespace is None else namespace))

    def _in(self, namespace: str) -> Ledger:
        return Ledger(self._ledger.engine, namespace)

    @property
    def _rows(self) -> RowOverview:
        return RowOverview(self._in(self._namespace))

    def _reasons(
        self,
        state: str,
        about: Callable[[str, int | None], str],
        command: Callable[[Sequence[str], str, str, int | None, Period], str],
    ) -> list[dict[str, Any]]:
        period = self._asked.period()
        return [
            {
                **each,
                "what_to_do": about(each["reason_code"], each["status"]),
                "command": command(self._command, self._namespace, each["reason_code"], each["status"], period),
            }
            for each in self._of().reasons(state, period)
        ]

    def _selections(self) -> Iterator[tuple[Overview, Selection]]:
        asked = self._asked
        period = asked.given_period() if asked.run_ids or asked.call_session_ids else asked.period()
        selection = Selection(
            states=tuple(asked.states),
            reason_code=asked.reason_code or None,
            status=asked.status,
            since=None if period is None else period.since,
            until=None if period is None else period.until,
            call_session_ids=tuple(asked.call_session_ids),
            media_ids=tuple(asked.media_ids),
            campaign_ids=tuple(asked.campaign_ids),
            actions=tuple(asked.actions),
        )
        if not asked.run_ids:
            yield self._of(), selection
        for run_id in asked.run_ids:
            namespace, of_run = of_one_run(self._ledger, selection, run_id)
            # A run's calls are of the run's namespace, whichever namespace the page shows.
            if of_run is not None and asked.namespace in (None, namespace):
                yield self._of(namespace), of_run


def _of_code(code: str, problems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of one code, of all parameters; with a sentence for each of the first parameters."""
    first = problems[0]
    return {
        "reason_code": code,
        **{name: sum(problem[name] for problem in problems) for name in ("rows", "not_kept")},
        "last_at": max(problem["last_at"] for problem in problems),
        "reasons": list(dict.fromkeys(problem["reason"] for problem in problems if problem["reason"]))[:_SENTENCES],
        "parameters": [{name: problem[name] for name in ("parameter", "rows", "not_kept")} for problem in problems],
        "what_to_do": first["what_to_do"],
        "command": first["command"],
    }


def _flat(calls: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows as CSV has them: the problems of a dead letter are one text."""
    for call in calls:
        problems = "; ".join(f"{each['parameter']} {each['code']}" for each in call["problems"] or ())
        yield {**call, "problems": problems or None}


def _task_url(run: Mapping[str, Any]) -> str | None:
    """Where Airflow shows a run's task, relative to the page's own address; None if the run is not a task's."""
    # In changes from before the ledger kept tasks beside persons, the actor is the task.
    instance = TaskInstance.of(str(run["source"])) or TaskInstance.of(str(run["actor"]))
    if instance is None:
        return None
    dag_id, task_id, run_id = (quote(part, safe="") for part in instance[:3])
    mapped = "" if instance.map_index < 0 else f"/mapped/{instance.map_index}"
    return f"../dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}"


def _time(name: str, text: str) -> datetime:
    try:
        # In a URL that was not encoded, the + of an offset is read as a space.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise InvalidOption(f"{name} must be a time in ISO 8601, such as 2026-09-10T22:55:32Z") from None
    if moment.tzinfo is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise InvalidOption(f"{name} must have an offset from UTC, and be of {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment
