"""What a person saw before deciding: a correction changes only what was counted, and only if it is still as it was."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, KEYS_A_QUERY, BatchSizes
from airflow_provider_impactcall.delivery.ledger.letter_queries import LetterQueries
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.selection import INVALID, Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger


@dataclass(frozen=True)
class Seen:
    """The selected calls and dead letters as they were when they were counted.

    :param selection: selected them
    :param counts: how many, by state, ``invalid`` and ``changed``
    :param packed: page by page, the keys, and for each key the time when the call, mark or dead letter changed last:
        40 bytes a key, as a person may select millions
    """

    selection: Selection
    counts: Counter[str]
    packed: Sequence[tuple[str, array[float]]]

    def pages(self) -> Iterator[Mapping[str, float]]:
        """By key, the time of the last change in seconds since 1970; as many keys at once as a statement may name."""
        for keys, moments in self.packed:
            yield dict(zip(keys.split(), moments, strict=True))


def look(ledger: Ledger, selection: Selection, batch_sizes: BatchSizes = BATCH_SIZES) -> Seen:
    """Look at what is selected, and keep what was seen.

    :param batch_sizes: how much is read at once
    """
    counts: Counter[str] = Counter()
    packed = []
    found = chain(
        CallQueries(ledger, batch_sizes).versions(selection),
        ((key, INVALID, moment) for key, moment in LetterQueries(ledger, batch_sizes).versions(selection)),
    )
    while page := list(islice(found, KEYS_A_QUERY)):
        keys, states, moments = zip(*page, strict=True)
        counts.update(states)
        packed.append((" ".join(keys), array("d", moments)))
    return Seen(selection, counts, packed)
