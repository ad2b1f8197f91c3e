"""Reports: intervals of exactly the task's scores, groups compared fairly, nothing told of few."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.seen_notes import SeenNotes
from clinical_tl.errors import ArtifactError, ConfigError, NoteError, TaskError
from clinical_tl.evaluation.evaluating import evaluation_report, report_on
from clinical_tl.evaluation.page import report_page, write_page
from clinical_tl.evaluation.reliability import temperature_of
from clinical_tl.evaluation.subgroups import FEWEST_PATIENTS
from clinical_tl.metrics.intervals import bootstrap_interval, interval_around
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.saved.saved_report import SHARED, read_report
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

TEXT = "Denies chest pain. Has COPD."
LABELS = ("a", "b", "c")


def classified(pairs):
    """Notes with these gold labels and predictions of these labels, at 0.8."""
    task = NoteClassification(LabelSet(LABELS, (1, 1, 1)))
    notes, predictions = [], []
    for i, (gold, said) in enumerate(pairs):
        sex = "f" if i % 2 else "m"
        notes.append(Note(str(i), TEXT, patient_id=f"p{i // 2}", label=gold, metadata={"sex": sex}))
        row = np.full(3, 0.1, dtype=np.float32)
        row[LABELS.index(said)] = 0.8
        predictions.append(Prediction(str(i), label=said, scores=LabelScores(LABELS, row)))
    return task, notes, predictions


def coded(rows):
    """Notes with these codes and predictions of those; scores follow the predictions."""
    names = ("A41.9", "E11.9", "I10")
    task = DiagnosisCoding.from_notes(
        [Note(name, TEXT, codes=(name,)) for name in names], level="code"
    )
    notes, predictions = [], []
    for i, (gold, said) in enumerate(rows):
        notes.append(Note(str(i), TEXT, codes=tuple(gold)))
        scores = np.array([0.9 if n in said else 0.1 + 0.01 * j for j, n in enumerate(names)])
        predictions.append(Prediction(str(i), codes=tuple(said), scores=LabelScores(names, scores)))
    return task, notes, predictions


def marked(rows):
    """Notes with these gold spans and predictions of those."""
    task = EntityRecognition(LabelSet(("Problem", "Symptom"), (1, 1)))
    spans = (Span(7, 17, "Symptom"), Span(23, 27, "Problem"), Span(13, 17, "Symptom"))
    notes = [Note(str(i), TEXT, spans=tuple(spans[j] for j in g)) for i, (g, _) in enumerate(rows)]
    predictions = [
        Prediction(str(i), spans=tuple(Span(*spans[j].key, score=0.7) for j in said))
        for i, (_, said) in enumerate(rows)
    ]
    return task, notes, predictions


def agree(task, notes, predictions):
    """The counts of single notes, summed, give the task's own scores."""
    summary = task.evaluate(notes, predictions).summary()
    figures = task.note_counts(notes, predictions).figures(np.ones((1, len(notes))))
    shared = {name: float(value[0]) for name, value in figures.items() if name in summary}
    assert shared
    assert shared == pytest.approx({name: summary[name] for name in shared}, abs=1e-12)
    # What the task leaves out as undefined has no figure here either.
    assert all(np.isnan(figures[name][0]) for name in set(figures) - set(shared))


@given(st.lists(st.tuples(st.sampled_from([*LABELS, "new"]), st.sampled_from(LABELS)), min_size=1))
def test_counts_of_notes_give_the_scores_of_classification(pairs):
    agree(*classified(pairs))


CODES = st.sets(st.sampled_from(["A41.9", "E11.9", "I10"]))
GOLD_CODES = st.sets(st.sampled_from(["A41.9", "E11.9", "I10", "J44.1"]))


@given(st.lists(st.tuples(GOLD_CODES, CODES), min_size=1, max_size=12))
def test_counts_of_notes_give_the_scores_of_coding(rows):
    agree(*coded([(sorted(gold), sorted(said)) for gold, said in rows]))


MENTIONS = st.sets(st.integers(0, 1)).map(sorted)


@given(st.lists(st.tuples(MENTIONS, st.sets(st.integers(0, 2)).map(sorted)), min_size=1))
def test_counts_of_notes_give_the_scores_of_entities(rows):
    agree(*marked(rows))


def test_counts_of_notes_give_the_scores_of_relations():
    spans = (Span(7, 17, "Symptom", id="1"), Span(23, 27, "Problem", id="2"))
    relation = Relation("1", "2", "of")
    notes = [Note(str(i), TEXT, spans=spans, relations=(relation,)) for i in range(3)]
    task = RelationExtraction.from_notes(
        [*notes, Note("unrelated", TEXT, spans=spans, relations=())]
    )
    predictions = [Prediction(str(i), relations=() if i else (relation,)) for i in range(3)]
    agree(task, notes, predictions)
    assert report_on(task, notes, predictions, resamples=20).scores["recall"] == pytest.approx(
        1 / 3
    )


def test_intervals_are_those_of_the_plain_cluster_bootstrap():
    random = np.random.default_rng(1)
    task, notes, predictions = classified(
        [(LABELS[g], LABELS[p]) for g, p in random.integers(0, 3, size=(60, 2))]
    )
    found = report_on(task, notes, predictions, resamples=4000).intervals["macro_f1"]

    def macro_f1(rows):
        return task.evaluate([notes[i] for i in rows], [predictions[i] for i in rows]).macro_f1

    groups = [note.patient_id for note in notes]
    plain = bootstrap_interval(macro_f1, 60, groups=groups, resamples=4000, seed=5)
    assert found.value == pytest.approx(plain.estimate, abs=1e-12)
    # Other draws of the same distribution: four thousand of them leave a percent or so.
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.015)
    alone = report_on(
        task, [Note(n.note_id, n.text, label=n.label) for n in notes], predictions, resamples=500
    )
    assert (alone.patients, report_on(task, notes, predictions, resamples=1).patients) == (60, 30)


def test_groups_and_their_gap():
    right = [("a", "a"), ("a", "a"), ("b", "b"), ("b", "b")]
    # Odd notes ("f") with the gold label b are wrong from the twentieth on.
    wrong = [("a", "a"), ("a", "a"), ("b", "b"), ("b", "a")]
    task, notes, predictions = classified(right * 5 + wrong * 5)
    report = report_on(task, notes, predictions, by=["sex"], resamples=300)
    women, men = report.subgroups
    assert (women.group, women.notes, women.patients) == ("f", 20, 20)
    only = [i for i in range(40) if i % 2]
    expected = task.evaluate([notes[i] for i in only], [predictions[i] for i in only])
    assert women.score.value == pytest.approx(expected.macro_f1)
    (gap,) = report.gaps
    assert (gap.highest, gap.lowest, gap.labels, gap.of_labels) == ("m", "f", 2, 2)
    assert gap.difference.value == pytest.approx(men.score.value - women.score.value)
    assert gap.difference.low < gap.difference.value <= gap.difference.high
    assert SHARED not in report.subgroup_table()[0]


def test_a_gap_is_not_one_of_labels_that_a_group_does_not_have():
    # Women alone have the label c, which is always missed; a and b are as good in both.
    same = [("a", "a"), ("a", "a"), ("b", "b"), ("b", "b"), ("b", "a"), ("b", "a")]
    task, notes, predictions = classified(same * 10 + [("a", "a"), ("c", "b")] * 5)
    report = report_on(task, notes, predictions, by=["sex"], resamples=50)
    women, men = report.subgroups
    assert women.score.value < men.score.value - 0.2
    (gap,) = report.gaps
    assert (gap.labels, gap.of_labels) == (2, 3)
    assert abs(gap.difference.value) < 0.05
    rows = report.subgroup_table()
    assert rows[0][SHARED] == women.shared.value
    assert "on the 2 of 3 labels that all groups have" in rows[-1]["group"]


def test_a_label_predicted_in_one_group_alone_is_no_label_that_groups_share():
    task, notes, predictions = classified([("a", "a")] * 39 + [("a", "c")])
    report = report_on(task, notes, predictions, by=["sex"], resamples=20)
    women, men = report.subgroups
    assert men.score.value - women.score.value > 0.5
    assert report.gaps[0].difference.value == pytest.approx(1 - 38 / 39)


def test_groups_without_a_common_label_can_not_be_compared_and_it_is_said(tmp_path):
    task, notes, predictions = classified([("a", "a"), ("b", "c")] * 20)
    report = report_on(task, notes, predictions, by=["sex"], resamples=20)
    (gap,) = report.gaps
    assert (gap.highest, gap.difference, gap.labels, gap.of_labels) == (None, None, 0, 2)
    assert [group.shared for group in report.subgroups] == [None, None]
    assert "there is no label that all groups have" in report_page(report)
    report.save(tmp_path)
    assert read_report(tmp_path) == report.for_card()


def test_a_group_without_gold_is_not_compared():
    task, notes, predictions = marked([([0], [0]), ([], [])] * 20 + [([0], [])] * 20)
    named = [
        replace(n, metadata={"ward": "none" if not n.spans else "x" if p.spans else "y"})
        for n, p in zip(notes, predictions, strict=True)
    ]
    report = report_on(task, named, predictions, by=["ward"], resamples=20)
    assert [group.shared is None for group in report.subgroups] == [True, False, False]
    assert (report.gaps[0].highest, report.gaps[0].lowest) == ("x", "y")


def test_groups_are_compared_by_ranking_on_the_codes_they_share():
    # I10 ranks first everywhere, and A41.9, which women alone have, last.
    rows = [(["I10"], ["I10"]), (["I10"], ["I10"])] * 10 + [
        (["A41.9"], ["I10"]),
        (["I10"], ["I10"]),
    ] * 10
    task, notes, predictions = coded(rows)
    named = [replace(n, metadata={"sex": "mf"[i % 2 == 0]}) for i, n in enumerate(notes)]
    report = report_on(task, named, predictions, by=["sex"], resamples=20)
    assert report.metric == "map"
    women, men = report.subgroups
    assert women.score.value < 0.8 < men.score.value == 1.0
    assert report.gaps[0].difference.value == 0.0


def test_an_interval_has_its_own_value_where_labels_are_rare():
    random = np.random.default_rng(4)
    codes = [f"A{i:02d}" for i in range(60)]
    task = DiagnosisCoding.from_notes(
        [Note(code, TEXT, codes=(code,)) for code in codes], level="category"
    )
    chances = 1 / np.arange(2, 62)
    notes, predictions = [], []
    for i in range(60):
        gold = random.random(60) < chances
        said = (gold & (random.random(60) < 0.5)) | (random.random(60) < 0.01)
        notes.append(Note(str(i), TEXT, codes=tuple(np.array(codes)[gold].tolist())))
        row = LabelScores(task.labels.names, (0.1 + 0.8 * said).astype(np.float32))
        names = tuple(np.array(codes)[said].tolist())
        predictions.append(Prediction(str(i), codes=names, scores=row))
    report = report_on(task, notes, predictions, resamples=200)
    for metric, interval in report.intervals.items():
        assert interval.value == pytest.approx(report.scores[metric])
        assert interval.low < interval.value < interval.high


def test_intervals_cover_the_score_of_the_population_as_often_as_they_say():
    random = np.random.default_rng(7)
    # P(gold), and P(said | gold): what a large set of notes would score.
    gold_share, said_share = (
        np.array([0.5, 0.3, 0.2]),
        np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.3, 0.2, 0.5]]),
    )
    joint = gold_share[:, None] * said_share
    f1 = 2 * joint.diagonal() / (joint.sum(axis=0) + joint.sum(axis=1))
    truth = {"accuracy": joint.trace(), "macro_f1": f1.mean(), "weighted_f1": f1 @ gold_share}
    covered = dict.fromkeys(truth, 0)
    trials = 120
    for _ in range(trials):
        cells = random.choice(9, size=120, p=joint.ravel())
        made = classified([(LABELS[cell // 3], LABELS[cell % 3]) for cell in cells])
        alone = [replace(note, patient_id=None) for note in made[1]]
        found = report_on(made[0], alone, made[2], resamples=200).intervals
        for metric, value in truth.items():
            covered[metric] += found[metric].low <= value <= found[metric].high
    # 0.95 of 120 are 114; a binomial of 0.95 has fewer than 105 once in ten thousand.
    assert min(covered.values()) >= 105
    assert max(covered.values()) < trials


def test_a_report_says_what_evaluate_says_and_says_it_once(caplog):
    task = EntityRecognition(LabelSet(("Drug",), (3,)))
    text = "aspirin for pain and cough"
    found = Span(12, 16, "Symptom", score=0.9)
    notes = [
        Note("a", text, spans=(Span(0, 7, "Drug"),)),
        Note("b", text, spans=(Span(12, 16, "Symptom"),)),
        Note("c", text, spans=()),
    ]
    said = [
        Prediction("a", spans=(Span(0, 7, "Drug", score=0.9), Span(0, 3, "Drug", score=0.3))),
        Prediction("b", spans=(found,)),
        Prediction("c", spans=(found,)),
    ]
    expected = task.evaluate(notes, said).summary()
    once = [record.getMessage() for record in caplog.records]
    caplog.clear()
    report = report_on(task, notes, said, resamples=20)
    assert report.scores == expected
    assert report.intervals["f1"].value == pytest.approx(expected["f1"])
    assert [record.getMessage() for record in caplog.records] == once
    assert len(once) == 1


def test_a_report_evaluates_once_however_many_notes_there_are(monkeypatch):
    task, notes, predictions = coded([(["I10"], ["I10"])] * 30)
    calls = []
    own = DiagnosisCoding.evaluate

    def evaluate(self, *given):
        calls.append(len(given[0]))
        return own(self, *given)

    monkeypatch.setattr(DiagnosisCoding, "evaluate", evaluate)
    report_on(task, notes, predictions, resamples=5)
    assert calls == [30]


def test_what_rules_decide_is_reported_without_scores():
    task, notes, predictions = coded([(["I10"], ["I10"]), (["I10"], [])] * 6)
    bare = [Prediction(p.note_id, codes=p.codes) for p in predictions]
    report = report_on(task, notes, bare, resamples=20)
    assert (report.metric, report.calibration) == ("micro_f1", None)
    assert report.intervals["micro_f1"].value == report.scores["micro_f1"]


def test_a_small_group_is_named_without_figures():
    task, notes, predictions = classified([("a", "a")] * (4 * FEWEST_PATIENTS))
    rare = [
        Note(n.note_id, n.text, label=n.label, metadata={"sex": "x" if i < 9 else "f"})
        for i, n in enumerate(notes)
    ]
    report = report_on(task, rare, predictions, by=["sex"], resamples=20)
    few = report.subgroups[1]
    assert (few.group, few.notes, few.patients, few.score) == ("x", None, None, None)
    assert report.subgroup_table()[1]["patients"] == "too few"
    assert report.gaps == ()


def test_calibration_says_of_what_and_what_it_leaves_out():
    task, notes, predictions = classified([("a", "a"), ("b", "a"), ("new", "b")])
    found = report_on(task, notes, predictions, resamples=5).calibration
    assert found.left_out == 1
    assert found.scores.ece == pytest.approx(0.8 - 0.5, abs=1e-6)
    mentions = report_on(*marked([([0, 1], [0]), ([0], [1])]), resamples=5).calibration
    assert mentions.scores.ece == pytest.approx(0.7 - 0.5)
    assert mentions.scores.brier == pytest.approx((0.3**2 + 0.7**2) / 2)


def compared(cells, **settings):
    """A report of the predictions in the second column against those in the third."""
    task, notes, said = classified([(LABELS[g], LABELS[p]) for g, p, _ in cells])
    others = classified([(LABELS[g], LABELS[q]) for g, _, q in cells])[2]
    return task, notes, said, others, report_on(task, notes, said, against=others, **settings)


def test_a_comparison_is_a_paired_bootstrap_over_patients():
    cells = np.random.default_rng(1).integers(0, 3, size=(60, 3))
    task, notes, said, others, report = compared(cells, resamples=400, seed=5)

    def macro_f1(predictions, rows):
        return task.evaluate([notes[i] for i in rows], [predictions[i] for i in rows]).macro_f1

    drawn = []

    def difference(rows):
        drawn.append(macro_f1(said, rows) - macro_f1(others, rows))
        return drawn[-1]

    owners = [note.patient_id for note in notes]
    bootstrap_interval(difference, 60, groups=owners, resamples=400, seed=5)
    plain = interval_around(drawn[0], np.array(drawn[1:]), 0.95, difference=True)
    found = report.comparison.differences["macro_f1"]
    expected = (plain.estimate, plain.low, plain.high)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert report.comparison.scores == task.evaluate(notes, others).summary()
    row = next(row for row in report.comparison_table() if row["metric"] == "macro_f1")
    assert row["value"] - row["other"] == pytest.approx(row["difference"])


def test_one_note_that_two_models_say_otherwise_is_no_difference():
    """It is the only one of its label, and missing from a third of the resamples."""
    cells = [(0, 0, 0)] * 59 + [(1, 1, 0)]
    for seed in range(5):
        differences = compared(cells, resamples=200, seed=seed)[-1].comparison.differences
        assert differences["macro_f1"].low == differences["accuracy"].low == 0.0


def test_notes_of_few_patients_are_said_to_be():
    task, notes, said = classified(
        [(LABELS[0], LABELS[0]), (LABELS[0], LABELS[1]), (LABELS[1], LABELS[1])] * 4
    )
    for n, told in ((1, "no intervals"), (3, "intervals of 95 %, too narrow"), (12, "of 95 %")):
        own = [replace(note, patient_id=f"p{i % n}") for i, note in enumerate(notes)]
        report = report_on(task, own, said, resamples=20)
        assert told in str(report)
        assert told.lower() in report_page(report).lower()
        assert bool(report.intervals) == (n > 1)
        compared = report_on(task, own, said, against=said, resamples=20)
        assert ("low" in compared.comparison_table()[0]) == (n > 1)
        assert ("too narrow" in str(report)) == (n == 3)


def test_models_are_told_apart_where_their_own_intervals_overlap():
    random = np.random.default_rng(2)
    gold = random.integers(0, 2, size=200)
    said = np.where(random.random(200) < 0.7, gold, 2)
    # As good but for ten of its right notes: what is hard is hard for both.
    worse = said.copy()
    worse[np.flatnonzero(said == gold)[:10]] = 2
    *_, report = compared(np.stack([gold, said, worse], axis=1), resamples=300)
    difference = report.comparison.differences["accuracy"]
    assert difference.value == pytest.approx(10 / 200)
    assert 0 < difference.low < difference.high
    own = report.intervals["accuracy"]
    assert difference.high - difference.low < 0.75 * (own.high - own.low)
    assert own.low < report.comparison.scores["accuracy"] < own.high
    *_, mirrored = compared(np.stack([gold, worse, said], axis=1), resamples=300)
    back = mirrored.comparison.differences["accuracy"]
    assert (back.low, back.high) == pytest.approx((-difference.high, -difference.low))


def test_a_comparison_is_in_the_report_and_on_the_page(tmp_path):
    cells = np.random.default_rng(3).integers(0, 3, size=(30, 3))
    task, notes, said, _, report = compared(cells, resamples=20)
    assert "Compared with another model" in report_page(report)
    row = json.loads(report.save(tmp_path).read_text())["comparison"]
    assert row["differences"]["accuracy"]["value"] == pytest.approx(
        report.scores["accuracy"] - row["scores"]["accuracy"]
    )
    assert read_report(tmp_path) == report.for_card()
    alone = report_on(task, notes, said, resamples=20)
    assert (alone.comparison, alone.comparison_table()) == (None, [])
    assert "Compared with" not in report_page(alone)
    with pytest.raises(TaskError, match="in the same order"):
        report_on(task, notes, said, against=said[::-1])


def test_a_temperature_says_how_good_probabilities_could_be():
    def sure(right):
        """Right in so many of ten notes, in all thirty, and each time sure of 0.98."""
        task, notes, said = classified([("a", "a" if i % 10 < right else "b") for i in range(30)])
        rows = [np.where(np.array(LABELS) == p.label, 0.98, 0.01) for p in said]
        scored = [
            replace(p, scores=LabelScores(LABELS, row.astype(np.float32)))
            for p, row in zip(said, rows, strict=True)
        ]
        return task, notes, scored

    temperature = temperature_of(*sure(7))
    # The odds of 0.98 to 0.01 would be those of 0.7 to 0.15; it is drawn towards 1.
    assert 2.0 < temperature < np.log(98) / np.log(0.7 / 0.15)
    task, notes, said = sure(6)
    found = report_on(task, notes, said, resamples=5, temperature=temperature).calibration
    assert found.scores.ece == pytest.approx(0.98 - 0.6, abs=1e-6)
    odds = np.exp(np.log(98) / temperature)
    assert found.scaled.ece == pytest.approx(odds / (odds + 2) - 0.6, abs=1e-6)
    rows = found.table()
    assert [row["ece"] for row in rows] == [found.scores.ece, found.scaled.ece]
    assert f"at temperature {temperature:.3g}, fitted on dev notes" in report_page(
        report_on(task, notes, said, resamples=5, temperature=temperature)
    )
    assert report_on(task, notes, said, resamples=5).calibration.scaled is None
    # A model that applies one says so, and what is fitted here comes on top.
    report = report_on(
        replace(task, temperature=1.5), notes, said, resamples=5, temperature=temperature
    )
    assert (report.calibration.applied, report.model.temperature) == (1.5, 1.5)
    assert [row["probabilities"] for row in report.calibration.table()] == [
        "as predicted, by the model's temperature 1.5",
        f"at a further temperature {temperature:.3g}, fitted on dev notes",
    ]
    assert "temperature, chosen on dev notes and applied" in report_page(report)


def test_a_temperature_of_many_labels_and_of_none():
    task, notes, said = coded([(["I10"], ["I10"]), (["I10"], ["A41.9"]), (["E11.9"], [])] * 8)
    temperature = temperature_of(task, notes, said)
    found = report_on(task, notes, said, resamples=5, temperature=temperature).calibration
    assert found.scaled.brier < found.scores.brier
    # Mentions have no probability but of being there.
    task, notes, said = marked([([0], [0]), ([0], [])])
    assert temperature_of(task, notes, said) is None
    task, notes, said = classified([("new", "a")] * 30)
    assert temperature_of(task, notes, said) is None
    # A note or two would have it at 0.01 or 100.
    task, notes, said = classified([("a", "a")] * 19)
    assert temperature_of(task, notes, said) is None


def test_scores_of_mentions_may_be_rounded():
    task, notes, said = marked([([0], [0]), ([0], [])])
    said[0] = replace(said[0], spans=tuple(replace(s, score=1 + 1e-7) for s in said[0].spans))
    found = report_on(task, notes, said, resamples=5).calibration
    assert sum(row.count for row in found.scores.bins) == 1


@pytest.mark.parametrize("score", [1.5, -1.0, float("nan"), float("inf")])
def test_scores_of_mentions_are_probabilities(score):
    task, notes, said = marked([([0], [0]), ([0], [])])
    said[0] = replace(said[0], spans=tuple(replace(s, score=score) for s in said[0].spans))
    with pytest.raises(TaskError, match=rf"{said[0].note_id}' has spans with the score {score:g}"):
        report_on(task, notes, said, resamples=5)


def test_no_probabilities_no_calibration():
    task, notes, predictions = marked([([0], [0])])
    bare = [Prediction(p.note_id, spans=(Span(7, 17, "Symptom"),)) for p in predictions]
    assert report_on(task, notes, bare, resamples=5).calibration is None


def test_report_json_and_the_page_show_figures_and_no_text(tmp_path):
    task, notes, predictions = classified([("a", "a"), ("b", "<c>".strip("<>"))] * 12)
    report = report_on(task, notes, predictions, by=["sex"], resamples=50, name="<test>")
    found = json.loads(report.save(tmp_path).read_text())
    assert found["intervals"]["accuracy"]["value"] == report.scores["accuracy"]
    card = read_report(tmp_path)
    assert card == report.for_card()
    assert card["intervals"]["<test>"]["accuracy"]["low"] == report.intervals["accuracy"].low
    page = write_page(report, tmp_path / "page" / "report.html").read_text()
    assert page == report_page(report)
    assert "&lt;test&gt;" in page
    assert "<test>" not in page
    assert "<circle" in page
    for shown in (page, json.dumps(found)):
        assert "chest" not in shown
        assert "p1" not in shown.split()
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"report\.json holds a list"):
        read_report(tmp_path)
    assert read_report(tmp_path / "page") is None


def test_same_seed_same_report():
    made = classified([("a", "b"), ("b", "b"), ("c", "a")] * 5)
    assert report_on(*made, resamples=50, seed=3) == report_on(*made, resamples=50, seed=3)
    other = report_on(*made, resamples=50, seed=4)
    assert other.intervals != report_on(*made, resamples=50, seed=3).intervals


def test_misuse():
    task, notes, predictions = classified([("a", "a"), ("b", "b")])
    with pytest.raises(ConfigError, match="there are: sex"):
        report_on(task, notes, predictions, by=["hospital"])
    with pytest.raises(ConfigError, match="resamples is 0"):
        report_on(task, notes, predictions, resamples=0)
    with pytest.raises(TaskError, match="in the same order"):
        report_on(task, notes, predictions[:1])
    with pytest.raises(TaskError, match="position 0 is of note '1'"):
        report_on(task, notes, predictions[::-1])
    secret = [Note(str(i), TEXT, label="a", metadata={"mrn": f"secret-{i}"}) for i in range(21)]
    with pytest.raises(ConfigError, match="21 values") as raised:
        report_on(task, secret, [Prediction(n.note_id, label="a") for n in secret], by=["mrn"])
    assert "secret" not in str(raised.value)


def test_a_model_is_predicted_and_reported():
    task, notes, predictions = classified([("a", "a"), ("b", "c")])

    class Model:
        def __init__(self):
            self.task = task

        def predict(self, records, *, progress=True):
            assert progress
            assert [note.note_id for note in records] == ["0", "1"]
            return predictions

    assert evaluation_report(Model(), notes, resamples=5).scores["accuracy"] == 0.5


class Says:
    """Stands for a model: one label for every note."""

    def __init__(self, task, label, trained=()):
        self.task, self.label, self.metrics = task, label, {}
        self.seen = SeenNotes.of(trained, None, allow_leakage=True)[0] if trained else None

    def predict(self, records, *, progress=True):
        assert not progress
        row = np.where(np.array(LABELS) == self.label, 0.8, 0.1).astype(np.float32)
        scores = LabelScores(LABELS, row)
        return [Prediction(note.note_id, label=self.label, scores=scores) for note in records]


def test_two_models_are_compared_in_one_call():
    task, notes, _ = classified([("a", "a"), ("a", "a"), ("b", "b")] * 10)
    texts = [f"Seen on day {i} for a cough." for i in range(30)]
    notes = [replace(note, text=text) for note, text in zip(notes, texts, strict=True)]
    quick = {"resamples": 20, "progress": False}
    report = evaluation_report(Says(task, "a"), notes, against=Says(task, "b"), **quick)
    assert report.comparison.differences["accuracy"].value == pytest.approx(1 / 3)
    # What the other was trained on counts too.
    known = Says(task, "b", trained=notes[:3])
    with pytest.raises(NoteError, match="the test notes and the training notes share"):
        evaluation_report(Says(task, "a"), notes, against=known, **quick)
    told = evaluation_report(Says(task, "a"), notes, against=known, allow_leakage=True, **quick)
    assert (told.leakage, told.comparison.leakage["patients"]) == (None, 2)
    assert "The other model: The test notes share" in report_page(told)


def test_models_of_different_tasks_are_not_compared():
    task, notes, _ = classified([("a", "a"), ("b", "b")])
    # Other labels in training are no other question.
    fewer = Says(replace(task, labels=LabelSet(("a", "b"), (1, 1))), "b")
    quick = {"resamples": 5, "progress": False, "allow_leakage": True}
    assert evaluation_report(Says(task, "a"), notes, against=fewer, **quick).comparison
    entities = Says(marked([([0], [0])])[0], "a")
    with pytest.raises(TaskError, match="for note classification, the other for entity"):
        evaluation_report(Says(task, "a"), notes, against=entities, **quick)


def test_codes_of_another_level_are_another_question():
    fine, notes, _ = coded([(["I10"], ["I10"]), (["A41.9"], [])] * 3)
    coarse = DiagnosisCoding.from_notes(notes, level="chapter")
    with pytest.raises(TaskError, match="for diagnosis coding of other gold labels"):
        evaluation_report(Says(fine, "a"), notes, against=Says(coarse, "a"), progress=False)


def test_dev_notes_for_a_temperature_are_not_the_notes_that_are_scored():
    task, notes, _ = classified([("a", "a"), ("b", "b")] * 10)
    dev = [replace(n, note_id=f"d{n.note_id}", patient_id=f"d{n.patient_id}") for n in notes]
    quick = {"resamples": 5, "progress": False, "allow_leakage": True}
    found = evaluation_report(Says(task, "a"), notes, dev=dev, **quick).calibration
    # Right in every second note, whatever is said; so few are not taken at their word.
    assert 0.5 < found.scaled.bins[0].confidence < 0.7 < found.scores.bins[0].confidence
    with pytest.raises(NoteError, match="the test notes and the dev notes share"):
        evaluation_report(Says(task, "a"), notes, dev=notes, progress=False)


def test_share_lost_is_one_figure_wherever_a_model_is_scored(tiny_encoder):
    # A word with a sign that the vocabulary lacks is one unknown token.
    spans = (Span(0, 5, "S"), Span(11, 16, "S"))
    notes = [Note(str(i), f"edema\N{CHECK MARK} and fever {i}", spans=spans) for i in range(6)]
    task = EntityRecognition.from_notes(notes)
    tuned = TransferModel.from_pretrained(tiny_encoder, task, adapter="full")
    fit(tuned, notes, notes, TrainingConfig(epochs=1, progress=False), allow_leakage=True)
    settings = {"strengths": [1.0], "allow_leakage": True, "progress": False}
    features = FeatureModel.fit(tiny_encoder, task, notes, notes, **settings)
    told = {"allow_leakage": True, "progress": False}
    for model in (tuned, features):
        scores = model.evaluate(notes, **told).summary()
        report = evaluation_report(model, notes, resamples=5, **told)
        assert scores["share_lost"] == 0.5
        assert report.scores == scores == model.metrics["test"]
        assert model.metrics["dev"]["share_lost"] == 0.5
