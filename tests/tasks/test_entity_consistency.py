"""Entity recognition that is consistent over a note: when it is, and what that decides."""

from dataclasses import replace

import pytest

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.loading import load
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import LabelSet, Note, Prediction, Span
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.task import task_from_dict

TEXT = "Fever. No fever today; fever again, pain."
FEVER = [Span(0, 5, "S"), Span(10, 15, "S"), Span(23, 28, "S")]
PAIN = Span(36, 40, "S")


def note(number, *spans):
    return Note(str(number), TEXT, spans=spans)


@pytest.mark.parametrize(
    ("notes", "consistent"),
    [
        ([note(0, PAIN)], ()),
        # Of eight places all, which are too few to tell; then ten of ten, ten and nine of twelve.
        ([note(i, *FEVER) for i in range(4)], ()),
        ([note(i, *FEVER) for i in range(5)], ("S",)),
        ([*(note(i, *FEVER) for i in range(5)), note(5, *FEVER[1:])], ("S",)),
        ([*(note(i, *FEVER) for i in range(4)), note(4, *FEVER[1:]), note(5, PAIN, FEVER[0])], ()),
    ],
)
def test_training_notes_tell_whether_mentions_are_consistent(notes, consistent, caplog):
    caplog.set_level("INFO", logger="clinical_tl")
    assert EntityRecognition.from_notes(notes).consistent == consistent
    assert ("places in the training notes are; of 1 of 1 labels" in caplog.text) == bool(consistent)
    assert EntityRecognition.from_notes(notes, consistent=True).consistent == ("S",)
    assert EntityRecognition.from_notes(notes, consistent=False).consistent == ()
    assert EntityRecognition.from_notes(notes, consistent=["S"]).consistent == ("S",)


def test_each_label_is_consistent_or_not():
    """A number that is an age once is none in a blood pressure; what never repeats is as most."""
    text = "Asthma. " * 20 + "Now 67 years; ashen. 67 years, 67 beats."
    marked = [Span(8 * i, 8 * i + 6, "D") for i in range(20)]
    marked += [Span(164, 172, "Age"), Span(174, 179, "Colour")]
    task = EntityRecognition.from_notes([Note("1", text, spans=tuple(marked))])
    # 19 of 19, none of one, and none of none: (0 + 5 · 0.95) / 6, (0 + 5 · 0.95) / 5.
    assert task.consistent == ("Colour", "D")


def test_other_settings_are_refused():
    labels = LabelSet(("S",), (3,))
    for wrong in ("auto", True, ["S"], ("T",)):
        with pytest.raises(ConfigError, match="a tuple of the task's labels"):
            EntityRecognition(labels, consistent=wrong)
    with pytest.raises(ConfigError, match="True, False, 'auto', or labels"):
        EntityRecognition.from_notes([note(0, *FEVER)], consistent="yes")
    with pytest.raises(ConfigError, match="a tuple of the task's labels"):
        EntityRecognition.from_notes([note(0, *FEVER)], consistent=["T"])


def test_mentions_of_two_types_agree_each_with_its_own():
    """In layers they don't exclude one another."""
    both = [*FEVER, *(replace(span, label="T") for span in FEVER)]
    notes = [note(i, *both) for i in range(5)]
    layered = EntityRecognition.from_notes(notes)
    assert (layered.layers, layered.consistent) == ("by_type", ("S", "T"))
    said = [*FEVER[:2], replace(FEVER[2], label="T"), replace(FEVER[1], label="T")]
    (found,) = layered.decided([notes[0]], [Prediction("0", spans=tuple(said))])
    assert {span.key for span in found.spans} == {span.key for span in both}
    one = replace(layered, layers="one")
    (found,) = one.decided([notes[0]], [Prediction("0", spans=tuple(FEVER[:2]))])
    assert {span.key for span in found.spans} == {span.key for span in FEVER}


def test_a_threshold_is_tuned_on_what_is_predicted():
    """What is added has a score, and is left out below the threshold as the others are."""
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=("S",))
    sure, unsure = replace(FEVER[0], score=0.9), replace(FEVER[1], score=0.3)
    given = Prediction("0", spans=(sure, unsure, replace(PAIN, score=0.2)))
    (found,) = task.decided([note(0)], [given])
    assert [(s.key, s.score) for s in found.spans] == [
        (FEVER[0].key, 0.9), (FEVER[1].key, 0.3), (FEVER[2].key, 0.3), (PAIN.key, 0.2),
    ]  # fmt: skip
    for threshold, kept in ((0.25, 3), (0.5, 1), (0.95, 0)):
        (left,) = replace(task, threshold=threshold).decided([note(0)], [given])
        assert left.spans == found.spans[:kept]
        # As it is for predictions that are consistent already.
        assert replace(task, threshold=threshold).decided([note(0)], [found]) == [left]
    notes = [note(i, *FEVER) for i in range(10)]
    said = [replace(found, note_id=str(i)) for i in range(10)]
    tuned = task.tuned(notes, said)
    scores = tuned.evaluate(notes, tuned.decided(notes, said)).summary()
    assert (scores["f1"], scores["recall"]) == (1.0, 1.0)
    assert task.decided([note(0)], [Prediction("0", spans=())])[0].spans == ()


def test_predictions_of_other_notes_are_refused():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=("S",))
    with pytest.raises(TaskError):
        task.decided([note(0), note(1)], [Prediction("1", spans=()), Prediction("0", spans=())])


def test_a_teacher_that_says_what_it_is_unsure_of_adds_nothing():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=("S",))
    assert not task.doubting(0.1).consistent
    assert task.untuned().consistent


def test_it_is_saved_with_the_task_and_tasks_of_before_have_none():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=("S",))
    row = task.to_dict()
    assert task_from_dict(row) == task
    del row["consistent"]
    assert not task_from_dict(row).consistent


def test_the_card_says_what_the_outputs_alone_do_not_tell():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=("S",))
    assert "in all of them in the package's predictions" in task.layout(task.to_dict())
    assert task.layout(replace(task, consistent=()).to_dict()) is None
    both = task.layout(replace(task, layers="by_type").to_dict())
    assert "layers of 3" in both
    assert "in all of them" in both


def test_every_model_predicts_consistent_mentions(tiny_encoder, synthetic_notes, tmp_path):
    notes = synthetic_notes.select(range(12))
    task = EntityRecognition.from_notes(notes, consistent=False)
    linear = FeatureModel.fit(tiny_encoder, task, notes, strengths=[1e3], progress=False)
    tuned = TransferModel.from_pretrained(tiny_encoder, task, adapter=LoRA(r=2), window=64)
    repeated = [Note(n.note_id, f"{n.text}\n{n.text}\n{n.text}") for n in notes.select(range(4))]
    for model in (linear, tuned):
        plain = model.predict(repeated, progress=False)
        agreed = replace(model.task, consistent=model.task.labels.names)
        expected = [p.spans for p in agreed.decided(repeated, plain)]
        assert sum(map(len, expected)) > sum(len(p.spans) for p in plain)
        if isinstance(model, FeatureModel):
            model = replace(model, task=agreed)
        else:
            model.task = agreed
        assert [p.spans for p in model.predict(repeated, progress=False)] == expected
        folder = model.save_pretrained(tmp_path / type(model).__name__)
        found = load(folder).predict(repeated, progress=False)
        assert [[s.key for s in p.spans] for p in found] == [
            [s.key for s in own] for own in expected
        ]
