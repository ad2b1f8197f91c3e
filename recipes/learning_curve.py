"""Does transfer help, and from how many notes on? Methods × budgets × seeds: a table and a plot."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import clinical_tl as ctl
from clinical_tl.network.lora import LoRA
from clinical_tl.training.config import TrainingConfig
from clinical_tl.transfer.gain import Cell, gain_warnings, learning_curve, transfer_gains

from .account import ANNOTATION, annotated
from .budgets import (
    Level,
    TaskName,
    check_budgets,
    run_settings,
    subset,
    with_tracked_folder,
)
from .claim import claim_output
from .command_line import run
from .curve_methods import METHODS, Run, choose_methods
from .curve_plot import plot_curve
from .results import Results
from .rule_sources import RuleSources
from .workers import run_side_by_side

SCORES = {
    "note_classification": "macro_f1",
    "multi_label_classification": "micro_f1",
    "diagnosis_coding": "micro_f1",
    "entity_recognition": "f1",
}


def main(
    task: TaskName = "note_classification",
    corpus: str | None = None,
    budgets: tuple[int, ...] = (10, 30, 100, 300, 0),
    methods: tuple[str, ...] = ("baseline", "rules", "frozen", "lora", "full", "adapted", "random"),
    seeds: int = 1,
    level: Level = "category",
    limit: int | None = None,
    allow_leakage: bool = False,
    encoder: str = "offline",
    adapted_encoder: str | None = None,
    rules: RuleSources = RuleSources(),
    lora: LoRA = LoRA(),
    training: TrainingConfig = TrainingConfig(),
    full_learning_rate: float = 2e-4,
    output: str = "runs/learning_curve",
    workers: int = 0,
) -> list[dict[str, Any]]:
    """Score every method with 10, 30, 100, … training notes, and say what transfer gains.

    Args:
        task: note_classification, multi_label_classification, diagnosis_coding or
            entity_recognition.
        corpus: a public corpus by name, or "synthetic", the default.
        budgets: numbers of training notes; 0 for all. Dev notes shrink with them.
        methods: baseline (TF-IDF; memorised mentions), rules (entities only), frozen (features
            with a linear model), lora, full, adapted (LoRA on adapted_encoder), random (LoRA's
            network from random weights, all of them trained).
        seeds: repetitions, each with other notes and other weights; bands need two.
        level: of diagnosis codes: code, category or chapter.
        limit: use at most so many notes of each set, for a quick look.
        allow_leakage: go on where the sets share patients or texts, as MTS-Dialog's do.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        adapted_encoder: a folder written by the recipe adapt_encoder; without it that method
            is left out.
        rules: where the rules of entities come from: a lexicon, the run's notes, other corpora.
        lora: the adapter's settings.
        training: the settings of all fine-tuning; small budgets get more epochs.
        full_learning_rate: that of full and random, which train all weights, in the place of
            training.learning_rate.
        output: folder for results.json and curve.png; finished cells are not run again, and
            a folder of other settings is refused.
        workers: cells run at a time; 0 for one a core, or one where there is a GPU.

    Returns:
        One row a cell: method, kind, budget, seed, value, seconds.
    """
    claim_output(output)
    training = with_tracked_folder(training, output)
    settings = {
        "task": task, "corpus": corpus, "level": level, "limit": limit, "encoder": encoder,
        "lora": lora, "training": training, "full_learning_rate": full_learning_rate,
    }  # fmt: skip
    if allow_leakage:
        settings["allow_leakage"] = True
    if adapted_encoder is not None:
        settings["adapted_encoder"] = adapted_encoder
    if "rules" in methods:
        settings["rules"] = rules
    results = Results(f"{output}/results.json", settings)
    splits = ctl.note_splits(corpus, limit=limit)
    splits = annotated(splits, ANNOTATION[task])
    n_notes = len(splits["train"])
    chosen = choose_methods(methods, task, adapted_encoder)
    if left_out := [name for name in methods if name not in chosen]:
        print(
            f"left out: {', '.join(left_out)} (rules are for entities, adapted needs its encoder)"
        )
    keys = [
        {"method": name, "budget": budget, "seed": seed}
        for seed in range(seeds)
        for budget in check_budgets(list(budgets), n_notes)
        for name in chosen
    ]
    cells = [
        (
            key,
            task,
            corpus,
            level,
            limit,
            encoder,
            adapted_encoder,
            rules,
            lora,
            training,
            full_learning_rate,
            allow_leakage,
        )
        for key in keys
        if not results.has({**key, "method": METHODS[key["method"]].name})
    ]
    for _, row in run_side_by_side(_cell, cells, workers):
        results.add(row)
    _report(results.rows, SCORES[task], output)
    return results.rows


def _cell(
    key: dict[str, Any],
    task: TaskName,
    corpus: str | None,
    level: Level,
    limit: int | None,
    encoder: str,
    adapted: str | None,
    rules: RuleSources,
    lora: LoRA,
    training: TrainingConfig,
    full_learning_rate: float,
    allow_leakage: bool,
) -> dict[str, Any]:
    method, budget, seed = METHODS[key["method"]], key["budget"], key["seed"]
    splits = ctl.note_splits(corpus, limit=limit)
    train, dev = subset(splits, budget, seed)
    name = f"{key['method']}-{budget}-{seed}"
    config = run_settings(training, budget, len(splits["train"]), seed, name)
    made = Run(
        task, level, train, dev, splits["test"], encoder, adapted, rules, limit, lora, config,
        full_learning_rate, allow_leakage,
    )  # fmt: skip
    started = time.perf_counter()
    metric = SCORES[task]
    value = method.score(made)[metric]
    seconds = round(time.perf_counter() - started, 1)
    print(f"{method.name}, {budget} notes, seed {seed}: {metric} {value:.4f}", flush=True)
    row = {**key, "method": method.name, "kind": method.kind, "metric": metric, "value": value}
    return {**row, "seconds": seconds}


def _report(rows: list[dict[str, Any]], metric: str, output: str) -> None:
    fields = ("method", "kind", "budget", "seed", "value")
    cells = [Cell(**{name: row[name] for name in fields}) for row in rows]
    points = learning_curve(cells)
    budgets = sorted({point.budget for point in points})
    table = []
    for method in dict.fromkeys(point.method for point in points):
        mine = {point.budget: point.mean for point in points if point.method == method}
        table.append({"method": method, **{f"{b} notes": mine.get(b) for b in budgets}})
    print(ctl.display.format_table(table))
    gains = transfer_gains(cells)
    print(ctl.display.format_table([asdict(gain) for gain in gains]))
    for sentence in gain_warnings(gains, metric):
        print(f"warning: {sentence}")
    print(plot_curve(points, metric, f"{output}/curve.png"))


if __name__ == "__main__":
    run(main)
