"""The check of the evaluation: there is one, on notes that training did not see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from clinical_tl.data.leakage import text_key
from clinical_tl.release.check import ReleaseCheck, Status
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.schema import Note

NAME = "evaluation"
# What the package itself writes into metrics.json beside evaluations.
_NO_EVALUATION = {"training", "source"}
_TRAINING = re.compile(r"train(?:ing|_notes)?", re.IGNORECASE)


def check_evaluation(
    folder: ReleaseFolder,
    *,
    public: bool,
    train: Sequence[Note] | None,
    held_out: Sequence[Note] | None,
) -> ReleaseCheck:
    """Scores of notes kept apart; by text and patient, where both sets are given.

    Without any, a public repository is blocked and a private one warned of. Scores of dev
    notes, by which epochs and thresholds were chosen, are too good and warn.
    """
    missing: Status = "block" if public else "warn"
    evaluated = _evaluated(folder)
    on_training = [name for name in evaluated if _TRAINING.fullmatch(name)]
    if on_training:
        return ReleaseCheck(NAME, "block", f"metrics.json: scores of training notes {on_training}")
    if not evaluated:
        return ReleaseCheck(
            NAME, missing, "no scores; call model.evaluate(test) and save the model again"
        )
    shared = "" if train is None or held_out is None else _shared(train, held_out)
    if shared:
        return ReleaseCheck(NAME, "block", shared)
    if set(evaluated) <= {"dev"}:
        return ReleaseCheck(
            NAME, "warn", "scored on dev notes alone, by which the model was chosen"
        )
    compared = (
        "which share no text and no patient with the training notes"
        if train is not None and held_out is not None
        else "not compared with the training notes: both sets have to be given"
    )
    return ReleaseCheck(NAME, "pass", f"scored on {', '.join(evaluated)}, {compared}")


def _evaluated(folder: ReleaseFolder) -> list[str]:
    """Names of the sets that were scored."""
    if folder.kind == "adapted_encoder":
        n = folder.description.get("held_out_notes")
        return ["held_out"] if isinstance(n, int) and n > 0 else []
    return [
        name
        for name, scores in folder.metrics.items()
        if name not in _NO_EVALUATION and isinstance(scores, Mapping) and scores
    ]


def _shared(train: Sequence[Note], held_out: Sequence[Note]) -> str:
    """What both sides have, as counts; empty where that is nothing."""
    texts = {text_key(note.text) for note in train}
    patients = {note.patient_id for note in train} - {None}
    same = sum(text_key(note.text) in texts for note in held_out)
    whose = sum(note.patient_id in patients for note in held_out)
    if not same and not whose:
        return ""
    return (
        f"of {len(held_out)} held-out notes {same} have the text of a training note and {whose} "
        "are of a patient in training; split by patient (split_notes) and evaluate again"
    )
