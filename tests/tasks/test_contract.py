"""What every task owes: targets that decode to gold, eight notes overfitted, save and load equal.

A new task file is put into `TASKS` by its `kind`, and so comes under these tests by itself.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.errors import TaskError
from clinical_tl.metrics.thresholds import Thresholds
from clinical_tl.models.network import NetworkOutput
from clinical_tl.schema import Note, Prediction, as_notes
from clinical_tl.tasks import TASKS
from clinical_tl.tasks.task import examples_of, join_examples
from clinical_tl.text.batches import build_items, collate
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.windows import Windowing
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fit import fit
from clinical_tl.transfer_model import TransferModel

VARIANTS = {
    "note_classification": {"balanced, max": {"pooling": "max", "class_weights": "balanced"}},
    "diagnosis_coding": {
        "linear": {"head": "linear"},
        "asymmetric": {"loss": "asymmetric", "describe_labels": False},
        "weighted": {"loss": "bce_pos_weight", "per_label_thresholds": True},
        "category": {"level": "category"},
        "chapter": {"level": "chapter"},
    },
    "entity_recognition": {"BILOU": {"scheme": "BILOU"}},
    "relation_extraction": {"little context": {"context": 2, "max_distance": 20}},
}
CASES = [(kind, "default", {}) for kind in TASKS] + [
    (kind, name, settings)
    for kind, variants in VARIANTS.items()
    for name, settings in variants.items()
]


@pytest.fixture(scope="module")
def eight_notes():
    """Short enough for one window of the tiny encoder, with related and unrelated pairs."""
    return generate_notes(8, seed=7, words=(8, 48))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}: {case[1]}")
def task(request, eight_notes):
    kind, _, settings = request.param
    return TASKS[kind].from_notes(eight_notes, **settings)


def logits_for(task, batch, targets):
    """Outputs of a perfect network: high where the target says so."""
    n_outputs = len(task.head_spec.outputs)
    if task.head_spec.kind == "token":
        logits = torch.zeros(*batch.input_ids.shape, n_outputs)
        for row, (note, window) in enumerate(
            zip(batch.note_index.tolist(), batch.windows, strict=True)
        ):
            tags = targets[batch.notes[note]][window.own_start : window.own_stop]
            positions = torch.nonzero(batch.owned[row])[:, 0]
            logits[row, positions, torch.from_numpy(np.maximum(tags, 0))] = 20.0
        return NetworkOutput(logits)
    logits = torch.full((len(batch.windows), n_outputs), -10.0)
    for row, note in enumerate(batch.note_index.tolist()):
        logits[row, targets[batch.notes[note]]] = 10.0
    return NetworkOutput(logits)


class NoHead:
    head = None


def test_decoded_targets_are_the_gold(task, eight_notes, tiny_encoder):
    examples = examples_of(task, as_notes(eight_notes), training=True)
    notes = [example for own in examples for example in own]
    tokenizer = NoteTokenizer.from_pretrained(tiny_encoder)
    tokens = tokenizer.encode([note.text for note in notes])
    targets = task.targets(notes, tokens)
    windowing = Windowing(24, 6)
    items = build_items(tokens, windowing, n_special=2, whole_notes=task.whole_notes)
    batch = collate(items, tokens, tokenizer, windowing)
    output = logits_for(task, batch, targets)
    pieces = {}
    for note, piece in task.collect(NoHead(), output, batch):
        pieces.setdefault(note, []).append(piece)
    predictions = [task.decode(notes[i], tokens[i], pieces[i]) for i in range(len(notes))]
    joined = join_examples(task, as_notes(eight_notes), examples, predictions)
    scores = task.evaluate(eight_notes, joined).summary()
    perfect = {"accuracy", "micro_f1", "f1"} & scores.keys()
    assert perfect
    assert all(scores[name] == 1.0 for name in perfect)
    logits, gold = task.decisions(output, batch, targets)
    assert len(logits) == len(gold)
    assert task.losses(logits, gold).max() < 0.1


def test_weights_add_up_to_what_is_decided(task, eight_notes, tiny_encoder):
    examples = examples_of(task, as_notes(eight_notes), training=True)
    notes = [example for own in examples for example in own]
    tokenizer = NoteTokenizer.from_pretrained(tiny_encoder)
    tokens = tokenizer.encode([note.text for note in notes])
    targets = task.targets(notes, tokens)
    windowing = Windowing(24, 6)
    items = build_items(tokens, windowing, n_special=2, whole_notes=task.whole_notes)
    batch = collate(items, tokens, tokenizer, windowing)
    logits, _ = task.decisions(logits_for(task, batch, targets), batch, targets)
    weight = sum(
        task.weight(targets[item.note], window.own_start, window.own_stop)
        for item in items
        for window in (item.windows[:1] if task.whole_notes else item.windows)
    )
    if getattr(task, "class_weights", None) is None:
        assert weight == len(logits)
    else:
        assert weight == pytest.approx(len(notes))


def test_eight_notes_can_be_overfitted_and_a_reloaded_model_says_the_same(
    task, eight_notes, tiny_encoder, tmp_path
):
    notes = eight_notes
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter="full")
    config = TrainingConfig(
        epochs=90,
        batch_tokens=256,
        learning_rate=2e-3,
        head_learning_rate=2e-3,
        dropout=0.0,
        weight_decay=0.0,
        # Average precision is perfect long before a threshold tells the codes apart.
        metric="micro_f1" if task.multi_label else None,
        patience=None,
        progress=False,
    )
    fit(model, notes, notes, config, allow_leakage=True)
    predictions = model.predict(notes)
    scores = model.task.evaluate(notes, predictions).summary()
    reached = {name: scores[name] for name in ("accuracy", "micro_f1", "f1") if name in scores}
    assert reached
    assert min(reached.values()) > 0.85
    model.save_pretrained(tmp_path / "model")
    loaded = TransferModel.load(tmp_path / "model")
    assert loaded.task == model.task
    assert loaded.predict(notes) == predictions


def test_a_task_survives_json(task):
    import json

    again = type(task).from_dict(json.loads(json.dumps(task.to_dict())))
    assert again == task


@pytest.mark.parametrize("kind", TASKS)
def test_notes_that_are_not_annotated_are_refused(kind):
    notes = [Note("one", "SECRET text"), Note("two", "SECRET text too")]
    with pytest.raises(TaskError, match=r"2 of 2 notes have no .*'one', 'two'") as caught:
        TASKS[kind].from_notes(notes)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("kind", TASKS)
def test_an_empty_train_set_is_refused(kind):
    with pytest.raises(TaskError, match="no notes"):
        TASKS[kind].from_notes([])


@pytest.mark.parametrize("kind", TASKS)
def test_predictions_of_other_notes_are_refused(kind, eight_notes):
    task = TASKS[kind].from_notes(eight_notes)
    ids = [note.note_id for note in as_notes(eight_notes)]
    for wrong in (ids[::-1], ids[:-1]):
        predictions = [Prediction(note_id) for note_id in wrong]
        with pytest.raises(TaskError, match="in the same order"):
            task.evaluate(eight_notes, predictions)


@pytest.mark.parametrize("kind", TASKS)
def test_a_column_of_texts_is_not_shown_where_ids_were_expected(kind):
    notes = [Note("Mr Smith has HIV", "text"), Note("x" * 65, "text")]
    with pytest.raises(TaskError, match="<id of 16 characters>") as caught:
        TASKS[kind].from_notes(notes)
    assert "Smith" not in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_a_second_training_forgets_the_first_ones_thresholds(task, eight_notes, tiny_encoder):
    if not hasattr(task, "threshold") and not hasattr(task, "thresholds"):
        assert task.untuned() == task
        return
    impossible = (
        replace(task, threshold=0.9999)
        if hasattr(task, "threshold")
        else replace(task, thresholds=Thresholds(0.9999))
    )
    config = TrainingConfig(epochs=1, batch_tokens=256, progress=False)
    models = []
    for start in (task, impossible):
        models.append(TransferModel.from_pretrained(tiny_encoder, start, adapter="full"))
        fit(models[-1], eight_notes, eight_notes, config, allow_leakage=True)
    assert models[0].task == models[1].task
    assert models[0].metrics["dev"] == models[1].metrics["dev"]
