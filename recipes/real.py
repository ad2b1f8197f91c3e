"""What `make real` runs: all tasks on the real corpora; finished rows are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import clinical_tl as ctl
from clinical_tl.data.corpora import corpora_folder
from clinical_tl.evaluation import baselines
from clinical_tl.text.tags import TagSet

from . import diagnosis_coding, entity_recognition, note_classification, trainer_peer
from .claim import claim_output
from .command_line import run
from .results import Results
from .workers import default_workers, run_side_by_side

CONFIGS = Path(__file__).parent / "configs"
RECIPES: dict[str, Callable[..., dict[str, float]]] = {
    "entity_recognition": entity_recognition.main,
    "diagnosis_coding": diagnosis_coding.main,
    "note_classification": note_classification.main,
}
# Full fine-tuning wants a lower rate than LoRA.
FULL = ("--adapter=full", "--training.learning_rate=2e-4")
FROZEN = ("--adapter=frozen", "--training.epochs=12")
PEER = "transformers.Trainer"
QUICK_NOTES = 60
QUICK_EPOCHS = 2


@dataclass(frozen=True)
class Row:
    """One line of the summary: a method on a corpus, by the corpus' config and overrides."""

    task: str
    config: str
    method: str
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Names the row's folder and finds it in the summary."""
        return f"{self.config}/{self.method}"


ROWS = (
    *(
        Row("entity_recognition", corpus, method, flags)
        for corpus in ("ncbi_disease", "bc5cdr")
        for method, flags in (
            ("memorised mentions", ()),
            ("LoRA", ()),
            (PEER, ()),
            ("full", FULL),
        )
    ),
    *(
        Row("diagnosis_coding", corpus, method, flags)
        for corpus in ("codiesp_categories", "codiesp")
        for method, flags in (
            ("TF-IDF", ()),
            ("label_attention frozen", FROZEN),
            ("label_attention LoRA", ()),
            ("linear LoRA", ("--head=linear",)),
            ("label_attention LoRA, open code set", ("--open_codes=true",)),
        )
    ),
    *(
        Row("entity_recognition", "leaf", f"LoRA, layers {layers}", (f"--layers={layers}", *more))
        for layers, more in (("one", ("--max_lost=1",)), ("by_type", ()))
    ),
    *(
        Row("note_classification", "mts_dialog", method, flags)
        for method, flags in (("TF-IDF", ()), ("frozen", FROZEN), ("LoRA", ()), ("full", FULL))
    ),
)


def main(
    output: str = "runs/real",
    seeds: int = 1,
    quick: bool = False,
    only: str = "",
    workers: int = 0,
) -> None:
    """Run every row that the summary does not have yet, and print the table.

    Args:
        output: folder for summary.json and the rows' models.
        seeds: how many seeds; one takes about two hours on two cores.
        quick: subsets of the corpora and two epochs, to see that all rows run.
        only: run only rows whose name (config/method) contains this.
        workers: rows run at a time; 0 for one a core, or one where there is a GPU.
    """
    folder = Path(output + "-quick" if quick else output)
    claim_output(folder)
    results = Results(folder / "summary.json")
    workers = workers or default_workers()
    # Bars of runs side by side would write over each other.
    bars = workers == 1
    cells = [
        (row, folder, seed, quick, bars)
        for seed in range(seeds)
        for row in ROWS
        if only in row.name and not results.has({"row": row.name, "seed": seed})
    ]
    for _, figures in run_side_by_side(_run, cells, workers):
        results.add(figures)
    shown = ("f1", "seqeval_f1", "micro_f1", "map", "accuracy", "macro_f1", "seconds")
    print(
        ctl.display.format_table(
            [{"row": d["row"], **{m: d.get(m) for m in shown}} for d in results.rows]
        )
    )
    print(results.file)


def _run(row: Row, folder: Path, seed: int, quick: bool, bars: bool) -> dict[str, Any]:
    print(f"\n== {row.name}, seed {seed}", flush=True)
    place = folder / row.config / f"{row.method.replace(' ', '_')}-{seed}"
    started = time.perf_counter()
    figures = _figures(row, place, seed, quick=quick, bars=bars)
    wall = time.perf_counter() - started
    names = {"row": row.name, "seed": seed, "task": row.task, "method": row.method}
    return {**names, **figures, "wall_seconds": wall}


def _figures(row: Row, place: Path, seed: int, *, quick: bool, bars: bool) -> dict[str, Any]:
    file = CONFIGS / f"{row.config}.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    corpus = {"corpus": config["corpus"]}
    limit = QUICK_NOTES if quick else None
    if row.method in BASELINES:
        started = time.perf_counter()
        allowed = config.get("allow_leakage", False)
        splits = ctl.note_splits(config["corpus"], limit=limit, allow_leakage=allowed)
        task, predictions = BASELINES[row.method](config, splits)
        scores = task.evaluate(splits["test"], predictions).summary()
        seconds = time.perf_counter() - started
        return {**corpus, **scores, "seconds": seconds, "trainable_parameters": 0}
    if row.method == PEER:
        epochs = QUICK_EPOCHS if quick else config["training"]["epochs"]
        train, test = _sentences(config["corpus"], limit)
        figures = trainer_peer.train_peer(
            train, test, encoder=config["encoder"], epochs=epochs, seed=seed, folder=place
        )
        return {**corpus, **figures}
    flags = [f"--config={file}", *row.flags, f"--output={place}", f"--training.seed={seed}"]
    flags.append(f"--training.progress={str(bars).lower()}")
    if quick:
        flags += [f"--training.epochs={QUICK_EPOCHS}", f"--limit={limit}"]
    scores = run(RECIPES[row.task], flags)
    training = json.loads((place / "model" / "metrics.json").read_text())["training"]
    kept = ("seconds", "trainable_parameters", "best_epoch")
    figures = {name: training[name] for name in kept}
    # `precision` is a score's name already.
    return {**corpus, **scores, **figures, "training_precision": training["precision"]}


def _memorised(config: dict[str, Any], splits: dict[str, Any]) -> tuple[Any, list[ctl.Prediction]]:
    del config
    task = ctl.EntityRecognition.from_notes(splits["train"])
    return task, baselines.memorised_mentions(splits["train"], splits["test"])


def _tfidf(config: dict[str, Any], splits: dict[str, Any]) -> tuple[Any, list[ctl.Prediction]]:
    task: Any = (
        ctl.DiagnosisCoding.from_notes(splits["train"], level=config["level"])
        if "level" in config
        else ctl.NoteClassification.from_notes(splits["train"])
    )
    return baselines.tfidf(task, splits["train"], splits["test"], dev=splits["dev"])


BASELINES: dict[str, Callable[..., tuple[Any, list[ctl.Prediction]]]] = {
    "memorised mentions": _memorised,
    "TF-IDF": _tfidf,
}


def _sentences(corpus: str, limit: int | None) -> tuple[list[Any], list[Any]]:
    """Training and test sentences: the corpus' own CoNLL files where it has them."""
    conll = corpora_folder() / corpus / "conll"
    if conll.is_dir():
        train, test = (trainer_peer.read_sentences(conll / f"{n}.tsv") for n in ("train", "test"))
    else:
        splits = ctl.data.load_corpus(corpus)
        tag_set = TagSet(ctl.EntityRecognition.from_notes(splits["train"]).labels)
        train, test = (
            trainer_peer.split_sentences(list(splits[name]), tag_set) for name in ("train", "test")
        )
    # A note has about ten sentences.
    return (train, test) if limit is None else (train[: 10 * limit], test[: 10 * limit])


if __name__ == "__main__":
    run(main)
