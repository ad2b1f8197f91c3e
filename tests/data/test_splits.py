from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.data.leakage import check_leakage
from clinical_tl.data.notes import Notes
from clinical_tl.data.splits import split_notes
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.schema import Note


def made(count, *, seed=0, notes_each=3):
    rng = np.random.default_rng(seed)
    return Notes(
        Note(
            f"n{i}",
            f"note number {i}",
            patient_id=f"p{rng.integers(count // notes_each)}",
            label=str(rng.choice(["a", "b", "c"], p=[0.7, 0.2, 0.1])),
            codes=tuple(f"c{j}" for j in range(12) if rng.random() < 0.5 / (j + 1)),
        )
        for i in range(count)
    )


def sizes(splits):
    return {side: len(notes) for side, notes in splits.items()}


def test_every_note_is_on_one_side_in_its_order_and_no_patient_on_two():
    notes = made(600)
    splits = split_notes(notes)
    assert sizes(splits) == {"train": 480, "dev": 60, "test": 60}
    ids = [note_id for side in splits.values() for note_id in side["note_id"]]
    assert sorted(ids) == sorted(notes["note_id"])
    for side in splits.values():
        numbers = [int(note_id[1:]) for note_id in side["note_id"]]
        assert numbers == sorted(numbers)
    assert check_leakage(splits, near_duplicates=None).is_clean


def test_the_seed_decides():
    notes = made(200)
    once, again, other = (split_notes(notes, seed=seed) for seed in (1, 1, 2))
    assert once["test"]["note_id"][:] == again["test"]["note_id"][:]
    assert once["test"]["note_id"][:] != other["test"]["note_id"][:]


def test_labels_have_their_share_on_every_side():
    splits = split_notes(made(600), stratify="label")
    total = Counter(label for side in splits.values() for label in side["label"])
    for side in splits.values():
        counts = Counter(side["label"])
        for label, number in total.items():
            assert abs(counts[label] - number * len(side) / 600) <= 2


def deviation(splits):
    """Mean distance of a code's share on a side from that side's share of the notes."""
    counts = [Counter(c for codes in side["codes"] for c in codes) for side in splits.values()]
    total = sum(counts, Counter())
    count = sum(map(len, splits.values()))
    return np.mean(
        [
            abs(own[code] / total[code] - len(side) / count)
            for own, side in zip(counts, splits.values(), strict=True)
            for code in total
        ]
    )


def test_codes_are_spread_better_than_by_chance():
    notes = made(600)
    chance = np.mean([deviation(split_notes(notes, stratify=None, seed=s)) for s in range(5)])
    assert deviation(split_notes(notes, stratify="codes")) < chance / 3


def test_single_notes_are_spread_about_as_well_as_by_iterstrat():
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    notes = made(400)
    codes = sorted({code for row in notes["codes"] for code in row})
    table = np.array([[code in row for code in codes] for row in notes["codes"]], dtype=int)
    theirs = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=0.25, random_state=0)
    train, test = next(theirs.split(table, table))
    peer = deviation({"train": notes.select(train), "test": notes.select(test)})
    ours = split_notes(
        notes,
        by="note_id",
        fractions={"train": 0.75, "test": 0.25},
        stratify="codes",
        allow_leakage=True,
    )
    assert deviation(ours) <= peer + 0.005


def test_a_rare_code_reaches_every_side():
    notes = Notes(
        Note(f"n{i}", f"t{i}", patient_id=f"p{i}", codes=("rare",) if i < 3 else ("common",))
        for i in range(90)
    )
    splits = split_notes(notes, fractions={"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert [sum(c == ("rare",) for c in side["codes"]) for side in splits.values()] == [1, 1, 1]
    assert sizes(splits) == {"a": 30, "b": 30, "c": 30}


def test_identical_texts_tie_their_patients_together():
    notes = Notes(
        Note(f"n{i}", "Same  TEXT" if i in (0, 7) else f"text {i}", patient_id=f"p{i // 2}")
        for i in range(20)
    )
    for seed in range(10):
        splits = split_notes(notes, fractions={"train": 0.5, "test": 0.5}, seed=seed)
        tied = {side for side, own in splits.items() for n in own["note_id"] if n in ("n0", "n7")}
        assert len(tied) == 1
        assert (
            len({s for s, own in splits.items() for n in own["note_id"] if n in ("n1", "n6")}) == 1
        )


@settings(max_examples=60, deadline=None)
@given(
    patients=st.lists(st.integers(0, 9), min_size=12, max_size=40),
    texts=st.lists(st.integers(0, 60), min_size=40, max_size=40),
    seed=st.integers(0, 3),
)
def test_a_split_either_has_no_leak_or_is_refused(patients, texts, seed):
    notes = Notes(
        Note(str(i), f"text {texts[i]}", patient_id=f"p{p}", label=str(p % 3))
        for i, p in enumerate(patients)
    )
    try:
        splits = split_notes(notes, fractions={"train": 0.6, "test": 0.4}, seed=seed, tolerance=0.2)
    except NoteError as error:
        assert "can't be had" in str(error)
        return
    report = check_leakage(splits, near_duplicates=None)
    assert report.is_clean
    assert sum(sizes(splits).values()) == len(notes)
    assert min(sizes(splits).values()) > 0


def test_sizes_instead_of_fractions():
    notes = made(100, notes_each=1)
    assert sizes(split_notes(notes, sizes={"few": 16, "rest": 84})) == {"few": 16, "rest": 84}
    with pytest.raises(ConfigError, match="add up to the 100 notes"):
        split_notes(notes, sizes={"few": 16, "rest": 80})


def test_a_patient_too_large_for_any_side_is_explained():
    notes = Notes(Note(str(i), f"t{i}", patient_id="one" if i < 9 else f"p{i}") for i in range(12))
    with pytest.raises(NoteError, match="4 units, the largest of 9 notes"):
        split_notes(notes, fractions={"train": 0.5, "test": 0.5})


def test_missing_patients_are_an_error_with_two_ways_out():
    notes = Notes([Note("1", "a", patient_id="p"), Note("2", "b"), Note("3", "c")])
    with pytest.raises(NoteError, match=r"2 of 3 notes have no patient_id.*by='note_id'"):
        split_notes(notes)
    halves = {"train": 2 / 3, "test": 1 / 3}
    assert sizes(split_notes(notes, by="note_id", fractions=halves)) == {"train": 2, "test": 1}


def test_known_patients_may_not_be_torn_apart_unless_allowed():
    notes = made(60)
    with pytest.raises(NoteError, match=r"60 notes belong to .* patients"):
        split_notes(notes, by="note_id")
    splits = split_notes(notes, by="note_id", allow_leakage=True)
    assert sizes(splits) == {"train": 48, "dev": 6, "test": 6}
    assert not check_leakage(splits, near_duplicates=None).is_clean


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "label"}, "by='label'"),
        ({"fractions": {"a": 0.5, "b": 0.4}}, "add up to 1"),
        ({"fractions": {"a": 1.5, "b": -0.5}}, "positive numbers"),
        ({"fractions": {}}, "positive numbers"),
        ({"fractions": {"a": 1.0}, "sizes": {"a": 30}}, "not both"),
        ({"stratify": "spans"}, "stratify='spans'"),
    ],
)
def test_settings_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        split_notes(made(30), **options)


def test_stratifying_by_what_is_not_there():
    notes = Notes(Note(str(i), f"t{i}", patient_id=str(i)) for i in range(10))
    with pytest.raises(ConfigError, match="no note has it"):
        split_notes(notes, stratify="codes")
    assert sizes(split_notes(notes)) == {"train": 8, "dev": 1, "test": 1}
    with pytest.raises(NoteError, match="can't be divided"):
        split_notes(notes.select(range(2)))


def test_notes_of_unknown_patients_are_refused_or_stand_alone():
    notes = [Note(f"n{i}", f"letter {i} says much", patient_id=f"p{i // 2}") for i in range(20)]
    notes += [Note(f"u{i}", f"nobody knows whose letter {i} it is") for i in range(10)]
    with pytest.raises(NoteError, match=r"10 of 30 notes have no patient_id.*unknown='alone'"):
        split_notes(notes)
    with pytest.raises(ConfigError, match="unknown='maybe'"):
        split_notes(notes, unknown="maybe")
    sides = split_notes(notes, unknown="alone", fractions={"train": 0.5, "test": 0.5})
    assert sum(map(len, sides.values())) == 30
    known = [{n.patient_id for n in side if n.patient_id} for side in sides.values()]
    assert not set.intersection(*known)
    # They are no group of their own: both sides get some.
    assert all(any(n.patient_id is None for n in side) for side in sides.values())
