"""Mentions of different types that overlap: learnt, found, saved, scored and handed on whole."""

import logging
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_tl.data.corpora import load_corpus
from clinical_tl.errors import ConfigError
from clinical_tl.evaluation.evaluating import evaluation_report
from clinical_tl.evaluation.suspicion import suspect_labels
from clinical_tl.integrations.onnx_export import export_onnx
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.loading import load
from clinical_tl.models.onnx_model import OnnxModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.memorisation import membership_audit
from clinical_tl.rules.voting import combine
from clinical_tl.schema import Note, Prediction, Span
from clinical_tl.tasks.entity_recognition import IGNORED, EntityRecognition
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.units import text_units
from clinical_tl.training import head_start
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.source_weights import start_from
from clinical_tl.transfer.encoder_ranking import rank_encoders, unit_probabilities
from clinical_tl.transfer.next_notes import choose_next
from tests.data.corpora import corpus
from tests.tiny_encoders import build_tokenizer

DRUGS = ("aspirin", "heparin", "insulin")


def note(i):
    """A strength inside an order, and on the same words a second type."""
    drug = DRUGS[i % 3]
    text = f"Gave {drug} {i % 7 + 1} mg for pain{' again' * (i % 2)}, seen on day {i}."
    end = text.index(" mg") + 3
    start = text.index(" mg") - 1
    pain = text.index("pain")
    spans = (
        Span(5, end, "Order"),
        Span(5, 5 + len(drug), "Drug"),
        Span(start, end, "Dose"),
        Span(pain, pain + 4, "Sign"),
        Span(pain, pain + 4, "Reason"),
    )
    return Note(f"n{i}", text, f"p{i}", spans=spans)


NOTES = [note(i) for i in range(42)]
FLAT = [replace(n, spans=(n.spans[0], n.spans[3])) for n in NOTES]
QUICK = TrainingConfig(epochs=1, batch_tokens=256, progress=False)


def said(predictions):
    return [sorted(span.key for span in p.spans) for p in predictions]


@pytest.fixture(scope="module")
def trained(tiny_encoder):
    model = TransferModel.from_pretrained(
        tiny_encoder, EntityRecognition.from_notes(NOTES), adapter="full", window=48
    )
    config = TrainingConfig(
        epochs=20, batch_tokens=256, learning_rate=2e-3, head_learning_rate=2e-3, dropout=0.0,
        r_drop=0.1, progress=False,
    )  # fmt: skip
    fit(model, NOTES, NOTES[:12], config, allow_leakage=True)
    return model


def test_layers_are_chosen_where_they_bring_back_a_hundredth_and_told_of(caplog):
    caplog.set_level(logging.INFO)
    assert EntityRecognition.from_notes(FLAT).layers == "one"
    one = replace(NOTES[0], spans=(NOTES[0].spans[0], NOTES[0].spans[1]))
    # One mention of 2 × 49 + 2, and of 2 × 50 + 2.
    more = [replace(n, note_id=f"m{i}") for i, n in enumerate([*FLAT, *FLAT])]
    assert EntityRecognition.from_notes([*more[:50], one]).layers == "one"
    assert not caplog.records
    assert EntityRecognition.from_notes([*more[:49], one]).layers == "by_type"
    assert (
        "one layer a type, since 1 of 100 mentions overlap one of another type: 100.0 % can be "
        "represented, and 99.0 % in one layer (choose with layers=…)"
    ) in caplog.text
    assert EntityRecognition.from_notes(NOTES, layers="one").layers == "one"
    assert EntityRecognition.from_notes(FLAT, layers="by_type").layers == "by_type"
    with pytest.raises(ConfigError, match="layers='two'; allowed"):
        EntityRecognition.from_notes(NOTES, layers="two")


def test_nested_mentions_of_one_type_are_no_reason_for_layers():
    nested = [Note("a", "severe chest pain", spans=(Span(0, 17, "P"), Span(7, 17, "P")))]
    assert EntityRecognition.from_notes(nested).layers == "one"


@pytest.mark.parametrize("name", ["bc5cdr", "ncbi_disease"])
def test_flat_corpora_stay_in_one_layer(name):
    corpus(name)
    assert EntityRecognition.from_notes(load_corpus(name)["train"]).layers == "one"


def test_in_one_layer_loss_tags_and_log_probabilities_are_as_without_layers():
    """To the last bit those of one softmax over all tags, as tasks saved before layers have."""
    row = EntityRecognition.from_notes(FLAT).to_dict()
    del row["layers"]
    task = EntityRecognition.from_dict(row)
    assert task.layers == "one"
    assert task.head_spec.outputs == ("O", "B-Order", "I-Order", "B-Sign", "I-Sign")
    logits = torch.randn(40, 5, generator=torch.manual_seed(0), requires_grad=True)
    gold = torch.arange(40) % 5
    ours = task.losses(logits, gold[:, None], label_smoothing=0.1)
    (slopes,) = torch.autograd.grad(ours.sum(), logits)
    plain = torch.nn.functional.cross_entropy(logits, gold, reduction="none", label_smoothing=0.1)
    assert torch.equal(ours, plain)
    assert torch.equal(slopes, *torch.autograd.grad(plain.sum(), logits))


def test_a_units_loss_is_the_mean_of_its_layers_and_what_is_left_open_costs_nothing():
    task = EntityRecognition.from_notes(FLAT, layers="by_type")
    logits, gold = torch.randn(4, 6), torch.tensor([[0, 1], [2, 0], [IGNORED, 1], [0, 0]])
    p = logits.view(4, 2, 3).log_softmax(-1)
    expected = [-(p[i, 0, a] + p[i, 1, b]) / 2 for i, (a, b) in enumerate(gold.tolist()) if i != 2]
    found = task.losses(logits, gold)
    torch.testing.assert_close(found[[0, 1, 3]], torch.stack(expected))
    torch.testing.assert_close(found[2], -p[2, 1, 1] / 2)
    assert task.losses(logits[:0], gold[:0]).shape == (0,)
    assert torch.equal(task.divergence(logits, logits), torch.zeros(4))


def test_what_a_teacher_was_unsure_of_is_left_open_where_no_mention_is():
    silver = {"silver": {"source": "self-training", "round": 1, "score": 0.9, "unsure": [[0, 12]]}}
    note = Note("a", "aspirin 81 mg", metadata=silver, spans=(Span(0, 7, "Drug"),))
    task = EntityRecognition.from_notes([*NOTES, note])
    tokens = NoteTokenizer(build_tokenizer("wordpiece")).encode([note.text])
    target = task.targets([note], tokens)[0]
    drug = task.labels.positions["Drug"]
    others = [i for i in range(len(task.labels)) if i != drug]
    decided = target[(target != IGNORED).any(axis=1)]
    # The mention is taught in its layer alone, and "mg", which only begins there, in none.
    assert decided.shape == (1, 5)
    assert decided[0, drug] == 1
    assert (decided[0, others] == IGNORED).all()
    assert task.weight(target, 0, len(target)) == 1


def test_overlapping_mentions_are_learnt_found_and_said_again_from_the_folder(trained, tmp_path):
    task = trained.task
    assert (task.layers, len(task.head_spec.outputs)) == ("by_type", 15)
    predictions = trained.predict(NOTES, progress=False)
    scores = task.evaluate(NOTES, predictions)
    assert scores.entities.f1 > 0.95
    assert (scores.entities.lost, scores.seqeval.f1) == (0, pytest.approx(scores.entities.f1))
    assert trained.metrics["training"]["head_start"]["from"] == "random"
    folder = trained.save_pretrained(tmp_path / "model")
    again = TransferModel.load(folder)
    assert again.task == task
    assert said(again.predict(NOTES, progress=False)) == said(predictions)
    report = evaluation_report(
        trained, NOTES, predictions=predictions, resamples=20, allow_leakage=True, progress=False
    )
    assert report.intervals["f1"].value == pytest.approx(scores.entities.f1)


def test_other_libraries_load_the_folder_and_the_card_says_how_it_is_read(trained, tmp_path):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    folder = trained.save_pretrained(tmp_path / "model")
    card = (folder / "README.md").read_text()
    assert "The outputs are 5 layers of 3, one a type, side by side." in card
    reading = re.search(r"`(logits\.unflatten.*?)`", card)[1]
    plain = AutoModelForTokenClassification.from_pretrained(folder).eval()
    names = list(plain.config.id2label.values())
    assert names[:4] == ["O-Dose", "B-Dose", "I-Dose", "O-Drug"]
    encoded = AutoTokenizer.from_pretrained(folder)(NOTES[0].text, return_tensors="pt")
    with torch.inference_mode():
        logits = plain(**encoded).logits
    probabilities = eval(reading, {"logits": logits})  # What the card tells people.
    rows, _ = unit_probabilities(trained, NOTES[:1], progress=False)
    own = probabilities[0].flatten(1).numpy()
    # Every unit's probabilities are those of its first token.
    assert all(np.abs(own - 5 * row).max(axis=1).min() < 1e-4 for row in rows)
    one = EntityRecognition.from_notes(FLAT)
    assert EntityRecognition.layout(one.to_dict()) is None


def test_an_exported_model_says_the_same(trained, tmp_path):
    report = export_onnx(trained, tmp_path / "graph", check=NOTES[:6])
    assert (report.changed_notes, report.notes) == (0, 6)
    found = OnnxModel.load(tmp_path / "graph").predict(NOTES[:6], progress=False)
    assert said(found) == said(trained.predict(NOTES[:6], progress=False))


def test_a_head_starts_from_the_linear_model_of_each_layer(tiny_encoder):
    model = TransferModel.from_pretrained(
        tiny_encoder, EntityRecognition.from_notes(NOTES), window=48
    )
    assert not model.task.starts_from_probe
    start = head_start.head_start(model.reader, NOTES)
    assert start.weights.shape[0] == 15
    assert np.abs(start.weights).max(axis=1).min() > 0
    random = model.reader.losses(NOTES).mean()
    start.give(model.reader)
    assert model.reader.losses(NOTES).mean() < random / 2
    fit(model, NOTES, None, QUICK)
    assert model.metrics["training"]["head_start"] == {"from": "random"}


def test_a_head_without_a_start_knows_how_rare_the_mentions_of_each_layer_are(tiny_encoder):
    task = EntityRecognition.from_notes(NOTES)
    assert task.n_units == sum(len(text_units(n.text, task.units)) for n in NOTES)
    prior = np.reshape(task.head_spec.prior, (-1, 3))
    assert prior.sum(axis=1) == pytest.approx(1)
    assert prior[:, 1] == pytest.approx(np.array(task.labels.support) / task.n_units)
    network = TransferModel.from_pretrained(tiny_encoder, task).network
    bias = task.head_spec.output_layer(network).bias.detach().numpy()
    assert np.exp(bias) == pytest.approx(prior.ravel(), rel=1e-5)
    flat = EntityRecognition.from_notes(FLAT)
    assert (flat.head_spec.prior, flat.n_units) == (None, 0)


def test_frozen_features_learn_layers_too_and_are_saved(tiny_encoder, tmp_path):
    task = EntityRecognition.from_notes(NOTES)
    model = FeatureModel.fit(tiny_encoder, task, NOTES, strengths=[10.0], progress=False)
    scores = model.evaluate(NOTES, allow_leakage=True, progress=False)
    assert scores.entities.f1 > 0.9
    again = load(model.save_pretrained(tmp_path / "frozen"))
    assert said(again.predict(NOTES, progress=False)) == said(model.predict(NOTES, progress=False))
    found = suspect_labels(task, NOTES, tiny_encoder, folds=3, progress=False)
    assert found.summary()["judged"] == 5 * len(NOTES)


def test_overlapping_gold_counts_in_seqevals_figures_layer_by_layer():
    task = EntityRecognition.from_notes(NOTES)
    found = [Prediction(n.note_id, spans=n.spans[:3]) for n in NOTES]
    scores = task.evaluate(NOTES, found).summary()
    assert (scores["seqeval_precision"], scores["seqeval_recall"]) == (1, 3 / 5)
    assert (scores["precision"], scores["recall"], scores["share_lost"]) == (1, 3 / 5, 0)
    flat = EntityRecognition.from_notes(NOTES, layers="one")
    assert flat.evaluate(NOTES, found).summary()["share_lost"] == 3 / 5
    # Where nothing overlaps it is the same whichever way it is counted.
    by_type = EntityRecognition.from_notes(FLAT, layers="by_type")
    some = [Prediction(n.note_id, spans=n.spans[: i % 3]) for i, n in enumerate(FLAT)]
    assert by_type.evaluate(FLAT, some) == EntityRecognition.from_notes(FLAT).evaluate(FLAT, some)
    nothing = [Note("a", "no mention", spans=())]
    empty = task.evaluate(nothing, [Prediction("a", spans=())]).summary()
    assert (empty["f1"], empty["seqeval_f1"]) == (0, 0)


def test_weights_pass_between_one_layer_and_layers(tiny_encoder):
    def model(layers):
        task = EntityRecognition.from_notes(FLAT, layers=layers)
        found = TransferModel.from_pretrained(tiny_encoder, task, adapter="full", window=48)
        with torch.no_grad():
            found.network.model.classifier.weight.normal_()
        return found

    for first, second, expected in (
        ("by_type", "by_type", [[0], [1], [2], [3], [4], [5]]),
        # O, B-Order, I-Order, B-Sign, I-Sign and O-Order, B-Order, I-Order, O-Sign, …
        ("one", "by_type", [[0], [1], [2], [0], [3], [4]]),
        ("by_type", "one", [[0, 3], [1], [2], [4], [5]]),
    ):
        source, target = model(first), model(second)
        start_from(target, source)
        theirs = source.network.model.classifier.weight
        rows = torch.stack([theirs[own].mean(dim=0) for own in expected])
        assert torch.equal(target.network.model.classifier.weight, rows)
    task, known = EntityRecognition.from_notes(FLAT, layers="by_type"), ("O", "B-Sign", "I-Sign")
    assert [list(task.output_sources(o, {"Sign": ("Sign",)}, known)) for o in task.tag_set.names] \
        == [[], [], [], ["O"], ["B-Sign"], ["I-Sign"]]  # fmt: skip


def test_encoders_are_ranked_by_the_types_that_a_unit_is_in(tiny_encoder, trained):
    task = EntityRecognition.from_notes(NOTES)
    tagger = {str(tiny_encoder): trained}
    pair = [str(tiny_encoder), "offline"]
    found = rank_encoders(pair, NOTES, task, source_models=tagger, progress=False)
    assert (found.labels, found.labels_left_out) == (5, 0)
    assert found.encoders[0].leep < 0


def test_the_audit_the_choice_of_notes_and_votes_take_overlapping_mentions(trained, tmp_path):
    folder = ReleaseFolder.read(trained.save_pretrained(tmp_path / "model"))
    audit = membership_audit(folder, NOTES[:21], NOTES[21:])
    assert (audit.train_notes, audit.held_out_notes) == (21, 21)
    chosen = choose_next(trained, NOTES[12:], 3, labelled=NOTES[:12], progress=False)
    assert len(chosen.notes) == 3
    predictions = trained.predict(NOTES[:4], progress=False)
    for how in ("union", "intersection", "fill"):
        voted = combine(predictions, predictions, how=how)
        assert said(voted) == said(predictions)
