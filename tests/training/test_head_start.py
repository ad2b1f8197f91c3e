"""Heads start from the linear model on what they read, and classes weigh what it found best."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from clinical_tl.data.ties import related_notes
from clinical_tl.errors import ConfigError
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.heads import NetworkOutput, SequenceHead
from clinical_tl.network.structure import base_model
from clinical_tl.schema import Note, Span
from clinical_tl.storage.sealed_json import read_object
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.text.batches import WindowedNotes
from clinical_tl.training import fitting, head_start
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.dp import DP
from clinical_tl.training.fitting import fit
from clinical_tl.training.loop import TrainingRun

WORDS = ["fever", "cough", "rash"]
NOTES = [
    Note(
        str(i),
        f"Seen for {WORDS[i % 3]} {'again and ' * (i % 4)}on a day.",
        label=WORDS[i % 3],
        codes=("R50.9",) if i % 2 else ("R05", "R50.9"),
        spans=(Span(9, 9 + len(WORDS[i % 3]), "P"),),
    )
    for i in range(18)
]
# Three of four are of one class.
UNEQUAL = [n for i, n in enumerate(NOTES * 2) if n.label == "fever" or i < 6]
UNEQUAL = [replace(note, note_id=str(i)) for i, note in enumerate(UNEQUAL)]
QUICK = TrainingConfig(epochs=1, batch_tokens=256, progress=False)


def build(encoder, task, **settings):
    return TransferModel.from_pretrained(encoder, task, window=48, **settings)


def by_hand(model, note):
    """Features and gold of a short note: what the last layer reads, in plain torch."""
    tokens = model.tokenizer.encode([note.text])
    windows = WindowedNotes.of(tokens, model.tokenizer, model.windowing, whole_notes=True)
    (batch,) = windows.batches(1000)
    with torch.inference_mode():
        read = base_model(model.network.model)(batch.input_ids, batch.attention_mask)
    pooling = getattr(model.task, "pooling", None)
    states = {
        "mean": read.last_hidden_state[batch.attention_mask.bool()].mean(dim=0, keepdim=True),
        "stock": read.pooler_output,
    }.get(pooling, read.last_hidden_state)  # fmt: skip
    targets = model.task.targets([note], tokens)
    features, gold = model.task.decisions(NetworkOutput(states), batch, targets)
    return features.numpy(), gold.squeeze(1).numpy() if gold.ndim > 1 else gold.numpy()


@pytest.mark.parametrize(
    "task",
    [
        NoteClassification.from_notes(NOTES, pooling="mean", class_weights=None),
        NoteClassification.from_notes(
            NOTES, pooling="stock", class_weights={"fever": 3, "cough": 1, "rash": 1}
        ),
        EntityRecognition.from_notes(NOTES),
    ],
    ids=["pooled", "stock", "token"],
)
def test_a_fresh_network_says_what_the_linear_model_on_frozen_features_does(tiny_encoder, task):
    model = build(tiny_encoder, task)
    model.network.eval()
    start = head_start.head_start(model.reader, NOTES, seed=0)
    if isinstance(task, EntityRecognition):
        order, weights = np.random.default_rng(0).permutation(len(NOTES)).tolist(), None
    else:
        order = [i for positions, _, _ in model.reader.decisions(NOTES) for i in positions]
        given = task.loss_weights()
        weights = None if given is None else dict(enumerate(given))
    rows = [by_hand(model, NOTES[i]) for i in order]
    features, gold = (np.concatenate(part) for part in zip(*rows, strict=True))
    owners = np.repeat(related_notes(NOTES)[order], [len(own) for own, _ in rows])
    expected = FeatureClassifier(seed=0, class_weight=weights).fit(features, gold, owners.tolist())
    start.give(model.reader)
    said = [own for i in order for _, own, _ in model.reader.decisions([NOTES[i]])]
    linear = features @ expected.coef_.T + expected.intercept_
    # A random pooler hardly varies, so that its weights would be huge.
    linear *= min(1, head_start.LARGEST_WEIGHT / np.abs(expected.coef_).max())
    # Tags that no unit has are outputs, too.
    found = torch.cat(said).numpy()[:, expected.classes_]
    np.testing.assert_allclose(found, linear, atol=0.01 * linear.std())
    assert expected.strength_ == start.strength
    assert linear.std() > 0.001


def test_a_run_that_is_interrupted_starts_again_from_the_same_head(tiny_encoder, tmp_path):
    config = replace(QUICK, epochs=3, output_dir=tmp_path / "run")
    task = NoteClassification.from_notes(UNEQUAL)
    whole = build(tiny_encoder, task)
    fit(whole, UNEQUAL, None, replace(config, output_dir=None))
    model = build(tiny_encoder, task)
    epoch, done = TrainingRun._epoch, []

    def stopping(run, *arguments):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(1)
        return epoch(run, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_epoch", stopping)
        with pytest.raises(KeyboardInterrupt):
            fit(model, UNEQUAL, None, config)
    again = fit(model, UNEQUAL, None, config)
    assert len(again.epochs) == 3
    for name, weight in whole.network.trainable().items():
        torch.testing.assert_close(weight, model.network.trainable()[name], atol=0, rtol=0)
    for name in ("head_start", "class_balance"):
        assert model.metrics["training"][name] == whole.metrics["training"][name]
    # So it does where other labels were mended in between: those are another start.
    mended = [replace(UNEQUAL[0], label="rash"), *UNEQUAL[1:]]
    reader = build(tiny_encoder, task).reader
    first, second = (head_start.head_start(reader, notes) for notes in (UNEQUAL, mended))
    assert not np.array_equal(first.biases, second.biases)


@dataclass(frozen=True)
class OneMore(NoteClassification):
    """A task whose network has an output that no label is."""

    kind = "one_more"

    @property
    def head_spec(self):
        return SequenceHead(("none", *self.labels.names), multi_label=True)

    def note_logits(self, output, batch):
        return super().note_logits(output, batch)[:, 1:]


def test_outputs_that_are_no_labels_are_left_as_they_are(tiny_encoder):
    model = build(tiny_encoder, OneMore.from_notes(NOTES, pooling="mean"))
    assert head_start.head_start(model.reader, NOTES) is None
    before = {name: p.clone() for name, p in model.network.trainable().items()}
    with pytest.raises(ConfigError, match="head_init='probe': this head has no linear last layer"):
        fit(model, NOTES, None, replace(QUICK, head_init="probe"))
    assert all(torch.equal(p, before[n]) for n, p in model.network.trainable().items())
    fit(model, NOTES, None, QUICK)
    assert model.metrics["training"]["head_start"] == {"from": "random"}


def test_what_was_left_open_is_settled_in_the_saved_model(tiny_encoder, tmp_path):
    model = build(tiny_encoder, NoteClassification.from_notes(UNEQUAL))
    assert model.task.loss_weights() is None
    fit(model, UNEQUAL, None, QUICK)
    saved = read_object(model.save_pretrained(tmp_path / "m") / "task.json", mend="")["task"]
    weights = NoteClassification.from_notes(UNEQUAL, class_weights="balanced").class_weights
    assert saved["class_weights"] == pytest.approx(weights)
    assert saved["pooling"] == "stock"
    trained = model.metrics["training"]
    assert (trained["class_balance"], trained["lexical"]) == ("balanced", None)
    assert trained["head_start"].keys() == {"from", "strength"}
    card = (tmp_path / "m" / "README.md").read_text()
    assert "The head started from the linear model on the encoder's frozen features" in card
    assert "which plain peft and transformers load, too" in card
    assert "A class weighs the inverse of its frequency." in card


def test_random_heads_with_given_weights_read_no_notes_before_training(tiny_encoder, monkeypatch):
    monkeypatch.setattr(fitting, "head_start", None)
    for weights in (None, "sqrt"):
        model = build(tiny_encoder, NoteClassification.from_notes(NOTES, class_weights=weights))
        fit(model, NOTES, None, replace(QUICK, head_init="random"))
        assert model.metrics["training"]["head_start"] == {"from": "random"}
        assert model.metrics["training"]["class_balance"] == weights
    with pytest.raises(TypeError):
        fit(build(tiny_encoder, model.task), NOTES, None, QUICK)


def test_label_attention_and_trained_heads_have_no_linear_start(tiny_encoder):
    coder = build(tiny_encoder, DiagnosisCoding.from_notes(NOTES))
    fit(coder, NOTES, None, QUICK)
    assert coder.metrics["training"]["head_start"] == {"from": "random"}
    assert coder.metrics["training"]["class_balance"] is None
    model = build(tiny_encoder, NoteClassification.from_notes(NOTES))
    fit(model, NOTES[:12], None, QUICK)
    probe = replace(QUICK, head_init="probe")
    with pytest.raises(ConfigError, match="its weights from an earlier training"):
        fit(model, NOTES, None, probe)
    other = build(tiny_encoder, NoteClassification.from_notes(NOTES))
    with pytest.raises(ConfigError, match="its weights from init_adapter"):
        fit(other, NOTES, None, probe, init_adapter=model)
    fit(other, NOTES, None, QUICK, init_adapter=model)
    assert other.metrics["training"]["head_start"] == {"from": "source"}


def test_private_training_takes_nothing_from_the_notes_before():
    dp = DP(target_epsilon=8.0, delta=1e-2, notes_per_step=4, noise_seed=0)
    for wrong in ({"head_init": "probe"}, {"lexical": True}, {"lexical": "hashed"}):
        with pytest.raises(ConfigError, match=r"without dp|False with dp"):
            TrainingConfig(dp=dp, **wrong)


def test_what_is_refused_is_refused_before_the_notes_are_read(tiny_encoder, monkeypatch):
    model = build(tiny_encoder, NoteClassification.from_notes(NOTES))
    monkeypatch.setattr("clinical_tl.training.fitting.head_start", None)
    with pytest.raises(ConfigError, match="metric"):
        fit(
            model,
            NOTES,
            NOTES,
            TrainingConfig(metric="f2", progress=False),
            allow_leakage=True,
        )
