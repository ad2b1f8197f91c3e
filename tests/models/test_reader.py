"""Notes of any length, one by one and all at once; the real encoder end to end."""

import gc
import tracemalloc
from dataclasses import replace
from itertools import islice

import pytest

from clinical_tl.data.notes import as_notes
from clinical_tl.data.splits import split_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.evaluation.baselines import majority, memorised_mentions, tfidf
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.network.structure import base_model
from clinical_tl.schema import Note
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

TASKS = {
    "classification": (NoteClassification, {}),
    "linear coding": (DiagnosisCoding, {"head": "linear"}),
    "label attention": (DiagnosisCoding, {}),
    "entities": (EntityRecognition, {}),
}


@pytest.fixture(scope="module", params=TASKS, ids=TASKS.keys())
def model(request, tiny_encoder, synthetic_notes):
    task, settings = TASKS[request.param]
    notes = synthetic_notes.select(range(16))
    built = TransferModel.from_pretrained(
        tiny_encoder, task.from_notes(notes, **settings), window=48, overlap=12
    )
    config = TrainingConfig(epochs=3, learning_rate=1e-2, progress=False)
    fit(built, notes, notes, config, allow_leakage=True)
    return built


def assert_alike(first, second, tolerance=1e-4):
    assert (first.note_id, first.label, first.codes) == (
        second.note_id,
        second.label,
        second.codes,
    )
    for name in first.scores:
        assert first.scores[name] == pytest.approx(second.scores[name], abs=tolerance)
    assert [s.key for s in first.spans or ()] == [s.key for s in second.spans or ()]
    for one, other in zip(first.spans or (), second.spans or (), strict=True):
        assert one.score == pytest.approx(other.score, abs=tolerance)
    assert first.evidence.keys() == second.evidence.keys()


def test_one_by_one_equals_all_at_once(model, synthetic_notes):
    notes = [*as_notes(synthetic_notes)[:20], Note("long", " ".join(synthetic_notes["text"][:12]))]
    together = model.predict(notes)
    tight = model.predict(notes, batch_tokens=60)
    for note, first, second in zip(notes, together, tight, strict=True):
        (alone,) = model.predict([note])
        assert_alike(alone, first)
        assert_alike(second, first)
    assert [p.note_id for p in together] == [n.note_id for n in notes]


def test_a_long_note_never_exceeds_the_batch_budget(model, synthetic_notes, monkeypatch):
    long = Note("long", " ".join(synthetic_notes["text"][:12]))
    read = []
    # Of the class: what predicts is a copy of the model with its adapter folded in.
    encoder = type(base_model(model.network.model))
    monkeypatch.setattr(encoder, "forward", spy(encoder.forward, read))
    model.predict([long], batch_tokens=200)
    assert len(read) > 5
    assert max(rows * width for rows, width in read) <= 200


def spy(forward, read):
    def forward_and_note(*args, **inputs):
        ids = inputs["input_ids"] if "input_ids" in inputs else args[1]
        read.append(tuple(ids.shape))
        return forward(*args, **inputs)

    return forward_and_note


def test_a_stream_is_predicted_a_chunk_at_a_time_in_order(model, synthetic_notes, monkeypatch):
    monkeypatch.setattr("clinical_tl.models.reader.CHUNK", 5)
    records = as_notes(synthetic_notes)
    taken = []

    def notes():
        for note in records:
            taken.append(note)
            yield note

    stream = model.predict_stream(notes(), progress=False)
    first = list(islice(stream, 3))
    assert len(taken) == 5
    found = [*first, *stream]
    expected = model.predict(records, progress=False)
    assert [p.note_id for p in found] == [note.note_id for note in records]
    assert [p.label for p in found] == [p.label for p in expected]
    assert [p.codes for p in found] == [p.codes for p in expected]
    assert [[s.key for s in p.spans or ()] for p in found] == [
        [s.key for s in p.spans or ()] for p in expected
    ]


@pytest.mark.parametrize("n", [20_000, pytest.param(100_000, marks=pytest.mark.real)])
def test_memory_does_not_grow_with_the_corpus(n, tiny_encoder):
    """6.4 MB for 4,000 notes, for 20,000 and for 100,000."""
    train = [Note(str(i), f"word {i}", label="ab"[i % 2]) for i in range(4)]
    model = TransferModel.from_pretrained(tiny_encoder, NoteClassification.from_notes(train))
    notes = (Note(str(i), "no pain") for i in range(n))
    gc.collect()
    tracemalloc.start()
    try:
        assert sum(1 for _ in model.predict_stream(notes, progress=False)) == n
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6


def test_odd_texts_are_predicted(model):
    texts = ["", " \n\t ", "🫀", "x" * 5000, "fever\n" * 2000]
    predictions = model.predict(texts)
    assert [p.note_id for p in predictions] == ["0", "1", "2", "3", "4"]
    for text, prediction in zip(texts, predictions, strict=True):
        for span in prediction.spans or ():
            assert text[span.start : span.end].strip() == text[span.start : span.end]


BLANK = ["", " \n\t ", "\u200b", "\ufeff\u2060", "\x00", "\u00a0\u2028"]


def test_of_a_note_with_nothing_to_read_nothing_is_decided(model, caplog):
    notes = [Note(f"b{i}", text) for i, text in enumerate(BLANK)]
    predictions = model.predict([*notes, Note("written", "Fever and cough.")])
    for prediction in predictions[: len(BLANK)]:
        assert prediction.label is None
        assert not prediction.codes
        assert not prediction.spans
        assert prediction == model.task.unread(prediction.note_id)
    assert "written" not in caplog.text
    (told,) = [r.getMessage() for r in caplog.records if "nothing to read" in r.getMessage()]
    assert told.startswith("6 notes have nothing to read")
    assert "'b0', 'b1'" in told


def test_a_blank_note_counts_as_an_error_and_not_as_a_sure_answer(model, synthetic_notes):
    notes = as_notes(synthetic_notes)[20:24]
    blank = [replace(note, text="\u200b" * len(note.text)) for note in notes]
    scores = model.evaluate(blank).summary()
    assert scores.get("accuracy", scores.get("micro_f1", scores.get("f1"))) == 0
    if isinstance(model.task, NoteClassification):
        assert scores["undecided"] == 4


def test_prediction_leaves_the_mode_as_it_was(model):
    model.network.train()
    model.predict(["Fever."])
    assert model.network.training
    model.network.eval()
    model.predict(["Fever."])
    assert not model.network.training


def test_misuse_is_explained(model):
    with pytest.raises(NoteError, match=r"give a sequence of texts: \[text\]"):
        model.predict("one text")
    with pytest.raises(NoteError, match="of type int"):
        model.predict([3])
    with pytest.raises(ConfigError, match="'no' or 'bf16'"):
        model.predict(["Fever."], precision="fp8")
    with pytest.raises(NoteError, match="no notes to evaluate"):
        model.evaluate([])


def test_windows_longer_than_the_positions_are_refused(tiny_encoder, synthetic_notes):
    task = NoteClassification.from_notes(synthetic_notes)
    with pytest.raises(ConfigError, match="reads 128 tokens at most"):
        TransferModel.from_pretrained(tiny_encoder, task, window=129)
    assert TransferModel.from_pretrained(tiny_encoder, task).windowing.length == 128


def test_the_summary_counts_parameters(tiny_encoder, synthetic_notes):
    task = NoteClassification.from_notes(synthetic_notes)
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter=LoRA(r=2))
    lora = sum(p.numel() for n, p in model.network.trainable().items() if "lora_" in n)
    assert f"{model.trainable_parameters:,} of " in model.summary()
    assert f"{model.trainable_parameters - lora:,} of them in the head" in model.summary()


@pytest.fixture(scope="module")
def splits():
    notes = generate_notes(150, seed=1, words=(40, 120))
    return split_notes(notes, fractions={"train": 0.6, "dev": 0.15, "test": 0.25}, seed=0)


def test_the_real_encoder_finds_mentions_it_never_saw(offline_encoder, splits):
    """What memorised strings can't do, by construction; on synthetic notes it proves no more."""
    task = EntityRecognition.from_notes(splits["train"])
    model = TransferModel.from_pretrained(offline_encoder, task)
    config = TrainingConfig(epochs=3, batch_tokens=1024, learning_rate=2e-3, progress=False)
    fit(model, splits["train"], config=config)
    seen = {
        note.text[span.start : span.end].lower()
        for note in as_notes(splits["train"])
        for span in note.spans
    }
    found = missed = 0
    for note, prediction in zip(
        as_notes(splits["test"]), model.predict(splits["test"]), strict=True
    ):
        keys = {span.key for span in prediction.spans}
        for span in note.spans:
            if note.text[span.start : span.end].lower() not in seen:
                found += span.key in keys
                missed += span.key not in keys
    memory = memorised_mentions(splits["train"], splits["test"])
    assert task.evaluate(splits["test"], memory).entities.f1 > 0.5
    assert found / (found + missed) > 0.2


def test_baselines_emit_predictions_that_the_task_scores(splits):
    classification = NoteClassification.from_notes(splits["train"])
    chance = classification.evaluate(
        splits["test"], majority(classification, splits["train"], splits["test"])
    )
    tuned, predictions = tfidf(classification, splits["train"], splits["test"])
    assert tuned.evaluate(splits["test"], predictions).macro_f1 > chance.macro_f1
    coding = DiagnosisCoding.from_notes(splits["train"])
    chance = coding.evaluate(splits["test"], majority(coding, splits["train"], splits["test"]))
    tuned, predictions = tfidf(coding, splits["train"], splits["test"], dev=splits["dev"])
    scores = tuned.evaluate(splits["test"], predictions).summary()
    assert scores["map"] > chance.summary()["map"]
    assert scores["micro_f1"] > 0
