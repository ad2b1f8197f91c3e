"""Defaults that learn something on few notes, and change nothing on many."""

import logging
import math

import pytest

from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.loop import TrainingRun
from clinical_tl.training.schedule import Schedule, plan_schedule


def schedule(tokens, items, shares=1, **settings):
    """Of `items` equal items, each of which stays whole."""
    each = tokens / items

    def steps_at(budget):
        return math.ceil(items / max(1, budget // each))

    config = TrainingConfig(**settings)
    found = plan_schedule(config, tokens=tokens, shares=shares, steps_at=steps_at)
    return found, found.epochs * steps_at(found.step_tokens)


def test_many_notes_are_trained_on_as_ever():
    found, _ = schedule(1_000_000, 4_000)
    assert found == Schedule(10, 4096)
    assert schedule(10_000_000, 40_000, shares=4)[0] == Schedule(10, 4 * 4096)


def test_some_hundred_notes_get_small_steps_and_no_more_passes():
    assert schedule(170_000, 600)[0] == Schedule(10, 850)
    assert schedule(60_000, 300)[0] == Schedule(10, 512)


@pytest.mark.parametrize(
    ("tokens", "items"), [(300, 1), (3_000, 10), (1_250, 50), (9_000, 30), (60_000, 200)]
)
def test_few_notes_get_enough_steps(tokens, items):
    found, steps = schedule(tokens, items)
    assert steps >= 400
    # Steps are made smaller before notes are passed over more often.
    assert found.epochs == 10 or found.step_tokens <= max(256, tokens / items)


def test_many_short_epochs_do_not_read_dev_notes_each():
    found, _ = schedule(3_000, 10)
    read = [epoch for epoch in range(1, found.epochs + 1) if found.is_read(epoch)]
    assert 20 <= len(read) <= 40
    assert read[-1] == found.epochs
    asked_for, _ = schedule(3_000, 10, epochs=400)
    assert all(asked_for.is_read(epoch) for epoch in range(1, 401))


def test_what_is_said_is_done():
    assert schedule(3_000, 10, epochs=2, batch_tokens=4096)[0] == Schedule(2, 4096)
    assert schedule(3_000, 10, epochs=2)[0].epochs == 2
    assert schedule(3_000, 10, batch_tokens=4096)[0] == Schedule(400, 4096, 20)
    assert schedule(3_000, 10, min_steps=0)[0] == Schedule(10, 512)


NOTES = [
    Note(
        str(i),
        f"Seen for {word} again and again.",
        label=word,
        spans=(Span(9, 9 + len(word), "P"),),
    )
    for i, word in enumerate(["fever", "cough"] * 5)
]


def test_untouched_defaults_learn_ten_notes(tiny_encoder):
    for task in (NoteClassification, EntityRecognition):
        model = TransferModel.from_pretrained(tiny_encoder, task.from_notes(NOTES), window=32)
        result = fit(model, NOTES, config=TrainingConfig(progress=False))
        assert result.steps >= 380
        # A random encoder has little to say of words; four steps moved nothing.
        losses = [epoch.loss for epoch in result.epochs]
        assert losses[-1] < 0.8 * losses[0]


def test_a_short_run_is_warned_of(tiny_encoder, caplog):
    def trained(**settings):
        caplog.clear()
        task = NoteClassification.from_notes(NOTES)
        model = TransferModel.from_pretrained(tiny_encoder, task, window=32)
        with caplog.at_level(logging.WARNING):
            fit(model, NOTES, config=TrainingConfig(progress=False, **settings))
        return caplog.text

    assert "4 optimiser steps only" in trained(epochs=4, batch_tokens=4096)
    assert "leave out epochs and batch_tokens" in caplog.text
    assert "optimiser steps only" not in trained()


def run_of(encoder, **settings):
    model = TransferModel.from_pretrained(encoder, NoteClassification.from_notes(NOTES), window=32)
    config = TrainingConfig(progress=False, **settings)
    run = TrainingRun(model.reader, config, NOTES, NOTES)
    run.patient_from = 1
    return run


def chosen(run, epochs):
    """The best epoch of (metric, dev loss) pairs, and the last one that ran."""
    for value, loss in epochs:
        run.progress.epoch += 1
        run._keep_best(value, loss)
        if run.progress.stopped_early:
            break
    return run.progress.best_epoch, run.progress.epoch


def test_of_equal_metrics_the_lower_dev_loss_is_kept_then_the_later_epoch(tiny_encoder):
    assert chosen(run_of(tiny_encoder), [(0.0, 3.0), (0.0, 2.0), (0.0, 1.0)]) == (3, 3)
    assert chosen(run_of(tiny_encoder), [(0.0, 1.0), (0.0, 2.0)]) == (1, 2)
    assert chosen(run_of(tiny_encoder), [(0.5, 1.0), (0.5, 1.0)]) == (2, 2)
    assert chosen(run_of(tiny_encoder), [(0.5, 1.0), (0.4, 0.1)]) == (1, 2)
    assert chosen(run_of(tiny_encoder), [(0.5, None), (0.5, None)]) == (2, 2)


def test_patience_counts_from_the_floor_of_steps(tiny_encoder):
    falling = [(0.5, 1.0 + i) for i in range(10)]
    run = run_of(tiny_encoder, patience=2)
    assert chosen(run, falling) == (1, 3)
    run = run_of(tiny_encoder, patience=2)
    run.patient_from = 6
    assert chosen(run, falling) == (1, 8)
