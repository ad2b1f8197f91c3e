"""Compare source with target notes, and rank encoders for a task, before any training."""

from __future__ import annotations

import clinical_tl as ctl
from clinical_tl.data.codes.known_systems import SystemName
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.errors import ConfigError

from .budgets import Level, TaskName, fit_task
from .command_line import run


def main(
    source: str | None = None,
    target: str | None = None,
    source_notes: str | None = None,
    target_notes: str | None = None,
    read: ReadOptions = ReadOptions(),
    encoder: str = "offline",
    encoders: list[str] | None = None,
    source_models: dict[str, str] | None = None,
    task: TaskName | None = None,
    level: Level = "category",
    code_system: SystemName = "icd10cm",
    max_notes: int = 500,
    cache: str | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Say how alike two sets of notes are and, if encoders are named, which suits the target.

    Args:
        source: a public corpus by name (its training notes), or "synthetic", the default.
        target: the same, of the notes to transfer to.
        source_notes: your own source notes (BRAT, CoNLL, PubTator, JSON lines, …).
        target_notes: your own target notes.
        read: how the files are read, e.g. --read.columns.text letter.
        encoder: a folder, "hub:org/name" (a Hub id) or "offline"; the notes are compared with it.
        encoders: two or more encoders to rank for the task on the target notes.
        source_models: encoder to the folder of a model that was trained on a source task with
            it; adds LEEP.
        task: what the encoders are ranked for; the target notes must be annotated for it.
        level: of diagnosis codes.
        code_system: what diagnosis codes are of, as in diagnosis-coding.
        max_notes: use at most so many notes of each set.
        cache: folder to keep embeddings in; as confidential as the notes.
        seed: of draws, folds and permutations.

    Returns:
        The similarity's figures, name to value.
    """
    if source_models and not encoders:
        raise ConfigError("source_models are for ranking; name the encoders too: --encoders=[…]")
    if encoders and task is None:
        raise ConfigError(
            "encoders are named but no task; say what they are ranked for, e.g. "
            "--task=entity_recognition"
        )
    own = read.read_each({"source": source_notes, "target": target_notes})
    ours, theirs = (
        own.get(side) or ctl.data.load_corpus(corpus or "synthetic", seed=seed)["train"]
        for side, corpus in (("source", source), ("target", target))
    )
    found = ctl.transfer.similarity(
        ours, theirs, encoder, max_notes=max_notes, cache=cache, seed=seed
    )
    print(found)
    if encoders and task:
        fitted = fit_task(
            task, theirs, level, code_system=code_system, allow_implausible=read.allow_implausible
        )
        models = {
            name: ctl.TransferModel.load(folder) for name, folder in (source_models or {}).items()
        }
        ranking = ctl.transfer.rank_encoders(
            encoders, theirs, fitted, source_models=models, max_notes=max_notes, cache=cache,
            seed=seed,
        )  # fmt: skip
        print(f"{ranking.rows} rows of {ranking.notes} notes, {ranking.labels} labels")
        if fitted.multi_label:
            print("estimates are means over the labels; knn is their mean average precision")
        print(ctl.display.format_table(ranking.table()))
        print(ctl.display.format_table(ranking.agreement_table()))
    return found.summary()


if __name__ == "__main__":
    run(main)
