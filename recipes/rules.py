"""Compile source knowledge into rules, score them on a corpus, and let them vote with a model."""

from __future__ import annotations

from typing import Literal

import clinical_tl as ctl
from clinical_tl import rules as ctl_rules
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.rules.disagreement import disagreements
from clinical_tl.rules.voting import HOWS, combine

from .claim import claim_output
from .command_line import run
from .rule_sources import RuleSources, rules_from

SHOWN = ("precision", "recall", "f1", "overlap_f1")


def main(
    corpus: str | None = None,
    train: str | None = None,
    dev: str | None = None,
    test: str | None = None,
    read: ReadOptions = ReadOptions(),
    allow_leakage: bool = False,
    limit: int | None = None,
    rules: RuleSources = RuleSources(),
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
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the files share patients or texts.
        limit: use at most so many notes of each set, for a quick look.
        rules: where the rules come from, and which of them stay.
        split: what is scored; choose settings on dev.
        model: a saved entity recogniser (…/model) that votes with the rules.
        encoder: where the model's encoder lies, if not where it was in training.
        threshold: the score under which the model is unsure, in the vote "fill".
        rule_threshold: the precision that a rule needs to vote.
        output: folder for rules.jsonl, predictions.jsonl and disagreements.tsv.

    Returns:
        Who predicts → metric name → value.
    """
    claim_output(output)
    splits = ctl.note_splits(
        corpus, train, dev, test, read=read, limit=limit, allow_leakage=allow_leakage
    )
    source, notes = splits["train"], splits[split]
    compiled = rules_from(rules, source, limit)
    print(f"{compiled.summary()}\nrules: {compiled.save(f'{output}/rules.jsonl')}")

    task = ctl.EntityRecognition.from_notes(source)
    by_rules = ctl_rules.RuleMatcher(compiled).predict(notes)
    ctl.data.write_predictions(by_rules, f"{output}/predictions.jsonl")
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
    print(ctl.display.format_table(rows, digits=4))
    return scores


if __name__ == "__main__":
    run(main)
