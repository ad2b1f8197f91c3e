"""Layers of tags: mentions of different types that overlap come back whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import ConfigError
from clinical_tl.schema import LabelSet, Span
from clinical_tl.text.tag_layers import TagLayers
from clinical_tl.text.tags import Representation, TagSet
from clinical_tl.text.units import text_units

# The names of the last two end alike.
LABELS = LabelSet(("Dose", "Drug", "Old-Drug"))
TEXT = "aspirin 81 mg daily for chest pain, (5mg HbA1c) é 🫀"
UNITS = text_units(TEXT)


@st.composite
def apart_by_type(draw):
    """Spans over units in which no two of a type overlap, in order."""
    spans = []
    for label in LABELS:
        edges = draw(st.lists(st.integers(0, len(UNITS)), unique=True, max_size=8))
        for first, stop in zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False):
            spans.append(Span(int(UNITS.starts[first]), int(UNITS.ends[stop - 1]), label))
    return tuple(sorted(spans, key=lambda s: (s.start, s.end, s.label)))


def certain(layers, tags):
    """Probabilities (units, outputs) that leave no doubt of the tags."""
    every = np.full((len(tags), len(layers)), 1e-9)
    for layer, own in enumerate(tags.T):
        every[np.arange(len(tags)), layer * layers.width + own] = 1.0
    return every


@pytest.mark.parametrize("scheme", ["BIO", "BILOU"])
@given(spans=apart_by_type())
def test_mentions_that_overlap_no_other_of_their_type_come_back_whole(scheme, spans):
    layers = TagLayers(LABELS, scheme, "by_type")
    tags, found = layers.encode(UNITS, spans[::-1])
    assert found == Representation(gold=len(spans))
    every = certain(layers, tags)
    decoded = layers.decode(UNITS, np.log(every), every)
    assert [(*span.key, span.score) for span in decoded] == [(*span.key, 1.0) for span in spans]


@pytest.mark.parametrize("scheme", ["BIO", "BILOU"])
@given(seed=st.integers(0, 10_000))
def test_one_layer_is_the_one_tag_set_and_layers_are_decoded_as_if_alone(scheme, seed):
    rng = np.random.default_rng(seed)
    for layers in (TagLayers(LABELS, scheme), TagLayers(LABELS, scheme, "by_type")):
        every = rng.dirichlet(np.ones(layers.width), (len(UNITS), len(layers.sets)))
        flat = every.reshape(len(UNITS), -1)
        alone = [
            TagLayers(own.labels, scheme).decode(UNITS, np.log(each), each, least=0.4)
            for own, each in zip(layers.sets, every.transpose(1, 0, 2), strict=True)
        ]
        together = layers.decode(UNITS, np.log(flat), flat, least=0.4)
        assert sorted(map(str, together)) == sorted(str(s) for own in alone for s in own)
    spans = (Span(0, 13, "Drug"), Span(24, 34, "Dose"))
    one, own = TagLayers(LABELS, scheme), TagSet(LABELS, scheme)
    assert one.names == own.names
    assert one.encode(UNITS, spans)[0][:, 0].tolist() == own.encode(UNITS, spans)[0].tolist()


def test_of_one_type_the_longest_is_kept_and_the_rest_counted():
    layers = TagLayers(LABELS, layers="by_type")
    spans = [Span(0, 13, "Drug"), Span(0, 7, "Drug"), Span(0, 13, "Dose"), Span(1, 7, "Dose")]
    tags, found = layers.encode(UNITS, spans)
    assert found == Representation(gold=4, overlapping=1, inside_word=1)
    every = certain(layers, tags)
    said = [span.key for span in layers.decode(UNITS, np.log(every), every)]
    assert said == [(0, 13, "Dose"), (0, 13, "Drug")]
    with pytest.raises(KeyError):
        layers.encode(UNITS, [Span(0, 7, "Sign")])


def test_outputs_are_told_apart_by_the_whole_name_of_their_type():
    layers = TagLayers(LABELS, layers="by_type")
    assert layers.names[3:] == ("O-Drug", "B-Drug", "I-Drug", "O-Old-Drug", "B-Old-Drug",
                                "I-Old-Drug")  # fmt: skip
    assert (layers.outputs_of("Drug"), layers.outputs_of("Old-Drug")) == ([4, 5], [7, 8])
    assert TagLayers(LABELS).outputs_of("Drug") == [3, 4]


def test_a_linear_model_learns_nothing_of_a_layer_that_is_left_open():
    layers = TagLayers(LabelSet(("A", "B")), layers="by_type")
    tags = np.array([[0, 2], [1, -100]])
    assert layers.learnt(tags).astype(int).tolist() == [[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0]]
    assert TagLayers(LabelSet(("A", "B"))).learnt(tags[:, :1]).tolist() == [0, 1]


def test_unknown_layers_are_refused():
    with pytest.raises(ConfigError, match=r"layers='nested'; allowed: .*by_type"):
        TagLayers(LABELS, layers="nested")
