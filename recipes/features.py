"""Frozen features with a regularised linear model: embed, fit, evaluate, save."""

from __future__ import annotations

import clinical_tl as ctl
from clinical_tl.data.codes.known_systems import SystemName
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.saved.evaluations import leaks_of

from .account import ANNOTATION, annotated
from .budgets import Level, Lexical, TaskName, VectorPooling, fit_task
from .claim import claim_output
from .command_line import run
from .outcome import saved_at_last


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
    layer: int | None = None,
    pooling: VectorPooling = "mean",
    cache: str | None = None,
    lexical: Lexical = False,
    open_codes: bool = False,
    names: str | None = None,
    seed: int = 0,
    output: str = "runs/features",
) -> dict[str, float]:
    """Fit a linear model on what a frozen encoder makes of notes, and score it.

    Args:
        task: note_classification, multi_label_classification, diagnosis_coding or
            entity_recognition.
        corpus: a public corpus by name, or "synthetic", the default.
        train: your own annotated notes.
        dev: notes to tune thresholds on; split off train by patient if not given.
        test: notes to score on; split off train by patient if not given.
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the sets share patients or texts; the scores are marked.
        limit: use at most so many notes of each set, for a quick look.
        level: of diagnosis codes: code, category or chapter.
        code_system: what diagnosis codes are of, as in diagnosis-coding.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        layer: whose states are read; 0 is the embeddings, -1 the last. By default the last of
            notes; of words the embeddings and the middle layer, with those of their neighbours.
        pooling: mean, max or cls, of notes.
        cache: folder for the notes' vectors; as confidential as the notes.
        lexical: add what the notes' words say, of tasks that decide notes as a whole: true (a
            vocabulary of words that several notes have is saved too), "hashed", or false.
        open_codes: also give diagnosis codes that training never showed, found by their names.
        names: with open_codes, a TSV or CSV file with the columns code and description, in place of
            the system's list.
        seed: of the folds on which the regularisation is chosen.
        output: folder for the model.

    Returns:
        The test scores, metric name to value.
    """
    from clinical_tl.models.label_names import checked_names

    claim_output(output)
    splits = ctl.note_splits(
        corpus, train, dev, test, read=read, limit=limit, allow_leakage=allow_leakage
    )
    splits = annotated(splits, ANNOTATION[task])
    fitted = fit_task(
        task,
        splits["train"],
        level,
        code_system=code_system,
        allow_implausible=read.allow_implausible,
    )
    if open_codes:
        # What is amiss is found before the fit.
        checked_names(fitted, names)
    model = ctl.FeatureModel.fit(
        encoder,
        fitted,
        splits["train"],
        splits["dev"],
        layer=layer,
        pooling=pooling,
        cache=cache,
        lexical=lexical,
        seed=seed,
        allow_leakage=allow_leakage,
    )
    if open_codes:
        model = ctl.fit_open_codes(
            model, splits["dev"], names=names, seed=seed, allow_leakage=allow_leakage
        )
    tried = [
        {"C": score.strength, "held-out log loss": score.log_loss}
        for score in model.classifier.cross_validation_
    ]
    print(ctl.display.format_table(tried, digits=4))
    with saved_at_last(model, splits, output):
        scores = model.evaluate(splits["test"], allow_leakage=allow_leakage).summary()
        told = [{"metric": name, "value": value} for name, value in scores.items()]
        print(ctl.display.format_table(told))
        for said in leaks_of(model.metrics).values():
            print(said)
    return scores


if __name__ == "__main__":
    run(main)
