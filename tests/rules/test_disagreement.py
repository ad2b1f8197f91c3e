import csv
import json

import pytest

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.rules.disagreement import COLUMNS, disagreements
from clinical_tl.rules.matcher import RuleMatcher
from clinical_tl.schema import Note, Prediction, Span
from tests.rules.lexicons import claims, rule


def kinds(model, rules):
    report = disagreements([claims("n", *model)], [claims("n", *rules)])
    return report.agreed, [(d.kind, d.start, d.end) for d in report.records]


def test_every_kind_is_told_apart():
    agreed, found = kinds(
        model=[(0, 4, "P", 0.9), (10, 14, "P", 0.9), (20, 24, "P", 0.9), (30, 34, "P", 0.9)],
        rules=[(0, 4, "P", 0.5), (12, 18, "P", 0.5), (20, 24, "Q", 0.5), (40, 44, "P", None)],
    )
    assert agreed == 1
    assert found == [
        ("other_bounds", 10, 18),
        ("other_label", 20, 24),
        ("only_model", 30, 34),
        ("only_rules", 40, 44),
    ]


def test_pairs_are_one_to_one_and_the_largest_overlap_goes_first():
    assert kinds([(0, 10, "P", 1.0)], [(0, 3, "P", 1.0), (4, 10, "P", 1.0)]) == (
        0,
        [("other_bounds", 0, 10), ("only_rules", 0, 3)][::-1],
    )
    # Equal overlaps: the same label goes first.
    assert kinds([(0, 6, "P", 1.0)], [(0, 3, "Q", 1.0), (3, 6, "P", 1.0)]) == (
        0,
        [("only_rules", 0, 3), ("other_bounds", 0, 6)],
    )
    assert kinds([(0, 4, "P", 1.0)], [(4, 8, "P", 1.0)])[1] == [
        ("only_model", 0, 4),
        ("only_rules", 4, 8),
    ]


def test_pieces_are_part_of_a_mention():
    whole = Span(0, 9, "P")
    pieces = Span(0, 9, "P", fragments=((0, 2), (5, 9)))
    report = disagreements([Prediction("n", spans=(whole,))], [Prediction("n", spans=(pieces,))])
    assert report.summary() == {
        "agreed": 0,
        "only_rules": 0,
        "only_model": 0,
        "other_label": 0,
        "other_bounds": 1,
    }


def test_the_report_is_written_without_text(tmp_path):
    notes = [Note("n1", "secretague here"), Note("n2", "ague and gout")]
    by_rules = RuleMatcher([rule("ague", precision=0.5, support=2)]).predict(notes)
    by_model = [claims("n1", (0, 10, "P", 0.25)), claims("n2")]
    report = disagreements(by_model, by_rules)
    with report.write(tmp_path / "d" / "d.tsv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert tuple(rows[0]) == COLUMNS
    assert [rows[0][c] for c in ("note_id", "start", "end", "kind", "model_score", "rule")] == [
        *("n1", "0", "10", "only_model", "0.25", "")
    ]
    assert [rows[1][c] for c in ("note_id", "kind", "rules_label", "rules_score")] == [
        *("n2", "only_rules", "Problem", "0.5")
    ]
    lines = report.write(tmp_path / "d.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [d.row() for d in report.records]
    assert "secret" not in (tmp_path / "d.jsonl").read_text()
    with pytest.raises(ConfigError, match=r"allowed endings: \.tsv and \.jsonl"):
        report.write(tmp_path / "d.txt")


def test_predictions_must_belong_together():
    with pytest.raises(TaskError, match="same notes"):
        disagreements([claims("a")], [claims("b")])
