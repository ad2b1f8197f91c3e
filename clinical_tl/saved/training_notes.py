"""What `metrics.json` keeps of the training notes: counts, languages, one hash for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clinical_tl.data.notes import Notes
from clinical_tl.saved.evaluations import count_patients, set_digest
from clinical_tl.schema import Note
from clinical_tl.text.languages import languages_of


def training_notes(
    given: object, records: Sequence[Note], *, private: bool = False
) -> dict[str, Any]:
    """For the metrics' `training`, of the notes as they were given and as records.

    `train_patients` is `None` where not every note says whose it is, `division` where it is not
    known how the notes were divided into sets. `languages` (`languages_of`) is `None` for private
    training, which may tell no statistic of its notes that carries no noise.
    """
    return {
        "train_notes": len(records),
        "train_patients": count_patients(records),
        "notes_sha256": set_digest(records),
        "languages": None if private else languages_of([note.text for note in records]),
        "division": given.division if isinstance(given, Notes) else None,
    }
