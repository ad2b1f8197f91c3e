import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.data.leakage import Shared, check_leakage
from clinical_tl.data.notes import Notes
from clinical_tl.data.traces import similar_pairs, text_key
from clinical_tl.errors import ConfigError
from clinical_tl.schema import Note

LONG = "the patient was admitted with fever and cough for two weeks and went home well today"


def sides(**notes):
    return {
        side: Notes(Note(note_id, text, patient_id=patient) for note_id, patient, text in own)
        for side, own in notes.items()
    }


def test_shared_patients_identical_and_near_identical_texts_are_found():
    report = check_leakage(
        sides(
            train=[("1", "p1", "A  Fever"), ("2", "p2", LONG), ("3", None, "x"), ("4", "p1", "y")],
            dev=[("5", "p3", "z")],
            test=[("6", "p1", "w"), ("7", "p4", "a fever\n"), ("8", None, f"{LONG} .")],
        )
    )
    assert report.groups == (Shared("train", "test", ("1", "4"), ("6",)),)
    assert report.identical == (Shared("train", "test", ("1",), ("7",)),)
    assert report.near == (Shared("train", "test", ("2",), ("8",), 12 / 13),)
    assert not report.is_clean
    assert "1 shared groups (patient_id), e.g. train 1 ~ test 6; 1 identical" in str(report)
    assert "fever" not in str(report)
    assert "admitted" not in repr(report)


def test_chinese_notes_that_differ_in_a_letter_are_near_identical():
    text = "患者男性六十八岁因反复胸闷气促三年加重一周入院既往有高血压病史十余年否认糖尿病史"
    report = check_leakage(
        sides(train=[("1", None, text)], test=[("2", None, f"{text}等"), ("3", None, "体温正常")])
    )
    assert [(pair.first_ids, pair.second_ids) for pair in report.near] == [(("1",), ("2",))]


def test_clean_sides_and_a_search_left_out():
    clean = check_leakage(sides(train=[("1", None, "a")], test=[("2", None, "b")]))
    assert clean.is_clean
    near = sides(train=[("1", None, LONG)], test=[("2", None, f"{LONG} .")])
    assert check_leakage(near, near_duplicates=None).is_clean
    assert check_leakage(near, near_duplicates=0.95).is_clean
    assert not check_leakage(near, near_duplicates=0.9).is_clean


def test_settings_out_of_range():
    for options in ({"by": "text"}, {"near_duplicates": 0.0}, {"near_duplicates": 1.5}):
        with pytest.raises(ConfigError):
            check_leakage({}, **options)
    assert check_leakage({}).is_clean


def test_keys_ignore_case_and_whitespace_only():
    assert text_key(" A\u00a0fever\r\n") == text_key("a FEVER")
    assert text_key("a fever") != text_key("afever")


SETS = st.lists(
    st.sets(st.integers(0, 30), min_size=1, max_size=12).map(lambda s: np.array(sorted(s))),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(first=SETS, second=SETS, threshold=st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.8, 0.9, 1.0]))
def test_the_filter_loses_no_pair(first, second, threshold):
    expected = []
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            similarity = len({*a} & {*b}) / len({*a} | {*b})
            if similarity >= threshold:
                expected.append((i, j, similarity))
    assert similar_pairs(first, second, threshold) == expected
