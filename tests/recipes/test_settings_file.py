"""YAML on the command line: small files stay small, and what is refused is said."""

from __future__ import annotations

import importlib
from inspect import signature
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from clinical_tl.saved.artifact import read_artifact, write_artifact
from clinical_tl.saved.card import write_card
from clinical_tl.training.config import TrainingConfig
from recipes import adapt_encoder
from recipes.__main__ import recipes
from recipes.command_line import run
from recipes.settings_file import called_with

BOMB = "\n".join(
    ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
)


def recipe(training: TrainingConfig = TrainingConfig(), output: str = "x") -> str:
    return f"{training.epochs} {training.learning_rate} {output}"


@pytest.mark.parametrize("flag", ["--config", "--training"])
@pytest.mark.parametrize(
    ("text", "told"), [(BOMB, "aliases"), ("epochs: " + "[" * 100_000, "levels deep")]
)
def test_a_bomb_is_refused_and_named(tmp_path, capsys, flag, text, told):
    (tmp_path / "bomb.yaml").write_text(text)
    with pytest.raises(SystemExit) as caught:
        run(recipe, [f"{flag}={tmp_path / 'bomb.yaml'}"])
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


def test_configs_and_values_are_read_as_before(tmp_path):
    (tmp_path / "run.yaml").write_text("output: z\ntraining:\n  epochs: 3\n  learning_rate: 1e-3\n")
    assert run(recipe, [f"--config={tmp_path / 'run.yaml'}"]) == "3 0.001 z"
    assert run(recipe, ["--output=*.jsonl"]) == recipe(output="*.jsonl")


def saves(output: str, limit: int | None = 7, token: str = "", read: str = "") -> Path:
    del token
    model = Path(output) / "model"
    encoder = {"name": "e", "sha256": "0", "revision": None}
    write_artifact(
        model,
        {
            "task": {},
            "encoder": encoder,
            "adapter": "full",
            "windowing": {},
            "package_version": "0",
        },
        metrics={"limit": limit},
        card="# Card",
        write_files=lambda draft: (draft / "config.json").write_text(f'{{"read": "{read}"}}'),
    )
    return model


def test_what_a_run_was_called_with_lies_beside_its_model_without_secrets(tmp_path):
    address = "https://zebulon:sesame@hospital.example/notes.csv"
    flags = [f"--output={tmp_path}", "--limit=null", "--token=hf_sesame", f"--read={address}"]
    file = run(saves, flags) / "config.yaml"
    text = file.read_text()
    assert text.startswith("# What the recipe test_settings_file was called with")
    assert "sesame" not in text
    assert yaml.safe_load(text) == {
        "output": str(tmp_path),
        "limit": None,
        "read": "https://hospital.example/notes.csv",
    }
    # It is a config like any other, and no part of the model.
    assert run(saves, [f"--config={file}"]) == file.parent
    assert file.read_text() == text
    assert file.name not in read_artifact(file.parent)["files"]


def test_settings_stay_with_the_model_that_they_made(tmp_path):
    model = run(saves, [f"--output={tmp_path}", "--read=a"])
    settings = (model / "config.yaml").read_text()
    saves(str(tmp_path), limit=9, read="a")
    assert (model / "config.yaml").read_text() == settings, "the same model, evaluated"
    saves(str(tmp_path), read="b")
    assert not (model / "config.yaml").exists(), "another model, trained by other means"


def test_a_recipe_that_reads_a_saved_model_is_no_run_that_made_it(tmp_path):
    def evaluates(model: str, output: str) -> Path:
        return saves(output, read=model)

    assert not (run(evaluates, ["--model=m", f"--output={tmp_path}"]) / "config.yaml").exists()


def main_of(name):
    return importlib.import_module(f"recipes.{name.replace('-', '_')}").main


TRAINING = [
    name
    for name in recipes()
    if {"encoder", "output"} <= signature(main_of(name)).parameters.keys()
    and "model" not in signature(main_of(name)).parameters
]


def test_every_recipe_that_trains_a_model_and_saves_it_is_one_of_them():
    assert {"note-classification", "diagnosis-coding", "entity-recognition", "features"} < set(
        TRAINING
    )
    assert {"adapt-encoder", "relation-extraction", "source-task"} < set(TRAINING)
    assert not {"evaluate", "predict", "push", "export-onnx"} & set(TRAINING)


@pytest.mark.parametrize("name", TRAINING)
def test_the_settings_of_every_training_recipe_can_be_given_again(name, tmp_path):
    recipe = main_of(name)
    required = {"source": "bc5cdr", "target": "ncbi_disease"}
    taken = signature(recipe).parameters
    flags = [f"--{key}={value}" for key, value in required.items() if key in taken]
    settings = called_with(recipe, [*flags, f"--output={tmp_path}"])
    (tmp_path / "config.yaml").write_text(settings)
    assert called_with(recipe, [f"--config={tmp_path / 'config.yaml'}"]) == settings


def test_an_adapted_encoder_has_them_too(tiny_encoder, tmp_path):
    flags = [f"--encoder={tiny_encoder}", "--limit=8", "--training.progress=false", "--window=64"]
    run(adapt_encoder.main, [*flags, "--training.epochs=1", f"--output={tmp_path / 'out'}"])
    settings = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert (settings["encoder"], settings["limit"]) == (str(tiny_encoder), 8)
    card = write_card(tmp_path / "out").read_text()
    assert ModelCard(card).data.language == "en"
    for row in ("learning rate", "adapter r", "epochs run", "steps", "seed", "train"):
        assert f"| {row} " in card
