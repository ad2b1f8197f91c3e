"""Blank dev notes: what is chosen and told of them is what a model then says and scores."""

from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.data.notes import as_notes
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.multi_label_classification import MultiLabelClassification
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

CONFIG = TrainingConfig(epochs=1, min_steps=2, progress=False)


@pytest.fixture(scope="module")
def split(synthetic_notes):
    """Training notes, and dev notes of which every third is blank."""
    notes = as_notes(synthetic_notes)
    blank = [replace(n, text=" ") if i % 3 == 0 else n for i, n in enumerate(notes[16:])]
    return notes[:16], blank


@pytest.mark.parametrize("lexical", [False, True])
@pytest.mark.parametrize("kind", [NoteClassification, DiagnosisCoding], ids=lambda k: k.kind)
@pytest.mark.parametrize("way", ["features", "trained"])
def test_recorded_scores_are_those_that_the_model_has(way, kind, lexical, split, tiny_encoder):
    train, dev = split
    task = kind.from_notes(train)
    if way == "features":
        model = FeatureModel.fit(
            tiny_encoder, task, train, dev, lexical=lexical, progress=False, allow_leakage=True
        )
    else:
        model = TransferModel.from_pretrained(tiny_encoder, task, window=64, overlap=16)
        config = replace(CONFIG, lexical=lexical)
        fit(model, train, dev, config, allow_leakage=True)
    recorded = dict(model.metrics["dev"])
    scores = model.evaluate(dev, progress=False, allow_leakage=True, name="again").summary()
    assert {name: recorded[name] for name in scores} == pytest.approx(scores)


def test_thresholds_and_temperature_are_of_what_was_read():
    random = np.random.default_rng(0)
    labels = LabelSet(("a", "b"), (9, 3))
    task = MultiLabelClassification(labels, n_train=12)
    gold = [("a",) if random.random() < 0.7 else ("a", "b") for _ in range(40)]
    notes = [Note(str(i), "text", codes=own) for i, own in enumerate(gold)]
    said = [
        Prediction(
            note.note_id,
            codes=(),
            scores=LabelScores(labels.names, random.random(2).astype(np.float32)),
        )
        for note in notes
    ]
    blank = [Note(f"blank {i}", "\u200b", codes=("a",)) for i in range(20)]
    unread = [task.unread(note.note_id) for note in blank]
    alone = task.tuned(notes, said)
    both = task.tuned([*notes, *blank], [*said, *unread])
    assert both.temperature == alone.temperature
    # Of what is missed anyway nothing but more recall pays.
    assert both.thresholds.global_threshold <= alone.thresholds.global_threshold
    decided = both.decided([*notes, *blank], [*said, *unread])
    assert decided[len(notes) :] == unread
    assert task.tuned(blank, unread).thresholds is None
