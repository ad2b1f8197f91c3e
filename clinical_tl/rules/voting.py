"""A model and rules together: union, intersection, or rules where the model is unsure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from clinical_tl.errors import ConfigError, TaskError, shown_id, shown_value
from clinical_tl.schema import Prediction, Span

How = Literal["union", "intersection", "fill"]
HOWS: tuple[How, ...] = ("union", "intersection", "fill")

SpanKey = tuple[int, int, str, tuple[tuple[int, int], ...]]


def combine(
    model: Sequence[Prediction],
    rules: Sequence[Prediction],
    *,
    how: How,
    threshold: float = 0.5,
    rule_threshold: float = 0.0,
) -> list[Prediction]:
    """Predictions in which a model and rules vote.

    Mentions that both give (same start, end, label and fragments) are one and always stand:
    the model's, with the higher of the two scores, the rule's concepts where the model gives
    none, and the attributes of both.

    - `union`: all mentions. Where one of the model overlaps one of the rules, the one with the
      higher score stays (none counts as 0), then the longer, the earlier, the model's.
    - `intersection`: the mentions that both give.
    - `fill`: the model's mentions with a score of at least `threshold` stand (none counts as
      1), the rules' are added where they overlap none of these, and the model's unsure ones
      where they overlap neither.

    Mentions of the same side never put one another out.

    Args:
        model: one prediction a note.
        rules: predictions for the same notes in the same order.
        how: one of the three.
        threshold: in [0, 1]; under it the model is unsure (`fill` alone).
        rule_threshold: in [0, 1]; rules below it have no vote, nor, unless it is 0, those
            whose precision is not known.

    Returns:
        The model's predictions with other spans, in order of their start.

    Raises:
        ConfigError: an unknown `how`, thresholds outside [0, 1].
        TaskError: predictions of different notes, or without spans.

    Example:
        >>> model = [Prediction("n1", spans=(Span(0, 9, "Drug", score=0.4),))]
        >>> stronger, other = Span(0, 13, "Drug", score=0.9), Span(20, 24, "Problem")
        >>> rules = [Prediction("n1", spans=(stronger, other))]
        >>> combine(model, rules, how="union")
        [Prediction(note_id='n1', spans=[0–13 Drug 0.90, 20–24 Problem])]
        >>> combine(model, rules, how="intersection")
        [Prediction(note_id='n1', spans=[])]
    """
    if how not in HOWS or not 0 <= threshold <= 1 or not 0 <= rule_threshold <= 1:
        raise ConfigError(
            f"how is {shown_value(how)}, threshold {threshold} and rule_threshold "
            f"{rule_threshold}; allowed: {', '.join(HOWS)}, and 0 to 1"
        )
    combined = []
    for claimed, ruled in paired(model, rules):
        voting = [
            span
            for span in ruled.spans or ()
            if rule_threshold == 0 or (span.score or 0.0) >= rule_threshold
        ]
        spans = _combined(claimed.spans or (), voting, how, threshold)
        ordered = sorted(spans, key=lambda s: (s.start, s.end, s.label))
        combined.append(replace(claimed, spans=tuple(ordered)))
    return combined


def paired(
    model: Sequence[Prediction], rules: Sequence[Prediction]
) -> list[tuple[Prediction, Prediction]]:
    """The two predictions of every note; raises `TaskError` where they don't belong together."""
    if len(model) != len(rules):
        raise TaskError(
            f"{len(model)} predictions of the model but {len(rules)} of the rules; predict the "
            "same notes with both"
        )
    for place, (claimed, ruled) in enumerate(zip(model, rules, strict=True)):
        if claimed.note_id != ruled.note_id:
            raise TaskError(
                f"position {place}: the model's prediction is of note "
                f"{shown_id(claimed.note_id)!r}, the rules' of {shown_id(ruled.note_id)!r}; "
                "predict the same notes in the same order"
            )
        if claimed.spans is None or ruled.spans is None:
            side = "model" if claimed.spans is None else "rules"
            raise TaskError(
                f"note {shown_id(claimed.note_id)!r}: the prediction of the {side} has no spans "
                "(None); only predictions of entity recognition can be compared with rules"
            )
    return list(zip(model, rules, strict=True))


def mention_key(span: Span) -> SpanKey:
    """What a model's mention and a rule's must share to be the same."""
    return (*span.key, span.fragments if span.is_discontinuous else ())


def overlap(one: Span, other: Span) -> int:
    """How many characters two mentions share, gaps counted as part of them."""
    return max(0, min(one.end, other.end) - max(one.start, other.start))


def _combined(
    model: Sequence[Span], rules: Sequence[Span], how: How, threshold: float
) -> list[Span]:
    by_key = {mention_key(span): span for span in rules}
    claimed = {mention_key(span) for span in model}
    agreed = [_merged(s, by_key[mention_key(s)]) for s in model if mention_key(s) in by_key]
    model_only = [span for span in model if mention_key(span) not in by_key]
    rules_only = [span for span in rules if mention_key(span) not in claimed]
    if how == "intersection":
        return agreed
    if how == "fill":
        sure = [s for s in model_only if s.score is None or s.score >= threshold]
        unsure = [s for s in model_only if s.score is not None and s.score < threshold]
        filled = _clear_of(rules_only, sure)
        return [*agreed, *sure, *filled, *_clear_of(unsure, filled)]
    ranked = sorted(
        [(span, True) for span in model_only] + [(span, False) for span in rules_only],
        key=lambda vote: (
            -(vote[0].score or 0.0),
            vote[0].start - vote[0].end,
            vote[0].start,
            not vote[1],
            vote[0].label,
        ),
    )
    chosen: dict[bool, list[Span]] = {True: [], False: []}
    for span, of_model in ranked:
        if _clear_of([span], chosen[not of_model]):
            chosen[of_model].append(span)
    return [*agreed, *chosen[True], *chosen[False]]


def _clear_of(spans: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    return [span for span in spans if not any(overlap(span, other) for other in others)]


def _merged(model: Span, rule: Span) -> Span:
    scores = [span.score for span in (model, rule) if span.score is not None]
    return replace(
        model,
        concepts=model.concepts or rule.concepts,
        attributes=tuple(dict.fromkeys((*model.attributes, *rule.attributes))),
        score=max(scores, default=None),
    )
