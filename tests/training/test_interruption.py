"""SIGTERM and Ctrl-C: a checkpoint, one line, and the same weights in the end."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time

import pytest
import torch

from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training import loop
from clinical_tl.training.checkpoint import newest_checkpoint
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit as fit_apart
from clinical_tl.training.interruption import Interruption, TrainingInterrupted
from recipes.command_line import run


@pytest.fixture(scope="module")
def notes(synthetic_notes):
    return synthetic_notes.select(range(4))


@pytest.fixture(scope="module")
def whole(tiny_encoder, notes):
    """The weights of a training that nobody interrupts."""
    model = build(tiny_encoder, notes)
    fit(model, notes, notes, config(None))
    return trained(model)


def build(encoder, notes):
    return TransferModel.from_pretrained(encoder, NoteClassification.from_notes(notes), window=64)


def fit(model, train, dev, config):
    return fit_apart(model, train, dev, config, allow_leakage=True)


def trained(model):
    return {name: p.detach() for name, p in model.network.trainable().items()}


def config(folder):
    return TrainingConfig(epochs=2, batch_tokens=256, output_dir=folder, progress=False)


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGTERM, "_step"), (signal.SIGINT, "_dev_scores")]
)
def test_a_signal_ends_training_with_a_checkpoint_and_it_goes_on_to_the_same_bits(
    tiny_encoder, notes, whole, tmp_path, monkeypatch, number, moment
):
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    original = getattr(loop.TrainingRun, moment)

    def told(self, *arguments):
        if self.progress.epoch == 1:
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingRun, moment, told)
        with pytest.raises(TrainingInterrupted, match="run the same again") as caught:
            fit(build(tiny_encoder, notes), notes, notes, config(tmp_path / "run"))
    assert caught.value.exit_code == 128 + number
    assert isinstance(caught.value, KeyboardInterrupt)
    assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    state = newest_checkpoint(tmp_path / "run").state
    assert state["epoch"] == 1
    assert state["batch"] > 0
    resumed = build(tiny_encoder, notes)
    fit(resumed, notes, notes, config(tmp_path / "run"))
    assert trained(resumed).keys() == whole.keys()
    for name, weight in trained(resumed).items():
        assert torch.equal(weight, whole[name])


def test_without_a_folder_or_off_the_main_thread_signals_act_as_ever(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with Interruption(None, bool):
        assert signal.getsignal(signal.SIGTERM) is before

    def elsewhere():
        with Interruption(tmp_path, bool) as interruption:
            assert not interruption.asked()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def heeding_interrupts():
    # What runs in the background of a shell may have been started deaf to them.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_interrupts")
def test_a_second_signal_acts_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught, Interruption(tmp_path, bool) as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        # Two that wait to be handled are one.
        while not interruption.asked():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    assert not isinstance(caught.value, TrainingInterrupted)


def test_a_signal_that_comes_after_the_last_step_is_not_lost(tmp_path):
    late = pytest.raises(TrainingInterrupted, match="when training was finished")
    with late, Interruption(tmp_path, bool):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_recipe_that_is_told_to_stop_says_one_line_and_ends_as_shells_expect(capsys):
    def recipe() -> None:
        raise TrainingInterrupted("stopped: run the same again", 143)

    with pytest.raises(SystemExit) as caught:
        run(recipe, [])
    assert caught.value.code == 143
    assert capsys.readouterr().err == "stopped: run the same again\n"


def test_a_workers_interruption_travels_to_its_parent():
    error = pickle.loads(pickle.dumps(TrainingInterrupted("stopped", 130)))
    assert (str(error), error.exit_code) == ("stopped", 130)
