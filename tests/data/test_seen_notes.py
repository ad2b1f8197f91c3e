import copy
import logging
import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.data.leakage import check_leakage
from clinical_tl.data.seen_notes import SeenNotes, require_apart
from clinical_tl.data.splits import split_notes
from clinical_tl.data.traces import NEAR_DUPLICATE, Traces, near_groups, near_notes, near_pairs
from clinical_tl.errors import NoteError
from clinical_tl.schema import Note

WORDS = "the patient was admitted with Zebrafinch syndrome and cough for two weeks and then went "
LONG = f"{WORDS}home in the best of health without any complaint at all that day"
SHORT = "No known drug allergies."


def apart(train, test, *, allow_leakage=False):
    sides = [Traces.of(side) for side in (train, test)]
    return require_apart(
        *sides, known_as="training notes", notes_as="test notes", allow_leakage=allow_leakage
    )


def others(n, start=0):
    return [Note(f"o{i}", f"note {i}") for i in range(start, start + n)]


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        (Note("1", "a", "p"), Note("2", "b", "p"), "1 patients (1 of 21 notes)"),
        (Note("1", LONG), Note("2", f"  {LONG.upper()}\n"), "1 identical texts"),
        (Note("1", LONG), Note("2", f"{LONG} ."), "1 near-identical"),
        (Note("1", f"{LONG} é"), Note("2", f"{LONG} e\u0301"), "1 identical texts"),
        (Note("1", f"{LONG} ﬁne"), Note("2", f"{LONG} fine"), "1 identical texts"),
    ],
)
def test_patients_and_long_texts_on_both_sides_are_refused(train, test, found):
    with pytest.raises(NoteError, match=r"the test notes and the training notes share") as caught:
        apart([train, *others(20)], [test, *others(20, 50)])
    assert found in str(caught.value)
    assert "e.g. the notes ['2']" in str(caught.value)
    assert "zebrafinch" not in str(caught.value).lower()
    leak = apart([train, *others(20)], [test, *others(20, 50)], allow_leakage=True)
    assert leak.is_serious


def test_short_texts_are_many_patients_own_unless_a_set_consists_of_them(caplog):
    train = [Note("1", SHORT), *others(20)]
    with caplog.at_level(logging.WARNING):
        leak = apart(train, [Note("2", SHORT), *others(20, 50)])
    assert (leak.short, leak.is_serious) == (1, False)
    assert "1 identical shorter ones" in caplog.text
    with pytest.raises(NoteError, match="20 identical shorter ones"):
        apart(train, others(20))


def test_unknown_patients_are_nobodys():
    assert not apart([Note("1", "a")], [Note("2", "b")]).is_serious


def test_what_was_seen_is_kept_in_memory_alone():
    seen, leak = SeenNotes.of([Note("1", LONG, "p1")], [Note("2", "x")], allow_leakage=False)
    assert leak is not None
    assert not leak.is_serious
    assert copy.deepcopy(seen).train.texts == seen.train.texts
    pickled = pickle.dumps(seen)
    assert b"p1" not in pickled
    assert seen.train.texts[0] not in pickled
    assert pickle.loads(pickled) is None
    assert pickle.loads(pickle.dumps(seen.train)) is None
    with pytest.raises(NoteError, match="training and dev notes"):
        seen.require_apart([Note("3", "x")], "test", allow_leakage=False)
    seen.require_apart([Note("3", "x")], "dev", allow_leakage=False)


def test_trainings_add_up():
    first, _ = SeenNotes.of([Note("1", LONG)], None, allow_leakage=False)
    again, _ = SeenNotes.of(
        [Note("1", LONG), Note("2", "y")], None, before=[first, None], allow_leakage=False
    )
    assert again.train.ids == ("1", "2")


WORD = st.sampled_from("abc")
TEXT = st.lists(WORD, min_size=1, max_size=9).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=6), st.lists(TEXT, min_size=1, max_size=6))
def test_notes_with_a_near_duplicate_are_those_of_the_pairs(first, second):
    sides = [
        Traces.of([Note(str(i), text) for i, text in enumerate(texts)]) for texts in (first, second)
    ]
    expected = {column for _, column, _ in near_pairs(*sides, 0.5)}
    expected |= {i for i, key in enumerate(sides[1].texts) if key in sides[0].texts}
    assert set(np.flatnonzero(near_notes(*sides, 0.5))) == expected


def test_near_duplicates_chain_into_groups():
    texts = [LONG, f"{LONG} .", f"{LONG} . ,", "something else entirely", SHORT, LONG]
    traces = Traces.of([Note(str(i), text) for i, text in enumerate(texts)])
    groups = near_groups(traces, NEAR_DUPLICATE, fewest_words=20)
    assert len({groups[i] for i in (0, 1, 2, 5)}) == 1
    assert groups[3] is groups[4] is None


def test_two_normal_forms_of_a_text_are_one():
    text = f"Ménière, œdème aigu, naïf: {LONG}"
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    report = check_leakage({"train": [forms[0]], "test": [forms[1]]})
    assert len(report.identical) == 1
    assert not report.near


def test_splits_take_lists_and_do_not_depend_on_their_order():
    notes = [Note(f"n{i:02}", f"text {i} {i * 7 % 11}", f"p{i // 2}") for i in range(40)]
    once = split_notes(notes)
    again = split_notes(notes[::-1])
    assert {side: set(own["note_id"]) for side, own in once.items()} == {
        side: set(own["note_id"]) for side, own in again.items()
    }
    assert list(again["train"]["note_id"]) == sorted(again["train"]["note_id"], reverse=True)


def test_near_duplicates_stay_on_one_side():
    notes = [
        Note(f"{i}-{j}", f"{' '.join(f'w{i}x{k}' for k in range(40))} {j}", f"p{i}{j}")
        for i in range(20)
        for j in range(2)
    ]
    splits = split_notes(notes, fractions={"train": 0.5, "test": 0.5})
    assert check_leakage(splits).is_clean
