"""The rules recipe, as a notebook calls it and as a shell does."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.rules.rule_set import RuleSet
from clinical_tl.tasks.entity_recognition import EntityRecognition
from recipes import rules
from recipes.rule_sources import RuleSources

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def files(tmp_path, synthetic_notes):
    named = {"train": range(23), "dev": range(24, 30), "test": range(30, 40)}
    for split, rows in named.items():
        write_notes(synthetic_notes.select(rows), tmp_path / f"{split}.jsonl")
    return {split: str(tmp_path / f"{split}.jsonl") for split in named}


def test_rules_vote_with_a_model_and_everything_is_written(
    files, tiny_encoder, synthetic_notes, tmp_path, capsys, monkeypatch
):
    task = EntityRecognition.from_notes(synthetic_notes)
    model = TransferModel.from_pretrained(str(tiny_encoder), task, seed=0)
    model.save_pretrained(tmp_path / "model")
    corpora = tmp_path / "corpora"
    corpora.mkdir()
    (corpora / "names.tsv").write_text("pneumonia\tD1\nnever written here\tD2\n")
    monkeypatch.setenv("CLINICAL_TL_CORPORA", str(corpora))
    out = tmp_path / "out"
    scores = rules.main(
        **files,
        rules=RuleSources(lexicon="names.tsv", label="Problem"),
        model=str(tmp_path / "model"),
        output=str(out),
    )
    assert list(scores) == ["rules", "model", "union", "intersection", "fill"]
    # An untrained model marks at random; what the training notes named is often right.
    assert scores["rules"]["f1"] > 0.3 > scores["model"]["f1"]
    assert scores["intersection"]["precision"] >= scores["model"]["precision"]
    assert "fill" in capsys.readouterr().out
    kept = RuleSet.load(out / "rules.jsonl")
    assert {rule.origin for rule in kept} == {"train", "names.tsv"}
    assert all(rule.precision is None or rule.precision >= 0.5 for rule in kept)
    predictions = [
        json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()
    ]
    assert [p["note_id"] for p in predictions] == synthetic_notes["note_id"][30:]
    table = (out / "disagreements.tsv").read_text()
    assert len(table.splitlines()) > 20
    tested = list(synthetic_notes)[30:]
    assert not any(note.text[:40] in table for note in tested)
    long_mentions = {
        n.text[s.start : s.end] for n in tested for s in n.spans if s.end - s.start > 8
    }
    assert not any(mention in table for mention in long_mentions)


def test_pruning_can_be_left_out_and_dev_be_scored(files, tmp_path):
    lexicon = tmp_path / "noise.tsv"
    lexicon.write_text("admitted\tD1\n")
    sources = RuleSources(lexicon=str(lexicon), label="Problem", tune=False)
    options = {**files, "split": "dev"}
    scores = rules.main(**options, rules=sources, output=str(tmp_path / "all"))
    assert scores["rules"]["notes"] == 6
    rules.main(**options, rules=replace(sources, tune=True), output=str(tmp_path / "few"))
    every, few = (RuleSet.load(tmp_path / name / "rules.jsonl") for name in ("all", "few"))
    assert {r.pattern for r in every} - {r.pattern for r in few} == {"admitted"}


def test_no_source_of_rules_is_an_error(files):
    with pytest.raises(ConfigError, match="give a lexicon, annotations or corpora"):
        rules.main(**files, rules=RuleSources(annotations=False))


def test_the_config_is_accepted():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(rules.main)
    config = ROOT / "recipes" / "configs" / "rules_ncbi_disease.yaml"
    parsed = parser.parse_args([f"--config={config}"])
    assert (parsed.rules.name_column, parsed.rules.corpora) == ("variant", ("bc5cdr",))


def test_help_imports_nothing_heavy_and_errors_are_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "recipes.rules", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint({"torch", "transformers", "datasets", "spacy", "sklearn"})
    assert "--rules.corpora" in done.stdout
    done = subprocess.run(
        [
            *(sys.executable, "-m", "recipes.rules", f"--output={tmp_path / 'out'}"),
            f"--rules.lexicon={tmp_path / 'no.tsv'}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: no.tsv: no such file")
