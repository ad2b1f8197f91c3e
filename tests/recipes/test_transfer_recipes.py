"""The recipes of transfer on a few synthetic notes, with a tiny encoder; resumed, they rest."""

import json
from dataclasses import replace
from functools import wraps

import pytest

from clinical_tl.errors import ConfigError
from clinical_tl.network.lora import LoRA
from clinical_tl.training.config import TrainingConfig
from recipes import (
    adapt_encoder,
    curve_methods,
    features,
    learning_curve,
    matching,
    real_transfer,
    rules_and_model,
    self_training,
    source_task,
)
from recipes.budgets import check_budgets, epochs_for, subset
from recipes.results import Results

QUICK = TrainingConfig(epochs=1, batch_tokens=512, progress=False)
TINY = {"limit": 24, "lora": LoRA(r=2), "training": QUICK}
# In this process, where a test can forbid what would be run twice.
HERE = {**TINY, "workers": 1}


@pytest.fixture
def forbid(monkeypatch):
    """Call it and nothing may be trained any more."""

    def forbidden(*_, **__):
        raise AssertionError("a finished row was run again")

    def start():
        monkeypatch.setattr("clinical_tl.training.loop.TrainingRun.run", forbidden)

    return start


@pytest.mark.parametrize("task", ["note_classification", "entity_recognition"])
def test_learning_curve(task, tiny_encoder, tmp_path, forbid, capsys):
    arguments = {
        **HERE, "task": task, "budgets": (8, 0), "encoder": str(tiny_encoder),
        "adapted_encoder": str(tiny_encoder), "output": str(tmp_path),
    }  # fmt: skip
    rows = learning_curve.main(**arguments)
    named = {row["method"] for row in rows}
    expected = {"baseline", "frozen features", "LoRA", "full", "LoRA, adapted encoder"}
    expected |= {"random weights"} | ({"rules"} if task == "entity_recognition" else set())
    assert named == expected
    assert len(rows) == 2 * len(expected)
    assert (tmp_path / "curve.png").stat().st_size > 1000
    out = capsys.readouterr().out
    assert "over_baseline" in out
    forbid()
    assert learning_curve.main(**arguments) == rows


def test_a_curve_without_an_adapted_encoder_leaves_it_out():
    names = ("baseline", "rules", "adapted", "lora")
    chosen = curve_methods.choose_methods(names, "note_classification", None)
    assert chosen == ["baseline", "lora"]
    with pytest.raises(ConfigError, match="crf"):
        curve_methods.choose_methods(("crf",), "note_classification", None)


def test_source_task(tiny_encoder, tmp_path, forbid):
    arguments = {
        **HERE, "source": "synthetic", "target": "synthetic", "labels": ["Disease"],
        "budgets": (6, 0), "encoder": str(tiny_encoder), "output": str(tmp_path),
    }  # fmt: skip
    from clinical_tl.data.corpora import note_splits

    labels = {s.label for spans in note_splits(limit=24)["train"]["spans"] for s in spans}
    arguments["labels"] = sorted(labels)[:1]
    rows = source_task.main(**arguments)
    assert [row["start"] for row in rows[:2]] == ["adapter from synthetic", "pretrained encoder"]
    assert len(rows) == 4
    source = json.loads((tmp_path / "source" / "task.json").read_text())
    assert source["task"]["labels"]["names"] == arguments["labels"]
    forbid()
    assert source_task.main(**arguments) == rows


def test_self_training(tiny_encoder, tmp_path, forbid, monkeypatch):
    monkeypatch.setattr("clinical_tl.transfer.self_training.LARGEST_SHARE_OUTSIDE", 1.0)
    arguments = {
        **HERE, "task": "note_classification", "shares": (0.5,), "precision": 0.05,
        "unlabelled": 8, "encoder": str(tiny_encoder), "output": str(tmp_path),
    }  # fmt: skip
    (row,) = self_training.main(**arguments)
    assert row["labelled"] == 12
    assert {"supervised", "self-training", "silver", "best_round"} <= set(row)
    forbid()
    assert self_training.main(**arguments) == [row]


def test_rules_and_a_model_at_every_budget(tiny_encoder, tmp_path, forbid, capsys):
    arguments = {
        **HERE, "budgets": (8, 0), "encoder": str(tiny_encoder), "output": str(tmp_path),
    }  # fmt: skip
    few, every = rules_and_model.main(**arguments)
    assert (few["budget"], every["budget"]) == (8, 24)
    # An untrained model knows nothing; what the training notes named is often right.
    assert every["rules"] > 0.3 > every["model"]
    assert every["chosen"] >= min(every["union"], every["rules"])
    assert every["chosen_vote"]["how"] in {"union", "fill", "intersection"}
    assert "chosen" in capsys.readouterr().out
    forbid()
    assert rules_and_model.main(**arguments) == [few, every]
    # A lost summary costs no second training.
    (tmp_path / "results.json").unlink()
    assert rules_and_model.main(**arguments) == [few, every]


def test_adapt_encoder(tiny_encoder, tmp_path):
    figures = adapt_encoder.main(
        **TINY, encoder=str(tiny_encoder), window=64, output=str(tmp_path / "adapted")
    )
    assert figures["train_notes"] + figures["held_out_notes"] == 24
    assert (tmp_path / "adapted" / "model.safetensors").exists()


def test_features(tiny_encoder, tmp_path):
    scores = features.main(
        task="diagnosis_coding", limit=24, encoder=str(tiny_encoder), output=str(tmp_path),
        cache=str(tmp_path / "vectors"),
    )  # fmt: skip
    assert 0 <= scores["micro_f1"] <= 1
    assert (tmp_path / "model" / "feature_classifier.safetensors").exists()


def test_matching(tiny_encoder):
    figures = matching.main(limit=24, encoder=str(tiny_encoder), target_split="train")
    # Equal notes: every label finds its own prototype, every note itself.
    assert figures["own name"] == 1.0
    assert figures["labels right"] > 0.5


def test_real_transfer_keeps_finished_rows(tmp_path, monkeypatch):
    calls = []
    steps = (
        real_transfer.Step(lambda output: calls.append(output) or {"f1": 0.5}, "matching_mts"),
    )
    monkeypatch.setattr(real_transfer, "STEPS", steps)
    monkeypatch.setattr(real_transfer, "run", lambda recipe, flags: recipe(flags[-1]))
    real_transfer.main(str(tmp_path))
    real_transfer.main(str(tmp_path))
    assert calls == [f"--output={tmp_path}/matching_mts"]
    (row,) = Results(tmp_path / "summary.json").rows
    assert row["figures"] == {"f1": 0.5}


def test_every_step_of_real_transfer_is_called_with_its_config(tmp_path, monkeypatch):
    called = {}

    def spying(step):
        @wraps(step.recipe)
        def spy(**arguments):
            called[step.config] = arguments
            return {}

        return replace(step, recipe=spy)

    monkeypatch.setattr(real_transfer, "STEPS", [spying(step) for step in real_transfer.STEPS])
    with pytest.raises(ConfigError, match="--only=adapt_case_reports first"):
        real_transfer.main(str(tmp_path), only="learning_curve_ncbi")
    (tmp_path / "adapt_case_reports").mkdir()
    real_transfer.main(str(tmp_path))
    order = list(called)
    assert len(order) == len(real_transfer.STEPS)
    # What was adapted is ranked and trained on afterwards.
    adapted = f"{tmp_path}/adapt_case_reports"
    assert order[0] == "adapt_case_reports"
    assert called["adapt_case_reports"]["output"] == adapted
    assert called["similarity_bc5cdr_ncbi"]["encoders"] == ["offline", adapted]
    assert called["learning_curve_ncbi"]["adapted_encoder"] == adapted
    assert called["learning_curve_ncbi"]["rules"].lexicon.endswith(".tsv.gz")


def test_budgets_are_nested_and_dev_shrinks_with_them(synthetic_notes):
    splits = {"train": synthetic_notes, "dev": synthetic_notes}
    few, few_dev = subset(splits, 8, seed=1)
    more, more_dev = subset(splits, 30, seed=1)
    assert set(few["note_id"]) < set(more["note_id"])
    assert (len(few), len(few_dev), len(more_dev)) == (8, 20, 30)
    assert set(subset(splits, 8, seed=2)[0]["note_id"]) != set(few["note_id"])
    assert check_budgets([0, 5, 5], 40) == [5, 40]
    with pytest.raises(ConfigError, match="between 1 and 40"):
        check_budgets([41], 40)
    assert [epochs_for(5, n, 400) for n in (400, 100, 4)] == [5, 10, 30]


def test_results_survive_a_kill(tmp_path):
    results = Results(tmp_path / "deep" / "results.json")
    results.add({"a": 1, "b": 2})
    (tmp_path / "deep" / "results.tmp").write_text("half a")
    again = Results(tmp_path / "deep" / "results.json")
    assert again.has({"a": 1})
    assert not again.has({"a": 2})
    again.add({"a": 2})
    assert len(Results(tmp_path / "deep" / "results.json").rows) == 2
