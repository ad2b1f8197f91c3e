from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.data.ties import related_notes
from clinical_tl.display.table import format_table
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.estimators.transferability import h_score, knn_accuracy, leep, log_me
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.embeddings import embed, embed_units
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import LabelSet, Note, Prediction, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.transfer import encoder_ranking as ranking_module
from clinical_tl.transfer.encoder_ranking import rank_encoders, unit_probabilities
from clinical_tl.transfer.probe import probe
from tests.tiny_encoders import write_encoder


@pytest.fixture(scope="module")
def other_encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("other"), "roberta", seed=1)


@pytest.fixture(scope="module")
def pair(tiny_encoder, other_encoder):
    return [tiny_encoder, other_encoder]


def made_up(n=24):
    """Notes that say their label, codes and mentions in one word each."""
    words = ["fever", "asthma", "gout"]
    notes = []
    for i in range(n):
        word = words[i % 3]
        text = f"seen for {word} on day {i}"
        notes.append(
            Note(
                f"n{i}",
                text,
                label=word,
                codes=("J45",) if word == "asthma" else ("M10",) if i == 2 else (),
                spans=(Span(9, 9 + len(word), "Problem"),),
            )
        )
    return notes


def test_classification_is_scored_by_the_estimators_on_mean_states(pair):
    notes = made_up()
    task = NoteClassification.from_notes(notes)
    found = rank_encoders(pair, notes, task, progress=False)
    y = [note.label for note in notes]
    for scores, encoder in zip(found.encoders, pair, strict=True):
        features = embed(encoder, notes, progress=False).matrix
        assert scores.log_me == log_me(features, y)
        assert scores.h_score == h_score(features, y)
        assert scores.knn == knn_accuracy(features, y, k=5)
        assert (scores.encoder, scores.leep, scores.dimension) == (str(encoder), None, 32)
    assert (found.rows, found.notes, found.labels, found.rows_left_out) == (24, 24, 3, 0)
    assert set(found.agreement.ranks) == {"log_me", "h_score", "knn"}


def test_notes_with_a_label_unknown_to_the_task_are_left_out_and_counted(pair):
    notes = made_up()
    task = NoteClassification(LabelSet(("fever", "gout"), (8, 8)))
    found = rank_encoders(pair, notes, task, progress=False)
    assert (found.rows, found.rows_left_out, found.labels) == (16, 8, 2)


def test_notes_without_text_are_left_out_and_counted(pair):
    notes = made_up()
    blank = [Note(f"b{i}", text, label="fever") for i, text in enumerate(["", "\u200b", "\u00a0"])]
    task = NoteClassification.from_notes(notes)
    found, plain = (rank_encoders(pair, n, task, progress=False) for n in ([*notes, *blank], notes))
    assert (found.rows, found.rows_left_out) == (24, 3)
    assert found.encoders == plain.encoders
    with pytest.raises(NoteError, match="12 notes, 9 of them with text"):
        rank_encoders(pair, [*notes[:9], *blank], task, progress=False)


def test_coding_leaves_rare_codes_out(pair):
    notes = made_up()
    task = DiagnosisCoding.from_notes(notes)
    found = rank_encoders(pair, notes, task, progress=False)
    assert (found.rows, found.labels, found.labels_left_out) == (24, 1, 1)
    y = np.array([[int("J45" in note.codes)] for note in notes])
    features = embed(pair[1], notes, progress=False).matrix
    assert found.encoders[1].knn == knn_accuracy(features, y, k=5)


def test_entity_recognition_asks_inside_and_as_many_units_outside(pair):
    notes = made_up()
    task = EntityRecognition.from_notes(notes)
    found = rank_encoders(pair, notes, task, progress=False)
    # One unit in each note's mention, of B-Problem; I-Problem never occurs.
    assert (found.rows, found.labels, found.labels_left_out) == (48, 2, 1)
    asked = probe(task, notes, max_units=4000, random=np.random.default_rng(0))
    asked_of_drawn = probe(task, notes, max_units=10, random=np.random.default_rng(0))
    assert len(asked_of_drawn.targets) == 10
    assert (asked.targets == 1).sum() == 24
    for row, (note, start, end) in enumerate(asked.keys.tolist()):
        inside = notes[note].spans[0].start == start and notes[note].spans[0].end == end
        assert inside == (asked.targets[row] == 1)


def test_units_get_their_own_states_and_neighbours_of_other_notes(tiny_encoder, other_encoder):
    notes = list(generate_notes(20, seed=2, words=(30, 80)))
    task = EntityRecognition.from_notes(notes)
    found = rank_encoders([tiny_encoder, other_encoder], notes, task, max_units=200, progress=False)
    random = np.random.default_rng(0)
    random.permutation(len(notes))
    asked = probe(task, notes, max_units=200, random=random)
    units = embed_units(tiny_encoder, notes, layer=-1, progress=False)
    rows = [
        int(np.flatnonzero((units.note == n) & (units.starts == a) & (units.ends == b))[0])
        for n, a, b in asked.keys.tolist()
    ]
    assert found.encoders[0].log_me == log_me(units.matrix[rows], asked.targets)
    within = knn_accuracy(units.matrix[rows], asked.targets)
    across = knn_accuracy(
        units.matrix[rows], asked.targets, groups=related_notes(notes)[asked.note]
    )
    assert found.encoders[0].knn == across != within


def test_an_encoder_is_not_praised_for_knowing_a_patient_again(pair):
    random = np.random.default_rng(0)
    texts = generate_notes(40, seed=3, words=(30, 70))["text"]
    # Labels are drawn: nothing can be learned but who the patient is.
    notes = [
        Note(f"{i}-{day}", f"{text} Day {day}.", patient_id=f"p{i}", label=label)
        for i, (text, label) in enumerate(
            zip(texts, random.choice([*"abcd"], len(texts)), strict=True)
        )
        for day in (0, 1)
    ]
    task = NoteClassification.from_notes(notes)
    found = rank_encoders(pair, notes, task, k=1, progress=False)
    assert all(scores.knn < 0.6 for scores in found.encoders)
    copies = [replace(note, patient_id=None, text=note.text[:-7]) for note in notes]
    found = rank_encoders(pair, copies, task, k=1, progress=False)
    assert all(scores.knn < 0.6 for scores in found.encoders)
    mentions = [
        replace(note, label=None, spans=(Span(0, len(note.text.split()[0]), note.label),))
        for note in notes
    ]
    tagging = EntityRecognition.from_notes(mentions)
    found = rank_encoders(pair, mentions, tagging, k=1, progress=False)
    assert all(scores.knn < 0.8 for scores in found.encoders)


def test_units_that_one_tokenizer_cannot_show_are_left_out_for_all(pair, monkeypatch):
    def without_the_first(encoder, notes, **settings):
        units = embed_units(encoder, notes, **settings)
        if Path(encoder) != pair[1]:
            return units
        keep = units.note != 0
        return type(units)(
            units.matrix[keep], units.note[keep], units.starts[keep], units.ends[keep]
        )

    monkeypatch.setattr(ranking_module, "embed_units", without_the_first)
    notes = made_up()
    task = EntityRecognition.from_notes(notes)
    found = rank_encoders(pair, notes, task, progress=False)
    assert found.rows + found.rows_left_out == 48
    assert found.rows_left_out >= 1


@pytest.mark.parametrize("text", ["患者有高血压病史", "Seen: Blutdruckabfall"])
def test_mentions_inside_runs_of_letters_are_asked_about(pair, text):
    inside = Span(3, 6, "Problem") if text[0] == "患" else Span(6, 15, "Problem")
    notes = [Note(str(i), f"{text} {i}", spans=(inside,)) for i in range(12)]
    task = EntityRecognition.from_notes(notes)
    tagger = TransferModel.from_pretrained(pair[1], task)
    models = {str(pair[1]): tagger}
    found = rank_encoders(pair, notes, task, source_models=models, progress=False)
    assert found.rows >= 24
    assert found.rows_left_out == 0
    assert found.encoders[1].leep is not None


class Source:
    """A source classifier that knows fevers from the rest."""

    def predict(self, notes):
        return [
            Prediction(note.note_id, scores={"ill": p, "well": 1 - p})
            for note in notes
            for p in [0.9 if note.label == "fever" else 0.2]
        ]


def test_leep_comes_from_source_models_and_ranks_if_all_have_one(pair):
    notes = made_up()
    task = NoteClassification.from_notes(notes)
    names = [str(encoder) for encoder in pair]
    theta = [[0.9, 0.1] if note.label == "fever" else [0.2, 0.8] for note in notes]
    expected = leep(theta, [note.label for note in notes])
    one = rank_encoders(pair, notes, task, source_models={names[0]: Source()}, progress=False)
    assert one.encoders[0].leep == pytest.approx(expected)
    assert one.encoders[1].leep is None
    assert "leep" not in one.agreement.ranks
    assert "leep" in one.table()[0]
    both = rank_encoders(pair, notes, task, source_models=dict.fromkeys(names, Source()))
    assert both.agreement.ranks["leep"] == (1.5, 1.5)


def test_leep_of_taggers_is_of_units(pair):
    notes = made_up()
    task = EntityRecognition.from_notes(notes)
    source = EntityRecognition.from_notes(
        [Note("s", "gout and fever", spans=(Span(0, 4, "Joint"), Span(9, 14, "Sign")))]
    )
    tagger = TransferModel.from_pretrained(pair[0], source, window=16, overlap=4)
    found = rank_encoders(
        pair, notes, task, source_models={str(pair[0]): tagger}, progress=False, seed=2
    )
    rows, units = unit_probabilities(tagger, notes, progress=False)
    assert rows.shape[1] == len(source.tag_set) == 5
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    asked = probe(task, notes, max_units=4000, random=after_the_draw(2, len(notes)))
    at = {tuple(unit): row for unit, row in zip(units.tolist(), rows, strict=True)}
    expected = leep([at[tuple(key)] for key in asked.keys.tolist()], asked.targets)
    assert found.encoders[0].leep == pytest.approx(expected)
    # The tagger's own decisions are made of these probabilities.
    words = [s for s in tagger.predict(notes, progress=False)[0].spans if (0, *s.key[:2]) in at]
    assert words
    for word in words:
        own = at[0, word.start, word.end]
        assert min(abs(own - word.score)) < 1e-6


def after_the_draw(seed, n):
    random = np.random.default_rng(seed)
    random.permutation(n)
    return random


def test_tables_are_in_borda_order(pair):
    notes = made_up()
    found = rank_encoders(pair, notes, NoteClassification.from_notes(notes), progress=False)
    rows = found.table()
    assert [row["place"] for row in rows] == [1, 2]
    assert [row["encoder"] for row in rows] == [
        found.encoders[i].encoder for i in found.agreement.order
    ]
    assert rows[0]["mean rank"] <= rows[1]["mean rank"]
    assert {row["first"] for row in found.agreement_table()} == {"log_me", "h_score"}
    assert "mean rank" in format_table(rows)
    again = rank_encoders(pair, notes, NoteClassification.from_notes(notes), progress=False)
    assert again == found


def test_real_knowledge_ranks_above_none(offline_encoder, tmp_path):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from clinical_tl.network.encoder import offline_encoder_path

    config = AutoConfig.from_pretrained(str(offline_encoder_path()))
    AutoModel.from_config(config).save_pretrained(str(tmp_path))
    AutoTokenizer.from_pretrained(str(offline_encoder_path())).save_pretrained(str(tmp_path))
    lungs = ["asthma", "pneumonia", "wheezing", "bronchitis", "dyspnoea", "cough", "COPD"]
    skin = ["eczema", "psoriasis", "itching", "dermatitis", "a rash", "urticaria", "acne"]
    notes = [
        Note(f"{label}{i}", f"Seen today for {word}.", label=label)
        for label, words in (("lungs", lungs), ("skin", skin))
        for i, word in enumerate(words)
    ]
    task = NoteClassification.from_notes(notes)
    found = rank_encoders([tmp_path, offline_encoder], notes, task, k=3, progress=False)
    assert found.table()[0]["encoder"] == "offline"
    pretrained, scratch = found.encoders[1], found.encoders[0]
    assert pretrained.knn > scratch.knn
    assert pretrained.log_me > scratch.log_me


def test_misuse_is_refused(pair):
    notes = made_up()
    task = NoteClassification.from_notes(notes)
    with pytest.raises(ConfigError, match="1 encoders are given"):
        rank_encoders(pair[:1], notes, task)
    with pytest.raises(ConfigError, match="1 of them distinct"):
        rank_encoders([pair[0], str(pair[0])], notes, task)
    with pytest.raises(ConfigError, match=r"source_models names \['nobody'\]"):
        rank_encoders(pair, notes, task, source_models={"nobody": Source()})
    with pytest.raises(ConfigError, match="max_units=1"):
        rank_encoders(pair, notes, task, max_units=1)
    with pytest.raises(NoteError, match="9 of them with text; allowed: at least 10"):
        rank_encoders(pair, notes[:9], task)
    with pytest.raises(TaskError, match="have no 'label'"):
        rank_encoders(pair, [Note(f"{i}", "text") for i in range(12)], task)
    with pytest.raises(TaskError, match="all 8 examples are of one class"):
        rank_encoders(pair, notes, NoteClassification(LabelSet(("gout",), (8,))), progress=False)
    with pytest.raises(TaskError, match="none of the 24 notes has a label of the task's"):
        rank_encoders(pair, notes, NoteClassification(LabelSet(("x", "y"), (8, 8))))
    tagging = EntityRecognition.from_notes(notes)
    with pytest.raises(ConfigError, match="needs TransferModels for entity recognition"):
        rank_encoders(pair, notes, tagging, source_models={str(pair[0]): Source()})
    tagger = TransferModel.from_pretrained(pair[0], tagging)
    with pytest.raises(ConfigError, match="for notes a classifier of notes"):
        rank_encoders(pair, notes, task, source_models={str(pair[0]): tagger})
    with pytest.raises(TaskError, match="NoteClassification has no tags"):
        unit_probabilities(TransferModel.from_pretrained(pair[0], task), notes)
    bare = [Note(f"{i}", "some text", spans=()) for i in range(12)]
    with pytest.raises(TaskError, match="none of the 12 notes has a mention"):
        rank_encoders(pair, bare, tagging)
    coding = DiagnosisCoding.from_notes(notes[:4])
    with pytest.raises(TaskError, match="none of 2 labels has 3 of the 12 notes"):
        rank_encoders(pair, [Note(f"{i}", "text", codes=()) for i in range(12)], coding)


def test_an_encoder_already_loaded_is_named_as_it_was_given(pair):
    notes = made_up()
    loaded = [FrozenEncoder.from_pretrained(encoder) for encoder in pair]
    found = rank_encoders(loaded, notes, NoteClassification.from_notes(notes), progress=False)
    assert [scores.encoder for scores in found.encoders] == [str(encoder) for encoder in pair]
