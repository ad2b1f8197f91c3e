"""Entity recognition that is consistent over a note: when it is, and what that decides."""

from dataclasses import replace

import pytest

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
        # (agreeing + 1) / (more + 2) of 0 / 0, 2 / 2, 4 / 4, and 4 / 6.
        ([note(0, FEVER[0], PAIN)], False),
        ([note(0, PAIN)], False),
        ([note(0, *FEVER)], False),
        ([note(0, *FEVER), note(1, *FEVER)], True),
        ([note(0, *FEVER), note(1, *FEVER), note(2, FEVER[1])], False),
    ],
)
def test_training_notes_tell_whether_mentions_are_consistent(notes, consistent, caplog):
    caplog.set_level("INFO", logger="clinical_tl")
    assert EntityRecognition.from_notes(notes).consistent == consistent
    assert ("as 4 of 4 places in the training notes" in caplog.text) == consistent
    assert EntityRecognition.from_notes(notes, consistent=not consistent).consistent != consistent


def test_mentions_of_two_types_agree_each_with_its_own():
    """In layers they don't exclude one another."""
    both = [*FEVER, *(replace(span, label="T") for span in FEVER)]
    notes = [note(i, *both) for i in range(3)]
    layered = EntityRecognition.from_notes(notes)
    assert (layered.layers, layered.consistent) == ("by_type", True)
    said = [*FEVER[:2], replace(FEVER[2], label="T"), replace(FEVER[1], label="T")]
    (found,) = layered.decided([notes[0]], [Prediction("0", spans=tuple(said))])
    assert {span.key for span in found.spans} == {span.key for span in both}
    one = replace(layered, layers="one")
    (found,) = one.decided([notes[0]], [Prediction("0", spans=tuple(FEVER[:2]))])
    assert {span.key for span in found.spans} == {span.key for span in FEVER}


def test_what_the_threshold_leaves_decides_the_other_places():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=True)
    sure, unsure = replace(FEVER[0], score=0.9), replace(FEVER[1], score=0.3)
    given = Prediction("0", spans=(sure, unsure, replace(PAIN, score=0.2)))
    (found,) = task.decided([note(0)], [given])
    assert [(s.key, s.score) for s in found.spans] == [
        (FEVER[0].key, 0.9), (FEVER[1].key, 0.3), (FEVER[2].key, 0.6), (PAIN.key, 0.2),
    ]  # fmt: skip
    # The third place has 0.6 from both; the second is left out, and then two of three bring it in.
    (found,) = replace(task, threshold=0.5).decided([note(0)], [given])
    assert [(s.key, s.score) for s in found.spans] == [
        (FEVER[0].key, 0.9), (FEVER[1].key, 0.75), (FEVER[2].key, 0.6),
    ]  # fmt: skip
    (found,) = replace(task, threshold=0.95).decided([note(0)], [given])
    assert found.spans == ()
    assert task.decided([note(0)], [Prediction("0", spans=())])[0].spans == ()


def test_a_teacher_that_says_what_it_is_unsure_of_adds_nothing():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=True)
    assert not task.doubting(0.1).consistent
    assert task.untuned().consistent


def test_it_is_saved_with_the_task_and_tasks_of_before_have_none():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=True)
    row = task.to_dict()
    assert task_from_dict(row) == task
    del row["consistent"]
    assert not task_from_dict(row).consistent


def test_the_card_says_what_the_outputs_alone_do_not_tell():
    task = EntityRecognition(LabelSet(("S",), (3,)), consistent=True)
    assert "in all of them in the package's predictions" in task.layout(task.to_dict())
    assert task.layout(replace(task, consistent=False).to_dict()) is None
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
        agreed = replace(model.task, consistent=True)
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
