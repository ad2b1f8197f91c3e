"""What is to be said of notes is said once a training, however often they are read."""

from dataclasses import replace

from clinical_tl.data.notes import as_notes
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.schema import Span
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

THREE_EPOCHS = TrainingConfig(epochs=3, min_steps=2, progress=False)


def test_lost_mentions_and_dev_notes_without_any(tiny_encoder, synthetic_notes, caplog):
    # Within a mention one of the same type: two tags at one place.
    notes = [
        replace(note, spans=(span, Span(span.start, span.start + 2, span.label)))
        for note in as_notes(synthetic_notes)
        for span in note.spans[:1]
    ]
    train = notes[:12]
    dev = [replace(note, spans=()) for note in notes[12:20]]
    task = EntityRecognition.from_notes(train)
    caplog.clear()
    model = TransferModel.from_pretrained(tiny_encoder, task, window=64, overlap=16)
    fit(model, train, dev, THREE_EPOCHS, allow_leakage=True)
    assert caplog.text.count(f"12 of {2 * len(train)} gold mentions") == 1
    assert caplog.text.count("gold mentions") == 1
    assert caplog.text.count(f"the {len(dev)} development notes have no mention") == 1


def test_contradictions_and_labels_that_dev_alone_has(tiny_encoder, synthetic_notes, caplog):
    notes = as_notes(synthetic_notes)
    first = notes[0]
    other = next(note.label for note in notes if note.label != first.label)
    train = [*notes[:20], replace(first, note_id="again", label=other)]
    dev = [replace(note, label="of dev alone") for note in notes[30:]]
    task = NoteClassification.from_notes(train)
    caplog.clear()
    model = TransferModel.from_pretrained(tiny_encoder, task, window=64, overlap=16)
    fit(model, train, dev, THREE_EPOCHS, allow_leakage=True)
    assert caplog.text.count("distinct texts carry two or more") == 1
    assert caplog.text.count("labels (10 occurrences) of the dev notes were not seen") == 1
