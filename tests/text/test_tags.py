import itertools
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.errors import ConfigError
from clinical_tl.network.encoder import find_encoder
from clinical_tl.schema import LabelSet, Span
from clinical_tl.text.tags import Representation, TagSet
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.units import find_units, text_units
from tests.tiny_encoders import build_tokenizer

TOKENIZERS = {
    kind: NoteTokenizer(build_tokenizer(kind)) for kind in ("wordpiece", "byte_bpe", "unigram")
}
LABELS = LabelSet(("Dose", "Drug"))
WORDS = st.lists(
    st.sampled_from(
        ["aspirin", "81", "mg", "5mg", "(", "é", "ß", "HbA1c", ",", "-", "🫀", "pain", "  "]
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def annotated(draw):
    """A text and spans that start and end at units, not overlapping."""
    text = draw(st.sampled_from([" ", "", "\n"])).join(draw(WORDS))
    units = text_units(text)
    spans, at = [], 0
    while at < len(units):
        if draw(st.booleans()):
            last = min(at + draw(st.integers(0, 3)), len(units) - 1)
            label = draw(st.sampled_from(LABELS.names))
            spans.append(Span(int(units.starts[at]), int(units.ends[last]), label))
            at = last
        at += 1
    return text, tuple(spans)


@pytest.mark.parametrize("scheme", ["BIO", "BILOU"])
@given(case=annotated())
def test_tags_give_back_every_span(scheme, case):
    text, spans = case
    tag_set = TagSet(LABELS, scheme)
    units = text_units(text)
    tags, found = tag_set.encode(units, spans)
    assert found == Representation(gold=len(spans))
    assert tag_set.decode(units, tags) == spans
    path = [len(tag_set), *tags.tolist(), len(tag_set)]
    assert all(tag_set.transitions()[a, b] for a, b in itertools.pairwise(path))


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(case=annotated())
@settings(deadline=None)
def test_units_of_tokens_agree_with_units_of_the_text(kind, case):
    text, _ = case
    (tokens,) = TOKENIZERS[kind].encode([text])
    units, whole = find_units(text, tokens), text_units(text)
    assert set(units.starts) <= set(whole.starts)
    assert (units.ends[:-1] <= units.starts[1:]).all()
    if kind != "unigram" and text.isascii():
        # Only a token for several unknown characters can merge units.
        assert units.starts.tolist() == whole.starts.tolist()
        assert units.ends.tolist() == whole.ends.tolist()


def test_what_tags_cannot_hold_is_counted_and_the_longest_kept():
    text = "aspirin 81 mg daily"
    spans = [
        Span(0, 13, "Drug"),
        Span(8, 13, "Dose"),
        Span(15, 19, "Drug"),
        Span(0, 19, "Drug", fragments=((0, 7), (14, 19))),
    ]
    tag_set = TagSet(LABELS)
    units = text_units(text)
    tags, found = tag_set.encode(units, spans)
    assert found == Representation(gold=4, overlapping=1, discontinuous=1, inside_word=1)
    assert found.lost == 3
    assert tag_set.decode(units, tags) == (Span(0, 13, "Drug"),)


def test_scores_are_the_mean_over_the_units():
    tag_set = TagSet(LABELS)
    units = text_units("aspirin 81 mg")
    tags = np.array([tag_set.tag("Drug", "B"), tag_set.tag("Dose", "B"), tag_set.tag("Dose", "I")])
    spans = tag_set.decode(units, tags, np.array([0.5, 0.2, 0.4]))
    assert [span.score for span in spans] == [0.5, pytest.approx(0.3)]


def test_number_and_unit_written_together_are_told_apart():
    assert ["x5mgASA"[s:e] for s, e in zip(*_bounds(text_units("x5mgASA")), strict=True)] == [
        "x",
        "5",
        "mgASA",
    ]


def _bounds(units):
    return units.starts.tolist(), units.ends.tolist()


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ConfigError, match="BILOU"):
        TagSet(LABELS, "IOB9")


def test_combining_marks_that_a_tokenizer_drops_belong_to_their_letter(offline_encoder):
    text = unicodedata.normalize("NFD", "has Guillain-Barré")
    tokenizer = NoteTokenizer.from_pretrained(find_encoder(offline_encoder).path)
    (tokens,) = tokenizer.encode([text])
    assert int(tokens.ends[-1]) == len(text) - 1
    span = Span(4, len(text), "Problem")
    tags, found = TagSet(LabelSet(("Problem",), (1,))).encode(find_units(text, tokens), [span])
    assert found.lost == 0
    assert TagSet(LabelSet(("Problem",), (1,))).decode(find_units(text, tokens), tags) == (span,)


def test_stretches_that_were_nearly_mentions():
    tag_set = TagSet(LabelSet.fitted(["A", "B"]))
    names = list(tag_set.names)
    units = text_units("one two three four five")
    probabilities = np.full((5, len(names)), 0.0)
    probabilities[:, names.index("O")] = [0.95, 0.6, 0.8, 0.1, 0.7]
    probabilities[1, names.index("B-B")] = 0.4
    probabilities[2, names.index("I-A")] = 0.2
    probabilities[3, names.index("B-A")] = 0.9
    probabilities[4, names.index("I-A")] = 0.3
    probabilities[0, names.index("B-A")] = 0.05
    tags = np.array([0, 0, 0, names.index("B-A"), 0])
    found = tag_set.overlooked(units, tags, probabilities, 0.1)
    assert [(s.start, s.end, s.label, round(s.score, 2)) for s in found] == [
        (4, 13, "B", 0.4),
        (19, 23, "A", 0.3),
    ]
    assert tag_set.overlooked(units, tags, probabilities, 0.5) == ()
