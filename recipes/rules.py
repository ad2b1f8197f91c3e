"""Compile source knowledge into rules, score them on a corpus, and let them vote with a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import clinical_tl as ctl
from clinical_tl import rules as ctl_rules
from clinical_tl.data.corpora import DEFAULT_FOLDER, VARIABLE
from clinical_tl.errors import ConfigError
from clinical_tl.rules.disagreement import disagreements
from clinical_tl.rules.voting import HOWS, combine
from recipes.command_line import run

SHOWN = ("precision", "recall", "f1", "overlap_f1")


def main(
    corpus: str | None = None,
    train: str | None = None,
    dev: str | None = None,
    test: str | None = None,
    format: str | None = None,
    columns: dict[str, str] | None = None,
    limit: int | None = None,
    lexicon: str | None = None,
    name_column: int | str = 0,
    id_column: int | str = 1,
    label: str = "Disease",
    annotations: bool = True,
    source_corpora: list[str] | None = None,
    tune: bool = True,
    min_precision: float = 0.5,
    min_support: int = 1,
    split: Literal["dev", "test"] = "test",
    model: str | None = None,
    encoder: str | None = None,
    threshold: float = 0.5,
    rule_threshold: float = 0.0,
    output: str = "runs/rules",
) -> dict[str, dict[str, float]]:
    """Build rules from a lexicon and from annotations, score them, compare them with a model.

    Args:
        corpus: the corpus to score on by name (ncbi_disease, …), or "synthetic", the default.
        train: your own source notes with spans, instead of a corpus.
        dev: notes to choose settings on; split off train by patient if not given.
        test: notes to score on; split off train by patient if not given.
        format: of the files, where their ending does not tell.
        columns: field to column, for tables and JSON lines.
        limit: use at most so many notes of each set, for a quick look.
        lexicon: a table of names (.tsv or .tsv.gz), also relative to the corpora's folder.
        name_column: of the lexicon, by number from 0 or by its name in the first line.
        id_column: of the lexicon, likewise.
        label: what the lexicon's names are marked as; of source_corpora only this is used.
        annotations: whether the training notes' mentions become rules.
        source_corpora: further corpora whose training notes' mentions become rules.
        tune: whether rules that fail on the training notes are pruned.
        min_precision: the share of a rule's hits that must be gold for it to stay.
        min_support: a rule that fires less often on the training notes is never pruned.
        split: what is scored; choose settings on dev.
        model: a saved entity recogniser (…/model) that votes with the rules.
        encoder: where the model's encoder lies, if not where it was in training.
        threshold: the score under which the model is unsure, in the vote "fill".
        rule_threshold: the precision that a rule needs to vote.
        output: folder for rules.jsonl, predictions.jsonl and disagreements.tsv.

    Returns:
        Who predicts → metric name → value.
    """
    splits = ctl.note_splits(corpus, train, dev, test, format=format, columns=columns, limit=limit)
    source, notes = splits["train"], splits[split]
    sets = []
    if annotations:
        sets.append(ctl_rules.from_annotations(source, min_precision=0.0, origin="train"))
    if lexicon:
        path = _found(lexicon)
        sets.append(
            ctl_rules.from_lexicon(path, name_column=name_column, id_column=id_column, label=label)
        )
    for name in source_corpora or ():
        other = ctl.note_splits(name, limit=limit)["train"]
        sets.append(
            ctl_rules.from_annotations(other, labels=[label], min_precision=0.0, origin=name)
        )
    if not sets:
        raise ConfigError("no source of rules: give lexicon, annotations or source_corpora")
    rules = sets[0].merged(*sets[1:])
    if tune:
        rules = rules.tuned(source, min_precision=min_precision, min_support=min_support)
    print(f"{rules.summary()}\nrules: {rules.save(f'{output}/rules.jsonl')}")

    task = ctl.EntityRecognition.from_notes(source)
    by_rules = ctl_rules.RuleMatcher(rules).predict(notes)
    ctl.write_predictions(by_rules, f"{output}/predictions.jsonl")
    voters = {"rules": by_rules}
    if model:
        by_model = ctl.TransferModel.load(model, encoder=encoder).predict(notes)
        voters["model"] = by_model
        for how in HOWS:
            voters[how] = combine(
                by_model, by_rules, how=how, threshold=threshold, rule_threshold=rule_threshold
            )
        report = disagreements(by_model, by_rules)
        print(f"{report.summary()}\n{report.write(f'{output}/disagreements.tsv')}")
    scores = {name: task.evaluate(notes, said).summary() for name, said in voters.items()}
    rows = [{"who": name, **{m: score[m] for m in SHOWN}} for name, score in scores.items()]
    print(ctl.format_table(rows, digits=4))
    return scores


def _found(lexicon: str) -> Path:
    """The lexicon's path, in the corpora's folder if it is not where it says."""
    path = Path(lexicon)
    return path if path.exists() else Path(os.environ.get(VARIABLE, DEFAULT_FOLDER)) / path


if __name__ == "__main__":
    run(main)
