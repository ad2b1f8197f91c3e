"""A hospital's messy table, from the file to a result table and a report."""

import json
import re

import pandas as pd
import pytest

import clinical_tl as ctl
from clinical_tl.training.config import TrainingConfig
from recipes import note_classification
from recipes.command_line import run
from tests.data.hospital import OPTIONS, write_hospital

PLAIN = [
    "--adapter=full",
    "--training.epochs=1",
    "--training.progress=false",
    "--read.separator=,",
    "--read.encoding=cp1252",
    "--read.on_error=skip",
    "--read.metadata_columns=[Sprache, Datum]",
    "--read.columns=" + json.dumps(OPTIONS["columns"]),
]


@pytest.fixture
def hospital(tmp_path):
    path = tmp_path / "briefe.csv"
    return path, write_hospital(path, patients=40)


def test_one_recipe_call_leads_from_a_messy_table_to_report_and_result_table(
    hospital, tmp_path, tiny_encoder, capsys
):
    path, written = hospital
    out = tmp_path / "run"
    # Not every letter has a class.
    sound = ctl.read_notes(path, **OPTIONS)
    assert len(sound) == written.notes
    scores = run(
        note_classification.main,
        [f"--train={path}", f"--encoder={tiny_encoder}", f"--output={out}", *PLAIN],
    )
    said = capsys.readouterr().out
    table = pd.read_csv(out / "predictions.csv")
    split = json.loads((out / "model.split.json").read_text(encoding="utf-8"))
    assert set(table["note_id"]) == set(split["sides"]["test"]) != set()
    assert set(table["Sprache"]) <= {"de", "es"}
    assert scores["notes"] == table["note_id"].nunique()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Kardiologie" in page and "Luftnot" not in page
    unlabelled = written.notes - written.labels.total()
    left_out = re.search(r"left out, since they are not annotated: (.*)", said)
    assert sum(map(int, re.findall(r"(\d+) of", left_out[1]))) == unlabelled > 0
    assert "notes have no patient_id: each counts as another patient's" in said


def test_ten_lines_of_api_lead_there_too(hospital, tmp_path, tiny_encoder):
    path, _ = hospital
    notes = ctl.read_notes(path, **OPTIONS).filter(lambda note: note.label is not None)
    sizes = {"train": 0.6, "dev": 0.2, "test": 0.2}
    splits = ctl.split_notes(notes, unknown="alone", fractions=sizes)
    task = ctl.NoteClassification.from_notes(splits["train"])
    model = ctl.TransferModel.from_pretrained(tiny_encoder, task, adapter="full")
    ctl.fit(model, splits["train"], splits["dev"], TrainingConfig(epochs=1, progress=False))
    predictions = model.predict(splits["test"], progress=False)
    report = ctl.evaluation_report(model, splits["test"], predictions=predictions, resamples=20)
    report.save(tmp_path / "report.html")
    ctl.data.write_predictions(predictions, tmp_path / "results.xlsx", notes=splits["test"])
    table = pd.read_excel(tmp_path / "results.xlsx", engine="calamine")
    assert list(table["note_id"]) == splits["test"]["note_id"]
    assert set(table["label"]) <= set(task.labels)


def test_a_model_is_saved_where_its_scoring_fails(tmp_path, tiny_encoder, monkeypatch):
    def failing(*_given, **_settings):
        raise OSError("no space for the report")

    monkeypatch.setattr(ctl, "evaluation_report", failing)
    with pytest.raises(OSError, match="no space"):
        note_classification.main(
            encoder=str(tiny_encoder), limit=30, output=str(tmp_path),
            training=TrainingConfig(epochs=1, min_steps=1, progress=False),
        )  # fmt: skip
    assert ctl.load(tmp_path / "model").predict(["A cough."], progress=False)
