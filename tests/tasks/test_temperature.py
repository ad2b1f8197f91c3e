"""The temperature of each task: tuned on dev, stored, and applied once, however it is predicted."""

from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.metrics.calibration import at_temperature, score_at_temperature
from clinical_tl.metrics.thresholds import Thresholds, tune_thresholds
from clinical_tl.models.collection import load_many
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import (
    LabelScores,
    LabelSet,
    Note,
    Prediction,
    Relation,
    ScoredRelation,
    Span,
    score_rows,
)
from clinical_tl.tasks import (
    DiagnosisCoding,
    EntityRecognition,
    NoteClassification,
    RelationExtraction,
)
from clinical_tl.tasks.candidates import CandidateScores
from clinical_tl.tasks.note_task import NoteTask

KINDS = [NoteClassification, DiagnosisCoding, EntityRecognition, RelationExtraction]


def tempered(task, temperature=2.5):
    """With thresholds that let something through on either side."""
    task = replace(task, temperature=temperature)
    if hasattr(task, "thresholds"):
        return replace(task, thresholds=Thresholds(0.4))
    return replace(task, threshold=0.45) if hasattr(task, "threshold") else task


def scores_of(task, predictions):
    if isinstance(task, NoteTask):
        return score_rows(predictions, task.labels.names).ravel()
    if isinstance(task, EntityRecognition):
        return np.array([s.score for p in predictions for s in p.spans])
    return np.array([r.score for p in predictions for r in p.scores.relations])


def said(predictions):
    return [
        (p.label, p.codes, [s.key for s in p.spans or ()],
         [(r.head, r.tail, r.label) for r in p.relations or ()])
        for p in predictions
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_way_of_predicting_applies_it_once(kind, tiny_encoder, synthetic_notes, tmp_path):
    notes = synthetic_notes.select(range(4))
    model = TransferModel.from_pretrained(
        tiny_encoder, kind.from_notes(notes), adapter=LoRA(r=2), window=64
    )
    plain = model.predict(notes, progress=False)
    losses = model.reader.losses(list(notes))
    model.task = tempered(model.task)
    found = model.predict(notes, progress=False)
    # Once: as the plain ones are decided with it, and no other numbers.
    assert said(found) == said(model.task.decided(notes, plain))
    own = scores_of(model.task, model.task.decided(notes, plain))
    np.testing.assert_allclose(scores_of(model.task, found), own, atol=1e-6)
    if kind is not EntityRecognition:
        before = scores_of(model.task, plain)
        many = isinstance(model.task, NoteClassification)
        expected = at_temperature(
            before.reshape(len(notes), -1) if many else before[:, None], 2.5, one_label=many
        )
        np.testing.assert_allclose(own, expected.ravel(), atol=1e-6)
    # What training minimised, and the audit asks for, is not scaled.
    np.testing.assert_array_equal(model.reader.losses(list(notes)), losses)
    folder = model.save_pretrained(tmp_path / "model")
    (collected,) = load_many([folder]).predict(notes, progress=False).values()
    loaded = TransferModel.load(folder)
    assert loaded.task.temperature == 2.5
    for other in (loaded.predict(notes, progress=False), collected):
        assert said(other) == said(found)
        np.testing.assert_allclose(scores_of(model.task, other), own, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.kind)
def test_a_linear_model_applies_it_once(kind, tiny_encoder, synthetic_notes):
    notes = synthetic_notes.select(range(12))
    model = FeatureModel.fit(
        tiny_encoder, kind.from_notes(notes), notes, strengths=[1e3], progress=False
    )
    plain = model.predict(notes, progress=False)
    warm = replace(model, task=tempered(model.task))
    found = warm.predict(notes, progress=False)
    assert said(found) == said(warm.task.decided(notes, plain))
    own = scores_of(warm.task, warm.task.decided(notes, plain))
    np.testing.assert_allclose(scores_of(warm.task, found), own, atol=1e-6)
    assert scores_of(warm.task, found).max() < scores_of(model.task, plain).max()
    if kind is not EntityRecognition:
        np.testing.assert_array_equal(warm.losses(notes), model.losses(notes))


def test_every_code_that_is_given_has_its_evidence(tiny_encoder, synthetic_notes):
    """Label attention is asked for the codes that reach their thresholds at the temperature."""
    notes = synthetic_notes.select(range(4))
    task = DiagnosisCoding.from_notes(notes, describe_labels=False)
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter="frozen", window=64)
    (plain,) = model.predict(notes.select([0]), progress=False)
    low = max(plain.scores.values())
    assert low < 0.5
    # Only at the temperature do they reach it.
    model.task = replace(task, temperature=20.0, thresholds=Thresholds((low + 0.5) / 2))
    (found,) = model.predict(notes.select([0]), progress=False)
    assert found.codes
    assert set(found.evidence) == set(found.codes)


def classified(random, task, sure, right=0.7, n=60):
    """A model that is right this often, and says so with the probability `sure`."""
    notes, predictions = [], []
    for i in range(n):
        gold = i % 2
        likeliest = gold if random.random() < right else 1 - gold
        row = np.full(2, 1 - sure, dtype=np.float32)
        row[likeliest] = sure
        notes.append(Note(str(i), "text", label=task.labels.names[gold]))
        predictions.append(task.predicted(str(i), row))
    return notes, predictions


def test_too_sure_a_classifier_is_calmed_and_says_the_same_labels():
    task = NoteClassification(LabelSet(("a", "b"), (5, 5)))
    notes, predictions = classified(np.random.default_rng(0), task, 0.97)
    tuned = task.tuned(notes, predictions)
    assert tuned.temperature > 1.5
    calm = tuned.decided(notes, predictions)
    assert [p.label for p in calm] == [p.label for p in predictions]
    assert max(calm[0].scores.values()) < 0.9
    unsure = task.tuned(*classified(np.random.default_rng(0), task, 0.55, right=0.95))
    assert unsure.temperature < 0.8
    assert task.tuned(notes[:19], predictions[:19]).temperature is None
    bare = [Prediction(n.note_id, label="a") for n in notes]
    assert replace(task, temperature=2.0).tuned(notes, bare).temperature is None
    # What has no scores has none to scale.
    assert replace(task, temperature=2.0).decided(notes, bare) == bare


def test_thresholds_of_codes_are_of_the_scaled_scores():
    task = DiagnosisCoding(LabelSet(("E11.9", "I10"), (5, 5)), n_train=20)
    random = np.random.default_rng(0)
    notes, predictions = [], []
    for i in range(40):
        own = random.random(2) < 0.5
        logits = np.where(own, 4.0, -4.0) + random.normal(size=2) * 5
        row = (1 / (1 + np.exp(-logits))).astype(np.float32)
        codes = tuple(code for code, has in zip(task.labels.names, own, strict=True) if has)
        notes.append(Note(str(i), "text", codes=codes))
        predictions.append(Prediction(str(i), scores=LabelScores(task.labels.names, row)))
    tuned = task.tuned(notes, predictions)
    assert tuned.temperature > 1.2
    found = tuned.decided(notes, predictions)
    least = tuned.thresholds.global_threshold
    for p in found:
        assert set(p.codes) == {code for code, score in p.scores.items() if score >= least}
    gold, _ = task.gold_matrix(notes)
    rows = np.array([[p.scores[code] for code in task.labels.names] for p in predictions])
    assert tuned.thresholds == tune_thresholds(gold, tuned.scaled(rows), steady=True)
    assert tuned.thresholds != tune_thresholds(gold, rows, steady=True)


def test_mentions_and_relations_keep_what_they_are_and_say_how_often_they_are_right():
    random = np.random.default_rng(0)
    right = random.random(80) < 0.8
    marked = EntityRecognition(LabelSet(("Sign",), (3,)))
    spans = [Span(10 * i, 10 * i + 5, "Sign", score=0.95) for i in range(80)]
    gold = tuple(replace(s, score=None) for s, r in zip(spans, right, strict=True) if r)
    note, whole = Note("n", "x" * 800, spans=gold), Prediction("n", spans=tuple(spans))
    tuned = marked.tuned([note], [whole])
    (found,) = tuned.decided([note], [whole])
    assert [s.key for s in found.spans] == [s.key for s in spans]
    assert found.spans[0].score == score_at_temperature(0.95, tuned.temperature, tuned.shift)
    assert found.spans[0].score == pytest.approx(right.mean(), abs=0.05)
    # One that a person set has no score to scale, and is kept.
    by_hand = Prediction("n", spans=(Span(0, 5, "Sign"),))
    assert tuned.decided([note], [by_hand]) == [by_hand]
    related = RelationExtraction(LabelSet(("helps",), (3,)), (("Drug", "Problem"),), unrelated=True)
    candidates = [ScoredRelation(f"h{i}", f"t{i}", "helps", 0.95) for i in range(80)]
    note = Note(
        "n",
        "x",
        relations=tuple(Relation(f"h{i}", f"t{i}", "helps") for i in range(80) if right[i]),
    )
    whole = Prediction("n", relations=(), scores=CandidateScores(candidates))
    tuned = related.tuned([note], [whole])
    (found,) = tuned.decided([note], [whole])
    assert len(found.relations) == 80
    assert found.relations[0].score == pytest.approx(right.mean(), abs=0.05)
    assert found.scores.relations == found.relations
