"""Layers of tags: one for all types of mentions, or one a type, so that mentions may overlap.

One layer gives a unit one tag. With a layer for each type a unit has a tag in each, chosen and
decoded by itself, so that mentions of different types may share units as they like. (To tag each
type by itself is one of the ways to nested mentions of Alex et al. 2007, Recognising nested named
entities in biomedical text.) Outputs of the layers lie side by side, equally many each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.schema import LabelSet, Span
from clinical_tl.text.decoding import decode_tags
from clinical_tl.text.tags import Representation, Scheme, TagSet
from clinical_tl.text.tokenizer import IntArray
from clinical_tl.text.units import Units

Layers = Literal["one", "by_type"]


@dataclass(frozen=True)
class TagLayers:
    """The tags of a task's labels, in one layer or in one a type.

    >>> from clinical_tl.text.units import text_units
    >>> tags = TagLayers(LabelSet(("Drug", "Dose")), layers="by_type")
    >>> tags.names
    ('O-Drug', 'B-Drug', 'I-Drug', 'O-Dose', 'B-Dose', 'I-Dose')
    >>> units = text_units("insulin 20 units")
    >>> numbers, held = tags.encode(units, [Span(0, 16, "Drug"), Span(8, 16, "Dose")])
    >>> numbers.tolist(), held.lost
    ([[1, 0], [2, 1], [2, 2]], 0)
    """

    labels: LabelSet
    scheme: Scheme = "BIO"
    layers: Layers = "one"

    def __post_init__(self) -> None:
        if self.layers not in get_args(Layers):
            raise ConfigError(f"layers={shown_value(self.layers)}; allowed: {get_args(Layers)}")

    @cached_property
    def sets(self) -> tuple[TagSet, ...]:
        """The tags of each layer."""
        if self.layers == "one":
            return (TagSet(self.labels, self.scheme),)
        return tuple(TagSet(LabelSet((label,)), self.scheme) for label in self.labels)

    @property
    def width(self) -> int:
        """Tags of a layer."""
        return len(self.sets[0])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs; outside of a type's mentions is `O-` and the type."""
        if self.layers == "one":
            return self.sets[0].names
        named = ((f"O-{own.labels.names[0]}", *own.names[1:]) for own in self.sets)
        return tuple(name for names in named for name in names)

    def __len__(self) -> int:
        return len(self.sets) * self.width

    def encode(self, units: Units, spans: Sequence[Span]) -> tuple[IntArray, Representation]:
        """Tags of the units, shape (units, layers), and what of the spans they hold.

        As `TagSet.encode`: in each layer the longest of overlapping mentions is kept.
        """
        owner = {label: i for i, own in enumerate(self.sets) for label in own.labels}
        by_layer: list[list[Span]] = [[] for _ in self.sets]
        for span in spans:
            by_layer[owner[span.label]].append(span)
        tags = np.zeros((len(units), len(self.sets)), dtype=np.int64)
        represented = Representation()
        for i, (tag_set, own) in enumerate(zip(self.sets, by_layer, strict=True)):
            if own:
                tags[:, i], found = tag_set.encode(units, own)
                represented += found
        return tags, represented

    def held(self, units: Units, spans: Sequence[Span]) -> set[tuple[int, int, str]]:
        """The keys of the spans that tags can hold beside one another."""
        tags, _ = self.encode(units, spans)
        sure = np.ones(len(units))
        return {
            span.key
            for tag_set, own in zip(self.sets, tags.T, strict=True)
            for span in tag_set.decode(units, own, sure)
        }

    def decode(
        self,
        units: Units,
        log_probabilities: npt.NDArray[np.float64],
        probabilities: npt.NDArray[np.float64],
        *,
        least: float | None = None,
    ) -> tuple[Span, ...]:
        """The mentions of each layer's likeliest valid tags, in order, with mean probabilities.

        Both have the shape (units, outputs). With `least`, the stretches follow that
        `TagSet.overlooked` finds.
        """
        allowed = self.sets[0].transitions()
        mentions: list[Span] = []
        nearly: list[Span] = []
        for tag_set, logs, own in zip(
            self.sets, self._split(log_probabilities), self._split(probabilities), strict=True
        ):
            tags = decode_tags(logs, allowed)
            if tags.any():
                mentions += tag_set.decode(units, tags, own[np.arange(len(tags)), tags])
            if least is not None:
                nearly += tag_set.overlooked(units, tags, own, least)
        return (*sorted(mentions, key=_place), *sorted(nearly, key=_place))

    def outputs_of(self, label: str) -> list[int]:
        """The outputs that say that a unit is in a mention of the label."""
        parts = [name.partition("-") for name in self.names]
        return [i for i, (at, _, name) in enumerate(parts) if at != "O" and name == label]

    def learnt(self, tags: IntArray) -> npt.NDArray[np.int64] | npt.NDArray[np.bool_]:
        """What a linear model learns of tags (units, layers): those of the one layer, (units,).

        Of several layers it learns which output is right in each, shape (units, outputs); where
        that is not known, as no tag of the layer's is given, none is.
        """
        if self.layers == "one":
            return tags[:, 0]
        right: npt.NDArray[np.bool_] = tags[..., None] == np.arange(self.width)
        return right.reshape(len(tags), len(self))

    def _split(self, outputs: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
        return np.split(outputs, len(self.sets), axis=1)


def _place(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.label


def describe_lost(represented: Representation, scheme: str, layers: Layers = "one") -> str:
    """One line on what of the gold spans tags can't hold; counts alone."""
    share = 100 * represented.lost / max(represented.gold, 1)
    mends = [
        mend
        for lost, mend in (
            (
                represented.overlapping and layers == "one",
                "layers='by_type' holds those that overlap another type",
            ),
            (represented.inside_word, "units='tokens' holds those inside a word"),
            (represented.inside_token, "an encoder with finer tokens holds those inside a token"),
        )
        if lost
    ]
    return (
        f"{represented.lost} of {represented.gold} gold mentions ({share:.1f} %) can't be "
        f"represented in {scheme}: {represented.overlapping} overlap a longer one, "
        f"{represented.discontinuous} are discontinuous, {represented.inside_word} begin or end "
        f"inside a word, {represented.inside_token} inside a token, {represented.on_space} on "
        "white space; they are left out of training and count as missed in scores"
        + "".join(f"; {mend}" for mend in mends)
    )
