"""Presets find their columns whatever the style that a loader gave them, and refuse rows that lack a guard's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.items import Call, Rejected, Skipped
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, InvalidOption
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.columns import in_any_style, styled
from airflow_provider_impactcall.records.vendors import VENDORS, Filter, preset, reads
from tests.facts import named, unfit
from tests.records.vendors.payloads import items, load, problems, wire
from tests.records.vendors.test_calltrackingmetrics import OF_TODAY
from tests.records.vendors.test_twilio import WEBHOOK

Row = dict[str, Any]

TAGS = {"tag:User:irclickid": "QiiW:XoVn", "tag:Address:Zip 5": "65401", "tag:Geo:SubDivisionCode": "MO"}
CALLS: list[tuple[str, Row]] = [
    (
        "callrail",
        {**load("callrail_call"), "landing_page_url": "https://example.com/?irclickid=Ab"},
    ),
    ("callrail", {**load("callrail_webhook"), "resource_id": "CAL1"}),
    ("calltrackingmetrics", {**OF_TODAY, "sale": {"value": 5, "conversion": 1}}),
    ("invoca", load("invoca_transaction")),
    (
        "retreaver",
        {
            **load("retreaver_call"),
            "afid": "20001",
            "number": {"number": "+18885550149", "name": "Radio"},
            "tags": {"irclickid": "Ab:cD"},
        },
    ),
    ("ringba", {**load("ringba_call"), "hasVoiceMail": False, "wasBlocked": False, **TAGS}),
    ("twilio", {**load("twilio_call"), "direction": "inbound", "parent_call_sid": None}),
    ("twilio", {**WEBHOOK, "DialCallStatus": "completed", "DialCallDuration": "60", "ParentCallSid": ""}),
    ("whatconverts", load("whatconverts_lead")),
]


def snake(name: str) -> str:
    """As dlt and others spell it."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower())


def camel(name: str) -> str:
    first, *rest = snake(name).split("_")
    return first + "".join(map(str.capitalize, rest))


STYLES: dict[str, Callable[[str], str]] = {
    "as the vendor": str,
    "upper": str.upper,
    "lower": str.lower,
    "snake": snake,
    "upper snake": lambda name: snake(name).upper(),
    "camel": camel,
    "pascal": lambda name: camel(name)[:1].upper() + camel(name)[1:],
    "kebab": lambda name: snake(name).replace("_", "-"),
    "words": lambda name: snake(name).replace("_", " ").title(),
}


def spelled(row: Row, style: Callable[[str], str]) -> Row:
    return {style(name): value for name, value in row.items()}


def flattened(row: Row, style: Callable[[str], str], between: str) -> Row:
    """As a loader writes nested objects, each value a column of its own."""
    found: Row = {}
    for name, value in row.items():
        if isinstance(value, dict):
            inner = flattened(value, style, between)
            found |= {f"{style(name)}{between}{each}": every for each, every in inner.items()}
        else:
            found[style(name)] = value
    return found


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize(("vendor", "row"), CALLS, ids=[vendor for vendor, _ in CALLS])
def test_a_call_is_the_same_in_every_style(vendor: str, row: Row, style: Callable[[str], str]) -> None:
    expected = wire(row, vendor)
    assert wire(spelled(row, style), vendor) == expected
    for between in ("__", "."):
        assert wire(flattened(row, style, between), vendor) == expected
    assert wire({"ID": 7, "PAYLOAD": spelled(row, style)}, vendor) == expected
    assert wire({"_loaded": 1, "payload": json.dumps(spelled(row, style), default=str)}, vendor) == expected


def wrapped(row: Row, style: Callable[[str], str], between: str) -> Row:
    """As a loader flattens a call that the vendor gives in ``call``, with its own columns beside it."""
    return {"_loaded_at": 1, "uri": "x", **flattened({"call": row}, style, between)}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize(("vendor", "row"), [call for call in CALLS if preset(call[0]).wrapper])
def test_a_call_is_the_same_where_its_wrapper_was_flattened(vendor: str, row: Row, style: Callable[[str], str]) -> None:
    expected = wire(row, vendor)
    assert wire({"call": row}, vendor) == expected
    for between in ("__", "."):
        assert wire(wrapped(row, style, between), vendor) == expected
        for changes in (each for name, each in LEFT_OUT if name == vendor):
            with pytest.raises(CallLeftOut):
                wire(wrapped({**row, **changes}, style, between), vendor)


def test_columns_of_a_wrapper_are_known_before_the_first_row() -> None:
    row = next(row for name, row in CALLS if name == "retreaver")
    mapping = CallMapping({"SubId2": "cid"}, vendor="retreaver", defaults=IDS)
    columns = list(wrapped(row, str, "__"))
    assert mapping.problems_with(columns) == []
    (lacking,) = mapping.problems_with([each for each in columns if each != "call__via"])
    assert named(lacking, "vendor", "'via'") == ["vendor", "'via'"]
    (doubtful,) = mapping.problems_with([*columns, "call.uuid"])
    facts = ["vendor", "'uuid'", "'call__uuid'", "'call.uuid'"]
    assert named(doubtful, *facts) == facts
    assert mapping.record(wrapped(row, str, "__")).SubId2 == row["cid"]
    other = {f"lead__{name}": value for name, value in row.items()}
    assert named(mapping.problems_with(list(other), other)[0], "vendor", "'via'") == ["vendor", "'via'"]


def test_rows_of_one_call_are_joined_where_their_wrapper_was_flattened() -> None:
    row = next(row for name, row in CALLS if name == "retreaver")
    rows = [wrapped({**row, "total_duration": 9}, str, "__"), wrapped(row, str.upper, "__"), {"call": row}]
    later = {**row, "updated_at": "2024-11-05T16:53:00.756Z", "total_duration": 99}
    found = items([*rows, wrapped(later, camel, ".")], "retreaver")
    assert [type(item) for item in found] == [Skipped, Skipped, Skipped, Call]
    assert found[-1].record.CallDuration == 99


LEFT_OUT: list[tuple[str, Row]] = [
    ("callrail", {"direction": "outbound"}),
    ("callrail", {"spam": True}),
    ("callrail", {"customer_phone_number": "anonymous"}),
    ("callrail", {"id": "WH1", "answered": False, "duration": 0}),
    ("calltrackingmetrics", {"direction": "outbound"}),
    ("calltrackingmetrics", {"direction": "msg_inbound"}),
    ("calltrackingmetrics", {"dial_status": "in-progress"}),
    ("calltrackingmetrics", {"excluded": True}),
    ("invoca", {"transaction_type": "Signal"}),
    ("invoca", {"hangup_cause": "Invoca: Hang-up (Blacklisted Caller)"}),
    ("retreaver", {"via": "outbound-dial"}),
    ("retreaver", {"status": "in_progress"}),
    ("ringba", {"isLive": True}),
    ("ringba", {"wasBlocked": True}),
    ("twilio", {"direction": "outbound-api"}),
    ("twilio", {"status": "in-progress"}),
    ("twilio", {"parent_call_sid": "CA1"}),
    ("whatconverts", {"lead_type": "Web Form"}),
    ("whatconverts", {"call_status": "In Progress"}),
    ("whatconverts", {"lead_state": "Ringing"}),
    ("whatconverts", {"spam": "true"}),
]


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize(("vendor", "changes"), LEFT_OUT)
def test_every_filter_sees_its_column_in_every_style(vendor: str, changes: Row, style: Callable[[str], str]) -> None:
    row = next(row for name, row in CALLS if name == vendor)
    with pytest.raises(CallLeftOut):
        wire(spelled({**row, **changes}, style), vendor)


@given(st.data())
def test_any_mixture_of_styles_is_the_same_call(data: st.DataObject) -> None:
    vendor, row = data.draw(st.sampled_from(CALLS))
    styles = [data.draw(st.sampled_from(list(STYLES.values()))) for _ in row]
    mixed = {style(name): value for style, (name, value) in zip(styles, row.items(), strict=True)}
    if len(mixed) == len(row) and not ("Duration" in mixed and "sid" in row):
        assert wire(mixed, vendor) == wire(row, vendor)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_rows_of_one_call_are_joined_in_every_style(style: Callable[[str], str]) -> None:
    rows = [{**load("callrail_call"), "duration": 9}, load("callrail_call")]
    first, second = items([spelled(row, style) for row in rows], "callrail")
    assert isinstance(first, Skipped)
    assert isinstance(second, Call)
    assert second.record.CallDuration == 4
    transaction = load("invoca_transaction")
    event = {
        **dict.fromkeys(transaction),
        "complete_call_id": transaction["complete_call_id"],
        "transaction_id": "T2",
        "transaction_type": "Signal",
        "signal_name": "Quote",
    }
    first, second = items([spelled(transaction, style), spelled(event, style)], "invoca")
    assert isinstance(first, Call)
    assert first.record.DispositionName == "Quote"


@pytest.mark.parametrize("style", [each for each in STYLES.values() if each("duration") != "Duration"])
def test_legs_are_joined_in_every_style(style: Callable[[str], str]) -> None:
    parent = {**load("twilio_call"), "direction": "inbound", "parent_call_sid": None, "sid": "CA1", "answered_by": None}
    leg = {**parent, "sid": "CA2", "parent_call_sid": "CA1", "direction": "outbound-dial", "duration": "3"}
    first, second = items([spelled(parent, style), spelled(leg, style)], "twilio")
    assert isinstance(first, Call)
    assert (first.record.TalkDuration, first.record.CallDuration) == (3, 4)
    assert isinstance(second, Skipped)


def test_rows_of_one_call_may_be_of_two_styles() -> None:
    rows = [spelled({**load("callrail_call"), "duration": 9}, str.upper), spelled(load("callrail_call"), camel)]
    assert [type(item) for item in items(rows, "callrail")] == [Skipped, Call]


@pytest.mark.parametrize(
    ("vendor", "name", "other"),
    [
        ("callrail", "customer_phone_number", "CUSTOMER_PHONE_NUMBER"),
        ("callrail", "direction", "Direction"),
        ("ringba", "isLive", "is_live"),
        ("retreaver", "total_duration", "totalDuration"),
        ("calltrackingmetrics", "talk_time", "talk-time"),
        ("invoca", "complete_call_id", "COMPLETE_CALL_ID"),
        ("whatconverts", "call_status", "Call Status"),
    ],
)
def test_two_columns_that_could_be_meant_are_an_error(vendor: str, name: str, other: str) -> None:
    row = next(row for each, row in CALLS if each == vendor)
    with pytest.raises(InvalidCall) as invalid:
        wire({**row, other: row[name]}, vendor)
    (problem,) = invalid.value.problems
    assert (problem.parameter, problem.code) == ("row", "ambiguous_column")
    assert repr(name) in problem.message
    assert repr(other) in problem.message
    mapping = CallMapping(vendor=vendor, defaults=IDS)
    facts = [repr(name), repr(other)]
    assert any(named(problem, *facts) == facts for problem in mapping.problems_with([*row, other], row))
    assert not any(named(problem, *facts) == facts for problem in mapping.problems_with(list(row), row))


IDS = {"CampaignId": 1000, "MediaId": 10000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"}


def test_a_loaders_own_column_is_not_meant() -> None:
    row = {**CALLS[0][1], "_id": "5f", "_ID": 3}
    assert wire(row, "callrail") == wire(CALLS[0][1], "callrail")


def test_both_spellings_that_a_preset_has_itself_may_be_there() -> None:
    call = {**load("twilio_call"), "direction": "inbound", "parent_call_sid": None}
    assert wire({**call, "From": "", "Direction": None}, "twilio") == wire(call, "twilio")


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_minutes_are_not_taken_for_seconds(style: Callable[[str], str]) -> None:
    assert wire(spelled(WEBHOOK, style), "twilio")["CallDuration"] == "95"


def test_minutes_alone_are_not_read() -> None:
    row = {name: value for name, value in WEBHOOK.items() if name != "CallDuration"}
    with pytest.raises(InvalidCall, match=r"^CallDuration\b[^;]*; TalkDuration\b[^;]*$"):
        wire({**row, "CallStatus": "completed"}, "twilio", mapping={"EventDate": "Timestamp"})


GUARDED = [
    ("callrail", "direction", ["direction"]),
    ("callrail", "ended", ["answered"]),
    ("calltrackingmetrics", "direction", ["direction"]),
    ("calltrackingmetrics", "ended", ["dial_status", "call_status"]),
    ("retreaver", "direction", ["via"]),
    ("retreaver", "ended", ["status"]),
    ("ringba", "ended", ["isLive"]),
    ("twilio", "direction", ["direction"]),
    ("twilio", "ended", ["status"]),
    ("whatconverts", "ended", ["call_status", "lead_state"]),
]


@pytest.mark.parametrize(("vendor", "guard", "columns"), GUARDED)
def test_a_row_without_a_guards_column_is_rejected_alone(vendor: str, guard: str, columns: list[str]) -> None:
    whole = next(row for name, row in CALLS if name == vendor)
    row = {name: value for name, value in whole.items() if name not in columns}
    mapping = {"CallStatus": {"constant": "ANSWER"}}
    with pytest.raises(InvalidCall) as invalid:
        wire(row, vendor, mapping=mapping)
    found = [problem for problem in invalid.value.problems if problem.parameter == "row"]
    messages = [problem.message for problem in found]
    assert [problem.code for problem in found] == ["missing"]
    assert repr(columns[0]) in messages[0]
    assert f'prefiltered=("{guard}",)' in messages[0]
    alone = items([{**whole, **_other_id(vendor)}, row], vendor, mapping=mapping)
    assert [type(item) for item in alone] == [Call, Rejected]
    assert wire(row, vendor, mapping=mapping, prefiltered=[guard]) | {"TalkDuration": ""} == wire(
        whole, vendor, mapping=mapping
    ) | {"TalkDuration": ""}


@pytest.mark.parametrize(("vendor", "guard", "columns"), GUARDED)
def test_a_row_with_nothing_in_a_guards_column_is_rejected_alone(vendor: str, guard: str, columns: list[str]) -> None:
    whole = next(row for name, row in CALLS if name == vendor)
    mapping = {"CallStatus": {"constant": "ANSWER"}}
    for nothing in (None, "", "  ", "\N{NO-BREAK SPACE}", float("nan")):
        row = {**whole, **dict.fromkeys(columns, nothing)}
        found = [each for each in problems(row, vendor, mapping=mapping) if each[0] == "row"]
        assert [name for name, _ in found] == ["row"], nothing
        assert repr(columns[0]) in found[0][1]
        assert f'prefiltered=("{guard}",)' in found[0][1]
        passed = wire(row, vendor, mapping=mapping, prefiltered=[guard])
        assert passed | {"TalkDuration": ""} == wire(whole, vendor, mapping=mapping) | {"TalkDuration": ""}
    rows = [{**whole, **_other_id(vendor)}, row, spelled({**row, **_other_id(vendor)}, str.upper)]
    assert [type(item) for item in items(rows[:2], vendor, mapping=mapping)] == [Call, Rejected]
    assert [name for name, _ in problems(rows[2], vendor, mapping=mapping)][:1] == ["row"]


@pytest.mark.parametrize(
    ("vendor", "changes"),
    [
        ("whatconverts", {"call_status": None}),  # lead_state tells
        ("whatconverts", {"lead_state": ""}),
        ("calltrackingmetrics", {"dial_status": None, "call_status": "completed"}),
        ("callrail", {"call_type": None}),  # answered tells
        ("retreaver", {"end_time": None}),  # status tells
        ("twilio", {"Direction": "", "CallStatus": None}),  # direction and status tell
    ],
)
def test_a_guard_is_told_by_any_of_its_columns(vendor: str, changes: Row) -> None:
    row = next(row for name, row in CALLS if name == vendor)
    assert wire({**row, **changes}, vendor) == wire(row, vendor)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"wasBlocked": 1}, "a call that Ringba blocked"), ({"inboundPhoneNumber": "anonymous"}, "an anonymous caller")],
)
def test_a_call_that_is_left_out_for_another_reason_needs_no_guard(changes: Row, reason: str) -> None:
    row = next(row for name, row in CALLS if name == "ringba")
    with pytest.raises(CallLeftOut) as left_out:
        wire({**row, "isLive": "-no value-", **changes}, "ringba")
    assert left_out.value.reason == reason
    assert unfit(problems({**row, "isLive": "-no value-"}, "ringba"), "'isLive'")[0] == ("row", "'isLive'")


def test_a_guards_column_may_lie_deeper() -> None:
    way_in = Filter("an outbound call", "way.in", ("no",), guard="direction")
    nested = replace(preset("ringba"), name="nested", filters=(way_in,))
    row = next(row for name, row in CALLS if name == "ringba")
    mapping = CallMapping(vendor=nested, defaults=IDS)
    assert mapping.record({**row, "way": {"in": "yes"}}).CallStatus == "ANSWER"
    assert mapping.problems_with([*row, "way"]) == []
    with pytest.raises(CallLeftOut):
        mapping.record({**row, "way": '{"in": "no"}'})
    with pytest.raises(InvalidCall, match=r"^row\b.*'way\.in'"):
        mapping.record({**row, "way": {"in": None}})
    with pytest.raises(InvalidCall, match=r"^row\b.*'way\.in'"):
        mapping.record(row)


def _other_id(vendor: str) -> Row:
    source = preset(vendor).known_by
    others: dict[str, Row] = {"callrail": {"id": "CAL9"}, "calltrackingmetrics": {"id": 5}}
    return others.get(vendor, {source[0]: "other"})


@pytest.mark.parametrize(("vendor", "guard", "columns"), GUARDED)
def test_columns_known_before_are_refused_without_a_guards(vendor: str, guard: str, columns: list[str]) -> None:
    whole = next(row for name, row in CALLS if name == vendor)
    row = {name.upper(): value for name, value in whole.items() if name not in columns}
    own = {"CallStatus": {"constant": "ANSWER"}}
    (problem,) = CallMapping(own, vendor=vendor, defaults=IDS).problems_with(list(row), row)
    assert named(problem, "vendor")
    assert f'prefiltered=("{guard}",)' in problem
    passed = CallMapping(own, vendor=vendor, defaults=IDS, prefiltered=(guard,))
    assert passed.problems_with(list(row), row) == []


def test_a_query_of_own_names_is_refused_without_a_guards_column() -> None:
    row = {"uid": "CAL1", "caller": "+12125550123"}
    mapping = CallMapping({"CallSessionId": "uid", "CallerId": "caller"}, vendor="callrail", defaults=IDS)
    assert len(mapping.problems_with(list(row), row)) == 2


def test_a_guards_column_may_be_within_the_json_of_a_query() -> None:
    row = {"received": 1, "payload": json.dumps(CALLS[0][1])}
    assert CallMapping(vendor="callrail", defaults=IDS).problems_with(list(row), row) == []
    lacking = {"received": 1, "payload": {k: v for k, v in CALLS[0][1].items() if k != "direction"}}
    mapping = CallMapping(vendor="callrail", defaults=IDS)
    assert mapping.problems_with(list(lacking), lacking) == []
    with pytest.raises(InvalidCall, match=r"^row\b.*'direction'"):
        mapping.record(lacking)


@pytest.mark.parametrize("vendor", ["invoca"])
def test_a_preset_without_guards_needs_no_column_of_one(vendor: str) -> None:
    assert preset(vendor).missing_guards(()) == []


@pytest.mark.parametrize(
    ("given_guards", "said"),
    [
        (["inbound"], r"\bprefiltered\b.*'inbound'"),
        ("direction", r"\bprefiltered\b"),
        (5, r"\bprefiltered\b"),
    ],
)
def test_what_is_no_guard_is_refused(given_guards: Any, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        CallMapping(vendor="callrail", defaults=IDS, prefiltered=given_guards)


def test_guards_without_a_preset_are_refused() -> None:
    with pytest.raises(InvalidOption, match=r"\bprefiltered\b"):
        CallMapping(prefiltered=["direction"])


def test_a_guard_still_filters_what_its_column_tells() -> None:
    row = {**CALLS[0][1], "direction": "outbound"}
    with pytest.raises(CallLeftOut):
        wire(row, "callrail", prefiltered=["direction", "ended"])


def test_missing_columns_of_other_filters_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    row = CALLS[0][1]
    items([row, {**row, "id": "CAL2"}, {**row, "id": "CAL3"}], "callrail")
    assert [named(each.getMessage(), "'spam'") for each in caplog.records] == [["'spam'"]]
    caplog.clear()
    items([row, {**row, "id": "CAL2", "SPAM": False}], "callrail")
    assert caplog.records == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_column_that_a_preset_reads_is_one_that_it_names(vendor: str) -> None:
    """Else it would be found in the vendor's own style alone."""
    known = preset(vendor)
    asked: set[str] = set()

    class Asked(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return super().get(name, default)

        def __getitem__(self, name: str) -> Any:
            asked.add(name)
            return super().__getitem__(name)

    for name, row in CALLS:
        if name == vendor:
            for status in ({}, {"hangup_cause": "Caller: Hang-up"}, {"connected": None}, {"hasConnected": None}):
                record = CallMapping(vendor=known, defaults=IDS)
                record.values_of(Asked({**row, **status}))
                any(each.leaves_out(Asked({**row, **status})) for each in known.filters)
                if known.join is not None:
                    known.join([Asked(row), Asked({**row, **status})])
    heads = {name.partition(".")[0] for name in known._names}
    assert asked - heads <= set(known._names)


def test_own_functions_say_which_columns_they_read() -> None:
    @reads("isSold")
    def sold(row: Any) -> str:
        return "ANSWER" if row.get("isSold") else "CANCEL"

    example = preset("ringba").__class__(
        name="own",
        title="Own",
        facts=(),
        mapping={
            **{name: name for name in IDS},
            "CallSessionId": "uid",
            "CallerId": "from",
            "CalledPhoneNumber": "to",
            "EventDate": "at",
            "CallDuration": "secs",
            "TalkDuration": "secs",
            "CallStatus": sold,
        },
        known_by=("uid",),
        filters=(Filter("an outbound call", "wayIn", ("no",), guard="direction"),),
    )
    row = {
        **IDS,
        "UID": "a",
        "FROM": "2125550123",
        "TO": "3035550191",
        "AT": "2026-09-10T22:55:32Z",
        "SECS": 5,
        "IS_SOLD": True,
        "WAY_IN": "yes",
    }
    assert CallMapping(vendor=example).record(row).CallStatus == "ANSWER"
    with pytest.raises(CallLeftOut):
        CallMapping(vendor=example).record({**row, "WAY_IN": "No"})


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("customerPhoneNumber", "customerphonenumber"),
        ("CUSTOMER_PHONE_NUMBER", "customerphonenumber"),
        ("customer-phone-number", "customerphonenumber"),
        ("number__Number", "number.number"),
        ("tags.irClickId", "tags.irclickid"),
        ("_id", "_id"),
        ("call_path.-1.route_type", "callpath.-1.routetype"),
        ("tag:Address:Zip 5", "tagaddresszip5"),
    ],
)
def test_the_style_of_a_name(name: str, style: str) -> None:
    assert styled(name) == style


def test_a_nested_name_of_one_level_is_found_unless_another_means_it() -> None:
    assert in_any_style(["tags.irclickid"], ["TAGS_IRCLICKID"]).aliases == {"tags.irclickid": "TAGS_IRCLICKID"}
    found = in_any_style(["agent.id", "agent_id"], ["AGENT__ID", "AGENT_ID"])
    assert (found.aliases, found.doubts) == ({"agent.id": "AGENT__ID", "agent_id": "AGENT_ID"}, {})
