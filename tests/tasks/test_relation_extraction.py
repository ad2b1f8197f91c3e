import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.corpora import load_corpus
from clinical_tl.data.formats.chemprot import SHARED_TASK_GROUPS
from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.evaluation.baselines import cooccurrence
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.schema import Note, Prediction, Relation, ScoredRelation, Span
from clinical_tl.tasks.abilities import examples_of, join_examples
from clinical_tl.tasks.candidates import CandidateScores, lost_relations, sample_unrelated
from clinical_tl.tasks.relation_extraction import RelationExtraction
from tests.data.corpora import corpus

TEXT = "Zebrase helps fever. Fishol helps cough, and zebrase with fishol harms the skin."


def spans():
    rows = [
        ("T1", "Zebrase", "Drug", "D1"),
        ("T2", "fever", "Problem", "P1"),
        ("T3", "Fishol", "Drug", "D2"),
        ("T4", "cough", "Problem", "P2"),
        ("T5", "zebrase", "Drug", "D1"),
        ("T6", "fishol", "Drug", "D2"),
        ("T7", "skin", "Problem", "P3"),
    ]
    return tuple(
        Span(TEXT.index(word), TEXT.index(word) + len(word), label, id=i, concepts=(concept,))
        for i, word, label, concept in rows
    )


MENTIONS = Note(
    "m",
    TEXT,
    spans=spans(),
    relations=(Relation("T1", "T2", "helps"), Relation("T3", "T4", "helps")),
)
CONCEPTS = Note(
    "c",
    TEXT,
    spans=spans(),
    relations=(
        Relation("D1", "P1", "helps"),
        Relation("D1", "P3", "harms"),
        Relation("D2", "P3", "harms"),
    ),
)


def scored(score, head="D1", tail="P1", label="helps"):
    return ScoredRelation(head, tail, label, score)


def predicted(note_id, *relations):
    return Prediction(note_id, relations=relations, scores=CandidateScores(relations))


def test_candidates_are_the_related_types_in_their_direction():
    task = RelationExtraction.from_notes([MENTIONS])
    assert task.type_pairs == (("Drug", "Problem"),)
    assert task.outputs == ("no relation", "helps")
    (examples,) = task.examples([MENTIONS], training=True)
    assert len(examples) == 4 * 3
    related = [e.metadata["head"] + e.metadata["tail"] for e in examples if e.relations]
    assert related == ["T1T2", "T3T4"]
    assert examples[0].text.startswith("@ * drug * Zebrase @ helps # ^ problem ^ fever #. Fishol")
    assert task.targets(examples, []).count(1) == 2


def test_concepts_are_related_through_all_their_mentions():
    task = RelationExtraction.from_notes([CONCEPTS], level="concept", mention_pairs=1)
    (examples,) = task.examples([CONCEPTS], training=True)
    assert [(e.metadata["head"], e.metadata["tail"]) for e in examples] == [
        (head, tail) for head in ("D1", "D2") for tail in ("P1", "P2", "P3")
    ]
    assert task.targets(examples, []) == [2, 0, 1, 0, 0, 1]
    assert examples[2].text.count("@ * drug *") == 2


def test_pairs_too_far_apart_count_as_missed(caplog):
    near = RelationExtraction.from_notes([CONCEPTS], level="concept", max_distance=2)
    pairs = near.pairs(CONCEPTS)
    ends = [pair.head.id + pair.tail.id for pair in pairs]
    assert ends == ["D1P1", "D1P2", "D2P1", "D2P2", "D2P3"]
    assert lost_relations(CONCEPTS, pairs) == 1
    with caplog.at_level(logging.WARNING):
        near.examples([CONCEPTS], training=True)
    assert "1 gold relations can't be represented" in caplog.text
    every = predicted("c", *(scored(1.0, p.head.id, p.tail.id, "harms") for p in pairs))
    scores = near.evaluate([CONCEPTS], [every])
    assert (scores.relations.lost, scores.relations.gold, scores.relations.recall) == (1, 3, 1 / 3)
    assert scores.candidates == len(pairs)
    other = replace(near, type_pairs=(("Problem", "Gene"),))
    with pytest.raises(TaskError, match=r"no pair of the 1 .* \['Problem', 'Gene'\]"):
        other.examples([CONCEPTS], training=True)


def test_a_second_label_of_a_pair_is_lost():
    twice = replace(CONCEPTS, relations=(*CONCEPTS.relations, Relation("D1", "P1", "harms")))
    task = RelationExtraction.from_notes([twice], level="concept")
    assert lost_relations(twice, task.pairs(twice)) == 1
    assert lost_relations(CONCEPTS, task.pairs(CONCEPTS)) == 0


def test_where_every_candidate_is_related_there_is_no_other_output():
    note = replace(MENTIONS, spans=MENTIONS.spans[:2], relations=MENTIONS.relations[:1])
    other = replace(note, relations=(Relation("T1", "T2", "harms"),))
    task = RelationExtraction.from_notes([note, other])
    assert task.outputs == ("harms", "helps")
    assert task.tuned([note], [Prediction("m")]) == task
    example = task.examples([note], training=False)[0][0]
    prediction = task.decode(example, None, [np.array([0.4, 0.6], dtype=np.float32)])
    assert prediction.relations[0].label == "helps"
    assert prediction.relations[0].score == pytest.approx(0.6)
    assert len(task.joined(note, [prediction]).relations) == 1
    with pytest.raises(TaskError, match="there is nothing to tell apart"):
        RelationExtraction.from_notes([note])


def test_an_example_scores_the_chance_of_any_relation():
    task = RelationExtraction.from_notes([CONCEPTS], level="concept")
    example = task.examples([CONCEPTS], training=False)[0][0]
    prediction = task.decode(example, None, [np.array([0.45, 0.25, 0.3], dtype=np.float32)])
    assert prediction.relations == (scored(pytest.approx(0.55)),)
    joined = task.joined(CONCEPTS, [prediction])
    assert joined.relations == prediction.relations
    assert replace(task, threshold=0.6).joined(CONCEPTS, [prediction]).relations == ()
    assert dict(joined.scores) == {"D1 → P1: helps": pytest.approx(0.55)}
    twice = [predicted("c", scored(0.6)), predicted("c", scored(0.9, label="harms"))]
    assert task.joined(CONCEPTS, twice).relations == (scored(0.9, label="harms"),)


def test_the_threshold_is_tuned_on_dev_and_used_in_scores():
    task = RelationExtraction.from_notes([CONCEPTS], level="concept")
    prediction = predicted(
        "c",
        scored(0.30),
        scored(0.28, "D1", "P3", "harms"),
        scored(0.10, "D2", "P2"),
        scored(0.20, "D2", "P3", "helps"),
    )
    tuned = task.tuned([CONCEPTS], [prediction])
    assert tuned.threshold == pytest.approx(0.24)
    assert task.decided([CONCEPTS], [prediction])[0].relations == ()
    scores = tuned.evaluate([CONCEPTS], tuned.decided([CONCEPTS], [prediction])).relations
    assert (scores.precision, scores.recall) == (1.0, 2 / 3)
    wrong = predicted("c", scored(0.9, label="harms"))
    assert tuned.tuned([CONCEPTS], [wrong]) == task
    with pytest.raises(TaskError, match="note 'c': the prediction has no scores"):
        task.tuned([CONCEPTS], [Prediction("c")])


def test_relations_are_scored_as_they_are_whatever_their_candidates_score():
    task = RelationExtraction.from_notes([CONCEPTS], level="concept")
    prediction = predicted("c", scored(0.9), scored(0.8, "D2", "P2"))
    kept = replace(prediction, relations=prediction.relations[:1])
    for decided, n in ((prediction, 2), (kept, 1), (replace(prediction, relations=()), 0)):
        for threshold in (None, 0.95):
            scorer = replace(task, threshold=threshold)
            assert scorer.evaluate([CONCEPTS], [decided]).relations.predicted == n
            assert scorer.note_counts([CONCEPTS], [decided]).figures(np.ones((1, 1)))[
                "recall"
            ] == pytest.approx(scorer.evaluate([CONCEPTS], [decided]).relations.recall)
    strict = replace(task, threshold=0.85)
    assert strict.decided([CONCEPTS, CONCEPTS], [kept, prediction]) == [kept, kept]
    with pytest.raises(TaskError, match="no scores of its candidates"):
        strict.decided([CONCEPTS], [Prediction("c", relations=())])


def test_development_notes_without_a_relation_tune_nothing_and_say_so(caplog):
    tuned = replace(RelationExtraction.from_notes([CONCEPTS], level="concept"), threshold=0.9)
    none = replace(CONCEPTS, relations=())
    assert tuned.tuned([none], [predicted("c", scored(0.9))]).threshold is None
    assert "have no relation, so no threshold can be tuned" in caplog.text


@given(st.lists(st.lists(st.booleans(), max_size=6), min_size=1, max_size=6), st.floats(0.1, 5))
def test_sampling_keeps_all_related_and_the_ratio(flags, ratio):
    examples = [
        [
            Note(f"{i}-{j}", "x", relations=(Relation("a", "b", "r"),) if flag else ())
            for j, flag in enumerate(own)
        ]
        for i, own in enumerate(flags)
    ]
    kept = sample_unrelated(examples, per_related=ratio, seed=3)
    related = sum(map(sum, flags))
    unrelated = sum(map(len, flags)) - related
    assert sum(bool(e.relations) for own in kept for e in own) == related
    assert sum(not e.relations for own in kept for e in own) == min(
        round(ratio * related), unrelated
    )
    for mine, own in zip(kept, examples, strict=True):
        assert [e for e in own if e in mine] == mine
    assert sample_unrelated(examples, per_related=ratio, seed=3) == kept


def test_only_training_is_sampled():
    task = RelationExtraction.from_notes([MENTIONS], negatives_per_positive=1, seed=1)
    assert len(task.examples([MENTIONS], training=True)[0]) == 4
    assert len(task.examples([MENTIONS], training=False)[0]) == 12
    other = replace(task, seed=2).examples([MENTIONS], training=True)
    assert other != task.examples([MENTIONS], training=True)


def test_groups_are_scored_beside_labels():
    groups = {"helps": "any", "harms": "any"}
    task = RelationExtraction.from_notes([CONCEPTS], level="concept", groups=groups)
    prediction = predicted("c", scored(0.9, label="harms"))
    summary = task.evaluate([CONCEPTS], [prediction]).summary()
    assert summary["f1"] == 0
    assert summary["group_recall"] == 1 / 3


def test_joining_keeps_the_notes_order_and_notes_without_candidates():
    task = RelationExtraction.from_notes([CONCEPTS], level="concept")
    bare = Note("bare", "Nothing here.", spans=())
    notes = [bare, CONCEPTS, bare]
    examples = examples_of(task, notes, training=False)
    assert [len(own) for own in examples] == [0, 6, 0]
    each = [predicted(e.note_id, scored(0.9, **e.metadata)) for own in examples for e in own]
    joined = join_examples(task, notes, examples, each)
    assert [(p.note_id, len(p.relations)) for p in joined] == [("bare", 0), ("c", 6), ("bare", 0)]


def test_a_note_s_prediction_does_not_depend_on_its_neighbours(tiny_encoder, synthetic_notes):
    notes = as_notes(synthetic_notes)[:10]
    task = RelationExtraction.from_notes(notes)
    model = TransferModel.from_pretrained(tiny_encoder, task)
    together = model.predict(notes)
    alone = [model.predict([note])[0] for note in notes[:4]]
    for one, other in zip(alone, together, strict=False):
        assert one.note_id == other.note_id
        assert list(one.scores) == list(other.scores)
        assert list(one.scores.values()) == pytest.approx(list(other.scores.values()), abs=1e-5)
    assert model.predict([Note("bare", "x", spans=())])[0].relations == ()


def test_the_baseline_relates_what_stands_in_one_sentence():
    task = RelationExtraction.from_notes([CONCEPTS], level="concept")
    (prediction,) = cooccurrence(task, [CONCEPTS], [CONCEPTS])
    assert [(r.head, r.tail, r.label) for r in prediction.relations] == [
        ("D1", "P1", "harms"),
        ("D1", "P2", "harms"),
        ("D1", "P3", "harms"),
        ("D2", "P2", "harms"),
        ("D2", "P3", "harms"),
    ]


def test_misuse_is_explained():
    with pytest.raises(ConfigError, match=r"context=-1 .*; mention_pairs=0 \(allowed"):
        RelationExtraction.from_notes([MENTIONS], context=-1, mention_pairs=0)
    with pytest.raises(ConfigError, match="groups names none"):
        RelationExtraction.from_notes([MENTIONS], groups={"x": "y"})
    with pytest.raises(TaskError, match=r"3 relations .* in notes \['c'\]; .*be span ids"):
        RelationExtraction.from_notes([CONCEPTS])
    with pytest.raises(TaskError, match="be concept ids"):
        RelationExtraction.from_notes([MENTIONS], level="concept")
    with pytest.raises(TaskError, match="1 training notes have no relation"):
        RelationExtraction.from_notes([replace(MENTIONS, relations=())])
    named = tuple(replace(r, label="no relation") for r in MENTIONS.relations)
    with pytest.raises(TaskError, match="'no relation' can't be the label"):
        RelationExtraction.from_notes([replace(MENTIONS, relations=named)])
    task = RelationExtraction.from_notes([MENTIONS])
    with pytest.raises(TaskError, match=r"1 of 1 notes have no 'spans'.*'bare'"):
        task.examples([MENTIONS, Note("bare", "SECRET")], training=False)
    with pytest.raises(TaskError, match="1 of 2 notes have no 'relations'"):
        task.evaluate([MENTIONS, replace(MENTIONS, relations=None)], [])


def test_all_gold_of_bc5cdr_has_a_candidate():
    corpus("bc5cdr")
    splits = load_corpus("bc5cdr")
    task = RelationExtraction.from_notes(splits["train"], level="concept", max_distance=None)
    notes = as_notes(splits["test"])
    assert task.type_pairs == (("Chemical", "Disease"),)
    assert sum(task.gold_labels(notes).values()) == 1066
    assert sum(len(task.pairs(note)) for note in notes) == 5405
    assert sum(lost_relations(note, task.pairs(note)) for note in notes) == 0


def test_chemprot_is_scored_as_published():
    corpus("chemprot")
    splits = load_corpus("chemprot")
    task = RelationExtraction.from_notes(
        splits["train"].select(range(2000)), max_distance=None, groups=SHARED_TASK_GROUPS
    )
    assert not task.unrelated
    notes = as_notes(splits["test"])[:500]
    usual = [
        Prediction(note.note_id, relations=(ScoredRelation("T1", "T2", "INHIBITOR", 1.0),))
        for note in notes
    ]
    summary = task.evaluate(notes, usual).summary()
    # One label a sentence: micro F1 is accuracy, here the share of the label.
    share = sum(note.relations[0].label == "INHIBITOR" for note in notes) / len(notes)
    assert summary["f1"] == pytest.approx(share)
    assert summary["group_f1"] > summary["f1"]


def test_a_blank_note_has_no_relation():
    task = RelationExtraction.from_notes([CONCEPTS], level="concept")
    assert task.joined(Note("b", " ", spans=()), []) == task.unread("b")
