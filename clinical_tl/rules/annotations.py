"""Rules from annotated notes: what was marked there is marked wherever it is written."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import TypeVar

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.errors import ConfigError, TaskError, shown_ids
from clinical_tl.rules.measures import lowered, split_units
from clinical_tl.rules.pruning import check_annotated, check_settings, prune
from clinical_tl.rules.rule import Rule, is_abbreviation
from clinical_tl.rules.rule_set import RuleSet
from clinical_tl.schema import Note, Span

logger = logging.getLogger(__name__)

_Value = TypeVar("_Value", str, tuple[str, ...])


def from_annotations(
    notes: NotesLike,
    *,
    labels: Collection[str] | None = None,
    min_precision: float = 0.5,
    min_support: int = 1,
    tune: bool = True,
    origin: str = "annotations",
) -> RuleSet:
    """Compile the gold mentions of source notes into one rule a string.

    Mentions that differ in case and white space alone are one string. Its rule takes the most
    frequent of their forms, labels and concepts (the alphabetically first of equals), and
    heeds case if all forms are abbreviations (`rule.is_abbreviation`). What becomes no rule is
    counted in `RuleSet.pruned` and logged, in mentions: *discontinuous*, *inside a word*
    (starting or ending there), *rare* (a string annotated less than `min_support` times); or
    in rules: *imprecise* (right in less than `min_precision` of the times they fire on the
    notes; see `pruning`), *never fire* (a longer rule always wins).

    Args:
        notes: notes whose spans are annotated.
        labels: use the mentions of these labels alone; by default all.
        min_precision: in [0, 1].
        min_support: at least 1.
        tune: `False` leaves the rules unjudged and prunes none that is imprecise or never
            fires, for a set that is merged with others and `tuned` as a whole: what falls
            then may free the text for a shorter rule.
        origin: where the rules say they come from.

    Raises:
        ConfigError: settings outside what is allowed, a label that no mention has.
        TaskError: no notes, notes whose spans are not annotated, or no mention at all.

    Example:
        >>> from clinical_tl.schema import Span
        >>> notes = [
        ...     Note("a", "Asthma since childhood.", spans=(Span(0, 6, "Problem"),)),
        ...     Note("b", "No asthma.", spans=(Span(3, 9, "Problem"),)),
        ... ]
        >>> rules = from_annotations(notes)
        >>> [(rule.label, rule.support, rule.precision) for rule in rules]
        [('Problem', 2, 1.0)]
        >>> rules.summary()
        {'rules': 1, 'without support': 0}
    """
    check_settings(min_precision, min_support)
    records = as_notes(notes)
    check_annotated(records)
    _check_labels(records, labels)
    mentions: dict[tuple[str, ...], list[tuple[str, Span]]] = defaultdict(list)
    pruned = Counter[str]()
    for note in records:
        units = split_units(note.text)
        starts, ends = set(units.starts), set(units.ends)
        for span in note.spans or ():
            if labels is not None and span.label not in labels:
                continue
            if span.is_discontinuous:
                pruned["discontinuous"] += 1
            elif span.start not in starts or span.end not in ends:
                pruned["inside a word"] += 1
            else:
                form = " ".join(note.text[span.start : span.end].split())
                mentions[lowered(form)].append((form, span))
    rules: list[Rule] = []
    for _, found in sorted(mentions.items()):
        if len(found) < min_support:
            pruned["rare"] += len(found)
        else:
            rules.append(_rule(found, f"{origin}:{len(rules) + 1}", origin))
    kept = tuple(rules)
    if tune:
        judged, fallen = prune(rules, records, min_precision=min_precision, min_support=1)
        kept = tuple(rule for rule in judged if rule.support)
        pruned["imprecise"] += fallen
        pruned["never fire"] += len(judged) - len(kept)
    counts = {reason: n for reason, n in sorted(pruned.items()) if n}
    logger.info("%s: %d rules; pruned: %s", origin, len(kept), counts)
    return RuleSet(kept, counts)


def _rule(found: Sequence[tuple[str, Span]], rule_id: str, origin: str) -> Rule:
    forms = Counter(form for form, _ in found)
    return Rule(
        rule_id,
        _most_frequent(forms),
        _most_frequent(Counter(span.label for _, span in found)),
        origin,
        concepts=_most_frequent(Counter(span.concepts for _, span in found)),
        match_case=is_abbreviation(forms),
    )


def _most_frequent(counts: Counter[_Value]) -> _Value:
    return min(counts, key=lambda value: (-counts[value], value))


def _check_labels(notes: Sequence[Note], labels: Collection[str] | None) -> None:
    present = sorted({span.label for note in notes for span in note.spans or ()})
    if not present:
        raise TaskError(f"the {len(notes)} notes have no mention to compile into rules")
    if isinstance(labels, str):
        raise ConfigError("labels is a single string; give a list of labels: labels=[label]")
    unknown = sorted(set(labels or ()) - set(present))
    if unknown:
        raise ConfigError(
            f"labels {shown_ids(unknown, 'label')}: no mention has them; choose from "
            f"{shown_ids(present, 'label')}"
        )
