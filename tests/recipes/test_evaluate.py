"""A saved model is scored with intervals, and its card says so if asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from clinical_tl.data.notes import Notes, as_notes
from clinical_tl.data.reading import read_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.release.gate import check_release
from clinical_tl.saved.artifact import read_artifact
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from recipes import evaluate, note_classification


@pytest.fixture(scope="module")
def model(tiny_encoder, synthetic_notes, tmp_path_factory):
    task = NoteClassification.from_notes(synthetic_notes)
    made = TransferModel.from_pretrained(tiny_encoder, task, adapter=LoRA(r=2))
    return made.save_pretrained(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def notes(synthetic_notes, tmp_path):
    import clinical_tl as ctl

    records = [
        replace(note, patient_id=str(i), metadata={"sex": "fm"[i % 2]})
        for i, note in enumerate(list(synthetic_notes))
    ]
    ctl.data.write_notes(ctl.Notes(records), tmp_path / "notes.jsonl")
    return str(tmp_path / "notes.jsonl")


def test_report_page_and_card(model, notes, synthetic_notes, tmp_path, capsys):
    report = evaluate.main(
        str(model), notes=notes, by=["sex"], resamples=50, card=True, output=str(tmp_path / "out")
    )
    assert json.loads((tmp_path / "out" / "report.json").read_text())["notes"] == 40
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{report.scores['accuracy']:.3f}" in page
    out = capsys.readouterr().out
    assert "macro_f1" in out
    assert "gap: " in out
    card = (model / "README.md").read_text()
    assert "95 % interval" in card
    assert "gap: " in card
    assert "ece" in card
    # Counts are no metrics.
    assert "unknown_gold" not in card.split("---")[1]
    again = TransferModel.load(model)
    assert again.metrics["test"]["accuracy"] == report.scores["accuracy"]
    assert again.metrics["evaluated"]["test"]["notes"] == 40
    shown = card + page + json.dumps(report.to_dict())
    words = synthetic_notes[0].text.split()
    assert not any(" ".join(words[i : i + 4]) in shown for i in range(len(words) - 4))


def test_a_model_on_frozen_features_too(tiny_encoder, synthetic_notes, notes, tmp_path):
    task = NoteClassification.from_notes(synthetic_notes)
    fitted = FeatureModel.fit(tiny_encoder, task, synthetic_notes, progress=False)
    folder = fitted.save_pretrained(tmp_path / "features")
    out = str(tmp_path / "out")
    report = evaluate.main(str(folder), notes=notes, resamples=5, output=out, allow_leakage=True)
    assert (
        report.scores["accuracy"]
        == fitted.evaluate(synthetic_notes, progress=False, allow_leakage=True).accuracy
    )


def test_notes_that_are_not_annotated_are_left_out_and_counted(
    model, synthetic_notes, tmp_path, capsys
):
    some = [replace(n, label=None if i < 2 else n.label) for i, n in enumerate(synthetic_notes)]
    write_notes(Notes(some), tmp_path / "some.jsonl")
    out = str(tmp_path / "out")
    report = evaluate.main(str(model), notes=str(tmp_path / "some.jsonl"), resamples=5, output=out)
    assert report.notes == len(some) - 2
    assert f"not annotated: 2 of {len(some)}" in capsys.readouterr().out
    write_notes(Notes([replace(n, label=None) for n in some]), tmp_path / "none.jsonl")
    with pytest.raises(TaskError, match="annotate them"):
        evaluate.main(str(model), notes=str(tmp_path / "none.jsonl"), resamples=5, output=out)


def test_against_another_model_and_with_a_temperature(
    model, synthetic_notes, tiny_encoder, notes, tmp_path, capsys
):
    task = NoteClassification.from_notes(synthetic_notes)
    fitted = FeatureModel.fit(tiny_encoder, task, synthetic_notes, progress=False)
    other = fitted.save_pretrained(tmp_path / "features")
    dev = tmp_path / "dev.jsonl"
    made = generate_notes(20, seed=8, words=(30, 120))
    dev_notes = [replace(n, patient_id=f"d{i}") for i, n in enumerate(as_notes(made))]
    write_notes(Notes(dev_notes), dev)
    out = str(tmp_path / "out")
    settings = {"dev": str(dev), "resamples": 20, "output": out, "allow_leakage": True}
    report = evaluate.main(str(model), notes=notes, against=str(other), **settings)
    assert (
        report.comparison.scores["accuracy"]
        == fitted.evaluate(synthetic_notes, progress=False, allow_leakage=True).accuracy
    )
    shown = capsys.readouterr().out
    assert "compared with another model:" in shown
    assert "fitted on dev notes" in shown


@pytest.mark.parametrize("given", [{}, {"notes": "a", "corpus": "synthetic"}])
def test_notes_or_a_corpus(model, given):
    with pytest.raises(ConfigError, match="give one of the two"):
        evaluate.main(str(model), **given)


def test_a_card_needs_a_folder():
    with pytest.raises(ConfigError, match="is none here"):
        evaluate.main("org/name", corpus="synthetic", card=True)


@pytest.fixture(scope="module")
def trained(tiny_encoder, tmp_path_factory):
    """A user's file, and the model that a recipe trained on a part of it."""
    folder = tmp_path_factory.mktemp("own")
    write_notes(generate_notes(60, seed=5, words=(30, 80)), folder / "notes.jsonl")
    note_classification.main(
        train=str(folder / "notes.jsonl"),
        encoder=str(tiny_encoder),
        training=TrainingConfig(epochs=1, min_steps=1, progress=False),
        output=str(folder / "out"),
    )
    return folder


def test_the_test_notes_of_a_training_are_found_again(trained, tmp_path, capsys):
    model = str(trained / "out" / "model")
    given = {"notes": str(trained / "notes.jsonl"), "resamples": 5, "output": str(tmp_path / "e")}
    report = evaluate.main(model, split="test", **given)
    assert report.name == "test"
    # Of the same notes the training notes are known, so that leaks are looked for.
    assert report.leakage is not None
    told = TransferModel.load(model).metrics["test"]
    assert {name: report.scores[name] for name in told} == told
    assert f"{told['notes']} test notes of the model's split" in capsys.readouterr().out
    assert evaluate.main(model, split="dev", **given).name == "dev"
    with pytest.raises(ConfigError, match="split='tset'"):
        evaluate.main(model, split="tset", **given)


def test_a_model_is_not_scored_on_its_own_training_notes(trained, tmp_path):
    model, notes = str(trained / "out" / "model"), str(trained / "notes.jsonl")
    with pytest.raises(NoteError, match="training notes share"):
        evaluate.main(model, notes=notes, output=str(tmp_path / "e"), resamples=20)
    report = evaluate.main(
        model, notes=notes, output=str(tmp_path / "f"), resamples=20, allow_leakage=True
    )
    assert report.leakage is not None


def test_a_split_is_refused_where_notes_are_missing_or_changed(trained, tmp_path):
    model, notes = str(trained / "out" / "model"), read_notes(trained / "notes.jsonl")
    for made, told in (
        (notes[:20], "notes are not among these 20"),
        ([replace(n, text=f"{n.text}.") for n in notes], "notes have changed since the training"),
    ):
        write_notes(made, tmp_path / "notes.jsonl")
        with pytest.raises(NoteError, match=told):
            evaluate.main(
                model, str(tmp_path / "notes.jsonl"), split="test", output=str(tmp_path / "e")
            )


def test_a_split_of_a_model_from_elsewhere_is_not_guessed(model, notes, tmp_path):
    out = str(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"model\.split\.json is not there"):
        evaluate.main(str(model), notes=notes, split="test", output=out)
    with pytest.raises(ConfigError, match="--split is for a model's folder"):
        evaluate.main("org/name", notes=notes, split="test", output=out)


def test_the_split_never_leaves_with_the_model(trained, tmp_path):
    assert (trained / "out" / "model.split.json").is_file()
    folder = tmp_path / "model"
    shutil.copytree(trained / "out" / "model", folder)
    assert not any("split" in file.name for file in folder.iterdir())
    shutil.copy(trained / "out" / "model.split.json", folder)
    (layout,) = (c for c in check_release(folder, data_use="public").checks if c.name == "layout")
    assert layout.blocks
    assert "not a file of a saved model" in layout.reason
    # Even where a person lifts that: what task.json does not declare is not sent.
    assert "model.split.json" not in read_artifact(folder)["files"]
