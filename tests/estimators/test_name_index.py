"""Names found in texts: whole, in part, inflected, in one place; nothing of a text is kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.errors import TaskError
from clinical_tl.estimators.name_index import NameIndex

NAMES = {
    "S72": ["Fracture of femur", "broken thigh bone"],
    "J45": ["Asthma"],
    "X99": [],
    "R07": ["Chest pain"],
    "J45.9": ["Asthma"],
}
INDEX = NameIndex(NAMES)


def coverage(text, code):
    read = INDEX.read(text)
    place = INDEX.positions[code]
    return INDEX.coverage(read)[place], INDEX.found(read, [place]).coverage[0]


def test_a_name_is_found_whole_wherever_its_words_stand():
    assert coverage("ASTHMA since youth", "J45") == pytest.approx((1, 1))
    assert coverage("pain of the chest", "R07") == pytest.approx((1, 1))
    assert coverage("nothing of the kind", "J45") == (0, 0)
    assert coverage("Asthma", "X99") == (0, 0)


def test_words_in_other_pieces_count_in_the_note_and_not_in_one_piece():
    anywhere, together = coverage("Chest clear. No pain.", "R07")
    assert anywhere == pytest.approx(1)
    assert 0 < together < 1


def test_an_inflected_word_and_a_compound_cover_most_of_a_name():
    assert 0.6 < coverage("fractures of the femurs", "S72")[0] < 1
    assert coverage("femur", "S72")[0] < 0.6


def test_of_a_codes_names_the_best_is_found():
    read = INDEX.read("A broken thigh bone.")
    found = INDEX.found(read, [0, 1, 2])
    assert INDEX.names[found.names[0]] == "broken thigh bone"
    assert found.names[2] == found.pieces[2] == -1
    assert found.coverage.tolist() == pytest.approx([1, 0, 0])


def test_evidence_is_the_stretch_of_the_names_words_in_their_piece():
    text = "Well. On Monday a fracture of the right femur was seen. Asthma."
    read = INDEX.read(text)
    found = INDEX.found(read, [0, 1, 2, 3])
    (start, end) = INDEX.evidence(read, found, 0)
    assert text[start:end] == "fracture of the right femur"
    (start, end) = INDEX.evidence(read, found, 1)
    assert text[start:end] == "Asthma"
    assert INDEX.evidence(read, found, 2) is None
    assert INDEX.evidence(read, found, 3) is None


def test_an_index_keeps_nothing_of_what_it_reads():
    index = NameIndex(NAMES)
    before = (dict(index._known), dict(index._columns))
    index.read("Zebra Quux was seen by Dr Xylander with asthma")
    assert (index._known, index._columns) == before


def test_no_name_at_all_is_refused():
    with pytest.raises(TaskError, match="no code has a name"):
        NameIndex({"I10": []})


def test_blank_texts_and_signs_alone_have_nothing():
    for text in ("", " \n", "-- ,, !!"):
        read = INDEX.read(text)
        assert not INDEX.coverage(read).any()
        assert not INDEX.found(read, [0, 1, 2, 3]).coverage.any()


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["Asthma", "Chest pain", "broken thigh bone"]))
def test_whatever_stands_around_a_name_it_is_found_and_bounds_are_of_the_text(noise, name):
    text = f"{noise}\n{name}\n{noise}"
    read = INDEX.read(text)
    code = next(code for code, own in NAMES.items() if name in own)
    place = INDEX.positions[code]
    assert INDEX.coverage(read)[place] == pytest.approx(1)
    found = INDEX.found(read, np.arange(len(INDEX.codes)))
    assert found.coverage[place] == pytest.approx(1)
    assert ((found.coverage >= 0) & (found.coverage <= 1)).all()
    for i in range(len(INDEX.codes)):
        bounds = INDEX.evidence(read, found, i)
        assert bounds is None or 0 <= bounds[0] < bounds[1] <= len(text)
