"""What a model or rules say of a text, set on a spaCy document.

`spacy_component` tells what is found where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.util import filter_spans

from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.schema import LabelScores, Prediction, Span

Alignment = Literal["strict", "contract", "expand"]

_extensions: set[str] = set()


@dataclass(frozen=True)
class ComponentSettings:
    """What a component is made of; `source` is a model's folder or Hub id, or a rules file."""

    kind: Literal["model", "rules"]
    source: str
    key: str
    alignment_mode: Alignment
    set_ents: bool
    overwrite_ents: bool
    save_source: bool
    encoder: str | None = None
    device: str | None = None
    batch_tokens: int | None = None
    context: bool = True

    def __post_init__(self) -> None:
        if self.alignment_mode not in get_args(Alignment):
            raise ConfigError(
                f"alignment_mode={shown_value(self.alignment_mode)}; allowed: "
                f"{list(get_args(Alignment))}"
            )
        if not self.key.isidentifier():
            raise ConfigError(
                f"key={shown_value(self.key)}; allowed: a Python name, for doc._.<key>"
            )


def add_extension(key: str) -> None:
    """Make `doc._.<key>` and `span._.<key>`, `None` until a component sets them.

    Raises `ConfigError` if another component has one of them.
    """
    if key in _extensions:
        return
    if Doc.has_extension(key) or SpacySpan.has_extension(key):
        raise ConfigError(
            f"doc._.{key} or span._.{key} belongs to another component; choose another key=…"
        )
    Doc.set_extension(key, default=None)
    SpacySpan.set_extension(key, getter=partial(_said, key), setter=partial(_say, key))
    _extensions.add(key)


def _said(key: str, span: SpacySpan) -> Any:  # noqa: ANN401  (plain values)
    return span.doc.user_data.get(_place(key, span), {}).get(span.label_)


def _say(key: str, span: SpacySpan, said: Any) -> None:  # noqa: ANN401  (plain values)
    span.doc.user_data.setdefault(_place(key, span), {})[span.label_] = said


def _place(key: str, span: SpacySpan) -> Any:  # noqa: ANN401  (spaCy's stubs know no such key)
    """Where spaCy keeps what is said of a stretch, which may be a mention of several types."""
    return "._.", key, span.start_char, span.end_char


def set_prediction(doc: Doc, prediction: Prediction, settings: ComponentSettings) -> Counter[str]:
    """Set a prediction on its document.

    Returns how many `mentions` it has, and how many of them are `misaligned`, `dropped` and
    `not_in_ents`.
    """
    counts: Counter[str] = Counter()
    if prediction.label is not None or prediction.codes is not None:
        scores = prediction.scores
        # Looked up one by one, thousands of codes would take their square.
        values = scores.array.tolist() if isinstance(scores, LabelScores) else scores.values()
        doc.cats.update(zip(scores, map(float, values), strict=True))
    if prediction.spans is not None:
        stretches = _aligned(doc, prediction.spans, settings, counts)
        doc.spans[settings.key] = stretches
        if settings.set_ents:
            _set_entities(doc, stretches, counts, settings.key, overwrite=settings.overwrite_ents)
    # Plain values, so that documents can be serialised with them.
    decided = {
        "label": prediction.label,
        "codes": None if prediction.codes is None else list(prediction.codes),
        "evidence": {
            code: [[span.start, span.end, span.score] for span in spans]
            for code, spans in prediction.evidence.items()
        },
    }
    told = {name: counts[name] for name in ("misaligned", "dropped", "not_in_ents")}
    doc._.set(settings.key, {**decided, **told})
    return counts


def _aligned(
    doc: Doc, spans: Sequence[Span], settings: ComponentSettings, counts: Counter[str]
) -> list[SpacySpan]:
    stretches: dict[tuple[int, int, str], SpacySpan] = {}
    kept: dict[tuple[int, int], list[Span]] = {}
    # Best first: it is kept of two mentions that come to lie on the same tokens, unless they are of
    # two types and overlap as they are.
    for span in sorted(spans, key=lambda span: -(span.score or 0.0)):
        concept = span.concepts[0] if len(span.concepts) == 1 else ""
        stretch = doc.char_span(
            span.start,
            span.end,
            label=span.label,
            kb_id=concept,
            alignment_mode=settings.alignment_mode,
        )
        counts["mentions"] += 1
        is_exact = stretch is not None and (stretch.start_char, stretch.end_char) == (
            span.start,
            span.end,
        )
        counts["misaligned"] += not is_exact
        here = [] if stretch is None else kept.setdefault((stretch.start, stretch.end), [])
        if stretch is None or any(
            span.label == other.label or span.end <= other.start or other.end <= span.start
            for other in here
        ):
            counts["dropped"] += 1
            continue
        here.append(span)
        stretch._.set(
            settings.key,
            {
                "score": span.score,
                "attributes": dict(span.attributes),
                "concepts": list(span.concepts),
                "start": span.start,
                "end": span.end,
            },
        )
        stretches[stretch.start, stretch.end, span.label] = stretch
    return [stretches[bounds] for bounds in sorted(stretches)]


def _set_entities(
    doc: Doc, stretches: Sequence[SpacySpan], counts: Counter[str], key: str, *, overwrite: bool
) -> None:
    present = list(doc.ents)
    # Of those that overlap the longest; of equally long ones the first, then the surest.
    stretches = sorted(stretches, key=lambda s: -(s._.get(key)["score"] or 0.0))
    if overwrite:
        own = filter_spans(stretches)
        present = _clear_of(present, own)
    else:
        # Room first: a mention without any must not put out a shorter one that has some.
        own = filter_spans(_clear_of(stretches, present))
    counts["not_in_ents"] += len(stretches) - len(own)
    doc.ents = sorted([*own, *present], key=lambda entity: entity.start)


def _clear_of(spans: Sequence[SpacySpan], others: Sequence[SpacySpan]) -> list[SpacySpan]:
    taken = {token for other in others for token in range(other.start, other.end)}
    return [span for span in spans if taken.isdisjoint(range(span.start, span.end))]
