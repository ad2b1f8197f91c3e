"""Where rules and a model differ: note ids, offsets, labels and scores, never text."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clinical_tl.display.discreet import Discreet
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import ConfigError, shown_path
from clinical_tl.rules.voting import mention_key, overlap, paired
from clinical_tl.schema import Prediction, Span
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replace_text

Kind = Literal["only_rules", "only_model", "other_label", "other_bounds"]
KINDS: tuple[Kind, ...] = ("only_rules", "only_model", "other_label", "other_bounds")

COLUMNS = (
    *("note_id", "start", "end", "kind", "rule", "rules_label", "rules_score"),
    *("rules_start", "rules_end", "model_label", "model_score", "model_start", "model_end"),
)


@dataclass(frozen=True, eq=False, repr=False)
class Disagreement(Discreet):
    """One mention that only one side gives, or that the two give differently.

    `rules` is what the rules say and `model` what the model says; one of them is `None` for
    `only_rules` and `only_model`. Of two that overlap, `other_label` have different labels
    (and perhaps bounds), `other_bounds` the same label.
    """

    note_id: str
    kind: Kind
    rules: Span | None
    model: Span | None

    @property
    def start(self) -> int:
        """Where the first of the two mentions starts."""
        return min(span.start for span in (self.rules, self.model) if span)

    @property
    def end(self) -> int:
        """Where the last of the two mentions ends."""
        return max(span.end for span in (self.rules, self.model) if span)

    def row(self) -> dict[str, str | int | float | None]:
        """The record by `COLUMNS`; `None` where a side says nothing."""
        rules, model = self.rules, self.model
        return {
            "note_id": self.note_id,
            "start": self.start,
            "end": self.end,
            "kind": self.kind,
            "rule": dict(rules.attributes).get("rule") if rules else None,
            "rules_label": rules.label if rules else None,
            "rules_score": rules.score if rules else None,
            "rules_start": rules.start if rules else None,
            "rules_end": rules.end if rules else None,
            "model_label": model.label if model else None,
            "model_score": model.score if model else None,
            "model_start": model.start if model else None,
            "model_end": model.end if model else None,
        }


@dataclass(frozen=True, eq=False, repr=False)
class DisagreementReport(Tabular, Discreet):
    """All differences in order of notes and offsets, and how many mentions agree."""

    records: tuple[Disagreement, ...]
    agreed: int

    def summary(self) -> dict[str, int]:
        """How many mentions agree, and how many differences of each kind there are."""
        counts = Counter(record.kind for record in self.records)
        return {"agreed": self.agreed, **{kind: counts[kind] for kind in KINDS}}

    def table(self) -> Table:
        """One row a difference."""
        return Table(
            (record.row() for record in self.records),
            names=("note_id", "rule", "rules_label", "model_label"),
        )

    def glance(self) -> Iterable[str | Table]:
        """How many there are of each kind."""
        return type(self).__name__, Table([self.summary()])

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write one line a difference: a table for `.tsv`, JSON lines for `.jsonl`.

        The file appears only when it is complete. Raises `ConfigError` for other endings.
        """
        target = as_path(path)
        if target.suffix not in (".tsv", ".jsonl"):
            raise ConfigError(f"{shown_path(target.name)}: allowed endings: .tsv and .jsonl")
        return replace_text(target, "".join(self._lines(table=target.suffix == ".tsv")))

    def _lines(self, *, table: bool) -> Iterator[str]:
        if table:
            yield "\t".join(COLUMNS) + "\n"
        for record in self.records:
            row = record.row()
            if not table:
                yield json.dumps(row, ensure_ascii=False) + "\n"
                continue
            cells = ["" if row[name] is None else str(row[name]) for name in COLUMNS]
            yield "\t".join(" ".join(cell.split()) for cell in cells) + "\n"


def disagreements(model: Sequence[Prediction], rules: Sequence[Prediction]) -> DisagreementReport:
    """Compare a model's predictions with the rules', mention by mention.

    Mentions with the same start, end, label and fragments agree. Of the others each is paired
    with at most one that it overlaps, most shared characters first, then the same label, then
    the earlier; what stays alone is the word of one side only.

    Raises:
        TaskError: predictions of different notes, or without spans.

    Example:
        >>> model = [Prediction("n1", spans=(Span(0, 9, "Drug"), Span(30, 36, "Problem")))]
        >>> rules = [Prediction("n1", spans=(Span(0, 9, "Drug"), Span(26, 36, "Problem")))]
        >>> found = disagreements(model, rules)
        >>> found
        DisagreementReport
        agreed  only_rules  only_model  other_label  other_bounds
        ------  ----------  ----------  -----------  ------------
             1           0           0            0             1
        >>> [(record.kind, record.start, record.end) for record in found.records]
        [('other_bounds', 26, 36)]
    """
    records: list[Disagreement] = []
    agreed = 0
    for claimed, ruled in paired(model, rules):
        by_model = {mention_key(span): span for span in claimed.spans or ()}
        by_rules = {mention_key(span): span for span in ruled.spans or ()}
        agreed += len(by_model.keys() & by_rules.keys())
        found = _differences(
            claimed.note_id,
            [span for key, span in sorted(by_model.items()) if key not in by_rules],
            [span for key, span in sorted(by_rules.items()) if key not in by_model],
        )
        records.extend(sorted(found, key=lambda d: (d.start, d.end, KINDS.index(d.kind))))
    return DisagreementReport(tuple(records), agreed)


def _differences(note_id: str, model: list[Span], rules: list[Span]) -> Iterator[Disagreement]:
    pairs = [
        (-shared, claimed.label != ruled.label, i, j)
        for i, claimed in enumerate(model)
        for j, ruled in enumerate(rules)
        if (shared := overlap(claimed, ruled))
    ]
    of_model, of_rules = set(range(len(model))), set(range(len(rules)))
    for _, differs, i, j in sorted(pairs):
        if i in of_model and j in of_rules:
            of_model.remove(i)
            of_rules.remove(j)
            kind: Kind = "other_label" if differs else "other_bounds"
            yield Disagreement(note_id, kind, rules[j], model[i])
    for i in sorted(of_model):
        yield Disagreement(note_id, "only_model", None, model[i])
    for j in sorted(of_rules):
        yield Disagreement(note_id, "only_rules", rules[j], None)
