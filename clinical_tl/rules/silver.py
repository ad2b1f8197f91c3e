"""Silver training data: notes that nobody annotated, annotated by rules."""

from __future__ import annotations

import logging
from dataclasses import replace

from clinical_tl.data.notes import Notes, NotesLike, as_notes
from clinical_tl.errors import ConfigError, NoteError, shown_ids
from clinical_tl.rules.matcher import RuleMatcher
from clinical_tl.rules.rule import Rule
from clinical_tl.rules.rule_set import RuleSet

logger = logging.getLogger(__name__)


def label_notes(
    notes: NotesLike,
    rules: RuleSet,
    *,
    min_precision: float = 0.0,
    drop_empty: bool = False,
) -> Notes:
    """Notes with the mentions that rules find, for `fit` or for reading.

    Every span says where it comes from: its attributes are `("source", "rules")`, `("rule",
    id)` and what the context says of it (`context`), its score is the rule's precision. How
    many notes and rules are left out is logged.

    Args:
        notes: notes whose spans are not annotated.
        rules: the rules.
        min_precision: in [0, 1]; rules below it are not used, nor, unless it is 0, those whose
            precision is not known.
        drop_empty: whether notes in which no rule fires are left out. They are kept as
            *annotated with nothing* otherwise, which says more than is known of them.

    Raises:
        ConfigError: `min_precision` outside [0, 1].
        NoteError: notes whose spans are annotated: silver never takes the place of gold.
    """
    if not 0 <= min_precision <= 1:
        raise ConfigError(f"min_precision is {min_precision}; allowed: 0 to 1")
    records = as_notes(notes)
    annotated = [note.note_id for note in records if note.spans is not None]
    if annotated:
        raise NoteError(
            f"{len(annotated)} of {len(records)} notes have annotated spans, e.g. "
            f"{shown_ids(annotated)}; give only notes without (spans=None), so that no gold is lost"
        )
    used = [rule for rule in rules if _is_trusted(rule, min_precision)]
    matcher = RuleMatcher(used)
    labelled = [replace(note, spans=matcher.spans(note.text)) for note in records]
    kept = [note for note in labelled if note.spans or not drop_empty]
    logger.warning(
        "silver labels: %d mentions in %d notes; %d notes without any were %s, %d of %d rules "
        "were left out (precision below %s)",
        sum(len(note.spans or ()) for note in kept),
        len(kept),
        sum(not note.spans for note in labelled),
        "left out" if drop_empty else "kept",
        len(rules) - len(used),
        len(rules),
        min_precision,
    )
    return Notes(kept)


def _is_trusted(rule: Rule, min_precision: float) -> bool:
    return min_precision == 0 or (rule.precision is not None and rule.precision >= min_precision)
