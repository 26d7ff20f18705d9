"""Local times over a year with both of its clock changes, against the standard library's zoneinfo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from airflow_provider_impactcall.records import normalize

# Lord Howe's clocks move by half an hour, São Paulo's moved at midnight, Casablanca's go back for Ramadan.
YEARS = [
    ("America/New_York", 2026),
    ("Europe/Berlin", 2026),
    ("Australia/Lord_Howe", 2026),
    ("America/Sao_Paulo", 2018),
    ("Africa/Casablanca", 2026),
    ("Asia/Tehran", 2021),
]
QUARTER, MINUTE, DAY = timedelta(minutes=15), timedelta(minutes=1), timedelta(days=1)
# The day of a change, and as much of the next as a change at midnight skips or repeats.
AROUND = DAY + timedelta(hours=3)


def every(step: timedelta, start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step


def offsets(zone: ZoneInfo, step: timedelta, start: datetime, end: datetime) -> dict[datetime, list[str]]:
    """Each local time that clocks showed, with its offsets in the order in which they came: read from UTC alone."""
    shown: dict[datetime, list[str]] = {}
    for moment in every(step, start - DAY, end + DAY):
        local = moment.replace(tzinfo=UTC).astimezone(zone)
        shown.setdefault(local.replace(tzinfo=None, fold=0), []).append(local.isoformat(timespec="seconds"))
    return shown


def changes(zone: ZoneInfo, year: int) -> list[datetime]:
    days = every(DAY, datetime(year, 1, 1), datetime(year + 1, 1, 1))
    return [day for day in days if zone.utcoffset(day) != zone.utcoffset(day + DAY)]


def read(value: object, zone: ZoneInfo) -> str | None:
    try:
        return normalize.event_date(value, zone)
    except normalize.UnfitValue as unfit:
        if str(zone) in str(unfit):  # and a value that is no time at all names none
            return None
        raise


@pytest.mark.parametrize(("name", "year"), YEARS)
def test_a_year_of_local_times_is_what_clocks_showed_first(name: str, year: int) -> None:
    zone = ZoneInfo(name)
    start, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)
    shown = offsets(zone, QUARTER, start, end)
    wrong = [
        local
        for local in every(QUARTER, start, end)
        if read(local.isoformat(), zone) != (shown[local][0] if local in shown else None)
    ]
    assert wrong == []
    assert len(changes(zone, year)) == 2


@pytest.mark.parametrize(("name", "year"), YEARS)
def test_each_minute_around_a_clock_change_is_read_in_every_form(name: str, year: int) -> None:
    zone = ZoneInfo(name)
    skipped = repeated = 0
    for day in changes(zone, year):
        shown = offsets(zone, MINUTE, day, day + AROUND)
        for local in every(MINUTE, day, day + AROUND):
            moments = shown.get(local, [None])
            skipped, repeated = skipped + (moments == [None]), repeated + (len(moments) == 2)
            for written in (
                local,
                local.isoformat(" "),
                local.strftime("%Y-%m-%d %I:%M %p"),
                local.strftime("%a, %d %b %Y %H:%M:%S"),
                pd.Timestamp(local),
                np.datetime64(local),
            ):
                assert read(written, zone) == moments[0]
            assert read(local.replace(fold=1), zone) == moments[-1]
    assert skipped == repeated == (30 if name == "Australia/Lord_Howe" else 60)


@pytest.mark.parametrize(("name", "year"), YEARS)
def test_what_carries_its_zone_or_is_an_epoch_is_the_same_instant_on_every_side_of_a_change(
    name: str, year: int
) -> None:
    zone = ZoneInfo(name)
    for day in changes(zone, year):
        for moment in every(QUARTER, day, day + 2 * DAY):
            instant = moment.replace(tzinfo=UTC)
            local = instant.astimezone(zone)
            seconds = int(instant.timestamp())
            assert normalize.event_date(local) == local.isoformat()
            assert normalize.event_date(pd.Timestamp(instant).tz_convert(name)) == local.isoformat()
            assert normalize.event_date(local.isoformat(), ZoneInfo("Asia/Tokyo")) == local.isoformat()
            for epoch in (seconds, seconds * 1000, str(seconds), float(seconds)):
                assert normalize.event_date(epoch, zone) == instant.isoformat()
