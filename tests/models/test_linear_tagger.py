"""Mentions by a linear model: learned from all units or a part, read in parts of the notes."""

import json
import logging
import re
from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import TaskError
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.models import linear_tagger
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.linear_tagger import unit_tags
from clinical_tl.network.embeddings import embed_units
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.tasks.entity_recognition import EntityRecognition
from tests.tiny_encoders import write_encoder


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return FrozenEncoder.from_pretrained(tiny_encoder, window=64, overlap=16)


@pytest.fixture(scope="module")
def notes(synthetic_notes):
    return as_notes(synthetic_notes.select(range(24)))


@pytest.fixture(scope="module")
def task(notes):
    return EntityRecognition.from_notes(notes)


def fitted(encoder, task, notes, **settings):
    return FeatureModel.fit(encoder, task, notes, progress=False, **settings)


def test_many_units_are_tuned_on_a_sample(encoder, task, notes, monkeypatch):
    read: list[tuple[str, int]] = []
    for name in ("fit", "choose_strength"):
        plain = getattr(FeatureClassifier, name)

        def remember(self, X, y, groups=None, name=name, plain=plain):
            read.append((name, len(X)))
            return plain(self, X, y, groups)

        monkeypatch.setattr(FeatureClassifier, name, remember)
    monkeypatch.setattr(linear_tagger, "TUNING_UNITS", 300)
    model = fitted(encoder, task, notes, strengths=[0.1, 1.0])
    assert len(model.classifier.cross_validation_) == 2
    best = min(model.classifier.cross_validation_, key=lambda score: score.log_loss)
    assert model.classifier.strength_ == best.strength
    (how, some), (then, every) = read
    assert (how, then) == ("choose_strength", "fit")
    assert 300 <= some < 500 < every


def test_a_sample_has_rare_tags_and_a_second_patient():
    tags, groups = np.zeros(5_000, dtype=np.int64), np.zeros(5_000, dtype=np.int64)
    tags[[7, 4_000]], tags[100:200], groups[-3:] = 1, 2, 1
    for seed in range(5):
        some = linear_tagger._sampled(tags, groups, 50, seed)
        assert (np.diff(some) > 0).all()
        assert np.bincount(tags[some])[1] == 2
        assert np.bincount(tags[some])[2] >= linear_tagger.FEWEST_OF_A_TAG
        assert len(np.unique(groups[some])) == 2
        assert len(some) <= 50 + 2 + 20 + 1
    layers = np.stack([tags == 0, tags == 1, tags == 0, tags == 2], axis=1)
    some = linear_tagger._sampled(layers, groups, 50, 0)
    assert layers[some].sum(axis=0).tolist()[1::2] == [2, 20]


def test_where_everything_is_left_open_that_is_said(encoder, task, notes):
    unsure = [
        replace(
            note,
            spans=(),
            metadata={**(note.metadata or {}), "silver": {"unsure": [[0, len(note.text)]]}},
        )
        for note in notes
    ]
    with pytest.raises(TaskError, match="is left open, as of silver notes"):
        fitted(encoder, task, unsure)


def test_of_too_many_units_a_part_is_learned_from_and_that_is_said(
    encoder, task, notes, monkeypatch, caplog
):
    monkeypatch.setattr(linear_tagger, "FIT_BYTES", 500 * 6 * encoder.dimension * 4)
    with caplog.at_level(logging.WARNING, logger="clinical_tl"):
        model = fitted(encoder, task, notes, strengths=[1.0])
    assert re.search(r"learns from 5\d\d units of the 24 notes", caplog.text)
    found = model.predict(notes, progress=False)
    assert task.evaluate(notes, found).summary()["f1"] > 0.1


def test_the_part_has_every_tag_that_there_is(encoder, task, notes, monkeypatch):
    tokens = encoder.tokenizer.encode([note.text for note in notes])
    tags, taught, owner = unit_tags(task, notes, tokens)
    assert len(tags) == len(taught) == len(owner)
    assert np.bincount(tags).min() < len(tags) / 200
    monkeypatch.setattr(linear_tagger, "FIT_BYTES", 20 * 6 * encoder.dimension * 4)
    model = fitted(encoder, task, notes, strengths=[1.0])
    assert model.classifier.classes_.tolist() == np.unique(tags).tolist()


def test_units_have_the_tags_of_the_mentions_that_they_are_in(encoder, task, notes):
    tokens = encoder.tokenizer.encode([note.text for note in notes])
    units = embed_units(encoder, notes, progress=False)
    tags, taught, owner = unit_tags(task, notes, tokens)
    assert taught.tolist() == list(range(len(units)))
    assert owner.tolist() == units.note.tolist()
    inside = [
        any(s.start < end and s.end > start for s in notes[note].spans)
        for note, start, end in zip(owner, units.starts, units.ends, strict=True)
    ]
    assert (tags > 0).tolist() == inside


def test_notes_that_are_read_in_parts_say_what_they_say_together(encoder, task, notes, monkeypatch):
    model = fitted(encoder, task, notes, strengths=[1.0])
    together = model.predict(notes, progress=False)
    monkeypatch.setattr(linear_tagger, "READ_CHARACTERS", 1)
    for whole, part in zip(together, model.predict(notes, progress=False), strict=True):
        assert [s.key for s in whole.spans] == [s.key for s in part.spans]
    assert sum(len(prediction.spans) for prediction in together) > 50


@pytest.mark.parametrize("family", ["electra", "albert", "longformer", "olmo2"])
def test_encoders_whose_lowest_states_are_narrower_or_padded_are_read(
    family, task, notes, tmp_path
):
    encoder = FrozenEncoder.from_pretrained(write_encoder(tmp_path, family))
    model = fitted(encoder, task, notes[:6], strengths=[1.0])
    assert model.classifier.n_features_in_ == 6 * encoder.dimension
    found = model.predict(notes[:6], progress=False)
    assert task.evaluate(notes[:6], found).summary()["f1"] > 0.2


def test_a_model_of_the_last_layer_is_still_read(encoder, task, notes, tmp_path):
    model = fitted(encoder, task, notes, layer=-1, strengths=[1.0])
    folder = model.save_pretrained(tmp_path / "model")
    described = json.loads((folder / "task.json").read_text("utf-8"))
    assert described["features"]["layer"] == -1
    assert model.classifier.n_features_in_ == encoder.dimension
    again = FeatureModel.load(folder, encoder=encoder.source.path)
    assert again.predict(notes[:4], progress=False) == model.predict(notes[:4], progress=False)
    joined = fitted(encoder, task, notes, strengths=[1.0])
    assert joined.classifier.n_features_in_ == 6 * encoder.dimension
