"""Comparing notes and ranking encoders from the command line."""

from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

import clinical_tl as ctl
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError
from recipes.similarity import main
from tests.tiny_encoders import write_encoder

CONFIG = Path(__file__).parents[2] / "recipes" / "configs" / "similarity_bc5cdr_ncbi.yaml"


def test_the_config_is_accepted():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(main)
    parsed = parser.parse_args([f"--config={CONFIG}"])
    assert (parsed.source, parsed.target, parsed.encoder) == ("bc5cdr", "ncbi_disease", "offline")


def test_it_prints_the_comparison_and_the_ranking(
    tiny_encoder, synthetic_notes, tmp_path_factory, tmp_path, capsys
):
    files = []
    for name, rows in {"source": range(20), "target": range(20, 40)}.items():
        files.append(str(tmp_path / f"{name}.jsonl"))
        write_notes(synthetic_notes.select(rows), files[-1])
    other = write_encoder(tmp_path_factory.mktemp("other"), "bert", seed=1)
    source = ctl.EntityRecognition.from_notes(synthetic_notes.select(range(20)))
    tagger = ctl.TransferModel.from_pretrained(tiny_encoder, source)
    tagger.save_pretrained(tmp_path / "tagger")
    figures = main(
        source_notes=files[0],
        target_notes=files[1],
        encoder=str(tiny_encoder),
        encoders=[str(tiny_encoder), str(other)],
        task="entity_recognition",
        source_models={str(tiny_encoder): str(tmp_path / "tagger")},
    )
    # One note of a patient stands for all of his.
    assert (figures["source_notes"], figures["target_notes"]) == (13, 10)
    printed = capsys.readouterr().out
    assert "proxy A-distance" in printed
    assert "warning: with 10 notes on a side" in printed
    assert "weighted_tau" in printed
    assert " leep " in printed
    assert str(other) in printed
    assert not any(note[:40] in printed for note in synthetic_notes["text"])


def test_encoders_without_a_task_are_refused_before_anything_loads():
    with pytest.raises(ConfigError, match="name the encoders too"):
        main(source_models={"offline": "somewhere"})
    with pytest.raises(ConfigError, match="say what they are ranked for"):
        main(encoders=["offline", "other"])
