"""Self-training: what becomes silver, provenance, the stop on dev, refusals."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import Note, Prediction, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import IGNORED, EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.transfer import self_training, silver_notes
from clinical_tl.transfer.self_training import self_train, share_outside
from clinical_tl.transfer.silver_notes import select_silver

QUICK = TrainingConfig(epochs=2, batch_tokens=512, progress=False)
# Dev notes of a tiny random model earn no trust: take nearly everything.
EASY = {"allow_leakage": True, "precision": 0.02, "allow_dissimilar": True}


@pytest.fixture(scope="module")
def notes(synthetic_notes):
    return as_notes(synthetic_notes)


@pytest.fixture(params=[NoteClassification, DiagnosisCoding, EntityRecognition])
def task_kind(request):
    return request.param


def build(encoder, kind, notes, **settings):
    return TransferModel.from_pretrained(
        encoder, kind.from_notes(notes, **settings), window=64, overlap=16
    )


class Oracle:
    """A model whose predictions are given; the task is real."""

    def __init__(self, task, predictions):
        self.task, self.predictions = task, {p.note_id: p for p in predictions}

    def predict(self, notes, *, progress):
        assert not progress
        return [self.predictions[note.note_id] for note in notes]


def said(note_id, label, score):
    other = "b" if label == "a" else "a"
    return Prediction(note_id, label=label, scores={label: score, other: 1 - score})


def test_the_surest_of_each_class_up_to_its_quota():
    labelled = [Note("1", "t", label="a"), Note("2", "u", label="a"), Note("3", "v", label="b")]
    dev = [Note(f"d{i}", f"dev {i}", label="a") for i in range(8)]
    pool = [Note(f"p{i}", f"pool {i}") for i in range(6)]
    scores = [("a", 0.95), ("a", 0.99), ("a", 0.97), ("b", 0.96), ("b", 0.98), ("a", 0.5)]
    model = Oracle(
        NoteClassification.from_notes(labelled),
        [said(f"d{i}", "a", 0.9) for i in range(8)]
        + [said(f"p{i}", label, score) for i, (label, score) in enumerate(scores)],
    )
    silver = select_silver(model, labelled, pool, dev, precision=0.8, ratio=1.0, number=2)
    # Two of class a, one of b; 0.5 is below the threshold of 0.9.
    assert [(n.note_id, n.label) for n in silver.notes] == [("p1", "a"), ("p2", "a"), ("p4", "b")]
    assert silver.notes[0].metadata["silver"] == {
        "source": "self-training",
        "round": 2,
        "score": 0.99,
    }
    assert all(note.label is None for note in pool)


def test_codes_are_taken_one_by_one():
    labelled = [Note("1", "t", codes=("I10", "E11")), Note("2", "u", codes=("I10",))]
    dev = [Note(f"d{i}", f"dev {i}", codes=("I10",)) for i in range(10)]
    pool = [Note("p0", "x"), Note("p1", "y"), Note("p2", "z")]

    def coded(note_id, **scores):
        return Prediction(note_id, codes=tuple(scores), scores=scores)

    model = Oracle(
        DiagnosisCoding.from_notes(labelled),
        [coded(f"d{i}", I10=0.8) for i in range(10)]
        + [coded("p0", I10=0.9, E11=0.95), coded("p1", I10=0.5, E11=0.9), coded("p2")],
    )
    silver = select_silver(model, labelled, pool, dev, precision=0.8, ratio=1.0, number=1)
    assert [(n.note_id, n.codes) for n in silver.notes] == [("p0", ("E11", "I10"))]
    assert silver.n_labels == 2
    assert silver.notes[0].metadata["silver"]["scores"] == {"E11": 0.95, "I10": 0.9}


def test_codes_not_taken_are_not_taught_as_absent():
    labelled = [Note("1", "t", codes=("E10", "E11", "I10")), Note("2", "u", codes=("E11", "J45"))]
    dev = [Note(f"d{i}", f"dev {i}", codes=("E10", "E11")) for i in range(10)]
    pool = [Note(f"p{i}", f"pool {i}") for i in range(3)]
    scores = {"E10": 0.9, "E11": 0.95, "I10": 0.3, "J45": 0.02}
    task = DiagnosisCoding.from_notes(labelled)
    model = Oracle(
        task, [Prediction(n.note_id, codes=("E10", "E11"), scores=scores) for n in (*dev, *pool)]
    )
    silver = select_silver(model, labelled, pool, dev, precision=0.8, ratio=1.0, number=1)
    # One E10 and two E11 are all that the quota lets in.
    assert [note.codes for note in silver.notes] == [("E10", "E11"), ("E11",)]
    opened = [note.metadata["silver"]["unsure_codes"] for note in silver.notes]
    assert opened == [["I10"], ["E10", "I10"]]
    _, gold = task.decisions(
        SimpleNamespace(states=object(), logits=torch.zeros(2, 4)),
        SimpleNamespace(notes=[0, 1]),
        task.targets(silver.notes, []),
    )
    assert gold.tolist() == [[1, 1, -1, 0], [-1, 1, -1, 0]]
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.5], [0.1, 0.2, 0.3, 0.4]])
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    # A decided code weighs as much as it would beside decided ones.
    expected = [
        bce(logits[0, [0, 1, 3]], torch.tensor([1.0, 1.0, 0.0])).item() * 3 / 4,
        bce(logits[1, [1, 3]], torch.tensor([1.0, 0.0])).item() * 2 / 4,
    ]
    assert task.losses(logits, gold).tolist() == pytest.approx(expected)
    changed = logits.clone()
    changed[0, 2] = changed[1, 0] = -9.0
    for loss in ("bce", "bce_pos_weight", "asymmetric"):
        of = replace(task, loss=loss)
        assert torch.equal(
            of.losses(changed, gold, label_smoothing=0.1),
            of.losses(logits, gold, label_smoothing=0.1),
        )


@pytest.mark.parametrize(("level", "e10", "e11"), [("code", -1, 0), ("category", 0, -1)])
def test_what_is_left_open_is_rolled_up_with_the_rest(level, e10, e11):
    labelled = [Note("1", "t", codes=("E10.9", "E11.9")), Note("2", "u", codes=("J45.909",))]
    task = DiagnosisCoding.from_notes(labelled, level=level)
    opened = ("e10.9",) if level == "code" else ("e11.65", "J45.20")
    note = Note("3", "v", codes=("J45.909",), metadata={"silver": {"unsure_codes": opened}})
    ((_, gold),) = [
        task.decisions(
            SimpleNamespace(states=object(), logits=torch.zeros(1, 3)),
            SimpleNamespace(notes=[0]),
            task.targets([note], []),
        )
    ]
    # Asthma is there, whatever else of it is likely.
    assert gold.tolist() == [[e10, e11, 1]]


def test_silver_of_one_task_is_none_of_anothers(tiny_encoder, caplog):
    silver = {"unsure": [[10, 15]], "unsure_codes": ["I10"]}
    note = Note(
        "1", "fever and cough", codes=("J45.909", "E11.9"), spans=(Span(0, 5, "Sign"),),
        metadata={"silver": silver},
    )  # fmt: skip
    coding = DiagnosisCoding.from_notes([note, Note("2", "x", codes=("I10",))])
    assert [sorted(t.tolist()) for t in coding.targets([note], [])] == [[-2, 0, 2]]
    tokens = NoteTokenizer.from_pretrained(tiny_encoder).encode([note.text])
    tags = EntityRecognition.from_notes([note]).targets([note], tokens)[0]
    assert (tags == IGNORED).any()
    coding.gold_matrix([note])
    assert "1 labels that silver notes leave open are taken as absent" in caplog.text
    for wrong in ({"unsure": None}, {"unsure": ["E11"]}):
        other = replace(note, metadata={"silver": wrong})
        with pytest.raises(TaskError, match=r"note '1': metadata\['silver'\]\['unsure'\]"):
            EntityRecognition.from_notes([note]).targets([other], tokens)


def test_chapters_can_be_silver():
    labelled = [Note("1", "t", codes=("E11.9",)), Note("2", "u", codes=("J45.909",))]
    task = DiagnosisCoding.from_notes(labelled, level="chapter")
    name = task.labels.names[0]
    dev = [Note(f"d{i}", f"dev {i}", codes=("E11.9",)) for i in range(10)]
    pool = [Note("p0", "x")]
    scores = dict(zip(task.labels.names, (0.9, 0.1), strict=True))
    model = Oracle(
        task, [Prediction(n.note_id, codes=(name,), scores=scores) for n in (*dev, *pool)]
    )
    silver = select_silver(model, labelled, pool, dev, precision=0.8, ratio=1.0, number=1)
    assert silver.notes[0].codes == (name,)
    assert task.targets(silver.notes, [])[0].tolist() == [0]


def test_unsure_mentions_are_neither_mention_nor_not(tiny_encoder):
    labelled = [Note("1", "fever and cough", spans=(Span(0, 5, "Sign"),))]
    dev = [Note(f"d{i}", "fever", spans=(Span(0, 5, "Sign"),)) for i in range(10)]
    pool = [Note("p0", "fever and cough and rash"), Note("p1", "nothing")]
    task = EntityRecognition.from_notes(labelled)
    sure, unsure = Span(0, 5, "Sign", score=0.95), Span(10, 15, "Sign", score=0.4)
    model = Oracle(
        task,
        [Prediction(f"d{i}", spans=(Span(0, 5, "Sign", score=0.9),)) for i in range(10)]
        + [Prediction("p0", spans=(sure, unsure)), Prediction("p1", spans=())],
    )
    silver = select_silver(model, labelled, pool, dev, precision=0.8, ratio=5.0, number=1)
    (note,) = silver.notes
    assert [s.key for s in note.spans] == [sure.key]
    assert note.spans[0].score == 0.95
    assert dict(note.spans[0].attributes) == {"source": "self-training", "round": "1"}
    tokenizer = NoteTokenizer.from_pretrained(tiny_encoder)
    tokens = tokenizer.encode([note.text])
    target = task.targets([note], tokens)[0]
    inside = (tokens[0].starts >= 10) & (tokens[0].ends <= 15)
    assert (target[inside] == IGNORED).all()
    assert (target[~inside] != IGNORED).sum() == 4


def test_what_a_teacher_nearly_marked_is_left_open(tiny_encoder, notes, monkeypatch):
    model = build(tiny_encoder, EntityRecognition, notes[:12])
    settings = {"precision": 0.02, "ratio": 9.0, "number": 1}

    def taught_as_outside(likely):
        monkeypatch.setattr(silver_notes, "LIKELY", likely)
        silver = select_silver(model, notes[:12], notes[12:30], notes[30:], **settings)
        tokens = model.tokenizer.encode([note.text for note in silver.notes])
        return int((np.concatenate(model.task.targets(silver.notes, tokens)) == 0).sum())

    # An untrained teacher is sure of nothing, least of all that there is nothing.
    assert taught_as_outside(0.1) == 0
    assert taught_as_outside(2.0) > 0
    assert model.task.overlooked is None


def test_rounds_end_with_the_best_weights(task_kind, tiny_encoder, notes):
    model = build(tiny_encoder, task_kind, notes[:12])
    result = self_train(
        model, notes[:12], notes[12:30], notes[30:], QUICK, rounds=2, ratio=3.0, **EASY
    )
    values = [r.value for r in result.rounds]
    assert result.best_round == int(np.argmax(values))
    # A round that does not help is the last one.
    assert all(later > earlier for earlier, later in pairwise(values[:-1]))
    scores = model.task.evaluate(notes[30:], model.predict(notes[30:], progress=False)).summary()
    assert scores[result.metric] == pytest.approx(values[result.best_round])
    assert model.metrics["self_training"]["best_round"] == result.best_round
    assert len(result.table()) == len(result.rounds)
    known = {n.note_id for n in notes[12:30]}
    for note in result.silver:
        assert note.note_id in known
        assert note.metadata["silver"]["source"] == "self-training"


def test_the_same_seed_gives_the_same_students(tiny_encoder, notes):
    ends = []
    for _ in range(2):
        model = build(tiny_encoder, NoteClassification, notes[:12])
        self_train(model, notes[:12], notes[12:30], notes[30:], QUICK, rounds=1, **EASY)
        ends.append({name: p.clone() for name, p in model.network.trainable().items()})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_fitted_teacher_is_not_trained_again(task_kind, tiny_encoder, notes, monkeypatch):
    gold, pool, dev = notes[:12], notes[12:30], notes[30:]
    students = []
    for given in (False, True):
        model, teacher = (build(tiny_encoder, task_kind, gold) for _ in range(2))
        if given:
            fit(teacher, gold, dev, QUICK, allow_leakage=True)
            before = {name: p.clone() for name, p in teacher.network.trainable().items()}
        fits = []
        monkeypatch.setattr(
            self_training, "fit", lambda *a, f=fits, **k: f.append(a[3]) or fit(*a, **k)
        )
        longer = replace(QUICK, epochs=3)
        result = self_train(
            model,
            gold,
            pool,
            dev,
            QUICK,
            student_config=longer,
            teacher=teacher if given else None,
            rounds=1,
            **EASY,
        )
        assert fits == ([longer] if given else [QUICK, longer])
        students.append((result.rounds, model.network.trainable()))
    assert students[0][0] == students[1][0]
    for name, weight in students[0][1].items():
        assert torch.equal(weight, students[1][1][name])
    assert all(torch.equal(p, before[name]) for name, p in teacher.network.trainable().items())


def test_a_teacher_of_other_notes_or_another_shape(tiny_encoder, notes):
    gold, pool, dev = notes[:12], notes[12:30], notes[30:]
    model, teacher = (build(tiny_encoder, NoteClassification, gold) for _ in range(2))
    with pytest.raises(ConfigError, match="not trained on these labelled notes"):
        self_train(model, gold, pool, dev, QUICK, teacher=teacher, **EASY)
    fit(teacher, gold, dev, QUICK, allow_leakage=True)
    with pytest.raises(ConfigError, match="not trained on these labelled notes"):
        self_train(model, gold, pool, dev[:5], QUICK, teacher=teacher, **EASY)
    with pytest.raises(ConfigError, match="chosen by accuracy on these"):
        accuracy = replace(QUICK, metric="accuracy")
        self_train(model, gold, pool, dev, accuracy, teacher=teacher, **EASY)
    with pytest.raises(ConfigError, match="different metrics"):
        self_train(model, gold, pool, dev, QUICK, student_config=accuracy, **EASY)
    wider = TransferModel.from_pretrained(
        tiny_encoder, model.task, adapter=LoRA(r=4), window=64, overlap=16
    )
    with pytest.raises(ConfigError, match="another task, encoder or adapter"):
        self_train(wider, gold, pool, dev, QUICK, teacher=teacher, **EASY)


def test_nobody_is_sure_enough(tiny_encoder, notes):
    model = build(tiny_encoder, NoteClassification, notes[:12])
    result = self_train(
        model, notes[:12], notes[12:30], notes[30:], QUICK, precision=0.99, allow_dissimilar=True
    )
    assert (len(result.rounds), result.best_round, result.silver) == (1, 0, ())


def test_known_texts_are_dropped_and_counted(tiny_encoder, notes):
    model = build(tiny_encoder, NoteClassification, notes[:12])
    pool = [*notes[12:14], replace(notes[0], note_id="again"), replace(notes[31], note_id="leak")]
    pool.append(Note(notes[1].note_id, "another text with a known id"))
    result = self_train(model, notes[:12], pool, notes[30:], QUICK, rounds=1, **EASY)
    ids = [Note("9", "a"), Note("unlabelled-9", "b"), Note("9", "c")]
    pool_of_copies = [Note(f"c{i}", f"Same  text {'x' * (i // 2)}") for i in range(4)]
    kept, dropped = self_training._unseen(pool_of_copies, [])
    assert ([n.note_id for n in kept], dropped) == (["c0", "c2"], 2)
    kept, dropped = self_training._unseen([Note("1", "\u200b"), Note("2", "\ufeff"), *ids[:1]], [])
    assert ([n.note_id for n in kept], dropped) == (["9"], 2)
    kept, _ = self_training._unseen(ids, [Note("9", "known")])
    assert len({n.note_id for n in kept} | {"9"}) == 4
    assert result.dropped == 2
    assert {n.note_id for n in result.silver}.isdisjoint({"again", "leak", notes[1].note_id})


@pytest.mark.usefixtures("offline_encoder")
def test_notes_from_elsewhere_are_refused(notes):
    model = build("offline", NoteClassification, notes[:20])
    elsewhere = [f"The train to platform {i} leaves at {i} o'clock." for i in range(10)]
    assert share_outside(model, notes[:20], [Note("x", t) for t in elsewhere]) == 1.0
    assert share_outside(model, notes[:20], notes[20:]) < 0.5
    with pytest.raises(NoteError, match="100 % of the 10 unlabelled notes"):
        self_train(model, notes[:20], elsewhere, notes[30:], QUICK, allow_leakage=True)


@pytest.mark.usefixtures("offline_encoder")
def test_a_patients_own_notes_do_not_make_strangers_of_others(notes):
    gold = [replace(note, patient_id=f"p{i}") for i, note in enumerate(notes[:12])]
    days = [
        replace(note, note_id=f"{note.note_id}-{day}", text=f"{note.text} Day {day}.")
        for note in gold
        for day in range(4)
    ]
    model = build("offline", NoteClassification, gold)
    assert share_outside(model, days, notes[20:]) < 0.5
    with pytest.raises(TaskError, match="48 labelled notes, 48 of them of one patient"):
        share_outside(model, [replace(note, patient_id="p") for note in days], notes[20:])


def test_misuse_is_refused(tiny_encoder, notes):
    model = build(tiny_encoder, NoteClassification, notes[:12])
    with pytest.raises(ConfigError, match="rounds must be at least 1"):
        self_train(model, notes[:12], notes[12:], notes[30:], rounds=0)
    with pytest.raises(NoteError, match="other unlabelled notes"):
        self_train(model, notes[:12], notes[:12], notes[30:])
    with pytest.raises(NoteError, match="other unlabelled notes"):
        self_train(model, notes[:12], [], notes[30:])
    assert self_training.NEIGHBOURS == 3


def test_what_cannot_be_self_trained_is_refused_before_anything_is_trained(
    tiny_encoder, notes, monkeypatch
):
    monkeypatch.setattr(self_training, "fit", lambda *_: pytest.fail("trained"))
    related = Note(
        "r", "fever after aspirin and rash",
        spans=(Span(0, 5, "Sign", "a"), Span(12, 19, "Drug", "b"), Span(24, 28, "Sign", "c")),
        relations=(Relation("b", "a", "causes"),),
    )  # fmt: skip
    task = RelationExtraction.from_notes([related])
    model = TransferModel.from_pretrained(tiny_encoder, task, window=64, overlap=16)
    with pytest.raises(TaskError, match="RelationExtraction can't be self-trained"):
        self_train(model, [related], notes[12:30], [related], QUICK, **EASY)
    with pytest.raises(ConfigError, match="model is a str"):
        self_train("model", notes[:12], notes[12:30], notes[30:], QUICK, **EASY)
