import random

from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.synthetic.writer import NoteWriter, Piece, Sentence, misspelt


@given(word=st.text("abcdefghijklmnopqrstuvwxyzABC", min_size=5, max_size=12), seed=st.integers())
def test_a_misspelt_word_differs_in_one_slip(word, seed):
    slip = misspelt(word, random.Random(seed))
    assert slip != word
    assert slip[0] == word[0]
    assert slip.isalpha()
    assert abs(len(slip) - len(word)) <= 1


def test_the_writer_tracks_what_it_writes():
    writer = NoteWriter(rng=random.Random(0))
    writer.write("PLAN:\n")
    sentence = Sentence(
        (
            Piece("Takes "),
            Piece("Lasix", "Drug"),
            Piece(" "),
            Piece("40 mg", "Dose"),
            Piece(" for "),
            Piece("CHF", "Problem", "present", "I50.9"),
            Piece("."),
        ),
        ((1, 3, "has_dose"), (1, 5, "treats")),
    )
    assert sentence.words == 6
    writer.write_sentence(sentence)
    assert writer.text == "PLAN:\nTakes Lasix 40 mg for CHF."
    assert [(s.start, s.end, s.label, s.id) for s in writer.spans] == [
        (12, 17, "Drug", "T1"),
        (18, 23, "Dose", "T2"),
        (28, 31, "Problem", "T3"),
    ]
    assert writer.spans[2].concepts == ("I50.9",)
    assert writer.spans[2].attributes == (("assertion", "present"),)
    assert [(r.head, r.tail, r.label) for r in writer.relations] == [
        ("T1", "T2", "has_dose"),
        ("T1", "T3", "treats"),
    ]
