import json

import numpy as np
import pytest

from clinical_tl.data.predictions import write_predictions
from clinical_tl.schema import WRITTEN_SCORES, LabelScores, Prediction, ScoredRelation, Span


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
