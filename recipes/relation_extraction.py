"""Fine-tune an encoder to relate entities: train, evaluate, save, optionally push."""

from __future__ import annotations

from typing import Literal

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.evaluation import baselines
from clinical_tl.network.lora import LoRA
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.training.config import TrainingConfig

from .account import annotated
from .claim import claim_output, with_checkpoints
from .command_line import run
from .outcome import push, score_and_save


def main(
    corpus: str | None = None,
    train: str | None = None,
    dev: str | None = None,
    test: str | None = None,
    read: ReadOptions = ReadOptions(),
    allow_leakage: bool = False,
    limit: int | None = None,
    encoder: str = "offline",
    adapter: Literal["lora", "full", "frozen"] = "lora",
    lora: LoRA = LoRA(),
    level: Literal["mention", "concept"] = "mention",
    context: int = 32,
    max_distance: int | None = 100,
    mention_pairs: int = 3,
    negatives_per_positive: float | None = None,
    groups: dict[str, str] | None = None,
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/relation_extraction",
    push_to: str | None = None,
    data_use: Literal["public", "credentialed", "local"] | None = None,
) -> dict[str, float]:
    """Train a relation extractor on notes with given entities and score it on test notes.

    Args:
        corpus: a public corpus by name (bc5cdr, chemprot), or "synthetic", the default.
        train: your own training notes (BRAT, PubTator, JSON lines, …) with spans and relations.
        dev: notes to choose epochs and threshold on; split off train by patient if not given.
        test: notes to score on; split off train by patient if not given.
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the sets share patients or texts; the scores are marked.
        limit: use at most so many notes of each set, for a quick look.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        adapter: what is trained: a LoRA adapter, all weights, or the head alone.
        lora: the adapter's settings.
        level: what relations relate: mentions (span ids) or concepts (their ids).
        context: words shown on either side of a mention.
        max_distance: most words between the mentions of a candidate pair; null for no limit.
        mention_pairs: how many of a pair's mentions, the closest, are shown.
        negatives_per_positive: unrelated pairs kept in training for each related one; null: all.
        groups: label to group, to score groups of labels too.
        training: the training settings.
        output: folder for the model, a report and a table of the predictions for the test notes,
            the training log and checkpoints.
        push_to: a Hub repository (org/name) to push the model to, private.
        data_use: the terms of the training notes; nothing is pushed without them.

    Returns:
        The test scores, metric name to value.
    """
    claim_output(output)
    splits = ctl.note_splits(
        corpus, train, dev, test, read=read, limit=limit, allow_leakage=allow_leakage
    )
    splits = annotated(splits, "relations")
    task = RelationExtraction.from_notes(
        splits["train"],
        level=level,
        context=context,
        max_distance=max_distance,
        mention_pairs=mention_pairs,
        negatives_per_positive=negatives_per_positive,
        groups=groups,
        seed=training.seed,
        allow_implausible=read.allow_implausible,
    )
    model = ctl.TransferModel.from_pretrained(
        encoder, task, adapter=lora if adapter == "lora" else adapter, seed=training.seed
    )
    print(model.summary())
    config = with_checkpoints(training, f"{output}/run")
    ctl.fit(model, splits["train"], splits["dev"], config, allow_leakage=allow_leakage)
    scores = score_and_save(model, splits, output, allow_leakage=allow_leakage)
    print(ctl.display.format_table(scores.table()))
    simple = baselines.cooccurrence(task, splits["train"], splits["test"])
    floor = task.evaluate(splits["test"], simple).summary()
    print(
        ctl.display.format_table(
            [
                {"metric": name, "value": value, "same sentence": floor[name]}
                for name, value in scores.summary().items()
            ]
        )
    )
    push(model, splits, push_to, data_use)
    return scores.summary()


if __name__ == "__main__":
    run(main)
