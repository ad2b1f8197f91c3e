"""How often rules fire on annotated notes, how often they are right, and which go for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from clinical_tl.errors import ConfigError, TaskError, shown_ids
from clinical_tl.rules.matcher import RuleMatcher, longest
from clinical_tl.rules.rule import Rule
from clinical_tl.schema import Note


def prune(
    rules: Sequence[Rule], notes: Sequence[Note], *, min_precision: float, min_support: int
) -> tuple[list[Rule], int]:
    """The rules that hold on annotated notes, with `support` and `precision` set.

    A rule *fires* where the matcher would let it (whole words, longest match) and is *right*
    where a contiguous gold mention has the same start, end and label. It is pruned if it fired
    at least `min_support` times and was right in less than `min_precision` of them. A pruned
    rule frees the text for shorter ones, so all that are left are judged anew until none
    falls.

    Args:
        rules: what to judge.
        notes: notes whose spans are annotated.
        min_precision: in [0, 1].
        min_support: at least 1; a rule that fired less often is never pruned for it.

    Returns:
        The rules that are left, in order, and how many were pruned.

    Raises:
        ConfigError: settings outside what is allowed.
        TaskError: no notes, or notes whose spans are not annotated.
    """
    check_settings(min_precision, min_support)
    check_annotated(notes)
    matcher = RuleMatcher(rules, context=False)
    found = [matcher.occurrences(note.text) for note in notes]
    gold = [{span.key for span in note.spans or () if not span.is_discontinuous} for note in notes]
    kept = {rule.id for rule in rules}
    while True:
        fired, right = Counter[str](), Counter[str]()
        for occurrences, mentions in zip(found, gold, strict=True):
            for one in longest(o for o in occurrences if o.rule.id in kept):
                fired[one.rule.id] += 1
                right[one.rule.id] += (one.start, one.end, one.rule.label) in mentions
        fallen = {
            name
            for name, n in fired.items()
            if n >= min_support and right[name] < min_precision * n
        }
        if not fallen:
            break
        kept -= fallen
    judged = [
        replace(rule, support=fired[rule.id], precision=right[rule.id] / fired[rule.id])
        if fired[rule.id]
        else replace(rule, support=0, precision=None)
        for rule in rules
        if rule.id in kept
    ]
    return judged, len(rules) - len(judged)


def check_settings(min_precision: float, min_support: int) -> None:
    """Raises `ConfigError` unless precision is a share and support a positive count."""
    if not 0 <= min_precision <= 1 or min_support < 1:
        raise ConfigError(
            f"min_precision is {min_precision} and min_support {min_support}; allowed: 0 to 1, "
            "and 1 or more"
        )


def check_annotated(notes: Sequence[Note]) -> None:
    """Raises `TaskError` unless there are notes and all of them have annotated spans."""
    if not notes:
        raise TaskError("there are no notes to judge rules on; give at least one annotated note")
    without = [note.note_id for note in notes if note.spans is None]
    if without:
        raise TaskError(
            f"rules are judged on annotated notes: {len(without)} of {len(notes)} have no "
            f"annotated spans (None), e.g. {shown_ids(without)}; leave them out, or give notes "
            "with spans=() where there is nothing to mark"
        )
