import json
import logging
from dataclasses import replace
from unittest.mock import ANY

import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ArtifactError, ConfigError, NoteError, TaskError, TrainingError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import LabelSet, Note
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training import fitting
from clinical_tl.training.checkpoint import newest_checkpoint
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.optimiser import build_optimiser, set_rates
from clinical_tl.training.regularisers import l2_sp, starting_point

QUICK = TrainingConfig(epochs=2, batch_tokens=512, progress=False)


@pytest.fixture
def notes(synthetic_notes):
    return synthetic_notes.select(range(16))


@pytest.fixture
def model(tiny_encoder, notes):
    return build(tiny_encoder, notes)


def build(encoder, notes, task=NoteClassification, **settings):
    return TransferModel.from_pretrained(
        encoder, task.from_notes(notes), window=64, overlap=16, **settings
    )


def weights(model):
    return {name: p.detach().clone() for name, p in model.network.trainable().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny_encoder, notes):
    ends = []
    for seed in (1, 1, 2):
        trained = build(tiny_encoder, notes)
        torch.manual_seed(len(ends))  # What ran before must not matter.
        fit(trained, notes, config=replace(QUICK, seed=seed))
        ends.append(weights(trained))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


def test_dev_scores_are_those_of_the_tuned_thresholds(tiny_encoder, notes):
    trained = build(tiny_encoder, notes, DiagnosisCoding)
    fit(trained, notes, notes, QUICK, allow_leakage=True)
    scores = trained.task.evaluate(notes, trained.predict(notes, progress=False)).summary()
    assert trained.metrics["dev"] == pytest.approx(scores)
    assert trained.task.thresholds.global_threshold != 0.5


def test_training_leaves_the_callers_random_numbers_alone(model, notes):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fit(model, notes, config=QUICK)
    assert torch.rand(1) == expected


@pytest.mark.parametrize("task", [NoteClassification, EntityRecognition])
def test_accumulated_gradients_are_those_of_one_batch(tiny_encoder, notes, task):
    """The loss is the mean over the whole batch, however unequal its parts are."""
    ends = []
    for batch_tokens, accumulation in ((4096, 1), (1024, 4)):
        trained = build(tiny_encoder, notes, task)
        config = TrainingConfig(
            epochs=2,
            batch_tokens=batch_tokens,
            gradient_accumulation=accumulation,
            dropout=0.0,
            progress=False,
            # Where the probe starts gradients are next to nothing, and Adam makes much of nothing.
            head_init="random",
        )
        fit(trained, notes, config=config)
        ends.append(weights(trained))
    for name in ends[0]:
        torch.testing.assert_close(ends[0][name], ends[1][name], atol=1e-5, rtol=1e-3)


def dev_scores(monkeypatch, trained, values):
    """Dev notes score `values` in turn; gives the list of the weights that were scored."""
    left, seen = iter(values), []

    class Scores:
        def summary(self):
            return {"macro_f1": next(left, 0.0)}

    def scored(*_):
        seen.append(weights(trained))
        return Scores()

    monkeypatch.setattr(NoteClassification, "evaluate", scored)
    return seen


def test_the_best_epochs_weights_are_kept_and_training_stops(tiny_encoder, notes, monkeypatch):
    """With dev scores that fall after epoch 2, epoch 2 is what the model ends with."""
    trained = build(tiny_encoder, notes)
    # Asked once before training, for the names of the metrics, and once of the head's start.
    seen = dev_scores(monkeypatch, trained, [0.0, 0.1, 0.3, 0.6, 0.5, 0.4, 0.3, 0.2])
    result = fit(trained, notes, notes, replace(QUICK, epochs=6, patience=2), allow_leakage=True)
    assert (result.best_epoch, result.best_value) == (2, 0.6)
    assert result.stopped_early
    assert len(result.epochs) == 4
    assert same(weights(trained), seen[3])
    assert not same(weights(trained), seen[5])


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        # By luck alone the best of four looks better by 1.67 standard errors.
        ([0.1, 0.6, 0.5, 0.55], 3),
        ([0.1, 0.9, 0.3, 0.2], 1),
        ([0.1, 0.2, 0.3, 0.4], 3),
    ],
)
def test_the_end_is_kept_unless_an_epoch_was_better_by_more_than_luck(
    tiny_encoder, notes, monkeypatch, scores, best
):
    trained = build(tiny_encoder, notes)
    seen = dev_scores(monkeypatch, trained, [0.0, *scores])
    few = as_notes(notes)[:20]
    result = fit(trained, few, few, replace(QUICK, epochs=3), allow_leakage=True)
    assert (result.best_epoch, result.best_value) == (best, scores[best])
    assert same(weights(trained), seen[best + 1])


def test_a_start_that_no_epoch_beats_is_kept(tiny_encoder, notes, monkeypatch):
    trained = build(tiny_encoder, notes)
    seen = dev_scores(monkeypatch, trained, [0.0, 0.9, 0.3, 0.6])
    result = fit(trained, notes, notes, replace(QUICK, epochs=2), allow_leakage=True)
    assert (result.best_epoch, result.best_value) == (0, 0.9)
    assert same(weights(trained), seen[1])
    assert not same(weights(trained), seen[2])


def test_a_loss_that_is_no_number_stops_training_and_names_notes(model, notes, monkeypatch):
    monkeypatch.setattr(
        NoteClassification, "losses", lambda *given, **_: given[1].sum(-1) * float("nan")
    )
    before = weights(model)
    with pytest.raises(TrainingError, match=r"became nan at step 1 .*notes \['") as caught:
        fit(model, notes, config=replace(QUICK, head_init="random"))
    assert same(before, weights(model))
    assert not any(note.text[:30] in str(caught.value) for note in as_notes(notes))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, None])
def test_a_run_that_ends_early_leaves_the_model_as_it_was(tiny_encoder, notes, monkeypatch, error):
    """It would pass for a new one that has seen no note, and go on from where it was."""
    model, whole = (build(tiny_encoder, notes) for _ in range(2))
    before, task = weights(model), model.task
    losses, done = NoteClassification.losses, []

    def failing(*given, **settings):
        done.append(1)
        found = losses(*given, **settings)
        if len(done) < 3:
            return found
        if error is None:
            return found * float("nan")
        raise error("in the third step")

    with monkeypatch.context() as patch:
        patch.setattr(NoteClassification, "losses", failing)
        with pytest.raises(error or TrainingError):
            fit(model, notes, notes, QUICK, allow_leakage=True)
    assert same(before, weights(model))
    assert (model.task, model.seen, model.metrics) == (task, None, {})
    fit(model, notes, config=QUICK)
    fit(whole, notes, config=QUICK)
    assert same(weights(model), weights(whole))


def test_what_fails_after_training_does_not_lose_it(tiny_encoder, notes, monkeypatch):
    """Nor what the model has seen, by which a leak is known."""
    model, whole = (build(tiny_encoder, notes) for _ in range(2))

    def failing(*_given, **_settings):
        raise OSError("in the dev scores")

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "record_scores", failing)
        with pytest.raises(OSError, match="dev scores"):
            fit(model, notes[:8], notes[8:], QUICK, allow_leakage=True)
    fit(whole, notes[:8], notes[8:], QUICK, allow_leakage=True)
    assert same(weights(model), weights(whole))
    assert model.metrics["training"] == whole.metrics["training"] | {"seconds": ANY, "epochs": ANY}
    with pytest.raises(NoteError, match="share"):
        model.evaluate(notes[:8])


def test_scores_of_other_weights_are_forgotten(tiny_encoder, notes):
    model = build(tiny_encoder, notes)
    fit(model, notes[:8], notes[8:12], QUICK, allow_leakage=True)
    model.evaluate(notes[12:], allow_leakage=True)
    assert {"dev", "test", "evaluated", "leakage"} <= set(model.metrics)
    fit(model, notes, config=QUICK)
    assert set(model.metrics) == {"training"}


def test_ids_that_are_texts_are_not_quoted_where_the_loss_is_no_number(model, notes, monkeypatch):
    monkeypatch.setattr(
        NoteClassification, "losses", lambda *given, **_: given[1].sum(-1) * float("nan")
    )
    texts = [replace(note, note_id=note.text) for note in as_notes(notes)]
    with pytest.raises(TrainingError, match=r"notes \['<id of \d+ characters>'") as caught:
        fit(model, texts, config=QUICK)
    assert not any(note.text[:20] in str(caught.value) for note in texts)


def test_empty_sets_are_refused(model, notes):
    with pytest.raises(TrainingError, match="no training notes"):
        fit(model, [])
    with pytest.raises(TrainingError, match="dev set is empty"):
        fit(model, notes, [], QUICK)


def test_training_notes_with_labels_the_task_lacks_are_refused(model):
    with pytest.raises(TaskError, match=r"1 labels .*\['dermatology'\]"):
        fit(model, [Note("x", "Rash.", label="dermatology")], config=QUICK)


def test_labels_without_an_example_are_named(tiny_encoder, notes, caplog):
    task = NoteClassification.from_notes(notes)
    wider = replace(task, labels=LabelSet((*task.labels.names, "zoology")))
    trained = TransferModel.from_pretrained(tiny_encoder, wider)
    with caplog.at_level(logging.WARNING):
        fit(trained, notes, config=QUICK)
    assert "have no training example, e.g. ['zoology']" in caplog.text


def test_dev_notes_are_read_once_an_epoch_and_not_once_more(tiny_encoder, notes, monkeypatch):
    task = DiagnosisCoding.from_notes(notes)
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter=LoRA(r=2))
    config = TrainingConfig(epochs=3, progress=False, precision="no")
    monkeypatch.setattr(TransferModel, "predict", None)
    fit(model, notes, notes, config, allow_leakage=True)
    monkeypatch.undo()
    again = model.evaluate(notes, name="again", allow_leakage=True, progress=False).summary()
    assert model.metrics["dev"] == again


def test_dev_labels_not_seen_in_training_are_counted(model, notes, caplog):
    dev = [*as_notes(notes), Note("x", "Rash.", label="dermatology")]
    with caplog.at_level(logging.WARNING):
        fit(model, notes, dev, QUICK, allow_leakage=True)
    assert "1 labels (1 occurrences) of the dev notes were not seen" in caplog.text


def test_the_log_holds_numbers_and_no_text(model, notes, tmp_path):
    result = fit(
        model,
        notes,
        notes,
        replace(QUICK, output_dir=tmp_path, trackers=("tensorboard",)),
        allow_leakage=True,
    )
    text = (tmp_path / "train_log.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, result.steps + 1))
    epochs = [line for line in lines if "epoch" in line]
    assert [line["dev"]["macro_f1"] for line in epochs] == [
        epoch.dev["macro_f1"] for epoch in result.epochs
    ]
    for note in as_notes(notes):
        assert note.text[:40] not in text
    events = list((tmp_path / "trackers").glob("events.out.tfevents.*"))
    assert len(events) == 1
    assert events[0].stat().st_size > 500


def test_a_checkpoint_of_other_settings_is_refused(tiny_encoder, notes, tmp_path):
    fit(build(tiny_encoder, notes), notes, config=replace(QUICK, output_dir=tmp_path))
    other = replace(QUICK, output_dir=tmp_path, weight_decay=0.5)
    with pytest.raises(ConfigError, match="made with other weight_decay; use another output_dir"):
        fit(build(tiny_encoder, notes), notes, config=other)
    with pytest.raises(ConfigError, match="training notes"):
        fit(
            build(tiny_encoder, notes),
            notes.select(range(15)),
            config=replace(QUICK, output_dir=tmp_path),
        )
    result = fit(build(tiny_encoder, notes), notes, config=replace(other, resume=False))
    assert result.steps > 0


def test_a_checkpoint_knows_annotation_dev_encoder_adapter_and_windows(
    tiny_encoder, notes, tmp_path, tmp_path_factory
):
    from tests.tiny_encoders import write_encoder

    task = NoteClassification.from_notes(notes)
    records = as_notes(notes)
    config = replace(QUICK, output_dir=tmp_path)

    def model(encoder=tiny_encoder, **settings):
        return TransferModel.from_pretrained(
            encoder, task, **{"adapter": LoRA(r=2), "window": 64, "overlap": 16, **settings}
        )

    first = model()
    fit(first, records, records[:4], config, allow_leakage=True)
    other_label = next(name for name in task.labels if name != records[0].label)
    corrected = [replace(records[0], label=other_label), *records[1:]]
    for changed, train, dev, named in (
        (model(), corrected, records[:4], "training notes"),
        (model(), records, None, "dev notes"),
        (model(), records, corrected[:4], "dev notes"),
        (model(write_encoder(tmp_path_factory.mktemp("b"), "bert", seed=9)), *[records] * 2, "enc"),
        (model(adapter=LoRA(r=2, alpha=64)), records, records[:4], "adapter"),
        (model(adapter="full"), records, records[:4], "adapter"),
        (model(window=48), records, records[:4], "windows"),
    ):
        with pytest.raises(ConfigError, match=f"made with other .*{named}"):
            fit(changed, train, dev, config, allow_leakage=True)
    again = model()
    fit(again, records, records[:4], config, allow_leakage=True)
    assert same(weights(again), weights(first))
    # A cell of a notebook that is run twice finds its finished run.
    fit(again, records, records[:4], config, allow_leakage=True)
    assert same(weights(again), weights(first))
    with pytest.raises(ConfigError, match="earlier training"):
        warm = model()
        fit(warm, records[:6], None, QUICK)
        fit(warm, records, records[:4], config, allow_leakage=True)


def test_a_broken_checkpoint_is_passed_over_and_all_broken_ones_say_what_to_do(
    tiny_encoder, notes, tmp_path, caplog
):
    config = replace(QUICK, output_dir=tmp_path)
    first = build(tiny_encoder, notes)
    fit(first, notes, config=config)
    older, newest = sorted(tmp_path.glob("checkpoint-*/weights.safetensors"))
    newest.write_bytes(newest.read_bytes()[:100])
    again = build(tiny_encoder, notes)
    fit(again, notes, config=config)
    assert f"Going on from {older.parent.name}" in caplog.text
    assert same(weights(again), weights(first))
    for file in tmp_path.glob("checkpoint-*/state.json"):
        file.write_text("{}")
    with pytest.raises(ArtifactError, match="resume=False"):
        fit(build(tiny_encoder, notes), notes, config=config)


def test_a_checkpoint_that_does_not_fit_is_refused_in_the_family(tiny_encoder, notes, tmp_path):
    config = replace(QUICK, output_dir=tmp_path)
    fit(build(tiny_encoder, notes), notes, config=config)
    found = newest_checkpoint(tmp_path)
    for wrong in (
        replace(found, weights={name: w[:1] for name, w in found.weights.items()}),
        replace(found, weights={}),
        replace(found, state={k: v for k, v in found.state.items() if k != "scaler"}),
        replace(found, state={**found.state, "epochs": 3}),
    ):
        wrong.save(tmp_path)
        with pytest.raises(ArtifactError, match="does not fit this model, or is damaged"):
            fit(build(tiny_encoder, notes), notes, config=config)


def test_bf16_trains_and_fp16_needs_a_gpu(model, notes):
    result = fit(model, notes, notes, replace(QUICK, precision="bf16"), allow_leakage=True)
    assert result.precision == "bf16"
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="needs a GPU"):
            fit(model, notes, config=replace(QUICK, precision="fp16"))


@pytest.mark.parametrize(
    "setting", [{"r_drop": 1.0}, {"l2_sp": 0.1}, {"label_smoothing": 0.2}, {"dropout": 0.5}]
)
def test_each_regulariser_changes_training(tiny_encoder, notes, setting):
    plain, regularised = build(tiny_encoder, notes), build(tiny_encoder, notes)
    fit(plain, notes, config=QUICK)
    fit(regularised, notes, config=replace(QUICK, **setting))
    assert not same(weights(plain), weights(regularised))


@pytest.mark.parametrize("adapter", [LoRA(r=2), "full"], ids=["lora", "full"])
def test_l2_sp_is_half_the_squared_distance_of_the_weights(tiny_encoder, notes, adapter):
    trained = build(tiny_encoder, notes, adapter=adapter)
    start = starting_point(trained.network)
    merged_before = _encoder_weights(trained)
    assert l2_sp(trained.network, start).item() == 0.0
    fit(trained, notes, config=replace(QUICK, learning_rate=1e-2))
    merged_after = _encoder_weights(trained)
    expected = sum(
        ((merged_after[name] - merged_before[name]) ** 2).sum().item() for name in merged_before
    )
    assert expected > 0
    assert l2_sp(trained.network, start).item() == pytest.approx(expected / 2, rel=1e-3)


def _encoder_weights(model):
    from clinical_tl.network.structure import base_model
    from clinical_tl.network.weights import merged_model

    merged = merged_model(model.network)
    heads = ("pooler",)
    return {
        name: p.detach().clone()
        for name, p in base_model(merged).named_parameters()
        if not name.startswith(heads)
    }


def test_a_strong_l2_sp_keeps_the_encoder_where_it_was(tiny_encoder, notes):
    distances = []
    for strength in (0.0, 100.0):
        trained = build(tiny_encoder, notes, adapter="full")
        start = starting_point(trained.network)
        fit(trained, notes, config=replace(QUICK, epochs=4, learning_rate=1e-3, l2_sp=strength))
        distances.append(l2_sp(trained.network, start).item())
    assert distances[1] < distances[0] / 2


def test_adapter_and_head_have_their_own_rates_and_norms_do_not_decay(model):
    config = TrainingConfig(learning_rate=3e-4, head_learning_rate=7e-3, weight_decay=0.2)
    optimiser = build_optimiser(model.network, config)
    rates = {}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            rates[parameter] = (group["lr"], group["weight_decay"])
    trainable = model.network.trainable()
    assert set(rates) == set(trainable.values())
    for name, parameter in trainable.items():
        rate = 7e-3 if model.network.is_head(name) else 3e-4
        assert rates[parameter] == (rate, 0.2 if parameter.ndim > 1 else 0.0)


def test_rates_climb_and_fall_in_straight_lines():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([{"params": [parameter], "lr": 1.0, "peak": 1.0}])
    shares = [set_rates(optimiser, step, 10, 0.2) for step in range(11)]
    assert shares == [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0]
    assert optimiser.param_groups[0]["lr"] == 0.0


def test_wrong_settings_are_all_named_at_once():
    with pytest.raises(ConfigError, match=r"epochs=0 .*warmup=2 "):
        TrainingConfig(epochs=0, warmup=2)


def test_an_unknown_metric_is_refused_with_those_there_are(model, notes):
    with pytest.raises(ConfigError, match=r"'f7' is none that .*; allowed: \['accuracy'"):
        fit(model, notes, notes, replace(QUICK, metric="f7"), allow_leakage=True)
