"""`similarity`: how alike source and target notes are, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.ties import related_notes
from clinical_tl.data.traces import text_key
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.estimators.chance import by_chance
from clinical_tl.estimators.discrepancy import (
    MMD,
    LabelShift,
    ProxyADistance,
    label_shift,
    mmd,
    proxy_a_distance,
)
from clinical_tl.estimators.vocabulary import (
    LengthShift,
    SectionShift,
    TokenizerFit,
    VocabularyOverlap,
    length_shift,
    section_shift,
    tokenizer_fit,
    vocabulary_overlap,
)
from clinical_tl.network.embeddings import embed
from clinical_tl.schema import Note
from clinical_tl.text.visible import has_text

if TYPE_CHECKING:
    from clinical_tl.network.frozen_encoder import FrozenEncoder

FEW_NOTES = 50
SIGNIFICANT = 0.05
# Beyond these a warning is given; they are judgements, not thresholds of any paper.
TOLD_APART = 0.9
FEWER_KNOWN = 0.05
MORE_TOKENS = 1.15
MOST_UNKNOWN = 0.01
LONGER = 2.0
SECTIONS_APART = 0.5


@dataclass(frozen=True)
class Side:
    """The notes of one side: `used` of `given` were compared.

    `empty` ones have no text; of `repeated` ones another note of the same patient or text
    was there to be drawn.
    """

    given: int
    empty: int
    repeated: int
    used: int

    def __str__(self) -> str:
        return (
            f"{self.used} of {self.given} notes ({self.empty} without text, {self.repeated} of a "
            "patient or text that another note stands for)"
        )


@dataclass(frozen=True)
class ByChance:
    """What the same measures give when all notes are dealt to the two sides at random."""

    jaccard: float
    known_words: float
    section_divergence: float


@dataclass(frozen=True, repr=False)
class Similarity(Tabular):
    """What `transfer.similarity.similarity` finds.

    `labels` has the shift of each annotation (`label`, `codes`, `spans`) that both sides
    have; `shared` counts the target notes, of all given, whose text is in the source too.
    """

    source: Side
    target: Side
    shared: int
    proxy_a_distance: ProxyADistance
    mmd: MMD
    vocabulary: VocabularyOverlap
    source_tokens: TokenizerFit
    target_tokens: TokenizerFit
    length: LengthShift
    sections: SectionShift
    labels: Mapping[str, LabelShift]
    by_chance: ByChance

    def table(self) -> Table:
        """Rows for `format_table`: each measure, its value, and what it would be `if alike`.

        That is what chance gives where it matters (words, headings, labels), else the value
        without any difference. `p` is the p-value of the measure's test, where it has one.
        """
        source, target, chance = self.source_tokens, self.target_tokens, self.by_chance
        measures: list[tuple[str, float, float, float | None]] = [
            ("proxy A-distance (0 to 2)", self.proxy_a_distance.value, 0.0, None),
            ("told apart by a linear classifier", 1 - self.proxy_a_distance.error, 0.5, None),
            ("maximum mean discrepancy, squared", self.mmd.value, 0.0, self.mmd.p_value),
            ("distinct words shared (Jaccard)", self.vocabulary.jaccard, chance.jaccard, None),
            ("target words known in the source", self.vocabulary.known, chance.known_words, None),
            ("tokens a word, target", target.fertility, source.fertility, None),
            ("words cut into several tokens, target", target.split, source.split, None),
            (
                "out-of-vocabulary words, target",
                target.out_of_vocabulary,
                source.out_of_vocabulary,
                None,
            ),
            ("median tokens, target to source", self.length.ratio, 1.0, None),
            ("lengths (Kolmogorov–Smirnov)", self.length.statistic, 0.0, self.length.p_value),
            (
                "section headings (Jensen–Shannon, bits)",
                self.sections.divergence,
                chance.section_divergence,
                None,
            ),
        ]
        for field, shift in self.labels.items():
            measures += [
                (
                    f"{field} (Jensen–Shannon, bits)",
                    shift.divergence,
                    shift.by_chance,
                    shift.p_value,
                ),
                (f"{field} the source lacks", shift.unseen, 0.0, None),
            ]
        return Table(
            {"measure": name, "value": value, "if alike": alike, "p": p}
            for name, value, alike, p in measures
        )

    def glance(self) -> Iterable[str | Table]:
        """Which notes were compared, the measures, and the warnings."""
        warnings = (f"warning: {warning}" for warning in self.warnings())
        return f"source: {self.source}", f"target: {self.target}", self.table(), *warnings

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        labels = {
            f"{field}_{name}": value
            for field, shift in self.labels.items()
            for name, value in (("divergence", shift.divergence), ("unseen", shift.unseen))
        }
        return {
            "source_notes": self.source.used,
            "target_notes": self.target.used,
            "proxy_a_distance": self.proxy_a_distance.value,
            "mmd": self.mmd.value,
            "mmd_p_value": self.mmd.p_value,
            "jaccard": self.vocabulary.jaccard,
            "known_words": self.vocabulary.known,
            "source_fertility": self.source_tokens.fertility,
            "target_fertility": self.target_tokens.fertility,
            "target_out_of_vocabulary": self.target_tokens.out_of_vocabulary,
            "length_ratio": self.length.ratio,
            "section_divergence": self.sections.divergence,
            **labels,
        }

    def warnings(self) -> list[str]:
        """What speaks against transfer, or against the figures, a sentence each."""
        right = 1 - self.proxy_a_distance.error
        source, target = self.source_tokens, self.target_tokens
        fewest = min(self.source.used, self.target.used)
        found = [
            (
                right >= TOLD_APART,
                f"source and target are told apart with {right:.0%} accuracy: to the encoder they "
                "are two domains, so expect little transfer until target notes show otherwise",
            ),
            (
                self.vocabulary.known < self.by_chance.known_words - FEWER_KNOWN,
                f"{1 - self.vocabulary.known:.0%} of the target's words never occur in the source "
                f"({1 - self.by_chance.known_words:.0%} by chance)",
            ),
            (
                target.fertility > MORE_TOKENS * source.fertility,
                f"the tokenizer cuts the target's words into more pieces than the source's "
                f"({target.fertility:.2f} tokens a word against {source.fertility:.2f})",
            ),
            (
                target.out_of_vocabulary > MOST_UNKNOWN,
                f"the tokenizer has no token for {target.out_of_vocabulary:.1%} of the target's "
                "words: choose an encoder whose vocabulary has them",
            ),
            (
                not 1 / LONGER <= self.length.ratio <= LONGER,
                f"target notes have a median of {self.length.target_median:.0f} tokens, source "
                f"notes {self.length.source_median:.0f}",
            ),
            (
                self.sections.divergence > SECTIONS_APART,
                f"the notes are divided into other sections ({self.sections.divergence:.2f} bits "
                "of 1)",
            ),
            *(
                (
                    shift.p_value <= SIGNIFICANT,
                    f"{field}: distributed differently ({shift.divergence:.2f} bits, "
                    f"{shift.by_chance:.2f} by chance); the source lacks {shift.unseen:.0%} of "
                    "the target's",
                )
                for field, shift in self.labels.items()
            ),
            (
                self.shared > 0,
                f"{self.shared} target notes are in the source too: leave them out of the test",
            ),
            (
                fewest < FEW_NOTES,
                f"with {fewest} notes on a side, all these figures are rough",
            ),
        ]
        return [sentence for holds, sentence in found if holds]


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
    from clinical_tl.network.frozen_encoder import FrozenEncoder

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
