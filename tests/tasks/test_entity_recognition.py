import logging

import pytest

from clinical_tl.errors import TaskError
from clinical_tl.schema import Note, Prediction, Span
from clinical_tl.tasks.entity_recognition import IGNORED, EntityRecognition
from clinical_tl.text.tags import find_units, text_units
from clinical_tl.text.tokenizer import NoteTokenizer
from tests.tiny_encoders import build_tokenizer

TEXT = "Aspirin 81 mg for chest pain."
NOTE = Note(
    "n1",
    TEXT,
    spans=(
        Span(0, 13, "Drug"),
        Span(8, 13, "Dose"),
        Span(18, 28, "Problem"),
        Span(0, 28, "Problem", fragments=((0, 7), (24, 28))),
        Span(1, 7, "Drug"),
    ),
)


def test_targets_tag_first_tokens_and_ignore_the_rest():
    task = EntityRecognition.from_notes([NOTE])
    tokens = NoteTokenizer(build_tokenizer("wordpiece")).encode([TEXT])
    (target,) = task.targets([NOTE], tokens)
    names = task.tag_set.names
    tagged = {int(tokens[0].starts[i]): names[t] for i, t in enumerate(target) if t != IGNORED}
    assert tagged == {
        0: "B-Drug",
        8: "I-Drug",
        11: "I-Drug",
        14: "O",
        18: "B-Problem",
        24: "I-Problem",
        28: "O",
    }


def test_what_tags_cannot_hold_is_logged_in_counts_alone(caplog):
    task = EntityRecognition.from_notes([NOTE])
    tokens = NoteTokenizer(build_tokenizer("wordpiece")).encode([TEXT])
    with caplog.at_level(logging.WARNING):
        task.targets([NOTE], tokens)
    assert "3 of 5 gold mentions (60.0 %)" in caplog.text
    assert "1 overlap a longer one, 1 are discontinuous, 1 start or end inside" in caplog.text
    assert "Aspirin" not in caplog.text


def test_lost_gold_costs_recall():
    task = EntityRecognition.from_notes([NOTE])
    perfect = Prediction("n1", spans=(Span(0, 13, "Drug"), Span(18, 28, "Problem")))
    scores = task.evaluate([NOTE], [perfect])
    assert scores.entities.precision == 1.0
    assert scores.entities.recall == 2 / 5
    assert scores.entities.lost == 3
    assert scores.seqeval.f1 == 1.0


def test_scores_equal_seqevals_own():
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    gold = [Note("a", "chest pain and fever", spans=(Span(0, 10, "P"), Span(15, 20, "P")))]
    predicted = [Prediction("a", spans=(Span(0, 5, "P"), Span(15, 20, "P")))]
    task = EntityRecognition.from_notes(gold)
    own = f1_score(
        [["B-P", "I-P", "O", "B-P"]], [["B-P", "O", "O", "B-P"]], mode="strict", scheme=IOB2
    )
    assert task.evaluate(gold, predicted).seqeval.f1 == own


def test_types_unknown_to_the_model_count_as_missed():
    task = EntityRecognition.from_notes([NOTE])
    other = Note("x", "cough", spans=(Span(0, 5, "Symptom"),))
    scores = task.evaluate([other], [Prediction("x", spans=())])
    assert scores.entities.recall == 0.0
    assert task.gold_labels([other]) == {"Symptom": 1}


def test_notes_without_any_span_are_no_task():
    with pytest.raises(TaskError, match="no span at all"):
        EntityRecognition.from_notes([Note("a", "text", spans=())])


def test_a_mention_annotated_twice_is_one_and_not_lost():
    note = Note("1", "has fever", spans=(Span(4, 9, "S", id="a"), Span(4, 9, "S", id="b")))
    task = EntityRecognition.from_notes([note])
    scores = task.evaluate([note], [Prediction("1", spans=(Span(4, 9, "S"),))]).entities
    assert (scores.f1, scores.lost, scores.gold, scores.duplicate_gold) == (1.0, 0, 1, 1)


def test_what_the_models_tokens_cannot_hold_is_lost(tiny_encoder):
    # A word with a sign that the vocabulary lacks is one unknown token.
    text = "edema\N{CHECK MARK} and fever"
    note = Note("1", text, spans=(Span(0, 5, "S"), Span(11, 16, "S")))
    task = EntityRecognition.from_notes([note])
    said = [Prediction("1", spans=note.spans)]
    tokens = NoteTokenizer.from_pretrained(tiny_encoder).encode([text])
    assert len(find_units(text, tokens[0])) < len(text_units(text))
    assert task.evaluate([note], said).entities.lost == 0
    assert task.evaluate([note], said, tokens=tokens).entities.lost == 1


def test_predictions_that_tags_cannot_hold_are_told_of(caplog):
    note = Note("1", "pain here and fever", spans=(Span(0, 4, "S"), Span(14, 19, "S")))
    task = EntityRecognition.from_notes([note])
    more = (*note.spans, Span(4, 10, "S"), Span(5, 7, "S"))
    scores = task.evaluate([note], [Prediction("1", spans=more)])
    assert scores.entities.precision == 0.5
    assert "2 predicted mentions overlap others" in caplog.text


def test_labels_that_nobody_knows_are_refused_or_told_of(caplog):
    note = Note("1", "pain and fever", spans=(Span(0, 4, "S"),))
    task = EntityRecognition.from_notes([note])
    foreign = Span(9, 14, "Concept")
    with pytest.raises(TaskError, match=r"labels \['Concept'\] are neither .* \['S'\]"):
        task.evaluate([note], [Prediction("1", spans=(foreign,))])
    scores = task.evaluate([note], [Prediction("1", spans=(*note.spans, foreign))])
    assert scores.entities.precision == 0.5
    assert "1 predicted mentions have labels that neither" in caplog.text


def test_a_threshold_knows_that_a_stretch_is_no_discontinuous_mention():
    gapped = Span(0, 14, "S", fragments=((0, 4), (10, 14)))
    note = Note("1", "pain in the back, fever", spans=(gapped, Span(18, 23, "S")))
    task = EntityRecognition.from_notes([note])
    said = (Span(0, 14, "S", score=0.3), Span(18, 23, "S", score=0.9))
    assert task.tuned([note], [Prediction("1", spans=said)]).threshold == 0.9
