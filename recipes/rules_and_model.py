"""What is source knowledge worth beside a model? Rules, model and their votes at every budget."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import clinical_tl as ctl
from clinical_tl import rules as ctl_rules
from clinical_tl.network.lora import LoRA
from clinical_tl.rules.voting import HOWS, combine
from clinical_tl.storage.replacement import whole_folder
from clinical_tl.training.config import TrainingConfig

from .account import account
from .budgets import check_budgets, run_settings, subset, with_tracked_folder
from .claim import claim_output
from .command_line import run
from .results import Results
from .rule_sources import RuleSources, rules_from
from .workers import run_side_by_side

THRESHOLDS = (0.5, 0.7, 0.9)
RULE_THRESHOLDS = (0.0, 0.5, 0.7, 0.9)


def main(
    corpus: str | None = None,
    budgets: tuple[int, ...] = (25, 100, 0),
    seeds: int = 1,
    limit: int | None = None,
    rules: RuleSources = RuleSources(),
    encoder: str = "offline",
    lora: LoRA = LoRA(),
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/rules_and_model",
    workers: int = 0,
) -> list[dict[str, Any]]:
    """Train an entity recogniser on few notes, and let rules vote with it.

    The rules' sources are the same at every budget, but for the training notes themselves, on
    which they are also pruned. "chosen" is the vote (its kind and thresholds) that is best on
    the dev notes.

    Args:
        corpus: a public corpus by name (ncbi_disease), or "synthetic", the default.
        budgets: numbers of training notes; 0 for all. Dev notes shrink with them.
        seeds: repetitions, each with other notes and other weights.
        limit: use at most so many notes of each set, for a quick look.
        rules: where the rules come from, and which of them stay.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        lora: the adapter's settings.
        training: the training settings; small budgets get more epochs.
        output: folder for models and results.json; finished rows are not run again, and a
            folder of other settings is refused.
        workers: rows run at a time; 0 for one a core, or one where there is a GPU.

    Returns:
        One row a run: budget, seed, the test F1 of rules, model and votes, and the chosen vote.
    """
    claim_output(output)
    training = with_tracked_folder(training, output)
    settings = {
        "corpus": corpus, "limit": limit, "rules": rules,
        "encoder": encoder, "lora": lora, "training": training,
    }  # fmt: skip
    results = Results(f"{output}/results.json", settings)
    splits = ctl.note_splits(corpus, limit=limit)
    print(account(splits, "spans"))
    n_notes = len(splits["train"])
    cells = [
        (key, corpus, limit, rules, encoder, lora, training, output)
        for key in (
            {"budget": budget, "seed": seed}
            for seed in range(seeds)
            for budget in check_budgets(budgets, n_notes)
        )
        if not results.has(key)
    ]
    for _, row in run_side_by_side(_cell, cells, workers):
        results.add(row)
    print(ctl.display.format_table(_summary(results.rows), digits=4))
    print(results.file)
    return results.rows


def _cell(
    key: dict[str, Any],
    corpus: str | None,
    limit: int | None,
    rules: RuleSources,
    encoder: str,
    lora: LoRA,
    training: TrainingConfig,
    output: str,
) -> dict[str, Any]:
    seed, budget = key["seed"], key["budget"]
    splits = ctl.note_splits(corpus, limit=limit)
    train, dev = subset(splits, budget, seed)
    matcher = ctl_rules.RuleMatcher(rules_from(rules, train, limit))
    folder = whole_folder(Path(output) / f"model-{budget}-{seed}")
    if not folder.exists():
        task = ctl.EntityRecognition.from_notes(train)
        new = ctl.TransferModel.from_pretrained(encoder, task, adapter=lora, seed=seed)
        name = f"{budget}-{seed}"
        ctl.fit(new, train, dev, run_settings(training, budget, len(splits["train"]), seed, name))
        new.save_pretrained(folder)
    model = ctl.TransferModel.load(folder)

    def f1(notes: ctl.Notes, predictions: list[ctl.Prediction]) -> float:
        return model.task.evaluate(notes, predictions).summary()["f1"]

    def said(notes: ctl.Notes) -> tuple[list[ctl.Prediction], list[ctl.Prediction]]:
        return model.predict(notes, progress=False), matcher.predict(notes)

    on_dev, on_test = said(dev), said(splits["test"])
    votes: list[dict[str, Any]] = [
        {"how": how, "threshold": threshold, "rule_threshold": rule_threshold}
        for how in HOWS
        for threshold in (THRESHOLDS if how == "fill" else THRESHOLDS[:1])
        for rule_threshold in RULE_THRESHOLDS
    ]
    chosen = max(votes, key=lambda vote: f1(dev, combine(*on_dev, **vote)))
    voters = {
        "model": on_test[0],
        "rules": on_test[1],
        **{how: combine(*on_test, how=how) for how in HOWS},
        "chosen": combine(*on_test, **chosen),
    }
    scores = {name: f1(splits["test"], spans) for name, spans in voters.items()}
    return {**key, **scores, "chosen_vote": chosen}


def _summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = []
    for budget in sorted({row["budget"] for row in rows}):
        same = [row for row in rows if row["budget"] == budget]
        names = ("model", "rules", *HOWS, "chosen")
        means = {name: fmean(row[name] for row in same) for name in names}
        table.append({"budget": budget, "seeds": len(same), **means})
    return table


if __name__ == "__main__":
    run(main)
