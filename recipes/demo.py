"""What `make demo` runs: four tasks on synthetic notes, baseline and LoRA side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clinical_tl as ctl
from clinical_tl.evaluation import baselines
from clinical_tl.network.adapter import Adapter
from clinical_tl.network.lora import LoRA
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task import Task
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.training.config import TrainingConfig

from .claim import claim_output
from .command_line import run

NOTICE = (
    "These notes are synthetic. Their scores show that the package runs; they prove nothing "
    "about real notes."
)


@dataclass(frozen=True)
class Demonstration:
    """A task of the demo: how it is fitted, its baseline, the metrics to show."""

    title: str
    fit_task: Callable[[Any], Any]
    baseline: str
    predict_baseline: Callable[[Any, dict[str, Any]], tuple[Any, list[ctl.Prediction]]]
    metrics: tuple[str, ...]
    show: Callable[[ctl.Note, ctl.Prediction], str]


def main(output: str = "runs/demo", seed: int = 0, notes: int = 120, epochs: int = 5) -> None:
    """Train and score four tasks on synthetic notes, with no network.

    Args:
        output: folder for the four models.
        seed: of the notes and of the training.
        notes: how many synthetic notes to generate.
        epochs: passes over the training notes.
    """
    claim_output(output)
    started = time.perf_counter()
    generated = ctl.data.generate_notes(notes, seed=seed, words=(40, 120))
    splits = ctl.split_notes(
        generated, fractions={"train": 0.65, "dev": 0.1, "test": 0.25}, seed=seed
    )
    print(f"{notes} synthetic notes: " + ", ".join(f"{len(v)} {k}" for k, v in splits.items()))
    for demonstration in DEMONSTRATIONS:
        folder = Path(output) / demonstration.title.replace(" ", "_")
        _demonstrate(demonstration, splits, folder, seed=seed, epochs=epochs)
    print(f"\n{NOTICE}\n{time.perf_counter() - started:.0f} s in all.")


def _demonstrate(
    demonstration: Demonstration, splits: dict[str, Any], folder: Path, *, seed: int, epochs: int
) -> None:
    print(f"\n== {demonstration.title}")
    task = demonstration.fit_task(splits["train"])
    started = time.perf_counter()
    tuned, predictions = demonstration.predict_baseline(task, splits)
    scores = tuned.evaluate(splits["test"], predictions).summary()
    rows = [_row(demonstration, demonstration.baseline, scores, time.perf_counter() - started)]
    for name, fit in (("frozen features", _frozen), ("LoRA", _lora)):
        started = time.perf_counter()
        model = fit(task, splits, seed, epochs)
        scores = model.evaluate(splits["test"], progress=False).summary()
        rows.append(_row(demonstration, name, scores, time.perf_counter() - started))
    print(ctl.display.format_table(rows))
    examples = splits["test"].select(range(2))
    for note, prediction in zip(examples, model.predict(examples, progress=False), strict=True):
        print(f"  {note.note_id}: {demonstration.show(note, prediction)}")
    print(f"model: {model.save_pretrained(folder)}")


def _frozen(
    task: Task, splits: dict[str, Any], seed: int, epochs: int
) -> ctl.FeatureModel | ctl.TransferModel:
    """A linear model on what the encoder says as it is; of relations there is none."""
    if isinstance(task, NoteTask | UnitTask):
        return ctl.FeatureModel.fit(
            "offline", task, splits["train"], splits["dev"], seed=seed, progress=False
        )
    return _trained(task, splits, "frozen", seed, 2 * epochs)


def _lora(task: Task, splits: dict[str, Any], seed: int, epochs: int) -> ctl.TransferModel:
    return _trained(task, splits, LoRA(), seed, epochs)


def _trained(
    task: Task, splits: dict[str, Any], adapter: Adapter, seed: int, epochs: int
) -> ctl.TransferModel:
    model = ctl.TransferModel.from_pretrained("offline", task, adapter=adapter, seed=seed)
    config = TrainingConfig(epochs=epochs, batch_tokens=512, seed=seed)
    ctl.fit(model, splits["train"], splits["dev"], config)
    return model


def _row(
    demonstration: Demonstration, method: str, scores: dict[str, float], seconds: float
) -> dict[str, object]:
    shown = {name: scores.get(name, float("nan")) for name in demonstration.metrics}
    return {"method": method, **shown, "seconds": round(seconds)}


def _show_label(note: ctl.Note, prediction: ctl.Prediction) -> str:
    if prediction.label is None:
        return f"no label (nothing to read), gold {note.label}"
    probability = prediction.scores[prediction.label]
    return f"{prediction.label} ({probability:.2f}), gold {note.label}"


def _show_codes(note: ctl.Note, prediction: ctl.Prediction) -> str:
    codes = prediction.codes or ()
    best = [prediction.evidence[code][0] for code in codes[:2] if prediction.evidence.get(code)]
    text = ctl.evaluation.highlight(note.text, best, width=160)
    return f"{', '.join(codes) or 'no code'}, gold {', '.join(note.codes or ())}\n    {text}"


def _show_spans(note: ctl.Note, prediction: ctl.Prediction) -> str:
    return ctl.evaluation.highlight(note.text, prediction.spans or (), width=220)


def _show_relations(note: ctl.Note, prediction: ctl.Prediction) -> str:
    mentions = {span.id: note.text[span.start : span.end] for span in note.spans or ()}
    found = [
        f"{mentions[relation.head]} –{relation.label}→ {mentions[relation.tail]}"
        for relation in prediction.relations or ()
    ]
    return "; ".join(found) or "no relation"


DEMONSTRATIONS = (
    Demonstration(
        "note classification",
        ctl.NoteClassification.from_notes,
        "TF-IDF",
        lambda task, splits: baselines.tfidf(
            task, splits["train"], splits["test"], dev=splits["dev"]
        ),
        ("accuracy", "macro_f1", "auroc_ovr"),
        _show_label,
    ),
    Demonstration(
        "diagnosis coding",
        ctl.DiagnosisCoding.from_notes,
        "TF-IDF",
        lambda task, splits: baselines.tfidf(
            task, splits["train"], splits["test"], dev=splits["dev"]
        ),
        ("micro_f1", "macro_f1", "map"),
        _show_codes,
    ),
    Demonstration(
        "entity recognition",
        ctl.EntityRecognition.from_notes,
        "memorised mentions",
        lambda task, splits: (
            task,
            baselines.memorised_mentions(splits["train"], splits["test"]),
        ),
        ("f1", "overlap_f1", "seqeval_f1"),
        _show_spans,
    ),
    Demonstration(
        "relation extraction",
        # The generator relates within a sentence alone; far pairs would only cost time.
        lambda train: ctl.RelationExtraction.from_notes(train, context=2, max_distance=6),
        "same sentence",
        lambda task, splits: (
            task,
            baselines.cooccurrence(task, splits["train"], splits["test"]),
        ),
        ("f1", "precision", "recall"),
        _show_relations,
    ),
)

if __name__ == "__main__":
    run(main)
