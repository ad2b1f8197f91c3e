"""A fit that is refused leaves the model as it was, and one that began leaves nothing behind."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clinical_tl.errors import ClinicalTLError, ConfigError, NoteError, TaskError, TrainingError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.loop import TrainingRun
from clinical_tl.training.source_weights import weights_digest
from tests.tiny_encoders import write_encoder

WORDS = ["fever", "cough", "chills", "rash"]
NOTES = [
    Note(
        str(i),
        f"Seen for {WORDS[i % 4]} on day {i}.",
        label=WORDS[i % 2],
        codes=("R50.9",) if i % 2 else ("R05", "R50.9"),
        spans=(Span(9, 9 + len(WORDS[i % 4]), "P"),),
    )
    for i in range(12)
]
TRAIN, DEV = NOTES[:8], NOTES[8:]
QUICK = TrainingConfig(epochs=1, batch_tokens=256, progress=False)


def coder(encoder, **settings):
    task = DiagnosisCoding.from_notes(NOTES, describe_labels=False)
    return TransferModel.from_pretrained(encoder, task, window=32, **settings)


def state(model):
    rates = [m.p for m in model.network.modules() if isinstance(m, torch.nn.Dropout)]
    return weights_digest(model.network), model.task, rates, str(model.metrics)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, _: fit(m, []),
        lambda m, _: fit(m, TRAIN, []),
        lambda m, _: fit(m, [Note("x", "fever")], DEV),
        lambda m, _: fit(m, TRAIN, TRAIN),
        lambda m, _: fit(m, TRAIN, DEV, TrainingConfig(precision="fp16")),
        lambda m, _: fit(m, TRAIN, DEV, init_adapter=7),
        lambda m, other: fit(m, TRAIN, DEV, init_adapter=other),
        lambda m, _: fit(m, [Note("a", " ", codes=()), Note("b", "", codes=())][:0], DEV),
    ],
)
def test_a_refused_fit_changes_nothing(tiny_encoder, call):
    model = coder(tiny_encoder)
    fit(model, TRAIN, DEV, QUICK)
    assert model.task != model.task.untuned()
    other = coder(tiny_encoder, adapter=LoRA(r=3))
    before = state(model)
    with pytest.raises(ClinicalTLError):
        call(model, other)
    assert state(model) == before


def test_a_checkpoint_of_another_run_changes_nothing_either(tiny_encoder, tmp_path):
    folder = TrainingConfig(epochs=1, batch_tokens=256, progress=False, output_dir=tmp_path / "run")
    fit(coder(tiny_encoder), TRAIN, DEV, folder)
    model, source = coder(tiny_encoder), coder(tiny_encoder, seed=5)
    fit(model, TRAIN, DEV, QUICK)
    before = state(model)
    with pytest.raises(ConfigError, match="a checkpoint made with other"):
        fit(model, TRAIN, DEV, folder, init_adapter=source)
    assert state(model) == before


def test_a_checkpoint_of_other_starting_weights_is_not_this_runs(tiny_encoder, tmp_path):
    """Least of all the pretrained arm's, for the control from random weights."""
    folder = TrainingConfig(epochs=1, batch_tokens=256, progress=False, output_dir=tmp_path / "run")
    fit(coder(tiny_encoder), TRAIN, None, folder)
    with pytest.raises(ConfigError, match="made with other weights seed"):
        fit(coder(tiny_encoder, seed=1), TRAIN, None, folder)
    with pytest.raises(ConfigError, match="made with other weights;"):
        fit(coder(tiny_encoder, pretrained=False), TRAIN, None, folder)
    fit(coder(tiny_encoder), TRAIN, None, folder)


def test_dropout_of_one_fit_is_not_the_next_ones(tiny_encoder):
    model = coder(tiny_encoder)
    before = state(model)[2]
    fit(model, TRAIN, None, TrainingConfig(epochs=1, progress=False, dropout=0.5))
    assert state(model)[2] == before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_control_trains_in_the_precision_of_the_pretrained_arm(tmp_path, precision):
    """Whatever the config says of how the weights were stored."""
    folder = write_encoder(tmp_path / "e", "bert")
    config = (folder / "config.json").read_text().replace('"float32"', f'"{precision}"')
    assert precision in config
    (folder / "config.json").write_text(config)
    for adapter in (LoRA(r=2), "full", "frozen"):
        arms = [coder(folder, pretrained=p, adapter=adapter) for p in (True, False)]
        kinds = {p.dtype for model in arms for p in model.network.parameters()}
        assert kinds == {torch.float32}
        fit(arms[1], TRAIN, None, QUICK)


def test_batches_in_which_nothing_is_decided_are_no_end(tiny_encoder):
    blank = [Note(f"b{i}", " \n " if i % 2 else "", spans=(), label="fever") for i in range(40)]
    task = EntityRecognition.from_notes(NOTES)
    model = TransferModel.from_pretrained(tiny_encoder, task, window=32)
    config = TrainingConfig(epochs=2, batch_tokens=64, progress=False)
    result = fit(model, [*NOTES, *blank], None, config)
    assert all(epoch.loss is not None and epoch.loss > 0 for epoch in result.epochs)


@pytest.mark.parametrize("kind", [NoteClassification, EntityRecognition, DiagnosisCoding])
def test_nothing_is_learnt_from_blank_notes_which_are_counted(kind, tiny_encoder, caplog):
    task = kind.from_notes(NOTES)
    blank = [
        dataclasses.replace(note, note_id=f"b{i}", text="\u200b\n", spans=())
        for i, note in enumerate(NOTES[:5])
    ]
    weights = []
    for train in (NOTES, [*NOTES, *blank]):
        model = TransferModel.from_pretrained(tiny_encoder, task, window=32, seed=3)
        fit(model, train, None, QUICK)
        weights.append({name: p.clone() for name, p in model.network.trainable().items()})
    assert all(weights[1][name].equal(own) for name, own in weights[0].items())
    said = f"5 of {len(NOTES) + 5} training notes have no visible text"
    assert caplog.text.count(said) == 1
    with pytest.raises(NoteError, match="none of the 5 training notes has any visible text"):
        fit(model, blank, None, QUICK)


def test_l2_sp_needs_weights_of_the_encoder(tiny_encoder):
    with pytest.raises(ConfigError, match="no weight of the encoder is trained"):
        fit(coder(tiny_encoder, adapter="frozen"), TRAIN, None, TrainingConfig(l2_sp=0.1))


@pytest.mark.parametrize("architecture", ["longformer", "albert"])
@pytest.mark.parametrize("task", [NoteClassification, EntityRecognition, DiagnosisCoding])
def test_frozen_encoders_train_as_they_read(tmp_path, architecture, task):
    folder = write_encoder(tmp_path / "e", architecture)
    made = task.from_notes(NOTES, describe_labels=False) if task is DiagnosisCoding else None
    models = [
        TransferModel.from_pretrained(
            folder, made or task.from_notes(NOTES), adapter="frozen", window=32
        )
        for _ in range(2)
    ]
    config = TrainingConfig(epochs=3, batch_tokens=128, progress=False)
    fit(models[0], TRAIN, None, config)
    with pytest.MonkeyPatch.context() as patch:
        # The same training with nothing kept.
        patch.setattr("clinical_tl.network.feature_cache.DEFAULT_LIMIT", 0)
        patch.setattr("clinical_tl.training.loop.FeatureCache", lambda _: None)
        fit(models[1], TRAIN, None, config)
    first, second = (model.network.trainable() for model in models)
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], atol=1e-4, rtol=1e-3)


class Held:
    """A tensor kept for the backward pass, counted while it is."""

    now = most = 0

    def __init__(self, tensor):
        self.tensor = tensor
        Held.now += tensor.numel() * tensor.element_size()
        Held.most = max(Held.most, Held.now)

    def __del__(self):
        Held.now -= self.tensor.numel() * self.tensor.element_size()


@pytest.mark.parametrize("task", [NoteClassification, DiagnosisCoding])
def test_one_long_note_takes_no_more_memory_than_a_batch(tiny_encoder, task):
    def kept(words, budget=128):
        note = Note("long", "fever and cough " * words, label="fever", codes=("R05",))
        other = Note("other", "no", label="cough", codes=())
        settings = {} if task is NoteClassification else {"describe_labels": False}
        model = TransferModel.from_pretrained(
            tiny_encoder, task.from_notes([note, other], **settings), window=32
        )
        Held.now = Held.most = 0
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            fit(
                model,
                [note, other],
                None,
                TrainingConfig(epochs=1, batch_tokens=budget, progress=False),
            )
        return Held.most

    whole = kept(400, budget=100_000)
    print(task, kept(50), kept(400), whole)
    if task is NoteClassification:
        assert kept(400) < 3 * kept(50)
    # Label attention reads the tokens' last states of the whole note; the encoder's activations
    # (two small blocks here) are a batch's.
    assert kept(400) < whole / 3


@pytest.mark.parametrize("task", [NoteClassification, DiagnosisCoding])
@pytest.mark.parametrize("adapter", [LoRA(r=4), "full"])
def test_parts_that_are_computed_again_give_the_gradients_of_the_whole(tiny_encoder, task, adapter):
    note = Note("long", "fever and cough " * 60, label="fever", codes=("R05",))
    settings = {} if task is NoteClassification else {"describe_labels": False}
    made = task.from_notes([note, Note("o", "no", label="cough", codes=())], **settings)
    ends = []
    for budget in (128, 100_000):
        model = TransferModel.from_pretrained(tiny_encoder, made, adapter=adapter, window=32)
        fit(
            model,
            [note],
            None,
            TrainingConfig(
                epochs=2, batch_tokens=budget, dropout=0.0, attention_dropout=0.0, progress=False
            ),
        )
        ends.append(model.network.trainable())
    for name, weight in ends[0].items():
        torch.testing.assert_close(weight, ends[1][name], atol=1e-6, rtol=1e-4)


def test_an_interrupted_run_keeps_the_anchor_it_started_from(tiny_encoder, tmp_path):
    """In the same process, too, where the weights have moved since."""
    config = TrainingConfig(
        epochs=3, batch_tokens=256, l2_sp=0.5, progress=False, output_dir=tmp_path / "run"
    )
    whole = coder(tiny_encoder, adapter="full")
    fit(whole, TRAIN, None, dataclasses.replace(config, output_dir=None))
    model = coder(tiny_encoder, adapter="full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_epoch", _stops_after(TrainingRun._epoch, 1))
        with pytest.raises(KeyboardInterrupt):
            fit(model, TRAIN, None, config)
    fit(model, TRAIN, None, config)
    for name, weight in whole.network.trainable().items():
        torch.testing.assert_close(weight, model.network.trainable()[name], atol=0, rtol=0)


def _stops_after(epoch, n):
    done = []

    def stopping(run, *arguments):
        if len(done) == n:
            raise KeyboardInterrupt
        done.append(1)
        return epoch(run, *arguments)

    return stopping


def test_dev_notes_of_one_id_are_scored_by_their_place_in_several_processes(
    tiny_encoder, monkeypatch
):
    dev = [dataclasses.replace(note, note_id="same") for note in DEV]
    model = coder(tiny_encoder)
    run = TrainingRun(model.reader, QUICK, TRAIN, dev)
    expected, expected_loss, _ = run._dev_scores()
    told = []

    def keep(rows):
        told.extend(rows)
        raise StopIteration

    for rank in (0, 1):
        run.dev_encoded = None
        run.accelerator = SimpleNamespace(
            process_index=rank, num_processes=2, is_main_process=rank == 0
        )
        monkeypatch.setattr("accelerate.utils.gather_object", keep)
        with pytest.raises(StopIteration):
            run._dev_scores()
    monkeypatch.setattr("accelerate.utils.gather_object", lambda _: told)
    scores, loss, _ = run._dev_scores()
    assert scores == expected
    assert loss == pytest.approx(expected_loss, rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": "3"},
        {"epochs": 2.5},
        {"epochs": True},
        {"learning_rate": "1e-3"},
        {"learning_rate": float("inf")},
        {"learning_rate": 0.0},
        {"weight_decay": float("nan")},
        {"gradient_accumulation": 1.5},
        {"min_steps": None},
        {"label_smoothing": 1.0},
        {"seed": -1},
        {"seed": None},
        {"trackers": "tensorboard"},
        {"dp": "x"},
        {"metric": 1},
    ],
    ids=str,
)
def test_settings_of_the_wrong_kind_are_refused_when_they_are_made(settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=rf"TrainingConfig: {name}=.* \(allowed: "):
        TrainingConfig(**settings)


def test_a_last_step_to_no_numbers_is_refused_and_undone(tiny_encoder):
    model = coder(tiny_encoder)
    before = weights_digest(model.network)
    config = dataclasses.replace(QUICK, learning_rate=1e38, warmup=0.0, min_steps=0)
    with pytest.raises(TrainingError, match=r"(no numbers any more after|became nan at) step 1 "):
        fit(model, TRAIN, None, dataclasses.replace(config, batch_tokens=4096))
    assert weights_digest(model.network) == before


def test_dev_notes_without_labels_say_so(tiny_encoder):
    dev = [dataclasses.replace(note, codes=()) for note in DEV]
    with pytest.raises(ConfigError, match=f"the {len(dev)} dev notes have no label at all"):
        fit(coder(tiny_encoder), TRAIN, dev, QUICK)


def test_what_needs_dev_notes_is_said_to_be_without_effect(tiny_encoder, caplog):
    config = dataclasses.replace(QUICK, metric="accurcy", patience=1)
    fit(coder(tiny_encoder), TRAIN, None, config)
    assert "no dev notes, so metric='accurcy' and patience=1 choose nothing" in caplog.text


def test_mentions_beyond_the_text_are_refused(tiny_encoder):
    beyond = dataclasses.replace(NOTES[0], note_id="far", spans=(Span(0, 10_000, "fever"),))
    task = EntityRecognition.from_notes(NOTES)
    model = TransferModel.from_pretrained(tiny_encoder, task, window=32)
    with pytest.raises(TaskError, match=r"1 of \d+ notes have spans that end beyond .*\['far'\]"):
        fit(model, [*NOTES, beyond], None, QUICK)


def test_numbers_of_numpy_are_numbers():
    config = TrainingConfig(epochs=np.int64(3), learning_rate=np.float32(1e-3), dropout=0)
    assert config.epochs == 3
