"""What `metrics.json` holds: scores of sets of notes, of which sets, and how training went."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import isfinite
from typing import Any

from clinical_tl.data.seen_notes import Leak, SeenNotes
from clinical_tl.data.traces import text_key
from clinical_tl.errors import ConfigError, NoteError, shown_id
from clinical_tl.saved.choice_rows import CHOICE
from clinical_tl.saved.said_language import LANGUAGE
from clinical_tl.schema import Note

EVALUATED = "evaluated"
LEAKAGE = "leakage"
OPEN_CODES = "open_codes"
NO_SCORES = frozenset(
    {"training", "source", "self_training", CHOICE, OPEN_CODES, EVALUATED, LEAKAGE, LANGUAGE}
)
"""What `metrics.json` holds beside scores."""
TRAINING = re.compile(r"train|(?<![a-z])fit(?![a-z])", re.IGNORECASE)
"""In the name of a set of notes: it is one that training saw."""


def set_digest(notes: Sequence[Note]) -> str:
    """One SHA-256 for a whole set of notes, by their texts in any order.

    Of the set and not of each note: hashes of single notes would tell anyone who has a note
    whether it was among them.
    """
    keys = sorted(text_key(note.text) for note in notes)
    return hashlib.sha256(b"".join(keys)).hexdigest()


def count_patients(notes: Sequence[Note]) -> int | None:
    """How many patients notes are of; `None` where not every note says whose it is."""
    whose = {note.patient_id for note in notes}
    return None if None in whose else len(whose)


def record_scores(
    metrics: dict[str, Any],
    name: str,
    notes: Sequence[Note],
    scores: Mapping[str, float],
    *,
    leak: Leak | None = None,
) -> None:
    """Keep a set's scores under its name, which notes they are of, and what training knew of them.

    `leak` is `None` where the notes were not compared with the training notes.

    Raises `ConfigError` for a name that `metrics.json` uses for something else.
    """
    check_name(name)
    metrics[name] = dict(scores)
    of = {
        "notes": len(notes),
        "patients": count_patients(notes),
        "sha256": set_digest(notes),
    }
    metrics[EVALUATED] = {**metrics.get(EVALUATED, {}), name: of}
    leaks = {**metrics.get(LEAKAGE, {}), name: None if leak is None else asdict(leak)}
    metrics[LEAKAGE] = leaks


def forget_scores(metrics: dict[str, Any]) -> None:
    """Drop the scores of all sets of notes, and what is known of these sets."""
    for name in [name for name in metrics if name not in NO_SCORES]:
        del metrics[name]
    metrics.pop(EVALUATED, None)
    metrics.pop(LEAKAGE, None)


def check_name(name: str) -> None:
    """Raises `ConfigError` for a name that `metrics.json` uses for something else."""
    if name in NO_SCORES:
        raise ConfigError(
            f"name={shown_id(name)!r}: metrics.json uses {sorted(NO_SCORES)} for what is no score; "
            "name the set of notes, e.g. 'test'"
        )


def leak_of(
    metrics: Mapping[str, Any],
    seen: SeenNotes | None,
    notes: Sequence[Note],
    name: str,
    *,
    train: Sequence[Note] | None = None,
    allow_leakage: bool = False,
) -> Leak | None:
    """What notes to be scored share with those that a model has learnt from.

    These are what it remembers (`seen`) and what is given as `train`; a loaded model remembers
    none. `None` where there is nothing to compare with, and for training notes that are called
    so.

    Raises:
        NoteError: they share patients or texts, or are the training notes themselves.
        ConfigError: a name that `metrics.json` uses for something else.
    """
    check_name(name)
    if TRAINING.search(name):
        return None
    if train is not None:
        given, _ = SeenNotes.of(train, None, before=[seen], allow_leakage=True)
        seen = replace(given, tuned=None if seen is None else seen.tuned)
    if seen is not None:
        return seen.require_apart(notes, name, allow_leakage=allow_leakage)
    same = metrics.get("training", {}).get("notes_sha256") == set_digest(notes)
    if same and not allow_leakage:
        raise NoteError(
            f"the {name} notes are the notes that the model was trained on, so their scores would "
            "be too good; give others, name them 'train', or pass allow_leakage=True"
        )
    if same:
        every = len(notes)
        return Leak(every, 0, 0, identical=every, near=0, short=0)
    return None


def leaks_of(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Set of notes → what it shares with training, or what of that is not known; in words."""
    found = metrics.get(LEAKAGE) or {}
    said = {}
    for name in scored_sets(metrics):
        leak = Leak(**found[name]) if found.get(name) else None
        if TRAINING.search(name):
            said[name] = f"The {name} notes are training notes: scores on them are too good."
        elif leak is None:
            said[name] = (
                f"Whether the {name} notes share patients or texts with the training notes was not "
                "checked."
            )
        elif leak.is_serious:
            said[name] = (
                f"The {name} notes share with the training notes: {leak}. Scores on them are too "
                "good."
            )
        elif leak.near is None:
            said[name] = (
                f"The {name} notes share no patient and no text of 20 words or more with the "
                "training notes; nearly identical texts were not looked for."
            )
    return said


def scored_sets(metrics: Mapping[str, Any]) -> list[str]:
    """The names of the sets of notes that have at least one score that is a number."""
    return [
        name
        for name, scores in metrics.items()
        if name not in NO_SCORES
        and isinstance(scores, Mapping)
        and any(isinstance(v, int | float) and isfinite(v) for v in scores.values())
    ]
