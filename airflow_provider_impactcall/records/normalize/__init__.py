"""Turns values of a warehouse into the text that impact.com takes. There is one module for each subject.

Every function raises :class:`UnfitValue`. Its message says what would be right and never quotes the value: messages
end in logs, and a value may be a caller's number in the wrong column.
"""

from __future__ import annotations

from airflow_provider_impactcall.records.normalize.countries import REGIONS, country
from airflow_provider_impactcall.records.normalize.durations import seconds
from airflow_provider_impactcall.records.normalize.numbers import amount, integer, number, whole_id
from airflow_provider_impactcall.records.normalize.phones import (
    CallerIdFormat,
    country_of,
    is_anonymous,
    is_no_nanp,
    nanp,
    phone_number,
)
from airflow_provider_impactcall.records.normalize.texts import boolean, identifier, json_of, listed_text, one_of, text
from airflow_provider_impactcall.records.normalize.times import event_date
from airflow_provider_impactcall.records.normalize.values import (
    BLANKS,
    UnfitValue,
    bare,
    described,
    is_absent,
    is_blank,
    plain,
    word,
)

__all__ = [
    "BLANKS",
    "REGIONS",
    "CallerIdFormat",
    "UnfitValue",
    "amount",
    "bare",
    "boolean",
    "country",
    "country_of",
    "described",
    "event_date",
    "identifier",
    "integer",
    "is_absent",
    "is_anonymous",
    "is_blank",
    "is_no_nanp",
    "json_of",
    "listed_text",
    "nanp",
    "number",
    "one_of",
    "phone_number",
    "plain",
    "seconds",
    "text",
    "whole_id",
    "word",
]
