from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.estimators.discrepancy import jensen_shannon
from clinical_tl.estimators.vocabulary import (
    length_shift,
    section_shift,
    tokenizer_fit,
    vocabulary_overlap,
)


@dataclass
class Tokens:
    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class Cutter:
    """Cuts at every given position of a text; tokens with a capital X are unknown (id 0)."""

    def __init__(self, *cuts):
        self.cuts = cuts

    def encode(self, texts):
        encoded = []
        for text, cuts in zip(texts, self.cuts, strict=True):
            bounds = np.array([*cuts, len(text)])
            pieces = [text[a:b] for a, b in pairwise(bounds)]
            starts = bounds[:-1] + [len(p) - len(p.lstrip()) for p in pieces]
            ends = np.maximum(bounds[1:] - [len(p) - len(p.rstrip()) for p in pieces], starts)
            encoded.append(Tokens(np.array([0 if "X" in p else 1 for p in pieces]), starts, ends))
        return encoded


def test_overlap_by_hand():
    found = vocabulary_overlap(["Fever and cough", "fever"], ["FEVER, rash; fever 38.5"])
    assert found.jaccard == 1 / 4
    assert found.known == pytest.approx(2 / 3)
    assert (found.source_words, found.target_words) == (3, 2)


def test_fertility_by_hand():
    # "The| patel|la| .|XX| a-b": six words? The, patella, XX, a, b.
    text = "The patella.XX a-b"
    tokenizer = Cutter([0, 3, 9, 11, 12, 14])
    found = tokenizer_fit(tokenizer, [text], unknown_id=0)
    # The: 1, patella: 2, XX: 1 (unknown), a and b: one token for both, counted for each.
    assert found.words == 5
    assert found.fertility == 6 / 5
    assert found.split == 1 / 5
    assert found.out_of_vocabulary == 1 / 5
    assert tokenizer_fit(tokenizer, [text], unknown_id=None).out_of_vocabulary == 0


@given(st.text(alphabet="aX 1.\n", min_size=1, max_size=30), st.data())
def test_fertility_is_a_count_by_characters(text, drawn):
    cuts = sorted({0, *drawn.draw(st.lists(st.integers(1, max(1, len(text) - 1))))})
    cuts = [cut for cut in cuts if cut < len(text)]
    tokenizer = Cutter(cuts)
    words, start = [], None
    for i, character in enumerate(text + " "):
        if character.isalnum() and start is None:
            start = i
        elif not character.isalnum() and start is not None:
            words.append(set(range(start, i)))
            start = None
    if not words:
        with pytest.raises(NoteError, match="no word"):
            tokenizer_fit(tokenizer, [text], unknown_id=0)
        return
    tokens = tokenizer.encode([text])[0]
    covered = [set(range(a, b)) for a, b in zip(tokens.starts, tokens.ends, strict=True)]
    counts = [sum(bool(word & token) for token in covered) for word in words]
    lost = [
        any(word & token and number == 0 for token, number in zip(covered, tokens.ids, strict=True))
        for word in words
    ]
    found = tokenizer_fit(tokenizer, [text], unknown_id=0)
    assert found.fertility == pytest.approx(sum(counts) / len(words))
    assert found.split == pytest.approx(sum(n > 1 for n in counts) / len(words))
    assert found.out_of_vocabulary == pytest.approx(sum(lost) / len(words))


def test_length_shift_is_scipys_test():
    source, target = [10, 20, 30, 40], [30, 60, 50]
    found, test = length_shift(source, target), ks_2samp(source, target)
    assert (found.source_median, found.target_median, found.ratio) == (25, 50, 2)
    assert (found.statistic, found.p_value) == (test.statistic, test.pvalue)


ADMISSION = (
    "History of present illness:\nfever.\n  PLAN\nrest\nAt 10:30 pm he slept. Plan of two days."
)
LETTER = "Plan: rest\nJane Doe:\nyours"


def test_headings_are_found_as_stated():
    found = section_shift([ADMISSION] * 3, [LETTER] * 2 + ["no heading"], min_notes=2)
    names = {heading.name: (heading.source, heading.target) for heading in found.headings}
    assert names == {
        "history of present illness": (0.5, 0.0),
        "plan": (0.5, 0.4),
        "jane doe": (0.0, 0.4),
        "(none)": (0.0, 0.2),
    }
    assert found.divergence == pytest.approx(jensen_shannon([0.5, 0.5, 0, 0], [0, 0.4, 0.4, 0.2]))
    assert found.headings[0].name == "plan"
    assert found.rare == 0


def test_headings_of_few_notes_are_counted_and_never_named():
    found = section_shift([ADMISSION] * 5, [LETTER] * 2, min_notes=3)
    assert {heading.name for heading in found.headings} == {
        "history of present illness",
        "plan",
        "(rare)",
    }
    assert found.rare == 1
    # A heading that stands ten times in one note is still one note's.
    assert section_shift(["Jane Doe:\n" * 10], ["x"], min_notes=2).rare == 1


@pytest.mark.parametrize(
    ("line", "is_heading"),
    [
        ("ALLERGIES", True),
        ("PAST MEDICAL HISTORY", True),
        ("S: well", True),
        ("Cough/cold:", True),
        ("one two three four five six seven: x", False),
        ("10:30 seen", False),
        ("Fever", False),
        ("BP 120", True),
        ("A", False),
        ("ONE TWO THREE FOUR FIVE SIX SEVEN", False),
        ("He said so. Plan: rest", False),
        ("АЛЛЕРГИИ", True),
        ("пациент поступил сегодня", False),
    ],
)
def test_lines_that_are_headings(line, is_heading):
    found = section_shift([line] * 2, [line] * 2, min_notes=2)
    assert (found.headings[0].name != "(none)") is is_heading


def test_misuse_is_refused():
    with pytest.raises(NoteError, match="target texts have no word"):
        vocabulary_overlap(["word"], ["12 3"])
    with pytest.raises(NoteError, match="source notes are empty"):
        length_shift([0, 0, 1], [1])
    with pytest.raises(NoteError, match="target lengths"):
        length_shift([1], [])
    with pytest.raises(NoteError, match="no source notes"):
        section_shift([], ["a"])
    with pytest.raises(ConfigError, match="min_notes=1"):
        section_shift(["a"], ["a"], min_notes=1)
