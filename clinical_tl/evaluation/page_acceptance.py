"""The page's table of what can be accepted and what a human has to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clinical_tl.evaluation.page_sections import paragraph
from clinical_tl.evaluation.page_tables import Column, table

if TYPE_CHECKING:
    from clinical_tl.evaluation.markup import Markup
    from clinical_tl.evaluation.report import EvaluationReport


def acceptance(report: EvaluationReport) -> Iterator[Markup]:
    """What would be accepted from which confidence on, and how much of it would be right."""
    found = report.acceptance
    if found is None:
        yield paragraph("Not evaluated: there are no probabilities to go by.")
        return
    missed = (
        "" if found.of == "notes" else " What the model did not say at all is in none of the rows."
    )
    yield paragraph(
        f"If {found.of} are accepted from a confidence on and the rest goes to a human. Rows "
        "chosen for a share have the lowest confidence that reached it (by Laplace's rule) on "
        f"{found.chosen_on}; a dash: none did, so nothing is accepted.{missed} ",
        "Give dev notes to have them chosen elsewhere: chosen on the notes that they are read on, "
        "they look too good."
        if found.chosen_on == "these notes"
        else None,
    )
    share = f"{100 * report.confidence:g} % interval"
    yield table(
        found.table(),
        [
            Column("accept from", "accept from", "the least probability that is accepted"),
            Column("chosen for", "chosen for"),
            Column("accepted", "accepted", f"{found.of} accepted"),
            Column("share", "share accepted"),
            Column("right", "right", "share of the accepted that is right"),
            Column("low", f"low, {share}"),
            Column("high", f"high, {share}"),
            Column("found", "found", "share of all gold that is accepted and right"),
            Column("to a human", "to a human", f"{found.of} that a human has to look at"),
        ],
    )
