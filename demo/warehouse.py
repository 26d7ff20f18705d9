"""A SQLite warehouse of a few thousand calls, the same calls each time, and the expected counts of a delivery.

Every phone number is reserved for fiction: 555-0100 to 555-0199 in North America, Ofcom's drama numbers in Britain.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Row = dict[str, Any]

# A daily interval, and the three days before that interval, which the sample DAG reads again.
WINDOW = timedelta(days=4)

# campaign_id and media_id are text, as in most warehouses that join them from several sources.
_TABLE = """
CREATE TABLE calls (
    call_session_id       TEXT,
    call_provider         TEXT NOT NULL,
    campaign_id           TEXT,
    action_tracker_id     INTEGER NOT NULL,
    media_id              TEXT,
    partner               TEXT NOT NULL,
    event_date            TEXT NOT NULL,  -- as the vendor exported it, at the offset of the caller's zone
    started_at_utc        TEXT NOT NULL,  -- the same moment in UTC, so that a window can compare it
    call_status           TEXT,
    call_duration         INTEGER NOT NULL,
    talk_duration         INTEGER NOT NULL,
    ivr_duration          INTEGER,
    caller_id             TEXT NOT NULL,
    caller_country        TEXT NOT NULL,
    city                  TEXT,
    region                TEXT,
    zip                   TEXT,
    phone_type            TEXT,
    repeat_caller         TEXT,
    called_phone_number   TEXT NOT NULL,
    called_country        TEXT NOT NULL,
    recording_url         TEXT,
    keypresses            TEXT,
    click_id              TEXT,
    sub_id1               TEXT,
    sub_id2               TEXT,
    traffic_source        TEXT,
    sale_amount           NUMERIC
)
"""


@dataclass
class Expected:
    """What a run over the whole window has to report.

    :param rejected_for: by parameter, how many rows have a wrong value; each bad row has one wrong parameter
    """

    delivered: int = 0
    duplicate: int = 0
    changed: int = 0
    rejected_for: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        return self.rejected_for.total()

    @property
    def rows(self) -> int:
        return self.delivered + self.duplicate + self.changed + self.rejected


class Place(NamedTuple):
    """Where a caller may be. ``lines`` is the area code and the first digits of the fictional numbers of this place."""

    country: str
    city: str
    region: str
    zip: str
    zone: str
    lines: str
    line_digits: int


PLACES = (
    Place("US", "New York", "NY", "10013", "America/New_York", "21255501", 2),
    Place("US", "Cambridge", "MA", "02139", "America/New_York", "61755501", 2),
    Place("US", "Newark", "NJ", "07102", "America/New_York", "97355501", 2),
    Place("US", "Chicago", "IL", "60614", "America/Chicago", "31255501", 2),
    Place("US", "Denver", "CO", "80203", "America/Denver", "30355501", 2),
    Place("US", "Phoenix", "AZ", "85004", "America/Phoenix", "60255501", 2),
    Place("US", "Santa Barbara", "CA", "93101", "America/Los_Angeles", "80555501", 2),
    Place("US", "Honolulu", "HI", "96813", "Pacific/Honolulu", "80855501", 2),
    Place("CA", "Toronto", "ON", "M5V 2T6", "America/Toronto", "41655501", 2),
    Place("CA", "Montréal", "QC", "H2Y 1C6", "America/Toronto", "51455501", 2),
    Place("CA", "St. John's", "NL", "A1C 5M2", "America/St_Johns", "70955501", 2),
    Place("GB", "London", "England", "SW1A 2AA", "Europe/London", "2079460", 3),
    Place("GB", "Manchester", "England", "M1 1AE", "Europe/London", "1614960", 3),
    Place("GB", "Edinburgh", "Scotland", "EH1 1YZ", "Europe/London", "1314960", 3),
)

# By the vendor's name in the column call_provider: the form of the vendor's call ids.
PROVIDERS: dict[str, Callable[[uuid.UUID], str]] = {
    "CallRail": lambda unique: f"CAL{unique.hex}",
    "Twilio": lambda unique: f"CA{unique.hex}",
    "Retreaver": str,
    "Ringba": lambda unique: f"RGB{unique.hex.upper()}V3FKQ01",
    "CallTrackingMetrics": lambda unique: str(unique.int % 10**12),
}

PARTNERS = {
    "Northwind Leads": "20417",
    "Bluebird Media": "20533",
    "Harbour Street Reviews": "21108",
    "Callwise Partners": "22962",
    "The Gutter Guide": "23001",
}

# By country: the program, and the event type under which the program pays calls.
PROGRAMMES = {"US": ("4101", 40110), "CA": ("4102", 40210), "GB": ("4107", 40710)}

# As in a call centre: most calls are answered, and the others never reach an agent.
STATUSES = {"ANSWER": 76, "CANCEL": 11, "IVR_DROPOFF": 7, "CONGESTION": 3, "NO_TRANSFER_ATTEMPT": 2, "INCOMPLETE": 1}


class Flaw(NamedTuple):
    """One reason why a row of a real warehouse is not a valid call, and the parameter that is then wrong."""

    name: str
    parameter: str
    column: str
    value: Callable[[Row], Any]


FLAWS = (
    Flaw("campaign is a name", "CampaignId", "campaign_id", lambda row: "gutters-nationwide"),
    Flaw("partner was never looked up", "MediaId", "media_id", lambda row: None),
    Flaw("time without an offset", "EventDate", "event_date", lambda row: row["event_date"][:19]),
    Flaw("time is the word NOW", "EventDate", "event_date", lambda row: "NOW"),
    Flaw("vendor's id was lost", "CallSessionId", "call_session_id", lambda row: None),
    Flaw("caller withheld the number", "CallerId", "caller_id", lambda row: "anonymous"),
    Flaw("caller's number is a SIP address", "CallerId", "caller_id", lambda row: "sip:front-desk@example.com"),
    Flaw("called number is an extension", "CalledPhoneNumber", "called_phone_number", lambda row: "ext. 142"),
    Flaw("time in the IVR is negative", "IvrDuration", "ivr_duration", lambda row: -1),
    Flaw("talk is longer than the call", "TalkDuration", "talk_duration", lambda row: row["call_duration"] + 45),
    Flaw("status is missing", "CallStatus", "call_status", lambda row: None),
    Flaw("status is the vendor's word", "CallStatus", "call_status", lambda row: "completed"),
    Flaw("sub id has 70 characters", "SubId1", "sub_id1", lambda row: "spring-campaign-".ljust(70, "x")),
)


def build(path: Path, until: datetime, *, calls: int = 3_000, seed: int = 7) -> Expected:
    """Write the warehouse, and return the expected counts of a delivery.

    :param path: the SQLite file; it must not exist yet
    :param until: the end of the window; most calls are in the four days before it, and a few are outside
    :param calls: how many good calls; repeated and bad rows are added to them
    :param seed: another seed gives other calls
    """
    random = Random(seed)
    expected = Expected()
    rows = list(_window(random, until, calls, expected))
    rows += [
        *(_call(random, until - WINDOW - timedelta(hours=hours)) for hours in range(1, 21)),
        *(_call(random, until + timedelta(minutes=minutes)) for minutes in range(20)),
    ]
    random.shuffle(rows)
    with sqlite3.connect(path) as warehouse:
        warehouse.execute(_TABLE)
        columns = ", ".join(f":{column}" for column in rows[0])
        warehouse.executemany(f"INSERT INTO calls VALUES ({columns})", rows)
        warehouse.execute("CREATE INDEX calls_started_at ON calls (started_at_utc)")
    warehouse.close()
    return expected


def _window(random: Random, until: datetime, calls: int, expected: Expected) -> Iterator[Row]:
    good = [_call(random, _moment(random, until)) for _ in range(calls)]
    expected.delivered += len(good)
    yield from good
    exported_twice, corrected_later = calls // 75, calls // 250
    repeated = random.sample(good, exported_twice + corrected_later)
    for row in repeated[:exported_twice]:
        expected.duplicate += 1
        yield dict(row)
    for row in repeated[exported_twice:]:
        expected.changed += 1
        yield row | {"call_duration": row["call_duration"] + 1}
    for number in range(calls // 50):
        flaw = FLAWS[number % len(FLAWS)]
        row = _call(random, _moment(random, until))
        expected.rejected_for[flaw.parameter] += 1
        yield row | {flaw.column: flaw.value(row)}


def _moment(random: Random, until: datetime) -> datetime:
    return until - timedelta(seconds=random.randint(1, int(WINDOW.total_seconds())))


def _call(random: Random, moment: datetime) -> Row:
    place = random.choice(PLACES)
    provider = random.choice(tuple(PROVIDERS))
    partner = random.choice(tuple(PARTNERS))
    campaign_id, action_tracker_id = PROGRAMMES[place.country]
    status = random.choices(tuple(STATUSES), tuple(STATUSES.values()))[0]
    talk = int(random.lognormvariate(4.7, 0.9)) + 1 if status == "ANSWER" else 0
    ivr = random.randint(4, 40)
    keys = random.sample("12349", random.choice((0, 0, 1, 1, 2)))
    session_id = PROVIDERS[provider](uuid.UUID(int=random.getrandbits(128), version=4))
    clicked = random.random() < 0.6
    return {
        "call_session_id": session_id,
        "call_provider": provider,
        "campaign_id": campaign_id,
        "action_tracker_id": action_tracker_id,
        "media_id": PARTNERS[partner],
        "partner": partner,
        "event_date": moment.astimezone(ZoneInfo(place.zone)).isoformat(timespec="seconds"),
        "started_at_utc": moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "call_status": status,
        "call_duration": ivr + talk + random.randint(0, 25),
        "talk_duration": talk,
        "ivr_duration": ivr,
        "caller_id": _written(random, place, _line(random, place)),
        "caller_country": place.country,
        "city": place.city,
        "region": place.region,
        "zip": place.zip,
        "phone_type": random.choice(("Mobile", "Mobile", "Landline", "")),
        "repeat_caller": random.choice(("new", "new", "repeat")),
        "called_phone_number": _international(place, _line(random, place)),
        "called_country": place.country,
        "recording_url": f"https://recordings.example.com/{session_id}.mp3" if talk else None,
        "keypresses": ",".join(keys) or None,
        "click_id": _click_id(random) if clicked else None,
        "sub_id1": random.choice(("spring-sale", "brand", "comparison-table")) if clicked else None,
        "sub_id2": random.choice(("header", "footer", None)) if clicked else None,
        "traffic_source": random.choice(("google", "bing", "newsletter", None)),
        "sale_amount": random.choice((49, 129.5, 249)) if talk > 240 else None,
    }


def _line(random: Random, place: Place) -> str:
    return place.lines + "".join(random.choices("0123456789", k=place.line_digits))


def _international(place: Place, line: str) -> str:
    return f"+44{line}" if place.country == "GB" else f"+1{line}"


def _written(random: Random, place: Place, line: str) -> str:
    if place.country == "GB":
        trunk = 2 if line.startswith("20") else 3
        national = f"0{line[:trunk]} {line[trunk:-4]} {line[-4:]}"
        return random.choice((_international(place, line), national, f"+44 {national[1:]}"))
    area, exchange, number = line[:3], line[3:6], line[6:]
    return random.choice(
        (_international(place, line), line, f"{area}-{exchange}-{number}", f"({area}) {exchange}-{number}")
    )


def _click_id(random: Random) -> str:
    # Case counts, and a colon may be part of it.
    return "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:", k=39))
