"""The page's table of the ways to use an encoder that the model was chosen from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clinical_tl.evaluation.page_sections import paragraph
from clinical_tl.evaluation.page_tables import Column, table
from clinical_tl.saved.choice_rows import choice_rows, choice_verdict

if TYPE_CHECKING:
    from clinical_tl.evaluation.markup import Markup
    from clinical_tl.evaluation.report import EvaluationReport


def choice(report: EvaluationReport) -> Iterator[Markup]:
    """What `best_transfer` compared, on held-out folds of the training notes."""
    found = None if report.model is None else report.model.choice
    if found is None:
        return
    yield paragraph(
        choice_verdict(found),
        " All on held-out folds of the training notes, not on the notes of this report.",
    )
    yield table(
        choice_rows(found),
        [
            Column("rung", "way"),
            Column(found["metric"], found["metric"]),
            Column("low", "low, 95 % interval"),
            Column("high", "high"),
            Column("gain", "gain", "difference to the best cheaper one, on the same notes"),
            Column("gain low", "low"),
            Column("gain high", "high"),
            Column("folds", "folds"),
            Column("seconds", "seconds"),
            Column("", "what became of it"),
        ],
    )
