"""What a comparison of source and target notes found, as a table and in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clinical_tl.estimators.discrepancy import MMD, LabelShift, ProxyADistance
from clinical_tl.estimators.vocabulary import (
    LengthShift,
    SectionShift,
    TokenizerFit,
    VocabularyOverlap,
)
from clinical_tl.table import Table, Tabular

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
