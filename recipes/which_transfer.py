"""Which way to use an encoder is best for these notes? Climbs from free to dear; saves the best."""

from __future__ import annotations

import clinical_tl as ctl
from clinical_tl.data.codes.known_systems import SystemName
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.network.lora import LoRA
from clinical_tl.training.config import TrainingConfig

from .account import ANNOTATION, annotated
from .budgets import Level, Lexical, TaskName, fit_task
from .claim import claim_output, with_checkpoints
from .command_line import run
from .outcome import score_and_save


def main(
    task: TaskName = "note_classification",
    corpus: str | None = None,
    train: str | None = None,
    dev: str | None = None,
    test: str | None = None,
    read: ReadOptions = ReadOptions(),
    allow_leakage: bool = False,
    limit: int | None = None,
    level: Level = "category",
    code_system: SystemName = "icd10cm",
    encoder: str = "offline",
    budget_minutes: float = 60.0,
    folds: int = 5,
    lexical: Lexical = True,
    lora: LoRA = LoRA(),
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/which_transfer",
) -> dict[str, float]:
    """Score every way to use an encoder on held-out folds, fit the best, score it on test notes.

    Args:
        task: note_classification, multi_label_classification, diagnosis_coding or
            entity_recognition.
        corpus: a public corpus by name, or "synthetic", the default without train.
        train: your own annotated notes.
        dev: notes that choose epochs and thresholds; split off train by patient if not given.
        test: notes to score the winner on; split off train by patient if not given.
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the sets share patients or texts; the scores are marked.
        limit: use at most so many notes of each set, for a quick look.
        level: of diagnosis codes: code, category or chapter.
        code_system: what diagnosis codes are of, as in diagnosis-coding.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        budget_minutes: for the climb; the winner's own training comes on top.
        folds: of the training notes; each is held out once.
        lexical: also try words beside the encoder: true (the saved model then has a vocabulary
            of words that several notes have), "hashed", or false.
        lora: the adapter's settings.
        training: the training settings.
        output: folder for the winner (with the table of all in its card), its report and its
            predictions of the test notes. A run that was interrupted goes on where it stopped.

    Returns:
        The winner's test scores, metric name to value.
    """
    claim_output(output)
    splits = ctl.note_splits(
        corpus, train, dev, test, read=read, limit=limit, allow_leakage=allow_leakage
    )
    splits = annotated(splits, ANNOTATION[task])
    choice = ctl.best_transfer(
        splits["train"],
        encoder,
        fit_task(
            task,
            splits["train"],
            level,
            code_system=code_system,
            allow_implausible=read.allow_implausible,
        ),
        splits["dev"],
        budget_minutes=budget_minutes,
        lexical=lexical,
        adapter=lora,
        config=with_checkpoints(training, f"{output}/run"),
        folds=folds,
        allow_leakage=allow_leakage,
    )
    print(choice)
    scores = score_and_save(choice.model, splits, output, allow_leakage=allow_leakage)
    print(scores)
    return scores.summary()


if __name__ == "__main__":
    run(main)
