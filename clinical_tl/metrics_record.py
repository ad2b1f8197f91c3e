"""What `metrics.json` holds: scores of sets of notes, of which sets, and how training went."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from clinical_tl.data.leakage import text_key
from clinical_tl.errors import ConfigError, shown_id
from clinical_tl.schema import Note

EVALUATED = "evaluated"
NO_SCORES = frozenset({"training", "source", "self_training", EVALUATED})
"""What `metrics.json` holds beside scores."""


def set_digest(notes: Sequence[Note]) -> str:
    """One SHA-256 for a whole set of notes, by their texts in any order.

    Of the set and not of each note: hashes of single notes would tell anyone who has a note
    whether it was among them.
    """
    keys = sorted(text_key(note.text) for note in notes)
    return hashlib.sha256(b"".join(keys)).hexdigest()


def record_scores(
    metrics: dict[str, Any], name: str, notes: Sequence[Note], scores: Mapping[str, float]
) -> None:
    """Keep a set's scores under its name, and which notes they are of.

    Raises `ConfigError` for a name that `metrics.json` uses for something else.
    """
    if name in NO_SCORES:
        raise ConfigError(
            f"name={shown_id(name)!r}: metrics.json uses {sorted(NO_SCORES)} for what is no score; "
            "name the set of notes, e.g. 'test'"
        )
    metrics[name] = dict(scores)
    sets = {**metrics.get(EVALUATED, {}), name: {"notes": len(notes), "sha256": set_digest(notes)}}
    metrics[EVALUATED] = sets


def scored_sets(metrics: Mapping[str, Any]) -> list[str]:
    """The names of the sets of notes that have at least one score that is a number."""
    return [
        name
        for name, scores in metrics.items()
        if name not in NO_SCORES
        and isinstance(scores, Mapping)
        and any(isinstance(v, int | float) and isfinite(v) for v in scores.values())
    ]
