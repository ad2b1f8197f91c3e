"""What a training will cost: measured on a few notes, told of many."""

from types import SimpleNamespace

import pytest

from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import Note
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.transfer.training_cost import TRIED_CHARACTERS, TRIED_EPOCHS, TrainingCost

NOTES = [Note(str(i), "x" * 1000) for i in range(100)]


def trained(seconds_per_token, tried):
    """A training of a token every four characters."""

    def fit_some(notes, config):
        tokens = config.epochs * sum(len(note.text) for note in notes) // 4
        tried.append((len(notes), config))
        told = {"seconds": seconds_per_token * tokens, "tokens": tokens}
        return SimpleNamespace(metrics={"training": told})

    return fit_some


def test_a_few_notes_tell_what_a_token_costs():
    tried = []
    cost = TrainingCost.measured(trained(0.001, tried), NOTES, TrainingConfig(seed=3))
    ((n, config),) = tried
    assert n == TRIED_CHARACTERS // 1000
    assert (config.epochs, config.min_steps, config.seed) == (TRIED_EPOCHS, 0, 3)
    assert (cost.per_token, cost.tokens) == (pytest.approx(0.001), pytest.approx(0.25))
    assert TrainingCost.measured(trained(0.0, tried), NOTES, TrainingConfig()) is None
    untold = SimpleNamespace(metrics={})
    assert TrainingCost.measured(lambda *_: untold, NOTES, TrainingConfig()) is None


def test_seconds_follow_the_schedule():
    cost = TrainingCost(0.001, 0.25)
    # Ten passes of 25,000 tokens; the dev notes' 2,500 after each, at a third.
    assert cost.seconds(TrainingConfig(), NOTES, None) == pytest.approx(250)
    assert cost.seconds(TrainingConfig(), NOTES, NOTES[:10]) == pytest.approx(250 + 25 / 3)
    assert cost.seconds(TrainingConfig(epochs=3), NOTES, None) == pytest.approx(75)
    # Four notes have 400 steps of 250 tokens all the same, and dev notes are read twenty times.
    assert cost.seconds(TrainingConfig(), NOTES[:1], None) == pytest.approx(100)
    assert cost.seconds(TrainingConfig(), NOTES[:1], NOTES[:4]) == pytest.approx(100 + 20 / 3)


def test_a_real_training_tells_its_time(tiny_encoder, synthetic_notes):
    notes = list(synthetic_notes)
    task = EntityRecognition.from_notes(notes)
    seen = []

    def fit_some(some, config):
        model = TransferModel.from_pretrained(tiny_encoder, task, adapter=LoRA(r=2))
        fit(model, some, config=config)
        seen.append(model.metrics["training"])
        return model

    cost = TrainingCost.measured(fit_some, notes, TrainingConfig(progress=False))
    (told,) = seen
    assert cost.per_token == told["seconds"] / told["tokens"]
    assert 0.1 < cost.tokens < 1
    assert cost.seconds(TrainingConfig(), notes, None) > told["seconds"]
