"""Recipes run as a user runs them: by command line, with configs, on small sets of notes."""

import importlib
import json
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from clinical_tl.data.read_options import ReadOptions
from clinical_tl.data.writing import write_notes
from recipes import (
    diagnosis_coding,
    entity_recognition,
    multi_label_classification,
    note_classification,
    predict,
)
from recipes.__main__ import configs, recipes

ROOT = Path(__file__).parent.parent.parent
CONFIGS = sorted((ROOT / "recipes" / "configs").glob("*.yaml"))
RECIPES = {
    "note_classification": note_classification.main,
    "multi_label_classification": multi_label_classification.main,
    "diagnosis_coding": diagnosis_coding.main,
    "entity_recognition": entity_recognition.main,
}
MAINS = {
    name: importlib.import_module(f"recipes.{name.replace('-', '_')}").main for name in recipes()
}
HUB_ENCODERS = ["biomedbert", "bioclinical_modernbert", "biolinkbert"]


def parser_of(recipe):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(recipe)
    return parser


@pytest.mark.parametrize("config", CONFIGS, ids=lambda file: file.stem)
def test_every_config_is_accepted_by_its_recipes(config):
    names = [name for name in recipes() if config in configs(name)]
    assert names
    for name in names:
        assert parser_of(MAINS[name]).parse_args([f"--config={config}"])


class ReadingError(Exception):
    """Raised in the place of a reading, with the settings it was asked for."""


READS_FILES = [name for name in MAINS if "read" in signature(MAINS[name]).parameters]


@pytest.mark.parametrize("name", READS_FILES)
def test_whatever_reads_files_reads_them_as_it_is_told(name, tmp_path, monkeypatch):
    def read(source, **settings):
        raise ReadingError(source, settings)

    monkeypatch.setattr("clinical_tl.data.read_options.read_notes", read)
    files = {"notes": "n", "train": "n", "source_notes": "n", "target_notes": "n"}
    # A folder of most recipes, a file of some.
    given = {**files, "model": "m", "to": "lab/m", "output": str(tmp_path / "out.csv")}
    settings = {
        "format": "csv", "columns": {"text": "T"}, "as_written": ("label",),
        "allow_implausible": True,
    }  # fmt: skip
    taken = signature(MAINS[name]).parameters
    with pytest.raises(ReadingError) as caught:
        MAINS[name](
            **{key: given[key] for key in given if key in taken}, read=ReadOptions(**settings)
        )
    assert caught.value.args == ("n", settings)


def test_fields_to_be_taken_as_written_are_a_list_on_the_command_line():
    parser = parser_of(entity_recognition.main)
    parsed = parser.parse_args(["--read.as_written=[label, codes]"])
    assert tuple(parsed.read.as_written) == ("label", "codes")
    with pytest.raises(ArgumentError, match="as_written"):
        parser.parse_args(["--read.as_written=label"])


@pytest.mark.parametrize("encoder", HUB_ENCODERS)
def test_an_encoders_config_goes_on_top_of_a_tasks(encoder):
    folder = ROOT / "recipes" / "configs"
    parsed = parser_of(entity_recognition.main).parse_args(
        [f"--config={folder / 'ncbi_disease.yaml'}", f"--config={folder / encoder}.yaml"]
    )
    assert parsed.corpus == "ncbi_disease"
    assert "/" in parsed.encoder


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--training.epoks=3", "epoks"),
        ("--training.epochs=many", "training.epochs"),
        ("--training.epochs=0", "--training.epochs 0 (allowed: a whole number from 1 on, or None)"),
        ("--adapter=prefix", "adapter"),
    ],
)
def test_wrong_keys_and_values_are_refused_before_anything_loads(flag, message):
    done = command("recipes.entity_recognition", flag)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", RECIPES)
def test_train_evaluate_save_and_predict(name, tiny_encoder, synthetic_notes, tmp_path, capsys):
    files = {}
    for split, rows in {"train": range(23), "dev": range(23, 30), "test": range(30, 40)}.items():
        files[split] = str(tmp_path / f"{split}.jsonl")
        write_notes(synthetic_notes.select(rows), files[split])
    from clinical_tl.training.config import TrainingConfig

    scores = RECIPES[name](
        **files,
        encoder=str(tiny_encoder),
        training=TrainingConfig(epochs=1, progress=False),
        output=str(tmp_path / "out"),
    )
    assert scores["notes"] == 10
    assert "trainable parameters" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "out" / "model" / "metrics.json").read_text())
    assert metrics["test"] == scores
    assert (tmp_path / "out" / "run" / "train_log.jsonl").exists()
    n = predict.main(str(tmp_path / "out" / "model"), files["test"], str(tmp_path / "p.jsonl"))
    assert n == 10
    text = (tmp_path / "p.jsonl").read_text()
    assert [json.loads(line)["note_id"] for line in text.splitlines()] == synthetic_notes[
        "note_id"
    ][30:40]
    assert not any(note[:40] in text for note in synthetic_notes["text"])


def test_a_bad_model_folder_is_one_line_of_error(tmp_path, synthetic_notes):
    write_notes(synthetic_notes.select(range(2)), tmp_path / "n.jsonl")
    done = command(
        "recipes.predict",
        f"--model={tmp_path}",
        f"--notes={tmp_path / 'n.jsonl'}",
        f"--output={tmp_path / 'p.jsonl'}",
    )
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert "holds no task.json" in done.stderr
