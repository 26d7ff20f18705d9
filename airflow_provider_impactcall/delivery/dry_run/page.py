"""The findings of a dry run as a page for people, on a terminal or in a task's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from airflow_provider_impactcall.delivery.dry_run.dry_run import DryRun, Reason, shape_of
from airflow_provider_impactcall.delivery.outcome import ENDS
from airflow_provider_impactcall.records.printable import printable

# impact.com states this limit for api.impact.com. It states no limit for the Call Data API's host.
_USUAL_REQUESTS_PER_HOUR = 1000
_MOST_REASONS = 20
_PUBLIC = ("CampaignId", "MediaId", "EventDate", "ActionTrackerId", "CallProvider", "CallDuration", "TalkDuration",
           "CallStatus", "CallerPhoneNumberCountry", "CalledPhoneNumberCountry")  # fmt: skip
_INDENT = (0, 0, 0, 2)


def page_of(findings: DryRun, width: int = 120, *, anyone: bool = False) -> str:
    """The page, as plain text.

    :param width: characters in a line
    :param anyone: whether anyone may read the page, as a task's log. Then it shows no ids of calls, and only the shape
        of most values of the requests
    """
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as written:
        for part in _parts(findings, anyone):
            console.print(part)
    return "\n".join(line.rstrip() for line in written.get().strip().splitlines())


def _parts(findings: DryRun, anyone: bool) -> Iterator[RenderableType]:
    yield from _section("Rows", _pairs(_counts(findings)))
    if findings.would_send:
        yield Padding(Text(_how_long(findings)), _INDENT)
    if findings.reasons:
        yield from _section("Not sent, and why", _table_of(findings.reasons, anyone))
    if findings.warnings:
        yield from _section("Warnings", *(Text(f"! {printable(each.warning)}") for each in findings.warnings))
    if findings.unmapped_columns:
        yield from _section("Columns that nothing reads", Text(printable(", ".join(findings.unmapped_columns))))
    if findings.always_empty:
        yield from _section(
            "Parameters that have a source, and are always empty", Text(", ".join(findings.always_empty))
        )
    for number, request in enumerate(findings.requests, start=1):
        where = "the URL" if findings.endpoint.parameters_in == "query" else "the body"
        title = f"Request {number}: POST {findings.endpoint.url}, with these in {where}"
        shown = {name: shape_of(value) if anyone and name not in _PUBLIC else value for name, value in request.items()}
        yield from _section(title, _pairs(shown.items()))


def _section(title: str, *parts: RenderableType) -> Iterator[RenderableType]:
    yield Text("")
    yield Text(title)
    for part in parts:
        yield Padding(part, _INDENT)


def _counts(findings: DryRun) -> Iterator[tuple[str, str]]:
    counts = {"would be sent": findings.would_send} | {
        end.replace("_", " "): getattr(findings.report, end) for end in ENDS if end not in ("delivered", "not_sent")
    }
    counts["being sent by another run"] = findings.report.not_sent - findings.would_send
    yield "read", str(findings.report.rows)
    for name, count in counts.items():
        if count or name == "would be sent":
            yield name, str(count)


def _how_long(findings: DryRun) -> str:
    seconds = findings.expected_seconds
    if seconds is not None:
        return f"Sending takes at least {_duration(seconds)} at the rate limit."
    usual = findings.would_send / _USUAL_REQUESTS_PER_HOUR * 3600
    return (
        f"No rate limit is set. At {_USUAL_REQUESTS_PER_HOUR:,} requests an hour, which impact.com states for another "
        f"host, sending would take {_duration(usual)}."
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        table.add_row(Text(printable(name)), Text(printable(value), overflow="fold"))
    return table


def _table_of(reasons: Sequence[Reason], anyone: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    for reason in reasons[:_MOST_REASONS]:
        table.add_row(str(reason.rows), Text(reason.outcome), Text(printable(reason.reason), overflow="fold"))
        examples = [
            f"row {example.row}"
            + (
                f", CallSessionId {printable(example.call_session_id)}"
                if example.call_session_id and not anyone
                else ""
            )
            + (f", looks like {printable(example.shape)}" if example.shape else "")
            for example in reason.examples
        ]
        table.add_row("", "", Text("\n".join(examples), overflow="fold"))
    left = len(reasons) - _MOST_REASONS
    if left > 0:
        table.add_row("", "", Text(f"and {left} other reasons"))
    return table
