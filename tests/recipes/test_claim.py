"""A recipe's output is tried and claimed before the work, and trackers find their folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clinical_tl.errors import ArtifactError, ConfigError, OutputError
from clinical_tl.training.config import TrainingConfig
from recipes import entity_recognition, learning_curve, note_classification, predict
from recipes.budgets import with_tracked_folder
from recipes.claim import claim_output, with_checkpoints
from recipes.command_line import run, settings_of, with_flags
from recipes.results import Results

ROOT = Path(__file__).parent.parent.parent


def test_a_second_run_of_a_recipe_is_told_the_first_before_it_reads_anything(tmp_path, capsys):
    code = "import sys; from recipes.claim import claim_output; claim_output(sys.argv[1]); "
    code += "print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(SystemExit) as caught:
            run(learning_curve.main, [f"--output={tmp_path}", "--corpus=nowhere"])
        assert caught.value.code == 2
        assert f"process {first.pid} on" in capsys.readouterr().err
        first.communicate()
    claim_output(tmp_path)
    claim_output(tmp_path)


def test_of_several_processes_of_a_launch_the_first_claims(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    claim_output(tmp_path / "run")
    assert not (tmp_path / "run" / ".lock").exists()


def test_an_output_that_cannot_be_written_is_told_before_the_notes_are_read(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file stands where a folder should be"):
        entity_recognition.main(train="nowhere.jsonl", output=str(tmp_path / "file"))
    with pytest.raises(OutputError, match="a folder stands where a file should be"):
        predict.main("nowhere", "nowhere.jsonl", str(tmp_path))


def test_trackers_are_given_the_output_folder():
    training = TrainingConfig(trackers=("tensorboard",))
    assert with_tracked_folder(training, "out").output_dir == "out/runs"
    assert with_tracked_folder(TrainingConfig(), "out").output_dir is None


def test_another_folder_for_checkpoints_is_not_passed_over():
    assert with_checkpoints(TrainingConfig(), "out/run").output_dir == "out/run"
    with pytest.raises(ConfigError, match="checkpoints are kept in") as caught:
        with_checkpoints(TrainingConfig(output_dir="x"), "out/run")
    assert "by --output …" in with_flags(str(caught.value), settings_of(note_classification.main))
    told = with_flags("use another output_dir", settings_of(note_classification.main))
    assert told == "use another --output"


@pytest.mark.parametrize("content", ["{", "{}", "[1]", "[" * 100_000])
def test_damaged_results_are_one_error(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ArtifactError, match="name another output"):
        Results(tmp_path / "results.json")
    with pytest.raises(ConfigError, match="does not say"):
        Results(tmp_path / "results.json", {"a": 1})
