import logging
from dataclasses import replace

import pytest

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.encoder import find_encoder
from clinical_tl.schema import Note, Prediction, Span
from clinical_tl.tasks.entity_recognition import IGNORED, EntityRecognition
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.units import find_units, text_units
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
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
    task = EntityRecognition.from_notes([NOTE], layers="one")
    tokens = NoteTokenizer(build_tokenizer("wordpiece")).encode([TEXT])
    target = task.targets([NOTE], tokens)[0][:, 0]
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
    task = EntityRecognition.from_notes([NOTE], layers="one")
    tokens = NoteTokenizer(build_tokenizer("wordpiece")).encode([TEXT])
    with caplog.at_level(logging.WARNING):
        task.targets([NOTE], tokens)
    assert "3 of 5 gold mentions (60.0 %)" in caplog.text
    assert "1 overlap a longer one, 1 are discontinuous" in caplog.text
    assert "0 begin or end inside a word, 1 inside a token, 0 on white space" in caplog.text
    assert "Aspirin" not in caplog.text
    assert "layers='by_type' holds those that overlap another type" in caplog.text


def test_lost_gold_costs_recall():
    task = EntityRecognition.from_notes([NOTE], layers="one")
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
    tokenizer = NoteTokenizer.from_pretrained(tiny_encoder)
    assert len(find_units(text, tokenizer.encode([text])[0])) < len(text_units(text))
    assert task.evaluate([note], said).entities.lost == 0
    assert task.score([note], said, tokenizer).entities.lost == 1


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
    assert "1 predictions of labels that neither" in caplog.text


def test_a_threshold_knows_that_a_stretch_is_no_discontinuous_mention():
    gapped = Span(0, 14, "S", fragments=((0, 4), (10, 14)))
    note = Note("1", "pain in the back, fever", spans=(gapped, Span(18, 23, "S")))
    task = EntityRecognition.from_notes([note])
    said = (Span(0, 14, "S", score=0.3), Span(18, 23, "S", score=0.9))
    # Ten times, as a few mentions choose no threshold.
    notes = [replace(note, note_id=str(i)) for i in range(10)]
    found = [Prediction(str(i), spans=said) for i in range(10)]
    tuned = task.tuned(notes, found)
    assert {span.key for p in tuned.decided(notes, found) for span in p.spans} == {(18, 23, "S")}


def marked(note_id, text, *mentions):
    return Note(
        note_id,
        text,
        spans=tuple(Span(text.index(m), text.index(m) + len(m), "Dx") for m in mentions),
    )


CHINESE = [
    marked(f"c{i}", f"{text} {i}", *mentions)
    for i in range(2)
    for text, *mentions in (
        ("患者有高血压病史三年，否认糖尿病。", "高血压", "糖尿病"),
        ("入院诊断为肺炎，伴有发热。CT示正常。", "肺炎", "发热"),
    )
]
GLUED = [
    marked(f"g{i}", f"{text} {i}", *mentions)
    for i in range(2)
    for text, *mentions in (
        ("PainDenies fever today", "Pain"),
        ("Bekannter Blutdruckabfall nach Gabe", "Blutdruck"),
        ("환자는 고혈압으로 입원", "환자"),
    )
]
WHOLE = [marked(f"w{i}", "no fever", "fever") for i in range(200)]
BOTH = pytest.mark.parametrize("notes", [CHINESE, GLUED], ids=["chinese", "glued and compound"])


def offline_tokens(offline_encoder, notes):
    tokenizer = NoteTokenizer.from_pretrained(find_encoder(offline_encoder).path)
    return tokenizer.encode([note.text for note in notes])


@BOTH
def test_mentions_within_runs_of_letters_are_learnt_and_found(notes, offline_encoder, tmp_path):
    task = EntityRecognition.from_notes(notes)
    assert task.units == ("words" if notes is CHINESE else "tokens")
    model = TransferModel.from_pretrained(offline_encoder, task)
    config = TrainingConfig(epochs=12, batch_tokens=32, learning_rate=3e-3, progress=False)
    fit(model, notes, None, config)
    scores = model.evaluate(notes, allow_leakage=True, progress=False).summary()
    assert scores["share_lost"] == 0
    assert scores["f1"] > 0.9
    assert scores["seqeval_f1"] == scores["f1"]
    model.save_pretrained(tmp_path / "model")
    again = TransferModel.load(tmp_path / "model")
    assert again.task.units == task.units
    said = [[s.key for s in p.spans] for p in model.predict(notes, progress=False)]
    assert [[s.key for s in p.spans] for p in again.predict(notes, progress=False)] == said


@BOTH
def test_frozen_features_find_mentions_within_runs_of_letters(notes, offline_encoder):
    task = EntityRecognition.from_notes(notes)
    model = FeatureModel.fit(offline_encoder, task, notes, strengths=[10.0], progress=False)
    scores = model.evaluate(notes, allow_leakage=True, progress=False).summary()
    assert scores["share_lost"] == 0
    assert scores["f1"] > 0.9


def test_units_are_tokens_where_a_hundredth_of_the_mentions_needs_them(caplog):
    caplog.set_level(logging.INFO)
    assert EntityRecognition.from_notes([*WHOLE[:100], GLUED[0]]).units == "words"
    assert not caplog.records
    task = EntityRecognition.from_notes([*WHOLE[:99], GLUED[0]])
    assert task.units == "tokens"
    assert "units are tokens, since 1 of 100 mentions (1.0 %) begin or end inside a" in caplog.text
    assert EntityRecognition.from_notes(GLUED, units="words").units == "words"
    assert EntityRecognition.from_notes(WHOLE, units="tokens").units == "tokens"


def test_mentions_inside_longer_ones_give_no_reason_for_units_of_tokens():
    nested = Note("n", "PainDenies fever", spans=(Span(0, 16, "Dx"), Span(0, 4, "Dx")))
    assert EntityRecognition.from_notes([nested]).units == "words"


def test_a_few_mentions_inside_words_are_told_of_with_the_mend(caplog, offline_encoder):
    notes = [*WHOLE, GLUED[0]]
    task = EntityRecognition.from_notes(notes)
    task.targets(notes, offline_tokens(offline_encoder, notes))
    assert "1 of 201 gold mentions (0.5 %) can't be represented in BIO" in caplog.text
    assert "1 begin or end inside a word" in caplog.text
    assert "units='tokens' holds those inside a word" in caplog.text


def test_training_in_a_language_whose_words_are_unknown_tokens_is_refused(offline_encoder):
    thai = [marked(f"t{i}", "ผู้ป่วยมีไข้สูง ไม่มีอาการปวด", "ไข้", "ปวด") for i in range(3)]
    task = EntityRecognition.from_notes(thai)
    model = TransferModel.from_pretrained(offline_encoder, task)
    with pytest.raises(TaskError, match=r"6 of 6 .* 6 inside a token.* finer tokens .*max_lost=1"):
        fit(model, thai, None, TrainingConfig(epochs=1, progress=False))
    with pytest.raises(TaskError, match="6 of 6"):
        FeatureModel.fit(offline_encoder, task, thai, progress=False)


def test_half_lost_is_the_limit_unless_more_is_allowed_by_name(offline_encoder):
    notes = [*WHOLE[:3], *GLUED[:4]]
    tokens = offline_tokens(offline_encoder, notes)
    task = EntityRecognition.from_notes(notes, units="words")
    with pytest.raises(TaskError, match=r"4 of 7 gold mentions .*max_lost=0.5"):
        task.check_targets(notes, tokens)
    task.check_targets(notes[:6], tokens[:6])
    allowing = EntityRecognition.from_notes(notes, units="words", max_lost=1)
    allowing.check_targets(notes, tokens)
    assert EntityRecognition.from_dict(allowing.to_dict()) == allowing


def test_a_mention_annotated_twice_is_not_lost_in_training():
    note = Note("1", "has fever", spans=tuple(Span(4, 9, "S", id=i) for i in "abc"))
    tokens = NoteTokenizer(build_tokenizer("wordpiece")).encode([note.text])
    EntityRecognition.from_notes([note], max_lost=0).check_targets([note], tokens)


def test_tasks_saved_before_units_were_chosen_decode_in_words():
    row = EntityRecognition.from_notes([NOTE]).to_dict()
    del row["units"], row["max_lost"]
    assert EntityRecognition.from_dict(row).units == "words"


@pytest.mark.parametrize("wrong", [{"units": "letters"}, {"max_lost": 1.5}])
def test_unknown_units_and_shares_are_refused(wrong):
    with pytest.raises(ConfigError, match="allowed"):
        EntityRecognition.from_notes([NOTE], **wrong)
