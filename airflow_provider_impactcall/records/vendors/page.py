"""A preset as a page of documentation, in Markdown."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from airflow_provider_impactcall.records.call_record import PARAMETERS
from airflow_provider_impactcall.records.sources import Source, in_words
from airflow_provider_impactcall.records.vendors.preset import Filter, VendorPreset

_YOURS = "you give it"
_ELSE = {
    "CampaignId": "the connection's ``campaign_id``",
    "ActionTrackerId": "the connection's ``action_tracker_id``",
    "CallProvider": "the connection's ``call_provider``",
    "CallerPhoneNumberCountry": "derived from ``CallerId``",
    "CalledPhoneNumberCountry": "derived from ``CalledPhoneNumber``",
}


def page(preset: VendorPreset) -> str:
    """The page for users of a preset: everything that it does."""
    parts = (
        f"# {preset.title}",
        f"<!-- Written by: python -m airflow_provider_impactcall.records.vendors {preset.name} -->",
        f'``vendor="{preset.name}"`` reads rows as {preset.title} gives them. [Vendor presets](README.md) explains '
        "what a preset is, and how to combine it with your own mapping, other words and presets of your own.",
        f"```python\n{_example(preset)}```",
        *_rows(preset),
        *(["## What to know", _list(preset.notes)] if preset.notes else []),
        "## Where each parameter comes from",
        *_parameters(preset.mapping),
        "## How a call ended",
        *_status(preset.mapping.get("CallStatus")),
        "## Calls that are left out",
        *_left_out(preset.filters),
        "## Rows of one call",
        *_joined(preset),
        "## Where it can be read",
        _list(preset.facts),
    )
    return "\n\n".join(part if part.startswith(("```", "<!--")) else _in_markdown(part) for part in parts) + "\n"


def _example(preset: VendorPreset) -> str:
    called = preset.mapping.get("CalledPhoneNumber")
    lines = [
        "from airflow.providers.common.compat.sdk import DAG",
        "from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator",
        "",
        f'with DAG("{preset.name}_to_impact", schedule=None):',
        "    SqlToImpactCallOperator(",
        '        task_id="deliver_calls",',
        '        sql_conn_id="warehouse",',
        '        sql="SELECT * FROM finished_calls '
        "WHERE day = '{{ (dag_run.logical_date or dag_run.run_after) | ds }}'\",",
        f'        vendor="{preset.name}",',
        *([] if "MediaId" in preset.mapping else [f"        mapping={_by_number(called)},"]),
        "    )",
    ]
    return "\n".join(lines) + "\n"


def _by_number(called: Source | None) -> str:
    try:
        return json.dumps({"MediaId": {"from": called or "called_number", "lookup": {"3035550191": 10000}}})
    except TypeError:  # A function has no literal.
        return _by_number(None)


def _rows(preset: VendorPreset) -> Iterator[str]:
    known_by = " or ".join(f"``{name}``" for name in preset.known_by)
    yield (
        f"A row has the call in its own columns or, if it has no column {known_by}, as JSON in one column, such as "
        "``payload``. Columns may be in any case and style, as loaders rename them: ``UPPER_CASE``, ``snake_case``, "
        "``camelCase``, ``kebab-case``, and ``a__b`` or ``a.b`` for ``b`` within ``a``. Two columns that fit the same "
        "name are an error."
    )
    if preset.wrapper:
        yield (
            f"{preset.title} may give a call inside ``{preset.wrapper}``. A loader that flattens it puts this word "
            f"before each name (``{preset.wrapper}__{preset.known_by[0]}``, "
            f"``{preset.wrapper}.{preset.known_by[0]}``), and the preset ignores it there."
        )
    if preset.blanks:
        yield f"{', '.join(f'``{word}``' for word in preset.blanks)} counts as no value."


def _parameters(mapping: Mapping[str, Source]) -> Iterator[str]:
    shown = [name for name in PARAMETERS if name in mapping or name in _ELSE or PARAMETERS[name].required]
    yield _table(
        ("parameter", "where it comes from"),
        [(f"**{name}**" if PARAMETERS[name].required else name, _origin(name, mapping)) for name in shown],
    )
    families: dict[str, list[str]] = {}
    for name in PARAMETERS:
        if name not in shown:
            families.setdefault(re.sub("[0-9]", "", name), []).append(name)
    others = ", ".join(names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}" for names in families.values())
    yield (
        "impact.com requires the parameters in bold. Names in the table are columns; a dot leads into JSON. "
        f"The preset has no source for the following parameters; map those that you have: {others}."
    )


def _origin(name: str, mapping: Mapping[str, Source]) -> str:
    if name == "CallStatus" and name in mapping:
        return "see below"
    own = [in_words(mapping[name])] if name in mapping else [_YOURS] if PARAMETERS[name].required else []
    return ", else ".join([*own, _ELSE[name]] if name in _ELSE else own)


def _status(source: Source | None) -> Iterator[str]:
    if not isinstance(source, Mapping) or "values" not in source:
        yield "You give ``CallStatus``." if source is None else f"``CallStatus`` is {in_words(source)}."
        return
    yield f"The word for it is {in_words(source['from'])}."
    yield _table(("word", "CallStatus"), [(f"``{word}``", status) for word, status in source["values"].items()])
    if "default" in source:
        yield f"Any other word is ``{source['default']}``."
    else:
        yield (
            "Case does not matter, and ``-`` and ``_`` count as spaces. Any other word rejects the row, with a message "
            'that names it. Add a word, or give a word another status, with ``mapping={"CallStatus": {"values": '
            '{"word": "ANSWER"}}}``.'
        )


def _left_out(filters: Sequence[Filter]) -> Iterator[str]:
    rows = [(each.reason, _told(each)) for each in filters]
    if rows:
        yield "They count as ``filtered``, each with its reason."
        yield _table(("what it is", "how it is recognized"), rows)
        guards = {each.guard: f"``{each.guard}``" for each in filters if each.guard}
        if guards:
            yield (
                f"[Guards](README.md#guards): {' and '.join(guards.values())}. A query, a CSV or a Parquet file "
                "without a guard's columns is refused. A row without these columns, or with nothing in them, is "
                "rejected. If your rows have passed a guard already, name it in ``prefiltered``."
            )
    else:
        yield "None."


def _told(each: Filter) -> str:
    if callable(each.source):
        return in_words(each.source).removeprefix("whether ")
    told = f"{in_words(each.source)} is {' or '.join(f'``{value}``' for value in each.values)}"
    if each.stays is None:
        return told
    staying = " or ".join(f"``{value}``" for value in each.stays)
    return f"{told}; any other value than this or {staying} rejects the row"


def _joined(preset: VendorPreset) -> Iterator[str]:
    if preset.join is None:
        yield "Each row is a call."
        return
    call = preset.mapping["CallSessionId"] if preset.call is None else preset.call
    yield f"Rows of one input belong to the same call if they have the same {in_words(call)}."
    yield " ".join((inspect.getdoc(preset.join) or "They are brought together.").split())


def _in_markdown(text: str) -> str:
    """The text with code in single backticks, and with ``<`` escaped outside of code, where it would begin a tag."""
    parts = text.split("``")
    return "`".join(part if place % 2 else part.replace("<", "\\<") for place, part in enumerate(parts))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
