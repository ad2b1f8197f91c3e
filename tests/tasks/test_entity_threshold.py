"""The threshold of entity recognition: the best exact-span F1 on dev, and nothing else changes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.metrics.calibration import LEAST_STATEMENTS
from clinical_tl.schema import LabelSet, Note, Prediction, Span
from clinical_tl.tasks import entity_recognition
from clinical_tl.tasks.entity_recognition import EntityRecognition


@pytest.fixture(scope="module", autouse=True)
def few_are_enough():
    """Numbers are worked out by hand here, of five mentions and not of twenty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entity_recognition, "LEAST_STATEMENTS", 1)
        yield


def test_fewer_than_twenty_mentions_choose_no_threshold(monkeypatch):
    monkeypatch.setattr(entity_recognition, "LEAST_STATEMENTS", LEAST_STATEMENTS)
    row = [(0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.2, False)]
    few, many = (
        replace(TASK, threshold=0.9).tuned(*([one] for one in said(*row * n))) for n in (3, 4)
    )
    assert few.threshold is None
    assert many.threshold == pytest.approx(0.364, abs=0.001)


TASK = EntityRecognition(LabelSet(("Sign",), (3,)))


def said(*scored):
    """A note of ten-character mentions, of which those with True are gold."""
    spans = [Span(10 * i, 10 * i + 5, "Sign", score=score) for i, (score, _) in enumerate(scored)]
    gold = tuple(
        replace(span, score=None) for span, (_, right) in zip(spans, scored, strict=True) if right
    )
    return Note("n", "x" * 10 * len(scored), spans=gold), Prediction("n", spans=tuple(spans))


def exact_f1(task, note, prediction):
    return task.evaluate([note], task.decided([note], [prediction])).summary()["f1"]


def test_mentions_below_the_best_threshold_are_left_out():
    note, prediction = said((0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.2, False))
    tuned = TASK.tuned([note], [prediction])
    # F1 from the surest down: 2/4, 4/5, 4/6, 6/7, 6/8.
    assert tuned.threshold == pytest.approx(0.4)
    assert [s.score for s in tuned.decided([note], [prediction])[0].spans] == [0.9, 0.8, 0.7, 0.6]


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.9]), st.booleans()), min_size=1, max_size=12
    )
)
def test_no_other_threshold_is_better(scored):
    note, prediction = said(*scored)
    tuned = TASK.tuned([note], [prediction])
    best = exact_f1(tuned, note, prediction)
    for threshold in (None, 0.1, 0.4, 0.5, 0.9):
        assert exact_f1(replace(TASK, threshold=threshold), note, prediction) <= best + 1e-12


def test_without_predictions_there_is_none():
    note = Note("n", "abc", spans=(Span(0, 3, "Sign"),))
    assert TASK.tuned([note], [Prediction("n", spans=())]).threshold is None
    assert TASK.decided([note], [Prediction("n", spans=())]) == [Prediction("n", spans=())]


def test_notes_without_a_mention_tune_nothing_and_say_so(caplog):
    earlier = replace(TASK, threshold=0.9)
    note, prediction = said((0.9, False), (0.8, False))
    assert earlier.tuned([note], [prediction]).threshold is None
    assert "have no mention, so no threshold can be tuned" in caplog.text
    caplog.clear()
    other = replace(note, spans=(Span(7, 9, "Sign"),))
    assert earlier.tuned([other], [prediction]).threshold is None
    assert not caplog.text


def test_a_mention_without_a_score_is_never_cut():
    note, prediction = said((None, True), (0.4, False), (0.9, True))
    tuned = TASK.tuned([note], [prediction])
    assert tuned.threshold == pytest.approx(0.65)
    assert [s.score for s in tuned.decided([note], [prediction])[0].spans] == [None, 0.9]


def test_a_mention_said_twice_is_right_once():
    note, prediction = said((0.9, True))
    twice = replace(prediction, spans=(*prediction.spans, replace(prediction.spans[0], score=0.5)))
    assert TASK.tuned([note], [twice]).threshold == pytest.approx(0.7)


def test_it_is_saved_and_old_artifacts_have_none():
    tuned = replace(TASK, threshold=0.25)
    assert EntityRecognition.from_dict(tuned.to_dict()) == tuned
    row = TASK.to_dict()
    del row["threshold"]
    assert EntityRecognition.from_dict(row) == TASK


def test_a_type_predicted_nowhere_costs_recall_alone():
    note, prediction = said((0.9, True), (0.3, False))
    more = replace(note, spans=(*note.spans, Span(7, 9, "Other")))
    assert TASK.tuned([more], [prediction]).threshold == pytest.approx(0.6)
    assert exact_f1(TASK.tuned([more], [prediction]), more, prediction) == pytest.approx(2 / 3)
