import pytest

from clinical_tl.data.notes import Notes, tabulate
from clinical_tl.data.results.matched_notes import matched, note_set
from clinical_tl.errors import NoteError
from clinical_tl.schema import Note, Prediction, Span

NOTES = Notes(Note(f"n{i}", "text " * i) for i in range(1, 6))


def ids(predictions, notes=NOTES):
    return [(said.note_id, note.note_id) for said, note in matched(predictions, notes)]


def test_predictions_in_the_notes_order_are_matched_in_one_walk(monkeypatch):
    mapped = tabulate(NOTES)
    predictions = [Prediction(note.note_id) for note in NOTES]
    # Looked up one by one they would be far slower.
    monkeypatch.setattr(Notes, "__getitem__", lambda *_: pytest.fail("looked up"))
    assert ids(predictions, mapped) == [(f"n{i}", f"n{i}") for i in range(1, 6)]


@pytest.mark.parametrize(
    "order", [["n5", "n4", "n3", "n2", "n1"], ["n1", "n2", "n5", "n4", "n3"], ["n2", "n3"], []]
)
def test_predictions_in_any_order_find_their_notes_and_notes_without_are_counted(order, caplog):
    assert ids(map(Prediction, order)) == [(name, name) for name in order]
    if len(order) == 5:
        assert caplog.messages == []
    else:
        left = sorted({f"n{i}" for i in range(1, 6)} - set(order))
        assert caplog.messages == [
            f"{len(left)} of 5 notes have no prediction and are left out, e.g. {left}"
        ]


def test_notes_after_the_last_prediction_are_counted(caplog):
    assert len(ids(map(Prediction, ["n1", "n2", "n3"]))) == 3
    assert "2 of 5 notes have no prediction and are left out, e.g. ['n4', 'n5']" in caplog.text


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["n1", "n9"], "a prediction is of note n9, which is none of the 5 notes"),
        (["n1", "n2", "n3", "n4", "n5", "n6"], "of note n6, which is none"),
        (["n1", "n2", "n1"], "note n1 has two predictions"),
        (["n2", "n2"], "note n2 has two predictions"),
    ],
)
def test_predictions_of_other_notes_and_second_ones_are_refused(order, message):
    with pytest.raises(NoteError, match=message):
        ids(map(Prediction, order))


@pytest.mark.parametrize(
    "said",
    [
        Prediction("n1", spans=(Span(0, 6, "Drug"),)),
        Prediction("n1", codes=("I10",), evidence={"I10": (Span(2, 60, "I10"),)}),
    ],
)
def test_predictions_of_another_text_are_refused(said):
    with pytest.raises(NoteError, match="but the text has 5; give the notes as they were"):
        ids([said])


def test_any_set_of_notes_will_do():
    assert note_set(NOTES) is NOTES
    assert list(note_set(list(NOTES))) == list(NOTES)
    mapped = note_set(tabulate(NOTES).dataset)
    assert list(mapped) == list(NOTES)
