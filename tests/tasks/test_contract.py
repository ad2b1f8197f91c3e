"""What every task owes: targets that decode to gold, eight notes overfitted, save and load equal.

A new task class is put into `TASKS`. `Severity` is a task that nothing in the package knows, as a
user would write one: it has to be trained, reported on, saved, loaded, released and exported.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.evaluation.evaluating import evaluation_report
from clinical_tl.integrations.onnx_export import export_onnx
from clinical_tl.metrics.note_counts import count_labels
from clinical_tl.metrics.thresholds import Thresholds
from clinical_tl.models.onnx_model import OnnxModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.heads import NetworkOutput, SequenceHead, TokenHead
from clinical_tl.network.lora import LoRA
from clinical_tl.release.gate import check_release
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction
from clinical_tl.tasks import (
    DiagnosisCoding,
    EntityRecognition,
    MultiLabelClassification,
    NoteClassification,
    RelationExtraction,
)
from clinical_tl.tasks.abilities import examples_of, join_examples
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task import Task, task_class
from clinical_tl.tasks.task_checks import check_annotated, check_order
from clinical_tl.text.batches import build_items, collate
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.windows import Windowing
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit


@dataclass(frozen=True)
class SeverityScores:
    """`closeness` is 1 for the right level, 0 for the farthest."""

    accuracy: float
    closeness: float

    def summary(self):
        return {"accuracy": self.accuracy, "closeness": self.closeness}


@dataclass(frozen=True)
class Severity(NoteTask):
    """Levels in order: of k levels each output but one says whether a note is above it.

    The reduction of Frank and Hall 2001 (A simple approach to ordinal classification), section 2.
    """

    kind: ClassVar[str] = "severity"
    fields: ClassVar[tuple[str, ...]] = ("label",)
    monitor: ClassVar[str] = "closeness"

    @classmethod
    def from_notes(cls, notes):
        records = as_notes(notes)
        check_annotated(records, "label", "severity")
        return cls(LabelSet.fitted(note.label for note in records))

    @property
    def head_spec(self):
        above = tuple(f"above {name}" for name in self.labels.names[:-1])
        return SequenceHead(above, multi_label=True)

    def targets(self, notes, tokens):
        del tokens
        check_annotated(notes, "label", "severity")
        return [self.labels.positions.get(note.label, -1) for note in notes]

    def losses(self, logits, gold, *, label_smoothing=0.0):
        del label_smoothing
        above = (gold[:, None] > torch.arange(logits.shape[1])).to(logits.dtype)
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits, above, reduction="none"
        ).mean(dim=1)

    def collect(self, network, output, batch):
        del network
        above = torch.sigmoid(self.note_logits(output, batch).double()).numpy()
        above = np.minimum.accumulate(above, axis=1)
        edges = np.pad(above, ((0, 0), (1, 1)), constant_values=(1.0, 0.0))
        edges[:, 0], edges[:, -1] = 1.0, 0.0
        return list(zip(batch.notes, -np.diff(edges, axis=1).astype(np.float32), strict=True))

    def predicted(self, note_id, probabilities):
        level = self.labels.names[int(probabilities.argmax())]
        scores = LabelScores(self.labels.names, np.asarray(probabilities, dtype=np.float32))
        return Prediction(note_id, label=level, scores=scores)

    def said(self, prediction):
        return (prediction.label,)

    def labelled(self, note, labels):
        return replace(note, label=labels[0])

    def gold(self, notes):
        return np.array(self.targets(notes, []))

    def gold_labels(self, notes):
        check_annotated(notes, "label", "severity")
        return Counter(note.label for note in notes)

    def evaluate(self, notes, predictions):
        records = as_notes(notes)
        check_annotated(records, "label", "severity")
        check_order(records, predictions)
        right = [n.label == p.label for n, p in zip(records, predictions, strict=True)]
        return SeverityScores(float(np.mean(right)), float(self._near(records, predictions).mean()))

    def note_counts(self, notes, predictions, *, labels=None):
        counted = []
        for note, prediction in zip(notes, predictions, strict=True):
            gold, said = Counter([note.label]), Counter([prediction.label])
            counted.append((gold & said, gold, said))
        counts = count_labels(counted, {"accuracy": "micro_recall"}, labels=labels)
        return replace(counts, means={"closeness": self._near(notes, predictions)})

    def _near(self, notes, predictions):
        place = self.labels.positions
        apart = [
            abs(place[n.label] - place.get(p.label, -1))
            for n, p in zip(notes, predictions, strict=True)
        ]
        return 1 - np.array(apart, dtype=np.float64) / (len(self.labels) - 1)


TASKS = {
    task.kind: task
    for task in (
        NoteClassification,
        MultiLabelClassification,
        DiagnosisCoding,
        EntityRecognition,
        RelationExtraction,
        Severity,
    )
}
VARIANTS = {
    "note_classification": {"balanced, max": {"pooling": "max", "class_weights": "balanced"}},
    "multi_label_classification": {"attention": {"head": "label_attention"}},
    "diagnosis_coding": {
        "linear": {"head": "linear"},
        "asymmetric": {"loss": "asymmetric", "describe_labels": False},
        "weighted": {"loss": "bce_pos_weight", "per_label_thresholds": True},
        "category": {"level": "category"},
        "chapter": {"level": "chapter"},
    },
    "entity_recognition": {
        "BILOU": {"scheme": "BILOU"},
        "layers": {"layers": "by_type"},
        "layers of BILOU": {"scheme": "BILOU", "layers": "by_type"},
    },
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
    if isinstance(task.head_spec, TokenHead):
        logits = torch.zeros(*batch.input_ids.shape, n_outputs)
        for row, (note, window) in enumerate(
            zip(batch.note_index.tolist(), batch.windows, strict=True)
        ):
            tags = targets[batch.notes[note]][window.own_start : window.own_stop]
            positions = torch.nonzero(batch.owned[row])[:, 0]
            for layer, own in enumerate(np.maximum(tags, 0).T):
                logits[row, positions, torch.from_numpy(layer * task.tag_set.width + own)] = 20.0
        return NetworkOutput(logits)
    logits = torch.full((len(batch.windows), n_outputs), -10.0)
    for row, note in enumerate(batch.note_index.tolist()):
        target = targets[batch.notes[note]]
        logits[row, slice(target) if isinstance(task, Severity) else target] = 10.0
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

    tempered = replace(task, temperature=1.7)
    again = type(task).from_dict(json.loads(json.dumps(tempered.to_dict())))
    assert again == tempered
    # What was saved before there were temperatures.
    del (row := task.to_dict())["temperature"]
    assert type(task).from_dict(json.loads(json.dumps(row))) == task


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


def test_a_second_training_forgets_what_the_first_one_tuned(task, eight_notes, tiny_encoder):
    impossible = replace(task, temperature=50.0)
    if hasattr(task, "threshold"):
        impossible = replace(impossible, threshold=0.9999, shift=-3.0)
    if hasattr(task, "thresholds"):
        impossible = replace(impossible, thresholds=Thresholds(0.9999))
    assert impossible.untuned() == task
    config = TrainingConfig(epochs=1, batch_tokens=256, progress=False)
    models = []
    for start in (task, impossible):
        models.append(TransferModel.from_pretrained(tiny_encoder, start, adapter="full"))
        fit(models[-1], eight_notes, eight_notes, config, allow_leakage=True)
    assert models[0].task == models[1].task
    assert models[0].metrics["dev"] == models[1].metrics["dev"]


def test_a_task_of_ones_own_is_trained_reported_released_and_exported(
    eight_notes, tiny_encoder, tmp_path
):
    """Nothing in the package names `severity`, and nothing has to."""
    notes = eight_notes
    model = TransferModel.from_pretrained(
        tiny_encoder, Severity.from_notes(notes), adapter=LoRA(r=2)
    )
    config = TrainingConfig(epochs=2, batch_tokens=256, progress=False)
    fit(model, notes, notes, config, allow_leakage=True)
    scores = model.evaluate(notes, allow_leakage=True, progress=False).summary()
    report = evaluation_report(model, notes, resamples=20, allow_leakage=True, progress=False)
    assert report.intervals["closeness"].value == pytest.approx(scores["closeness"])
    assert report.intervals["accuracy"].low <= scores["accuracy"]
    assert report.calibration.of == "the likeliest label of a note"
    folder = model.save_pretrained(tmp_path / "model")
    assert "tags:\n- clinical-tl\n- severity" in (folder / "README.md").read_text()
    loaded = TransferModel.load(folder)
    assert type(loaded.task) is Severity
    assert loaded.predict(notes) == model.predict(notes)
    gate = check_release(folder, train=notes, held_out=notes, data_use="public")
    audit = next(check for check in gate.checks if check.name == "memorisation")
    assert audit.reason == "not audited: needs 20 notes on either side"
    audited = generate_notes(48, seed=3, words=(8, 48))
    known = [note for note in as_notes(audited) if note.label in loaded.task.labels]
    gate = check_release(folder, train=known, held_out=known, data_use="public")
    assert "membership AUC" in next(c for c in gate.checks if c.name == "memorisation").reason
    loaded.task = replace(loaded.task, temperature=1.5)
    export_onnx(loaded, tmp_path / "graph")
    exported, own = OnnxModel.load(tmp_path / "graph").predict(notes), loaded.predict(notes)
    assert [p.label for p in exported] == [p.label for p in own]
    assert exported[0].scores == pytest.approx(dict(own[0].scores), abs=1e-4)
    assert own[0].scores != pytest.approx(dict(model.predict(notes)[0].scores), abs=1e-3)


def test_two_tasks_of_one_kind_are_refused_and_a_cell_may_run_again():
    def define(name):
        return type(name, (Task,), {"kind": "twice", "__module__": __name__})

    first = define("Twice")
    again = define("Twice")
    assert task_class("twice") is again is not first
    with pytest.raises(ConfigError, match="'twice', which is Twice's"):
        define("Other")


def test_a_kind_that_was_not_imported_is_named():
    with pytest.raises(TaskError, match=r"no task of the kind 'unheard_of'; known are .*severity"):
        task_class("unheard_of")
