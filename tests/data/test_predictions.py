import gzip
import json
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clinical_tl as ctl
from clinical_tl.data.predictions import write_predictions
from clinical_tl.data.results import row_files, tidy_rows
from clinical_tl.data.results.note_nlp import NOTE_NLP
from clinical_tl.data.results.predicted import with_origin
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.schema import WRITTEN_SCORES, LabelScores, Note, Prediction, ScoredRelation, Span
from tests.data.strategies import note_sets


def test_predictions_become_json_lines(tmp_path):
    names = tuple(f"c{i}" for i in range(30))
    scores = LabelScores(names, np.linspace(0, 1, 30, dtype=np.float32))
    predictions = [
        Prediction("a", label="x", scores={"x": 0.9, "y": 0.1}),
        Prediction("b", codes=("c29",), scores=scores, evidence={"c29": (Span(0, 4, "c29"),)}),
        Prediction("c", spans=(Span(1, 3, "P", score=0.5),)),
        Prediction("d", relations=(ScoredRelation("T1", "T2", "treats", 0.5),)),
    ]
    assert write_predictions(predictions, tmp_path / "deep" / "p.jsonl") == 4
    lines = (tmp_path / "deep" / "p.jsonl").read_text().splitlines()
    first, second, third, fourth = map(json.loads, lines)
    assert first == {"note_id": "a", "label": "x", "scores": {"x": 0.9, "y": 0.1}}
    assert len(second["scores"]) == WRITTEN_SCORES
    assert second["evidence"]["c29"][0]["end"] == 4
    assert third == {
        "note_id": "c",
        "spans": [{"start": 1, "end": 3, "label": "P", "score": 0.5}],
    }
    relation = {"head": "T1", "tail": "T2", "label": "treats", "score": 0.5}
    assert fourth == {"note_id": "d", "relations": [relation]}


def test_every_code_that_is_given_is_written_with_its_score(tmp_path):
    names = tuple(f"c{i}" for i in range(30))
    scores = LabelScores(names, np.linspace(0, 1, 30, dtype=np.float32))
    write_predictions([Prediction("a", codes=("c3", "c29"), scores=scores)], tmp_path / "p.jsonl")
    written = json.loads((tmp_path / "p.jsonl").read_text())["scores"]
    assert written["c3"] == scores["c3"]
    assert len(written) == WRITTEN_SCORES + 1


def test_a_file_that_could_not_be_finished_does_not_appear(tmp_path):
    def broken():
        yield Prediction("a", label="x")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_predictions(broken(), tmp_path / "p.jsonl")
    assert not (tmp_path / "p.jsonl").exists()


def test_predictions_that_were_made_before_an_error_are_kept_beside(tmp_path, caplog):
    target = tmp_path / "predictions.jsonl"
    write_predictions([Prediction("old", label="a")], target)

    def failing():
        yield Prediction("n1", label="a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_predictions(failing(), target)
    assert "old" in target.read_text()
    part = tmp_path / "predictions.jsonl.part"
    assert json.loads(part.read_text())["note_id"] == "n1"
    assert str(part) in caplog.text
    write_predictions([Prediction("new", label="a")], target)
    assert [file.name for file in tmp_path.iterdir()] == [target.name]


TEXT = "Metformin for diabetes."
NOTES = [
    Note("1", TEXT, "p1", metadata={"ward": "A3", "age": 71}),
    Note("2", TEXT, "p2", metadata={"ward": "=B1"}),
    Note("3", TEXT),
]
SAID = [
    Prediction("1", spans=(Span(0, 9, "Drug", score=0.5), Span(14, 22, "Disease", score=0.25))),
    Prediction("2", codes=("E11.9",), evidence={"E11.9": (Span(14, 22, "E11.9"),)}),
    Prediction("3", spans=()),
]
READ = {
    ".csv": lambda path: pd.read_csv(path, dtype={"note_id": str}),
    ".tsv": lambda path: pd.read_csv(path, sep="\t", dtype={"note_id": str}),
    ".parquet": pd.read_parquet,
    ".xlsx": lambda path: pd.read_excel(path, engine="calamine", dtype={"note_id": str}),
}


@pytest.mark.parametrize("ending", READ)
def test_a_table_has_a_row_for_each_thing_said_and_the_notes_metadata(ending, tmp_path):
    path = tmp_path / f"said{ending}"
    assert write_predictions(iter(SAID), path, notes=NOTES) == len(SAID)
    frame = READ[ending](path)
    columns = ["note_id", "patient_id", "ward", "age", *tidy_rows.SAID]
    assert list(frame) == columns
    assert frame["note_id"].tolist() == ["1", "1", "2", "3"]
    assert frame["kind"].value_counts().to_dict() == {"mention": 2, "code": 1, "nothing": 1}
    assert frame["ward"].fillna("").tolist() == ["A3", "A3", "=B1", ""]
    assert frame["score"].dropna().tolist() == [0.5, 0.25]
    assert frame["evidence"].dropna().map(json.loads).tolist() == [[[14, 22]]]
    assert TEXT.split()[0] not in path.read_bytes().decode("latin-1")
    write_predictions(SAID[2:], path)
    assert list(READ[ending](path)) == ["note_id", *tidy_rows.SAID]


def test_what_was_read_is_written_only_where_it_is_asked_for(tmp_path):
    write_predictions(SAID, tmp_path / "p.csv", notes=NOTES, text=True)
    frame = READ[".csv"](tmp_path / "p.csv")
    assert frame["text"].dropna().tolist() == ["Metformin", "diabetes", "diabetes"]
    with pytest.raises(ConfigError, match=r"text=True needs the notes"):
        write_predictions(SAID, tmp_path / "p.csv", text=True)
    with pytest.raises(ConfigError, match=r"JSON lines hold no text"):
        write_predictions(SAID, tmp_path / "p.jsonl", notes=NOTES, text=True)


def test_json_lines_are_packed_where_the_name_says_so(tmp_path):
    write_predictions(SAID, tmp_path / "p.jsonl")
    for name in ("a.jsonl.gz", "b.JSONL.GZ"):
        write_predictions(SAID, tmp_path / name)
        packed = (tmp_path / name).read_bytes()
        assert gzip.decompress(packed) == (tmp_path / "p.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl.gz").read_bytes() == packed


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("p.json", None, r"p\.json: this ending does not tell the format; allowed: \['\.jsonl'"),
        ("p.xls", None, r"this ending does not tell the format.*'\.xlsx'"),
        ("p", None, "this ending does not tell the format"),
        ("p.csv", "exel", r"format='exel'; allowed: \['json_lines', 'csv'"),
        ("folder", "brat", "brat holds the notes' text.*notes=…"),
        ("p.conll", None, "conll holds the notes' text.*notes=…"),
        ("p.xlsx", "omop", r"NOTE_NLP is written as one of \['\.csv', '\.parquet'\]"),
    ],
)
def test_what_is_no_format_is_refused_before_anything_is_predicted(name, given, message, tmp_path):
    def predicting():
        pytest.fail("predicted for nothing")
        yield

    with pytest.raises(ConfigError, match=message):
        write_predictions(predicting(), tmp_path / name, format=given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rows_of_note_nlp_are_written_with_their_types(ending, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    path = tmp_path / f"note_nlp{ending}"
    assert write_predictions(SAID, path, format="omop") == 3
    frame = READ[ending](path)
    assert list(frame) == list(NOTE_NLP)
    assert frame["note_id"].astype(int).tolist() == [1, 1, 2]
    assert frame["offset"].astype(int).tolist() == [0, 14, 14]
    assert frame["nlp_date"].astype(str).tolist() == ["1970-01-02"] * 3
    assert frame["nlp_datetime"].astype(str).str.startswith("1970-01-02").all()
    assert set(frame["lexical_variant"].dropna()) <= {""}
    write_predictions(SAID, path, format="omop", notes=NOTES, text=True)
    assert READ[ending](path)["lexical_variant"].tolist() == ["Metformin", "diabetes", "diabetes"]


def test_annotation_tools_get_the_notes_with_the_predictions(tmp_path, caplog):
    assert write_predictions(iter(SAID), tmp_path / "brat", notes=NOTES, format="brat") == 3
    read = ctl.read_notes(tmp_path / "brat", format="brat")
    assert [[span.key for span in note.spans or ()] for note in read] == [
        [(0, 9, "Drug"), (14, 22, "Disease")],
        [],
        [],
    ]
    assert "3 notes written without" in caplog.text
    write_predictions(SAID, tmp_path / "p.spacy", notes=NOTES)
    held = ctl.read_notes(tmp_path / "p.spacy")
    assert list(held) == list(ctl.data.predicted_notes(NOTES, SAID))


def test_what_was_predicted_is_kept_where_a_tools_format_can_not_be_written(tmp_path, caplog):
    (tmp_path / "brat").write_text("in the way")
    with pytest.raises(NoteError, match="a file, but this format is a folder"):
        write_predictions(iter(SAID), tmp_path / "brat", notes=NOTES, format="brat")
    part = tmp_path / "brat.part.jsonl"
    assert str(part) in caplog.text
    write_predictions(SAID, tmp_path / "said.jsonl")
    assert part.read_bytes() == (tmp_path / "said.jsonl").read_bytes()
    (tmp_path / "brat").unlink()
    write_predictions(iter(SAID), tmp_path / "brat", notes=NOTES, format="brat")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["brat", "said.jsonl"]


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet", ".xlsx"])
def test_predictions_stream_and_an_error_leaves_what_there_was_of_them(
    ending, tmp_path, monkeypatch
):
    monkeypatch.setattr(row_files, "ROW_GROUP", 10)
    living, most = 0, 0

    def gone():
        nonlocal living
        living -= 1

    def failing(n=100):
        nonlocal living, most
        for i in range(n):
            prediction = Prediction(f"n{i}", label="ward")
            weakref.finalize(prediction, gone)
            living += 1
            most = max(most, living)
            yield prediction
        raise ZeroDivisionError

    path = tmp_path / f"p{ending}"
    with pytest.raises(ZeroDivisionError):
        write_predictions(failing(), path)
    assert most <= 3
    assert [file.name for file in tmp_path.iterdir()] == [f"p{ending}.part"]
    part = tmp_path / f"whole{ending}"
    (tmp_path / f"p{ending}.part").rename(part)
    frame = pd.read_json(part, lines=True) if ending == ".jsonl" else READ[ending](part)
    assert frame["note_id"].tolist() == [f"n{i}" for i in range(100)]


@given(note_sets(), st.data())
def test_as_many_rows_come_back_as_things_were_said(notes, data):
    said = [
        Prediction(
            note.note_id,
            label=note.label,
            codes=note.codes,
            spans=note.spans,
            relations=tuple(ScoredRelation(*vars(r).values(), 0.5) for r in note.relations or ()),
        )
        for note in notes
    ]
    expected = [max(1, sum(map(len, one._said().values()))) for one in said]
    ending = data.draw(st.sampled_from([".csv", ".parquet"]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"p{ending}"
        assert write_predictions(said, path, notes=notes) == len(said)
        frame = (
            pd.read_parquet(path)
            if ending == ".parquet"
            else pd.read_csv(path, dtype=str, keep_default_na=False)
        )
    counts = frame["note_id"].value_counts(sort=False)
    assert [counts[note.note_id] for note in notes] == expected
    n_mentions = sum(len(note.spans or ()) for note in notes)
    assert (frame["kind"] == "mention").sum() == n_mentions
    assert pd.to_numeric(frame["start"]).notna().sum() == n_mentions


def test_silver_notes_and_predicted_ones_say_where_they_come_from_alike():
    note = with_origin(Note("a", TEXT, metadata={"ward": "A3"}), "silver", {"round": 1})
    assert note.metadata == {"ward": "A3", "silver": {"round": 1}}
