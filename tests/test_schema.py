import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.notes import Notes, as_notes, tidied
from clinical_tl.errors import Fault, FaultyNotesError, NoteError, TaskError
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction, Relation, Span, score_rows

TEXT = st.text(min_size=1, max_size=30)
SPANS = st.builds(
    lambda start, length, label, pairs: Span(
        start, start + length, label, id="T1", concepts=("C1",), attributes=tuple(pairs)
    ),
    st.integers(0, 50),
    st.integers(1, 50),
    TEXT,
    st.lists(st.tuples(TEXT, TEXT), max_size=2),
)
NOTES = st.builds(
    Note,
    note_id=TEXT,
    text=TEXT,
    patient_id=st.none() | TEXT,
    label=st.none() | TEXT,
    codes=st.none() | st.lists(TEXT, max_size=3).map(tuple),
    spans=st.none() | st.lists(SPANS, max_size=3).map(tuple),
    relations=st.none() | st.lists(st.builds(Relation, TEXT, TEXT, TEXT), max_size=2).map(tuple),
    metadata=st.dictionaries(TEXT, st.integers() | TEXT | st.none(), max_size=2),
)


@given(notes=st.lists(NOTES, max_size=4, unique_by=lambda note: note.note_id))
def test_notes_survive_the_arrow_schema(notes):
    tidy = [tidied(note) for note in notes]
    assert list(Notes(notes)) == as_notes(notes) == tidy
    assert list(Notes(Notes(notes).dataset)) == tidy


def test_not_annotated_and_annotated_with_nothing_differ():
    dataset = Notes([Note("a", "t"), Note("b", "t", codes=(), spans=())])
    assert dataset["codes"] == [None, ()]
    assert next(iter(dataset)).spans is None


def test_an_id_given_twice_is_refused():
    with pytest.raises(NoteError, match=r"1 occur more than once, e\.g\. \['a'\]"):
        Notes([Note("a", "x"), Note("a", "y")])


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 3), (5, 2)])
def test_impossible_offsets_are_refused(start, end):
    with pytest.raises(NoteError, match="0 <= start < end"):
        Span(start, end, "P")


def test_texts_become_notes_with_numbers_for_ids():
    assert [note.note_id for note in as_notes(["x", "y"])] == ["0", "1"]
    with pytest.raises(NoteError, match="lacks the columns"):
        as_notes([{"text": "x"}])


def test_a_series_is_read_by_position():
    series = pd.Series(["fever", "cough", "rash"]).sample(frac=1, random_state=1)
    assert series.index.tolist() != [0, 1, 2]
    assert [note.text for note in as_notes(series)] == series.tolist()
    assert [note.text for note in as_notes(series[1:])] == series.tolist()[1:]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"text": ["x"]}), "read_notes"),
        (Note("1", "x"), "a Note was given"),
        ({"text": "x"}, "a dict was given"),
        (iter(["x"]), "a list_iterator was given"),
    ],
)
def test_what_has_no_order_of_notes_is_refused(given, message):
    with pytest.raises(NoteError, match=message):
        as_notes(given)


def test_labels_are_sorted_counted_and_unique():
    labels = LabelSet.fitted("banana")
    assert (labels.names, labels.support) == (("a", "b", "n"), (3, 1, 2))
    assert labels.positions["n"] == 2
    assert "b" in labels
    with pytest.raises(TaskError, match=r"more than once: \['a'\]"):
        LabelSet(("a", "a"))
    with pytest.raises(TaskError, match="2 labels but 1 support"):
        LabelSet(("a", "b"), (1,))


def test_scores_are_a_mapping_over_an_array():
    scores = LabelScores(("a", "b"), np.array([0.2, 0.8], dtype=np.float32))
    assert dict(scores) == {"a": pytest.approx(0.2), "b": pytest.approx(0.8)}
    assert list(scores.top(1)) == ["b"]
    assert "z" not in scores
    with pytest.raises(TaskError, match="2 labels but 1 scores"):
        LabelScores(("a", "b"), np.zeros(1, dtype=np.float32))


def test_all_faults_are_counted_and_twenty_shown():
    faults = [Fault(f"file:{i}", f"found {i}", "allowed") for i in range(30)]
    message = str(FaultyNotesError("file", faults, "fix it"))
    assert "30 faults" in message
    assert "file:19" in message
    assert "file:20:" not in message
    assert "and 10 more" in message


def test_of_one_kind_of_fault_three_are_shown():
    faults = [Fault(f"file:{i}", "found", "allowed") for i in range(30)]
    message = str(FaultyNotesError("file", [*faults, Fault("file:30", "other", "x")], "fix it"))
    assert message.count(": found; allowed") == 3
    assert "file:30: other" in message
    assert "31 faults" in message
    assert "and 27 more" in message


class CountedName(str):
    """A label that counts how often it is compared with another."""

    comparisons = 0
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        CountedName.comparisons += 1
        return str.__eq__(self, other)


def comparisons_of(read, n):
    """Comparisons of names while `read` goes through a row of n labels."""
    scores = LabelScores(
        tuple(CountedName(f"label {n} {i}") for i in range(n)), np.zeros(n, dtype=np.float32)
    )
    keys = [CountedName(str(name)) for name in scores.names]
    CountedName.comparisons = 0
    read(scores, keys)
    return CountedName.comparisons


@pytest.mark.parametrize(
    "read",
    [
        lambda scores, _: dict(scores),
        lambda scores, _: list(scores.items()),
        lambda scores, _: list(scores.values()),
        lambda scores, keys: [scores[key] for key in keys],
        lambda scores, keys: [key in scores for key in keys],
        lambda scores, keys: [scores.get(key) for key in keys],
        lambda scores, keys: scores == dict.fromkeys(keys, 0.0),
        lambda scores, keys: score_rows([Prediction("n", scores=scores)], tuple(keys)),
        lambda scores, keys: score_rows([Prediction("n", scores=scores)], tuple(keys[::-1])),
        lambda scores, keys: set(LabelSet(tuple(keys))) <= set(scores),
        lambda scores, keys: list(map(LabelSet(scores.names).__contains__, keys)),
    ],
)
def test_reading_a_row_of_scores_grows_with_its_labels_and_not_with_their_square(read):
    few, many = comparisons_of(read, 250), comparisons_of(read, 2000)
    assert many <= 8 * (few + 250) * 2


def test_pickled_scores_share_their_names_and_their_index():
    import pickle

    names = tuple(f"label {i}" for i in range(2000))
    row = np.linspace(0, 1, 2000, dtype=np.float32)
    predictions = [Prediction(str(i), scores=LabelScores(names, row)) for i in range(4)]
    assert predictions[0].scores["label 1999"] == 1.0
    one, four = (len(pickle.dumps(predictions[:n])) for n in (1, 4))
    assert four - one < 3 * (row.nbytes + 500)
    again = pickle.loads(pickle.dumps(predictions))
    assert again == predictions
    first, last = again[0].scores, again[3].scores
    assert first.names is last.names
    assert first["label 7"] == last["label 7"] == pytest.approx(7 / 1999)
    assert np.array_equal(score_rows(again, names), score_rows(predictions, names))


def test_rows_of_scores_are_in_the_order_asked_for_and_lacking_ones_are_said():
    rows = [
        Prediction("1", scores=LabelScores(("a", "b"), np.array([0.25, 0.75], dtype=np.float32))),
        Prediction("2", scores={"b": 0.5, "a": 0.125, "c": 1.0}),
    ]
    assert score_rows(rows, ("b", "a")).tolist() == [[0.75, 0.25], [0.5, 0.125]]
    assert score_rows([*rows, Prediction("3", scores={"a": 1.0})], ("b", "a")) is None
    assert score_rows([], ("a",)).shape == (0, 1)


def test_labels_of_scores_are_unique():
    with pytest.raises(TaskError, match="more than once"):
        LabelScores(("a", "a"), np.zeros(2, dtype=np.float32))["a"]
