"""Few labels, many notes without: supervised training against self-training, over seeds."""

from __future__ import annotations

from statistics import fmean, pstdev
from typing import Any

import clinical_tl as ctl
from clinical_tl.errors import ConfigError
from clinical_tl.network.lora import LoRA
from clinical_tl.training.config import TrainingConfig

from .account import ANNOTATION, account
from .budgets import (
    Level,
    TaskName,
    fit_task,
    run_settings,
    subset,
    unlabelled_rest,
    with_tracked_folder,
)
from .claim import claim_output
from .command_line import run
from .results import Results
from .workers import run_side_by_side

SCORES = {
    "note_classification": "macro_f1",
    "multi_label_classification": "micro_f1",
    "diagnosis_coding": "micro_f1",
    "entity_recognition": "f1",
}


def main(
    task: TaskName = "entity_recognition",
    corpus: str | None = None,
    shares: tuple[float, ...] = (0.05, 0.1, 0.25),
    seeds: int = 1,
    rounds: int = 2,
    precision: float = 0.9,
    ratio: float = 2.0,
    unlabelled: int | None = None,
    level: Level = "category",
    limit: int | None = None,
    allow_leakage: bool = False,
    encoder: str = "offline",
    lora: LoRA = LoRA(),
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/self_training",
    workers: int = 0,
) -> list[dict[str, Any]]:
    """Hide the labels of most training notes, and see what the hidden notes are still worth.

    Args:
        task: note_classification, multi_label_classification, diagnosis_coding or
            entity_recognition.
        corpus: a public corpus by name, or "synthetic", the default.
        shares: of the training notes that keep their labels.
        seeds: repetitions, each with other labelled notes and other weights.
        rounds: students at most.
        precision: wanted of silver labels, as dev notes estimate it.
        ratio: silver labels of a class at most, as a multiple of its labelled ones.
        unlabelled: use at most so many of the other notes.
        level: of diagnosis codes: code, category or chapter.
        limit: use at most so many notes of each set, for a quick look.
        allow_leakage: go on where the sets share patients or texts, as MTS-Dialog's do.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        lora: the adapter's settings.
        training: the settings of every round; the fewer notes, the more epochs.
        output: folder for results.json; finished rows are not run again, and a folder of other
            settings is refused.
        workers: rows run at a time; 0 for one a core, or one where there is a GPU.

    Returns:
        One row a run: share, seed, test score of the teacher alone and of the best student.
    """
    claim_output(output)
    training = with_tracked_folder(training, output)
    wrong = [share for share in shares if not 0 < share < 1]
    if wrong:
        raise ConfigError(f"shares {wrong}: above 0 and below 1, or nothing stays unlabelled")
    options: dict[str, Any] = {"rounds": rounds, "precision": precision, "ratio": ratio}
    settings = {
        "task": task, "corpus": corpus, "unlabelled": unlabelled, "level": level, "limit": limit,
        "encoder": encoder, "lora": lora, "training": training, **options,
    }  # fmt: skip
    if allow_leakage:
        settings["allow_leakage"] = options["allow_leakage"] = True
    results = Results(f"{output}/results.json", settings)
    print(account(ctl.note_splits(corpus, limit=limit), ANNOTATION[task]))
    cells = [
        (key, task, corpus, unlabelled, level, limit, encoder, lora, training, options)
        for key in ({"share": share, "seed": seed} for seed in range(seeds) for share in shares)
        if not results.has(key)
    ]
    for _, row in run_side_by_side(_cell, cells, workers):
        results.add(row)
    print(ctl.display.format_table(_summary(results.rows), digits=4))
    print(results.file)
    return results.rows


def _cell(
    key: dict[str, Any],
    task: TaskName,
    corpus: str | None,
    unlabelled: int | None,
    level: Level,
    limit: int | None,
    encoder: str,
    lora: LoRA,
    training: TrainingConfig,
    options: dict[str, Any],
) -> dict[str, Any]:
    seed, metric = key["seed"], SCORES[task]
    splits = ctl.note_splits(corpus, limit=limit)
    n_notes = len(splits["train"])
    budget = max(4, round(key["share"] * n_notes))
    train, dev = subset(splits, budget, seed)
    rest = unlabelled_rest(splits["train"], train, unlabelled, seed)
    fitted = fit_task(task, train, level)

    def config(n_train: int) -> TrainingConfig:
        name = f"{key['share']}-{seed}/{'teacher' if n_train == budget else 'student'}"
        return run_settings(training, min(n_train, n_notes), n_notes, seed, name)

    def new_model() -> ctl.TransferModel:
        return ctl.TransferModel.from_pretrained(encoder, fitted, adapter=lora, seed=seed)

    alone = new_model()
    leakage = {"allow_leakage": options.get("allow_leakage", False)}
    ctl.fit(alone, train, dev, config(budget), **leakage)
    student = new_model()
    # Silver notes are at most `ratio` times the labelled ones.
    most = budget + min(len(rest), round(options["ratio"] * budget))
    trained = ctl.transfer.self_train(
        student,
        train,
        rest,
        dev,
        config(budget),
        teacher=alone,
        student_config=config(most),
        **options,
    )
    print(ctl.display.format_table(trained.table()))
    models = {"supervised": alone, "self-training": student}
    scores = {
        name: model.evaluate(splits["test"], progress=False, **leakage).summary()[metric]
        for name, model in models.items()
    }
    chosen = {"best_round": trained.best_round, "silver": len(trained.silver)}
    return {**key, "labelled": budget, "metric": metric, **scores, **chosen}


def _summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = []
    for share in sorted({row["share"] for row in rows}):
        same = [row for row in rows if row["share"] == share]
        gains = [row["self-training"] - row["supervised"] for row in same]
        table.append(
            {
                "share": share,
                "labelled": same[0]["labelled"],
                "seeds": len(same),
                **{name: fmean(r[name] for r in same) for name in ("supervised", "self-training")},
                "gain": fmean(gains),
                "spread of the gain": pstdev(gains),
            }
        )
    return table


if __name__ == "__main__":
    run(main)
