"""`similarity`: how alike source and target notes are, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.ties import related_notes
from clinical_tl.data.traces import text_key
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.estimators.chance import by_chance
from clinical_tl.estimators.discrepancy import LabelShift, label_shift, mmd, proxy_a_distance
from clinical_tl.estimators.vocabulary import (
    length_shift,
    section_shift,
    tokenizer_fit,
    vocabulary_overlap,
)
from clinical_tl.schema import Note
from clinical_tl.text.visible import has_text
from clinical_tl.transfer.embeddings import embed
from clinical_tl.transfer.similarity_record import ByChance, Side, Similarity

if TYPE_CHECKING:
    from clinical_tl.models.frozen_encoder import FrozenEncoder

LEAST_NOTES = 10

_LABELS: Mapping[str, Callable[[Note], Sequence[str] | None]] = {
    "label": lambda note: None if note.label is None else (note.label,),
    "codes": lambda note: note.codes,
    "spans": lambda note: None if note.spans is None else [s.label for s in note.spans],
}


def similarity(
    source: NotesLike | Sequence[str],
    target: NotesLike | Sequence[str],
    encoder: str | Path | FrozenEncoder,
    *,
    max_notes: int = 500,
    allow_repeats: bool = False,
    permutations: int = 200,
    layer: int = -1,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Similarity:
    """How alike source and target notes are to an encoder, and in themselves.

    Distances are between mean token states (`embed`); lengths and fertility are in the
    encoder's tokens. No note's text is in the result: headings are named only if several
    notes have them.

    Args:
        source: the notes to transfer from, at least 10 with text.
        target: the notes to transfer to, at least 10 with text.
        encoder: a folder, a Hub id, `"offline"`, or an encoder already loaded.
        max_notes: of each side at most so many, drawn without replacement. Vocabulary overlap
            grows with it: compare figures of like sizes alone.
        allow_repeats: compare several notes of a patient, or of one text. By default one of
            each is drawn: a permutation test takes each note for a new witness, so that two
            halves of one hospital would seem to be two. (The proxy A-distance holds a
            patient's notes out together.)
        permutations: of the tests.
        layer: whose states are compared.
        cache: folder to keep the embeddings in (see `embed`).
        seed: of the draws, folds and permutations.
        progress: show a progress bar.

    Raises:
        NoteError: fewer than 10 notes with text (of different patients) on a side.
        TaskError: with `allow_repeats`, notes of fewer than 5 patients on a side.
        ConfigError: `max_notes` below 10.
        EncoderError: the encoder can't be found, or has no fast tokenizer.
    """
    from clinical_tl.models.frozen_encoder import FrozenEncoder

    if max_notes < LEAST_NOTES:
        raise ConfigError(f"max_notes={max_notes}; allowed: at least {LEAST_NOTES}")
    source_notes, target_notes = as_notes(source), as_notes(target)
    ours, source_side = _drawn(source_notes, "source", max_notes, seed, repeats=allow_repeats)
    theirs, target_side = _drawn(target_notes, "target", max_notes, seed, repeats=allow_repeats)
    loaded = FrozenEncoder.from_pretrained(encoder) if isinstance(encoder, str | Path) else encoder
    texts = [[note.text for note in notes] for notes in (ours, theirs)]
    vectors = [
        embed(loaded, side, layer=layer, cache=cache, progress=progress).matrix for side in texts
    ]
    tokenizer = loaded.tokenizer
    unknown = tokenizer.tokenizer.unk_token_id
    source_tokens, target_tokens = (
        tokenizer_fit(tokenizer, side, unknown_id=unknown) for side in texts
    )
    lengths = [[len(tokens) for tokens in tokenizer.encode(side)] for side in texts]
    known = {text_key(note.text) for note in source_notes}
    groups = related_notes([*ours, *theirs]).tolist() if allow_repeats else None
    return Similarity(
        source=source_side,
        target=target_side,
        shared=sum(text_key(n.text) in known for n in target_notes if has_text(n.text)),
        proxy_a_distance=proxy_a_distance(*vectors, groups=groups, seed=seed),
        mmd=mmd(*vectors, permutations=permutations, seed=seed),
        vocabulary=vocabulary_overlap(*texts),
        source_tokens=source_tokens,
        target_tokens=target_tokens,
        length=length_shift(*lengths),
        sections=section_shift(*texts),
        labels=_label_shifts(ours, theirs, permutations, seed),
        by_chance=ByChance(*by_chance(_writing, *texts, seed=seed).tolist()),
    )


def _writing(source: list[str], target: list[str]) -> tuple[float, float, float]:
    words = vocabulary_overlap(source, target)
    return words.jaccard, words.known, section_shift(source, target).divergence


def _drawn(
    notes: list[Note], name: str, most: int, seed: int, *, repeats: bool
) -> tuple[list[Note], Side]:
    written = [note for note in notes if has_text(note.text)]
    order = np.random.default_rng(seed).permutation(len(written))
    if not repeats and written:
        units = related_notes(written)
        # The first in the drawn order stands for its patient.
        _, firsts = np.unique(units[order], return_index=True)
        order = order[np.sort(firsts)]
    if len(order) < LEAST_NOTES:
        raise NoteError(
            f"the {name} has {len(written)} notes with text (of {len(notes)}), of which "
            f"{len(order)} are of different patients and texts; allowed: at least {LEAST_NOTES}. "
            "Give more notes, or pass allow_repeats=True and trust no p-value"
        )
    rows = np.sort(order[:most])
    side = Side(
        given=len(notes),
        empty=len(notes) - len(written),
        repeated=len(written) - len(order),
        used=len(rows),
    )
    return [written[row] for row in rows], side


def _label_shifts(
    source: Sequence[Note], target: Sequence[Note], permutations: int, seed: int
) -> dict[str, LabelShift]:
    shifts = {}
    for field, labels_of in _LABELS.items():
        # Notes that are not annotated say nothing of labels.
        ours, theirs = (
            [labels for note in notes if (labels := labels_of(note)) is not None]
            for notes in (source, target)
        )
        if any(ours) and any(theirs):
            shifts[field] = label_shift(ours, theirs, permutations=permutations, seed=seed)
    return shifts
