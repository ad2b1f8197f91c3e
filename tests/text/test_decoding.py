from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.schema import LabelSet
from clinical_tl.text.decoding import decode_tags
from clinical_tl.text.tags import TagSet


def best_by_force(scores, allowed):
    n, k = scores.shape
    valid = (path for path in product(range(k), repeat=n) if allowed[(k, *path), (*path, k)].all())
    return max(scores[np.arange(n), list(path)].sum() for path in valid)


@pytest.mark.parametrize("scheme", ["BIO", "BILOU"])
@given(seed=st.integers(0, 10_000), n=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_the_likeliest_valid_sequence_is_found(scheme, seed, n):
    tag_set = TagSet(LabelSet(("A",)), scheme)
    allowed = tag_set.transitions()
    scores = np.random.default_rng(seed).normal(size=(n, len(tag_set))) * 3
    tags = decode_tags(scores, allowed)
    path = np.array([len(tag_set), *tags, len(tag_set)])
    assert allowed[path[:-1], path[1:]].all()
    assert scores[np.arange(n), tags].sum() == pytest.approx(best_by_force(scores, allowed))


def test_an_inside_tag_after_outside_is_never_given():
    tag_set = TagSet(LabelSet(("A", "B")))
    scores = np.log(np.array([[0.9, 0.02, 0.02, 0.03, 0.03], [0.1, 0.05, 0.8, 0.03, 0.02]]))
    tags = decode_tags(scores, tag_set.transitions())
    assert [tag_set.names[t] for t in tags] != ["O", "I-A"]
    assert [tag_set.names[t] for t in tags] == ["O", "O"]


def test_an_empty_note_has_no_tags():
    assert decode_tags(np.zeros((0, 3)), TagSet(LabelSet(("A",))).transitions()).shape == (0,)
