"""What `recipes.predict` makes of a model's predictions; real models are in test_recipes.py."""

import pandas as pd
import pytest

import clinical_tl as ctl
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError
from clinical_tl.schema import LabelSet, Prediction, Span
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from recipes import predict, what_next
from recipes.command_line import run


class Model:
    """Finds the first four characters of every note."""

    task = EntityRecognition(LabelSet(("Start",)))

    def predict_stream(self, notes, **_settings):
        return (Prediction(note.note_id, spans=(Span(0, 4, "Start", score=0.5),)) for note in notes)


@pytest.fixture
def files(tmp_path, synthetic_notes, monkeypatch):
    monkeypatch.setattr(ctl, "load", lambda *_, **__: Model())
    write_notes(synthetic_notes.select(range(3)), tmp_path / "notes.jsonl")
    return str(tmp_path / "notes.jsonl"), tmp_path


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx", "parquet"])
def test_a_table_goes_by_its_ending_and_holds_the_patients(ending, files, synthetic_notes, capsys):
    notes, folder = files
    output = str(folder / f"said.{ending}")
    assert predict.main("model", notes, output) == 3
    assert f"3 predictions: {output}" in capsys.readouterr().out
    read = {"csv": pd.read_csv, "tsv": pd.read_table, "parquet": pd.read_parquet}
    frame = read[ending](output) if ending in read else pd.read_excel(output, engine="calamine")
    assert frame["note_id"].tolist() == synthetic_notes["note_id"][:3]
    assert frame["patient_id"].tolist() == synthetic_notes["patient_id"][:3]
    assert "text" not in frame


def test_text_and_other_formats_are_there_where_they_are_asked_for(files, synthetic_notes):
    notes, folder = files
    predict.main("model", notes, str(folder / "said.csv"), text=True)
    starts = [text[:4] for text in synthetic_notes["text"][:3]]
    assert pd.read_csv(folder / "said.csv")["text"].tolist() == starts
    predict.main("model", notes, str(folder / "brat"), output_format="brat")
    read = ctl.read_notes(folder / "brat", format="brat")
    assert [note.spans[0].key for note in read] == [(0, 4, "Start")] * 3


@pytest.mark.parametrize("recipe", [predict, what_next])
def test_a_format_that_there_is_not_is_refused_before_the_model_is_read(
    recipe, files, monkeypatch, capsys
):
    notes, folder = files
    monkeypatch.setattr(ctl, "load", lambda *_, **__: pytest.fail("read"))
    for name, more, said in (
        ("said.json", [], "this ending does not tell the format; allowed"),
        ("said.csv", ["--output_format", "word"], "--output_format word; allowed"),
    ):
        asked = ["--model", "m", "--notes", notes, "--output", str(folder / name), *more]
        with pytest.raises(SystemExit, match="2"):
            run(recipe.main, asked)
        words = capsys.readouterr().err
        assert said in words
        assert "--read.format" not in words


def test_a_model_on_frozen_features_predicts_too(
    tiny_encoder, synthetic_notes, tmp_path, monkeypatch
):
    task = NoteClassification.from_notes(synthetic_notes)
    model = ctl.FeatureModel.fit(str(tiny_encoder), task, synthetic_notes, progress=False)
    folder = str(model.save_pretrained(tmp_path / "model"))
    notes = str(tmp_path / "notes.jsonl")
    write_notes(synthetic_notes.select(range(7)), notes)
    monkeypatch.setattr(predict, "PART", 3)
    assert predict.main(folder, notes, str(tmp_path / "said.csv")) == 7
    said = pd.read_csv(tmp_path / "said.csv").drop_duplicates("note_id")
    expected = model.predict(synthetic_notes.select(range(7)), progress=False)
    assert said["note_id"].tolist() == [prediction.note_id for prediction in expected]
    with pytest.raises(ConfigError, match="is a FeatureModel"):
        predict.main(folder, notes, str(tmp_path / "said.csv"), with_novelty=True)
