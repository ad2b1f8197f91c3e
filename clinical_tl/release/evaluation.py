"""The check of the evaluation: there is one, on notes that training did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clinical_tl.data.seen_notes import Leak
from clinical_tl.data.traces import text_key
from clinical_tl.release.check import ReleaseCheck, Status
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.saved.evaluations import (
    EVALUATED,
    LEAKAGE,
    TRAINING,
    leaks_of,
    scored_sets,
    set_digest,
)
from clinical_tl.schema import Note

NAME = "evaluation"


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
    sets = folder.metrics.get(EVALUATED)
    digests = {
        name: of.get("sha256")
        for name, of in (sets if isinstance(sets, Mapping) else {}).items()
        if isinstance(of, Mapping) and name in evaluated
    }
    own = {folder.metrics.get("training", {}).get("notes_sha256")} - {None}
    if train is not None:
        own.add(set_digest(train))
    on_training = [n for n in evaluated if TRAINING.search(n) or digests.get(n) in own]
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
    named = ", ".join(evaluated)
    if folder.kind == "adapted_encoder":
        return ReleaseCheck(
            NAME, "pass", f"scored on {named} notes, kept apart from the others when it was adapted"
        )
    told = leaks_of(folder.metrics)
    if train is None or held_out is None:
        leaks = folder.metrics.get(LEAKAGE) or {}
        if any(leaks.get(name) and Leak(**leaks[name]).is_serious for name in evaluated):
            return ReleaseCheck(NAME, "warn", " ".join(told[n] for n in evaluated if n in told))
        if not any(name in told for name in evaluated):
            return ReleaseCheck(
                NAME, "pass", f"scored on {named}, compared with the training notes at that time"
            )
        return ReleaseCheck(
            NAME,
            "partial",
            f"scored on {named}; texts and patients of training were not looked for in these: give "
            "the training notes and the held-out ones",
        )
    held = set_digest(held_out)
    matching = [name for name in evaluated if digests.get(name) == held]
    if folder.kind == "artifact" and not matching:
        return ReleaseCheck(
            NAME,
            "warn",
            f"scored on {named}, which are not the held-out notes given: whether they share "
            "patients with training is not known",
        )
    named = ", ".join(matching or evaluated)
    return ReleaseCheck(
        NAME,
        "pass",
        f"scored on {named}, which share no text and no patient with the training notes",
    )


def _evaluated(folder: ReleaseFolder) -> list[str]:
    """Names of the sets that were scored."""
    if folder.kind == "adapted_encoder":
        n = folder.description.get("held_out_notes")
        return ["held_out"] if isinstance(n, int) and n > 0 else []
    return scored_sets(folder.metrics)


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
