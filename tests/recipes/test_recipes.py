"""Recipes run as a user runs them: by command line, with configs, on small sets of notes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from clinical_tl.data.writing import write_notes
from recipes import (
    adapt_encoder,
    diagnosis_coding,
    entity_recognition,
    explore,
    features,
    learning_curve,
    matching,
    note_classification,
    predict,
    relation_extraction,
    rules,
    rules_and_model,
    self_training,
    similarity,
    source_task,
)

ROOT = Path(__file__).parent.parent.parent
CONFIGS = sorted((ROOT / "recipes" / "configs").glob("*.yaml"))
RECIPES = {
    "note_classification": note_classification.main,
    "diagnosis_coding": diagnosis_coding.main,
    "entity_recognition": entity_recognition.main,
}
OTHER_RECIPES = {
    "relation_extraction": relation_extraction.main,
    "similarity": similarity.main,
    "explore": explore.main,
    "rules": rules.main,
    "rules_and_model": rules_and_model.main,
    "self_training": self_training.main,
    "source_task": source_task.main,
    "adapt_encoder": adapt_encoder.main,
    "learning_curve": learning_curve.main,
    "features": features.main,
    "matching": matching.main,
}
OF_TASK = {
    "bc5cdr": ["entity_recognition"],
    "ncbi_disease": ["entity_recognition"],
    "entity_recognition_synthetic": ["entity_recognition"],
    "codiesp": ["diagnosis_coding"],
    "codiesp_categories": ["diagnosis_coding"],
    "diagnosis_coding_synthetic": ["diagnosis_coding"],
    "mts_dialog": ["note_classification"],
    "mts_dialog_private": ["note_classification"],
    "bc5cdr_relations": ["relation_extraction"],
    "chemprot": ["relation_extraction"],
    "similarity_bc5cdr_ncbi": ["similarity"],
    "explore_mts_dialog": ["explore"],
    "rules_ncbi_disease": ["rules"],
    "rules_and_model_ncbi": ["rules_and_model"],
    "self_training_ncbi": ["self_training"],
    "bc5cdr_to_ncbi": ["source_task"],
    "adapt_case_reports": ["adapt_encoder"],
    "features_mts": ["features"],
    "matching_mts": ["matching"],
    "learning_curve_mts": ["learning_curve"],
    "learning_curve_ncbi": ["learning_curve"],
    "note_classification_synthetic": ["note_classification"],
}
HUB_ENCODERS = ["biomedbert", "bioclinical_modernbert", "biolinkbert"]


def parser_of(recipe):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(recipe)
    return parser


@pytest.mark.parametrize("config", CONFIGS, ids=lambda file: file.stem)
def test_every_config_is_accepted_by_its_recipes(config):
    for name in OF_TASK.get(config.stem, RECIPES):
        recipe = {**RECIPES, **OTHER_RECIPES}[name]
        assert parser_of(recipe).parse_args([f"--config={config}"])
    assert config.stem in OF_TASK or config.stem in HUB_ENCODERS


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
        ("--training.epochs=0", "epochs=0 (allowed: at least 1, or None)"),
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
