"""What `make few-labels` runs: every way to use an encoder, by defaults, on few and more notes."""

from __future__ import annotations

import time
from pathlib import Path
from shutil import rmtree
from statistics import fmean, stdev
from typing import Any

import clinical_tl as ctl
from clinical_tl.training.config import TrainingConfig

from .budgets import TaskName, check_budgets, fit_task, subset, subset_by_class
from .claim import claim_output
from .command_line import run
from .results import Results
from .workers import run_side_by_side

CORPORA: dict[str, TaskName] = {
    "mts_dialog": "note_classification",
    "codiesp": "diagnosis_coding",
    "ncbi_disease": "entity_recognition",
    "bc5cdr": "entity_recognition",
}
SHOWN = {
    "note_classification": ("macro_f1", "accuracy"),
    "diagnosis_coding": ("micro_f1", "map"),
    "entity_recognition": ("f1",),
}
LADDER = "best_transfer"


def main(
    corpora: tuple[str, ...] = tuple(CORPORA),
    budgets: tuple[int, ...] = (10, 30, 100, 300, 0),
    classes: tuple[int, ...] = (8, 16, 32),
    methods: tuple[str, ...] = (),
    ladder_minutes: float = 0.0,
    seeds: int = 3,
    encoder: str = "offline",
    output: str = "runs/few_labels",
    workers: int = 0,
) -> list[dict[str, Any]]:
    """Fit every rung of the ladder on few notes, score it on the official test notes.

    Args:
        corpora: public corpora by name: mts_dialog, codiesp (categories), ncbi_disease, bc5cdr.
        budgets: numbers of training notes, drawn at random; 0 for all. Dev notes shrink with them.
        classes: numbers of training notes a class, of note classification.
        methods: rungs to fit, by name; all by default.
        ladder_minutes: also let best_transfer choose, with so many minutes each; 0 for not.
        seeds: repetitions with other notes and other weights; of all notes one is run.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        output: folder for results.json and the notes' vectors; finished cells are not run again.
        workers: cells run at a time; 0 for one a core, or one where there is a GPU.

    Returns:
        One row a cell: corpus, size, seed, method, test scores, seconds; `both_tests` where the
        corpus has two test sets.
    """
    from clinical_tl.transfer.rungs import rungs_of

    claim_output(output)
    results = Results(f"{output}/results.json", {"encoder": encoder})
    cells = []
    for corpus in corpora:
        splits = ctl.note_splits(corpus, allow_leakage=True)
        n, task = len(splits["train"]), CORPORA[corpus]
        sizes = [("notes", size) for size in check_budgets([b for b in budgets if b <= n], n)]
        if task == "note_classification":
            sizes += [("a class", size) for size in classes]
        names = [r.name for r in rungs_of(fit_task(task, splits["train"]), lexical=True, rules=())]
        names = [name for name in names if not methods or name in methods]
        for of, size in sizes:
            for seed in range(1 if (of, size) == ("notes", n) else seeds):
                for method in [*names, *([LADDER] if ladder_minutes else [])]:
                    key = {"corpus": corpus, "of": of, "size": size, "seed": seed, "method": method}
                    if not results.has(key):
                        cells.append((key, encoder, ladder_minutes, output))
    for _, row in run_side_by_side(_cell, cells, workers):
        results.add(row)
    for corpus in corpora:
        print(f"\n{corpus}: {' / '.join(SHOWN[CORPORA[corpus]])}")
        print(ctl.display.format_table(_table(results.rows, corpus)))
    return results.rows


def _cell(key: dict[str, Any], encoder: str, ladder_minutes: float, output: str) -> dict[str, Any]:
    """One method on one draw of notes."""
    from clinical_tl.network.frozen_encoder import FrozenEncoder
    from clinical_tl.transfer.rungs import Means, rungs_of

    name, seed = CORPORA[key["corpus"]], key["seed"]
    splits = ctl.note_splits(key["corpus"], allow_leakage=True)
    draw = subset_by_class if key["of"] == "a class" else subset
    train, dev = draw(splits, key["size"], seed)
    task: Any = fit_task(name, train)
    started = time.perf_counter()
    extra: dict[str, Any] = {}
    if key["method"] == LADDER:
        run = Path(output) / "ladders" / f"{key['corpus']}-{key['size']}-{key['of']}-{seed}"
        choice = ctl.best_transfer(
            train, encoder, task, dev, budget_minutes=ladder_minutes,
            config=TrainingConfig(seed=seed, output_dir=run), progress=False, allow_leakage=True,
        )  # fmt: skip
        # The row is all that is kept of a climb that ended.
        rmtree(run)
        model: Any = choice.model
        extra = {"chosen": choice.chosen, "choice": choice.to_dict()}
    else:
        means = Means(
            task, encoder, FrozenEncoder.from_pretrained(encoder), Path(output) / "vectors", True,
            None, TrainingConfig(seed=seed, progress=False), (), True,
        )  # fmt: skip
        rungs = {rung.name: rung for rung in rungs_of(task, lexical=True, rules=())}
        model = rungs[key["method"]].fit(means, list(train), list(dev))
    predictions = model.predict(splits["test"], progress=False)
    scores = task.evaluate(splits["test"], predictions).summary()
    if "test2" in splits:
        # A corpus with two official test sets, whose rare labels one alone has once or twice.
        notes = [*splits["test"], *splits["test2"]]
        predictions = [*predictions, *model.predict(splits["test2"], progress=False)]
        both = task.evaluate(notes, predictions).summary()
        extra["both_tests"] = {metric: both[metric] for metric in SHOWN[name]}
    seconds = round(time.perf_counter() - started, 1)
    shown = {metric: scores[metric] for metric in SHOWN[name]}
    shown |= {k: v for k, v in extra.items() if k == "both_tests"}
    print({**key, **shown, "seconds": seconds}, flush=True)
    return {**key, **scores, **extra, "seconds": seconds}


def _table(rows: list[dict[str, Any]], corpus: str) -> list[dict[str, Any]]:
    """One row a method, one column a size: means over seeds, ± their standard deviation."""
    own = [row for row in rows if row["corpus"] == corpus]
    metrics = SHOWN[CORPORA[corpus]]
    sizes = list(dict.fromkeys((row["size"], row["of"]) for row in own))
    table = []
    for method in dict.fromkeys(row["method"] for row in own):
        line: dict[str, Any] = {"method": method}
        for size, of in sorted(sizes, key=lambda pair: (pair[1] != "notes", pair[0])):
            found = [r for r in own if (r["method"], r["size"], r["of"]) == (method, size, of)]
            cells = []
            for metric in metrics if found else ():
                values = [row[metric] for row in found]
                spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
                cells.append(f"{fmean(values):.3f}{spread}")
            line[f"{size} {of}"] = " / ".join(cells) or None
        table.append(line)
    return table


if __name__ == "__main__":
    run(main)
