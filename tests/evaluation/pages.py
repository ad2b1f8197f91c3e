"""Reports on made-up predictions, quick to make: right, wrong and doubtful as real ones are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clinical_tl.data.notes import as_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.evaluation.evaluating import report_on
from clinical_tl.evaluation.provenance import EvaluatedModel
from clinical_tl.schema import LabelScores, Prediction, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification

LABELS = [
    "consult note", "discharge summary", "emergency visit", "nursing note", "operative report",
    "progress note", "radiology report",
]  # fmt: skip
MODEL = EvaluatedModel(
    "encoder with an adapter",
    saved_as="model",
    encoder="hub:org/biomedical-encoder",
    revision="5f1c2a9",
    encoder_sha256="ab" * 32,
    settings={
        "method": "LORA", "rank": 16, "alpha": 32, "learning_rate": 1e-3, "batch_tokens": 4096,
        "window_tokens": 512, "window_overlap": 64, "steps": 320, "tokens": 1_234_567, "seed": 0,
        "precision": "fp32", "metric": "f1", "best_epoch": 4, "train_notes": 300,
    },
    epochs=tuple(
        {"epoch": i, "loss": 2.2 / i, "dev_loss": 1.9 / i + 0.04 * i, "dev": 0.8 - 0.5 / i}
        for i in range(1, 7)
    ),
)  # fmt: skip
SETTINGS = {"resamples": 200, "by": ["kind"]}


def notes_of(n: int, seed: int):
    made = as_notes(generate_notes(n, seed=seed, words=(30, 120)))
    return [replace(note, patient_id=f"{seed}-{i // 2}") for i, note in enumerate(made)]


def classification_report(n: int = 150):
    random = np.random.default_rng(0)
    notes = [
        replace(note, label=LABELS[int(random.integers(0, 7) * random.random())])
        for note in notes_of(n, 1)
    ]
    task = NoteClassification.from_notes(notes)

    def said(sure):
        predictions = []
        for note in notes:
            logits = random.normal(size=len(task.labels))
            logits[task.labels.positions[note.label]] += sure
            row = np.exp(logits) / np.exp(logits).sum()
            label = task.labels.names[int(row.argmax())]
            scores = LabelScores(task.labels.names, row.astype(np.float32))
            predictions.append(Prediction(note.note_id, label=label, scores=scores))
        return predictions

    report = report_on(task, notes, said(3), against=said(2.2), temperature=1.4, **SETTINGS)
    return replace(report, model=MODEL)


def entity_report(n: int = 120):
    random = np.random.default_rng(1)
    notes, train = notes_of(n, 2), notes_of(30, 3)
    task = EntityRecognition.from_notes(train)
    predictions = []
    for note in notes:
        spans = []
        for span in note.spans:
            draw, score = random.random(), float(random.beta(6, 1.5))
            if draw < 0.08:
                continue
            label = str(random.choice(task.labels.names)) if draw < 0.14 else span.label
            end = min(span.end + 4, len(note.text)) if 0.12 < draw < 0.2 else span.end
            score = score if draw > 0.2 else score * 0.7
            spans.append(Span(span.start, end, label, score=score))
        if random.random() < 0.3:
            spans.append(Span(0, 4, "Drug", score=float(random.beta(2, 3))))
        predictions.append(Prediction(note.note_id, spans=tuple(spans)))
    report = report_on(task, notes, predictions, train=train, **SETTINGS)
    return replace(report, model=MODEL)


def coding_report(n: int = 150):
    random = np.random.default_rng(2)
    notes, train = notes_of(n, 4), notes_of(200, 5)
    task = DiagnosisCoding.from_notes(train)
    gold = task.gold(notes)
    logits = random.normal(-5, 1.2, size=gold.shape) + 6 * gold
    probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
    predictions = [
        task.predicted(note.note_id, row) for note, row in zip(notes, probabilities, strict=True)
    ]
    return replace(report_on(task, notes, predictions, **SETTINGS), model=MODEL)


REPORTS = {
    "classification": classification_report,
    "entities": entity_report,
    "coding": coding_report,
}
