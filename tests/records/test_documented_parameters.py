"""The table of parameters, held against impact.com's page, which is written out here by hand."""

from __future__ import annotations

from airflow_provider_impactcall.records import PARAMETERS, CallRecord, CallStatus
from tests.records.rows import REQUIRED, good_row, wire_text
from tests.tables import table

# Name, placeholder, the limit "64 character UTF-8" where the page states one, "required" where it says so.
DOCUMENTED = """
CampaignId                  integer  -   required
MediaId                     integer  -   required
EventDate                   string   -   required
ActionTrackerId             integer  -   required
CallProvider                string   64  required
CallSessionId               string   -   required
CallerId                    string   64  required
CalledPhoneNumber           string   -   required
CallDuration                integer  -   required
TalkDuration                integer  -   required
AdId                        integer  -   -
CallStatus                  string   -   -
CallerPhoneNumberCountry    string   64  -
CalledPhoneNumberCountry    string   64  -
SubId1                      string   64  -
SubId2                      string   64  -
SubId3                      string   64  -
ClickId                     string   -   -
City                        string   -   -
Region                      string   -   -
Zip                         integer  -   -
RepeatCaller                string   -   -
PhoneType                   string   -   -
CallRecording               string   -   -
IvrDuration                 integer  -   -
Keypresses                  string   -   -
Key1                        string   -   -
Key2                        string   -   -
Key3                        string   -   -
Key4                        string   -   -
TrafficSource               string   -   -
OptInSms                    string   -   -
UserAgent                   string   -   -
DispositionName             string   -   -
SaleAmount                  number   -   -
ReferenceId                 number   -   -
CustomConversionEvent1Name  string   -   -
CustomConversionEvent2Name  string   -   -
CustomConversionEvent3Name  string   -   -
CustomConversionEvent1Value string   -   -
CustomConversionEvent2Value string   -   -
CustomConversionEvent3Value string   -   -
VendorEventId               string   -   -
PromoNumberDescription      string   -   -
CustomCallEvent1Name        string   -   -
CustomCallEvent2Name        string   -   -
CustomCallEvent3Name        string   -   -
CustomCallEvent1Value       string   -   -
CustomCallEvent2Value       string   -   -
CustomCallEvent3Value       string   -   -
"""
PAGE = [line.split() for line in DOCUMENTED.strip().splitlines()]
ALLOWED = {
    "CallStatus": (
        "UNKNOWN_CALLERID",
        "CONGESTION",
        "INCOMPLETE",
        "CANCEL",
        "IVR_DROPOFF",
        "NO_TRANSFER_ATTEMPT",
        "ANSWER",
        "FAILURE",
    ),
    "PhoneType": ("Landline", "Mobile", ""),
}

# A value for each of the 50, in the form in which it leaves, and no two alike: none can pass for another.
EVERY_PARAMETER = {
    "CampaignId": "1001",
    "MediaId": "1002",
    "EventDate": "2026-09-10T22:55:32-08:00",
    "ActionTrackerId": "1003",
    "CallProvider": "a provider",
    "CallSessionId": "a session",
    "CallerId": "2125550142",
    "CalledPhoneNumber": "3035550191",
    "CallDuration": "180",
    "TalkDuration": "120",
    "AdId": "1004",
    "CallStatus": "IVR_DROPOFF",
    "CallerPhoneNumberCountry": "CA",
    "CalledPhoneNumberCountry": "US",
    "SubId1": "sub id 1",
    "SubId2": "sub id 2",
    "SubId3": "sub id 3",
    "ClickId": "Click:Id:aBc",
    "City": "Québec",
    "Region": "QC",
    "Zip": "K1A 0B1",
    "RepeatCaller": "repeat",
    "PhoneType": "Landline",
    "CallRecording": "https://recordings.example.com/1.mp3?a=b&c=d",
    "IvrDuration": "30",
    "Keypresses": "Sales,Press 1",
    "Key1": "key 1",
    "Key2": "key 2",
    "Key3": "key 3",
    "Key4": "key 4",
    "TrafficSource": "newsletter",
    "OptInSms": "yes",
    "UserAgent": "Mozilla/5.0 (X11; Linux x86_64)",
    "DispositionName": "sold",
    "SaleAmount": "99.90",
    "ReferenceId": "1005",
    "CustomConversionEvent1Name": "conversion name 1",
    "CustomConversionEvent2Name": "conversion name 2",
    "CustomConversionEvent3Name": "conversion name 3",
    "CustomConversionEvent1Value": "conversion value 1",
    "CustomConversionEvent2Value": "conversion value 2",
    "CustomConversionEvent3Value": "conversion value 3",
    "VendorEventId": "a vendor's event",
    "PromoNumberDescription": "on the billboard",
    "CustomCallEvent1Name": "call name 1",
    "CustomCallEvent2Name": "call name 2",
    "CustomCallEvent3Name": "call name 3",
    "CustomCallEvent1Value": "call value 1",
    "CustomCallEvent2Value": "call value 2",
    "CustomCallEvent3Value": "call value 3",
}


def test_the_table_has_the_50_parameters_in_the_page_s_order() -> None:
    assert len(PAGE) == 50
    assert list(PARAMETERS) == [name for name, *_ in PAGE]
    assert [parameter.name for parameter in PARAMETERS.values()] == list(PARAMETERS)


def test_each_parameter_is_what_the_page_says() -> None:
    with table() as row:
        for name, placeholder, limit, required in PAGE:
            with row(name):
                parameter = PARAMETERS[name]
                assert parameter.type == placeholder
                assert parameter.limit == (None if limit == "-" else int(limit))
                assert parameter.required is (required == "required")
                assert parameter.allowed == ALLOWED.get(name, ())
                assert parameter.description.endswith(".")


def test_the_ten_required_are_those_of_the_page() -> None:
    assert [name for name, *_, required in PAGE if required == "required"] == list(REQUIRED)
    assert len(REQUIRED) == 10


def test_the_enum_has_the_page_s_statuses() -> None:
    assert tuple(CallStatus) == ALLOWED["CallStatus"]


def test_each_of_the_50_arrives_under_its_own_name_and_in_order() -> None:
    assert len(set(EVERY_PARAMETER.values())) == 50
    assert list(wire_text(EVERY_PARAMETER).items()) == list(EVERY_PARAMETER.items())


def test_the_order_of_columns_changes_nothing() -> None:
    backwards = dict(reversed(EVERY_PARAMETER.items()))
    assert list(wire_text(backwards).items()) == list(EVERY_PARAMETER.items())


def test_what_is_absent_is_not_sent_and_only_the_two_countries_are_added() -> None:
    sent = set(wire_text(good_row()))
    assert sent == {*REQUIRED, "CallStatus", "CallRecording", "CallerPhoneNumberCountry", "CalledPhoneNumberCountry"}


def test_the_key_is_text_and_empty_for_what_is_absent() -> None:
    record = CallRecord.of(good_row())
    assert record.key(["CampaignId", "AdId", "CallSessionId"]) == ("1000", "", "session-5150")
