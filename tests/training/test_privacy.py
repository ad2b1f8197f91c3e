"""Private training: gradients a note, clipped and noised by the book; ε that is accounted for."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ConfigError, MissingExtraError, TrainingError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.heads import SequenceHead
from clinical_tl.network.lora import LoRA
from clinical_tl.network.network import Network
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.text.batches import Item
from clinical_tl.text.windows import Window
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.dp import DP, PrivacyReport
from clinical_tl.training.fitting import fit
from clinical_tl.training.loop import TrainingRun
from clinical_tl.training.privacy import PrivateTraining
from clinical_tl.training.seeds import mix_seeds
from clinical_tl.transfer.self_training import self_train

pytest.importorskip("opacus", reason="the extra [privacy] is not installed")

PRIVATE = DP(target_epsilon=8.0, delta=1e-3, notes_per_step=4, noise_seed=1)
QUICK = TrainingConfig(epochs=1, batch_tokens=256, dropout=0.0, progress=False, dp=PRIVATE)
TASKS = [NoteClassification, EntityRecognition, DiagnosisCoding, RelationExtraction]


@pytest.fixture
def notes(synthetic_notes):
    return as_notes(synthetic_notes.select(range(12)))


def build(encoder, notes, task=NoteClassification):
    model = TransferModel.from_pretrained(
        encoder, task.from_notes(notes), adapter=LoRA(r=2), window=48, overlap=12
    )
    with torch.no_grad(), torch.random.fork_rng():
        # B starts at 0, where A has no gradient.
        torch.manual_seed(1)
        for parameter in model.network.trainable().values():
            parameter += 0.1 * torch.randn_like(parameter)
        if model.network.head is not None:
            model.network.head.dropout.p = 0.0
    return model


def training_run(model, notes, config=QUICK):
    run = TrainingRun(model.reader, config, notes, None)
    model.network.eval()
    run.features = None
    return run


def note_gradients(run, note):
    """Of the mean loss of one note's decisions, all its items in one batch, by autograd."""
    positions = run.private.positions[note]
    names = list(run.network.trainable())
    if not positions:
        return {name: torch.zeros_like(p) for name, p in run.network.trainable().items()}
    batch = run.windowed.batch(positions)
    logits, gold = run.task.decisions(run.network(batch), batch, run.targets)
    loss = run.task.losses(logits, gold).mean()
    found = torch.autograd.grad(loss, run.network.trainable().values(), allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g
        for name, p, g in zip(names, run.network.trainable().values(), found, strict=True)
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_steps_gradient_is_the_clipped_sum_of_the_notes(tiny_encoder, notes, task):
    """All a note's windows and examples are one sample; other notes change nothing of it."""
    run = training_run(build(tiny_encoder, notes, task), notes)
    private = run.private
    assert len(private.positions) == len(notes)
    single = task in (NoteClassification, DiagnosisCoding)
    assert single or any(len(own) > 1 for own in private.positions)
    drawn = [0, 3, 5, 8]
    loop = [note_gradients(run, note) for note in drawn]
    norms = [torch.cat([g.flatten() for g in own.values()]).norm() for own in loop]
    clip = float(torch.stack(norms).median()) * 1.0001
    private.dp = replace(PRIVATE, max_grad_norm=clip)
    private.noise_multiplier = 0.0
    batch = [p for note in drawn for p in private.positions[note]]
    private.set_gradients(batch, 0, run._note_backward)
    assert sum(bool(norm > clip) for norm in norms) in (1, 2)
    for name, parameter in run.network.trainable().items():
        expected = sum(
            g[name] * min(1.0, clip / float(n)) for g, n in zip(loop, norms, strict=True)
        )
        torch.testing.assert_close(parameter.grad, expected / 4, atol=1e-6, rtol=1e-4)


def test_a_notes_gradient_is_the_one_of_vectorised_differentiation(tiny_encoder, notes):
    """Against torch.func: one vmap over notes of one window each, with nothing of the loop."""
    words = ["no", "fever", "cough", "pain", "in", "chest", "and", "left", "arm", "since", "monday"]
    # Of one length and without the fused kernel, as vmap follows neither masks nor that.
    rotated = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    short = [replace(n, text=text) for n, text in zip(notes, rotated, strict=False)]
    run = training_run(build(tiny_encoder, short), short)
    run.network.model.get_base_model().set_attn_implementation("eager")
    batch = run.windowed.batch(range(len(run.items)))
    length = int(batch.attention_mask[0].sum())
    assert {int(row.sum()) for row in batch.attention_mask} == {length}
    trainable = dict(run.network.trainable())

    def loss(parameters, ids, gold):
        logits = torch.func.functional_call(
            run.network.model,
            {name.removeprefix("model."): p for name, p in parameters.items()},
            kwargs={"input_ids": ids[None]},
        ).logits
        return functional.cross_entropy(logits, gold[None])

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    vectorised = each(
        {name: p.detach() for name, p in trainable.items()},
        batch.input_ids[:, :length],
        torch.tensor(run.targets),
    )
    for note in (0, 7):
        run.private.dp = replace(PRIVATE, max_grad_norm=1e6, notes_per_step=1)
        run.private.noise_multiplier = 0.0
        run.private.set_gradients(run.private.positions[note], 0, run._note_backward)
        for name, parameter in trainable.items():
            torch.testing.assert_close(parameter.grad, vectorised[name][note], atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_adapter_and_head_train_and_the_model_says_what_was_spent(
    tiny_encoder, notes, task, tmp_path, monkeypatch
):
    """Without noise, so that what moves is what learns."""
    model = build(tiny_encoder, notes, task)
    before = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    config = replace(QUICK, warmup=0.0, weight_decay=0.0, output_dir=tmp_path / "run")
    monkeypatch.setattr("clinical_tl.training.privacy._calibrate", lambda *_: (0.0, 7.99))
    result = fit(model, notes, config=config)
    moved = {n for n, p in model.network.named_parameters() if not torch.equal(p, before[n])}
    trainable = set(model.network.trainable())
    assert {n for n in trainable if "lora_" in n} <= moved <= trainable
    assert any(model.network.is_head(name) for name in moved)
    assert result.privacy.epsilon == 7.99
    folder = model.save_pretrained(tmp_path / "model")
    saved = json.loads((folder / "metrics.json").read_text())["training"]
    assert saved["privacy"] == asdict(result.privacy)
    # Nothing that was computed of the training notes without noise is kept.
    assert (saved["tokens"], saved["epochs"][0]["loss"]) == (0, None)
    log = [json.loads(x) for x in (tmp_path / "run" / "train_log.jsonl").read_text().splitlines()]
    assert all(row.get("loss") is None and "tokens" not in row for row in log)


def test_without_noise_and_clipping_it_is_ordinary_training(tiny_encoder, notes, monkeypatch):
    """Where each step draws everybody: the same weights, after steps that learn."""
    monkeypatch.setattr("clinical_tl.training.privacy._calibrate", lambda *_: (0.0, 8.0))
    dp = replace(PRIVATE, notes_per_step=len(notes), max_grad_norm=1e6)
    ends, surprise = [], []
    for config in (
        replace(QUICK, dp=dp),
        replace(QUICK, dp=None, batch_tokens=100_000, max_grad_norm=1e6),
    ):
        config = replace(config, head_init="random")
        model = build(tiny_encoder, notes)
        # Private training weighs all classes the same, and starts from random weights.
        model.task = model.task.weighted(None)
        for _ in range(2):
            pairs = zip(notes, model.predict(notes, progress=False), strict=True)
            surprise.append(-sum(math.log(p.scores[note.label]) for note, p in pairs) / len(notes))
            if len(surprise) % 2:
                fit(model, notes, config=replace(config, epochs=8))
        ends.append({n: p.detach().clone() for n, p in model.network.trainable().items()})
    assert surprise[1] < surprise[0] - 0.05
    for name in ends[0]:
        torch.testing.assert_close(ends[0][name], ends[1][name], atol=1e-4, rtol=1e-2)


def private_training(n_notes=100, items=None, **settings):
    dp = DP(**{"target_epsilon": 8.0, "delta": 1e-3, "notes_per_step": 10, **settings})
    items = items or [Item(i, (Window(0, 4, 0, 4),)) for i in range(n_notes)]
    network = Network(torch.nn.Linear(50, 40), SequenceHead(("a", "b")))
    return PrivateTraining(dp, network, [[None]] * n_notes, items, epochs=50)


def test_notes_are_drawn_one_by_one_with_all_their_items():
    items = [Item(i // 2, (Window(0, 4, 0, 4),)) for i in range(200)]
    private = private_training(items=items, noise_seed=3)
    plans = [private.plan(epoch) for epoch in range(50)]
    assert plans == [private.plan(epoch) for epoch in range(50)]
    assert plans[0] != plans[1]
    steps = [step for plan in plans for step in plan]
    assert len(steps) == private.report.steps == 500
    assert all({p ^ 1 for p in step} == set(step) for step in steps)
    sizes = np.array([len(step) / 2 for step in steps])
    # Binomial(100, 0.1): shuffled batches would all have ten.
    assert sizes.mean() == pytest.approx(10, abs=4 * 3 / math.sqrt(500))
    assert sizes.std() == pytest.approx(3, rel=0.15)
    counts = np.bincount([p // 2 for step in steps for p in step[::2]], minlength=100)
    assert counts.std() == pytest.approx(math.sqrt(500 * 0.09), rel=0.3)


def test_a_step_that_draws_nobody_still_is_noise():
    private = private_training(noise_seed=3, max_grad_norm=2.0)
    gradients = []
    for step in (0, 0, 1):
        private.set_gradients([], step, lambda *_: pytest.fail("nobody was drawn"))
        drawn = [p.grad.flatten() for p in private.network.parameters()]
        gradients.append(torch.cat(drawn))
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[0], gradients[2])
    expected = private.noise_multiplier * 2.0 / 10
    assert float(gradients[0].std()) == pytest.approx(expected, rel=0.1)
    assert abs(float(gradients[0].mean())) < 4 * expected / math.sqrt(2040)


def test_noise_without_a_seed_differs_from_run_to_run():
    first, second = (private_training() for _ in range(2))
    assert first.plan(0) != second.plan(0)
    assert not first.report.repeatable
    assert "seed was not kept" in first.report.statement
    assert private_training(noise_seed=1).report.repeatable


def test_epsilon_is_that_of_the_gaussian_mechanism():
    """Where every note is in every step the Rényi divergence is α T / (2 σ²), by hand.

    Mironov 2017 (arXiv 1702.07476), proposition 7; to (ε, δ) by Canonne et al. 2020, theorem 21.
    """
    private = private_training(notes_per_step=100, target_epsilon=3.0)
    sigma, steps = private.noise_multiplier, private.report.steps
    assert steps == 50
    orders = np.array([1 + x / 10 for x in range(1, 100)] + list(range(12, 64)))
    divergence = orders * steps / (2 * sigma**2)
    bound = divergence + np.log1p(-1 / orders) - (np.log(1e-3) + np.log(orders)) / (orders - 1)
    assert private.report.epsilon == pytest.approx(bound.min(), rel=1e-6)
    assert 2.9 < private.report.epsilon <= 3.0


def test_less_privacy_takes_less_noise():
    multipliers = [private_training(target_epsilon=e).noise_multiplier for e in (1.0, 4.0, 16.0)]
    assert multipliers == sorted(multipliers, reverse=True)
    report = private_training(target_epsilon=1.0).report
    assert 0.95 < report.epsilon <= 1.0
    assert f"ε = {report.epsilon:.3g} at δ = 0.001" in report.statement


def test_a_patients_notes_are_protected_less():
    report = PrivacyReport(0.5, 1e-6, 1.0, 1.0, 0.1, 10, 100, False, "")
    assert report.for_notes(1) == (0.5, 1e-6)
    assert report.for_notes(3) == (1.5, pytest.approx(3 * math.e * 1e-6))
    with pytest.raises(ConfigError, match="at least 1 note"):
        report.for_notes(0)


def test_settings_out_of_range_are_all_named():
    with pytest.raises(ConfigError, match=r"target_epsilon=0 .*delta=1\.0 .*max_grad_norm=-1 "):
        DP(target_epsilon=0, delta=1.0, max_grad_norm=-1)
    with pytest.raises(ConfigError, match="dp"):
        TrainingConfig(precision="fp16", dp=PRIVATE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delta": 0.1}, r"delta=0\.1 allows to publish a note"),
        ({"notes_per_step": 13}, "notes_per_step=13, but there are 12 training notes"),
        ({"target_epsilon": 1e-9}, "can't be reached"),
    ],
)
def test_what_can_not_be_private_is_refused(tiny_encoder, notes, settings, message):
    model = build(tiny_encoder, notes)
    with pytest.raises(ConfigError, match=message):
        training_run(model, notes, replace(QUICK, dp=replace(PRIVATE, **settings)))


def test_networks_and_tasks_that_mix_notes_are_refused(tiny_encoder, notes):
    model = build(tiny_encoder, notes)
    model.network.model.norm = torch.nn.BatchNorm1d(3)
    with pytest.raises(ConfigError, match=r"batch normalisation \(model\.norm\)"):
        training_run(model, notes)
    model = build(tiny_encoder, notes, RelationExtraction)
    model.task = replace(model.task, negatives_per_positive=2.0)
    with pytest.raises(ConfigError, match="negatives_per_positive"):
        training_run(model, notes)


def test_a_gradient_that_is_not_finite_stops_training(tiny_encoder, notes):
    run = training_run(build(tiny_encoder, notes), notes)

    def backward(*_):
        next(iter(run.network.trainable().values())).grad = torch.full((2, 32), math.inf)
        return torch.zeros(())

    with pytest.raises(TrainingError, match="not finite at step 5"):
        run.private.set_gradients([0], 4, backward)


def test_without_opacus_the_error_says_what_to_install(tiny_encoder, notes, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clinical-tl\[privacy\]'"):
        training_run(build(tiny_encoder, notes), notes)


def test_a_note_moves_the_summed_gradients_by_its_clipped_norm_under_dropout_too():
    """Masks that depended on the other notes drawn would move them all."""
    private = private_training(noise_seed=3, max_grad_norm=0.1)
    private.noise_multiplier = 0.0
    parameters = list(private.network.parameters())

    def backward(positions, number):
        torch.manual_seed(mix_seeds(0, number))
        values = torch.nn.functional.dropout(torch.ones(50), 0.5) * (1 + positions[0])
        loss = private.network.model(values).sum()
        loss.backward()
        return loss.detach()

    sums = []
    for batch in (list(range(12)), list(range(1, 12))):
        private.set_gradients(batch, 0, backward)
        sums.append([p.grad * private.dp.notes_per_step for p in parameters])
    apart = torch.stack([(a - b).norm() for a, b in zip(*sums, strict=True)]).norm()
    assert float(apart) <= 0.1 * (1 + 1e-5)


def test_trainings_of_one_model_add_up(tiny_encoder, notes):
    model = build(tiny_encoder, notes)
    first = fit(model, notes, config=QUICK).privacy
    fit(model, notes, config=QUICK)
    total = model.metrics["training"]["privacy"]
    assert total["epsilon"] == pytest.approx(2 * first.epsilon)
    assert total["delta"] == pytest.approx(2 * first.delta)
    assert "Over all trainings of these weights" in total["statement"]
    with pytest.raises(ConfigError, match="statistics of its training notes"):
        model.fit_novelty(notes)


def test_noise_does_not_make_up_for_a_training_without_it(tiny_encoder, notes):
    model = build(tiny_encoder, notes)
    fit(model, notes, config=replace(QUICK, dp=None))
    with pytest.raises(ConfigError, match="trained without privacy before"):
        fit(model, notes, config=QUICK)
    with pytest.raises(ConfigError, match="which no single ε tells"):
        self_train(model, notes[:4], notes[4:], notes[:4], QUICK, allow_leakage=True)


def test_a_floor_of_steps_never_spends_more_than_was_accounted_for(tiny_encoder, notes):
    config = replace(QUICK, epochs=None, batch_tokens=None)
    run = training_run(build(tiny_encoder, notes), notes, config)
    planned = sum(len(run._plan(epoch)) for epoch in range(run.schedule.epochs))
    assert planned == run.private.report.steps < config.min_steps
