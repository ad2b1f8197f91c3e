"""Does a source task help a target task? The target trained with and without a source adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clinical_tl as ctl
from clinical_tl.network.lora import LoRA
from clinical_tl.storage.replacement import whole_folder
from clinical_tl.training.config import TrainingConfig

from .account import account
from .budgets import check_budgets, run_settings, subset, with_labels, with_tracked_folder
from .claim import claim_output, with_checkpoints
from .command_line import run
from .results import Results
from .workers import run_side_by_side


def main(
    source: str,
    target: str,
    labels: list[str] | None = None,
    match: bool = False,
    budgets: tuple[int, ...] = (25, 50, 100, 0),
    seeds: int = 1,
    limit: int | None = None,
    encoder: str = "offline",
    lora: LoRA = LoRA(),
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/source_task",
    workers: int = 0,
) -> list[dict[str, Any]]:
    """Train an entity recogniser on a source corpus, then go on from it on a target corpus.

    Args:
        source: a public corpus with spans by name (bc5cdr), or "synthetic".
        target: the corpus that matters, by name (ncbi_disease), or "synthetic".
        labels: mention types of the source to train on; by default all.
        match: find the source label of each target label by prototypes, not by its name.
        budgets: numbers of target training notes; 0 for all. Dev notes shrink with them.
        seeds: repetitions, each with other notes and other weights.
        limit: use at most so many notes of each set, for a quick look.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        lora: the adapter's settings, the same for source and target.
        training: the settings of both; small budgets get more epochs.
        output: folder for the source model and results.json; finished rows are not run again,
            and a folder of other settings is refused.
        workers: rows run at a time; 0 for one a core, or one where there is a GPU.

    Returns:
        One row a run: start, budget, seed and the test scores.
    """
    claim_output(output)
    training = with_tracked_folder(training, output)
    settings = {
        "source": source, "target": target, "labels": labels, "match": match, "limit": limit,
        "encoder": encoder, "lora": lora, "training": training,
    }  # fmt: skip
    results = Results(f"{output}/results.json", settings)
    source_model = _source_model(source, labels, limit, encoder, lora, training, output)
    starts = {"pretrained encoder": None, f"adapter from {source}": source_model}
    splits = ctl.note_splits(target, limit=limit)
    print(account(splits, "spans"))
    n_notes = len(splits["train"])
    keys = [
        {"start": start, "budget": budget, "seed": seed}
        for seed in range(seeds)
        for budget in check_budgets(budgets, n_notes)
        for start in starts
    ]
    matched = (source, labels) if match else None
    cells = [
        (key, starts[str(key["start"])], matched, target, limit, encoder, lora, training)
        for key in keys
        if not results.has(key)
    ]
    for _, row in run_side_by_side(_cell, cells, workers):
        results.add(row)
    rows = sorted(results.rows, key=lambda row: (row["budget"], row["seed"], row["start"]))
    shown = ("start", "budget", "seed", "f1", "overlap_f1")
    print(ctl.display.format_table([{name: row[name] for name in shown} for row in rows]))
    print(results.file)
    return rows


def _cell(
    key: dict[str, Any],
    source_model: Path | None,
    matched: tuple[str, list[str] | None] | None,
    target: str,
    limit: int | None,
    encoder: str,
    lora: LoRA,
    training: TrainingConfig,
) -> dict[str, Any]:
    seed, budget = key["seed"], key["budget"]
    splits = ctl.note_splits(target, limit=limit)
    train, dev = subset(splits, budget, seed)
    model = ctl.TransferModel.from_pretrained(
        encoder, ctl.EntityRecognition.from_notes(train), adapter=lora, seed=seed
    )
    name = f"{'scratch' if source_model is None else 'source'}-{budget}-{seed}"
    config = run_settings(training, budget, len(splits["train"]), seed, name)
    mapping: Any = "exact"
    if source_model is not None and matched is not None:
        ours = with_labels(ctl.note_splits(matched[0], limit=limit)["train"], matched[1])
        found = ctl.transfer.match_labels(ours, train, encoder, field="spans", progress=False)
        print(ctl.display.format_table(found.table()))
        mapping = found.mapping
    ctl.fit(model, train, dev, config, init_adapter=source_model, init_labels=mapping)
    scores = model.evaluate(splits["test"], progress=False).summary()
    return {**key, "epochs": config.epochs, **scores}


def _source_model(
    source: str,
    labels: list[str] | None,
    limit: int | None,
    encoder: str,
    lora: LoRA,
    training: TrainingConfig,
    output: str,
) -> Path:
    folder = whole_folder(Path(output) / "source")
    if folder.exists():
        return folder
    splits = {
        name: with_labels(notes, labels)
        for name, notes in ctl.note_splits(source, limit=limit).items()
    }
    task = ctl.EntityRecognition.from_notes(splits["train"])
    model = ctl.TransferModel.from_pretrained(encoder, task, adapter=lora, seed=training.seed)
    config = with_checkpoints(training, f"{output}/source_run")
    ctl.fit(model, splits["train"], splits["dev"], config)
    return model.save_pretrained(folder)


if __name__ == "__main__":
    run(main)
