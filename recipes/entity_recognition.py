"""Fine-tune an encoder to find entities: train, evaluate, save, optionally push."""

from __future__ import annotations

from typing import Literal

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.network.lora import LoRA
from clinical_tl.tasks.entity_recognition import MAX_LOST
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
    scheme: Literal["BIO", "BILOU"] = "BIO",
    units: Literal["auto", "words", "tokens"] = "auto",
    layers: Literal["auto", "one", "by_type"] = "auto",
    max_lost: float = MAX_LOST,
    consistent: bool | Literal["auto"] = "auto",
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/entity_recognition",
    push_to: str | None = None,
    data_use: Literal["public", "credentialed", "local"] | None = None,
) -> dict[str, float]:
    """Train an entity recogniser and score it on test notes.

    Args:
        corpus: a public corpus by name (ncbi_disease, bc5cdr, leaf), or "synthetic", the default.
        train: your own training notes (BRAT, CoNLL, PubTator, JSON lines, …) with spans.
        dev: notes to choose epochs on; split off train by patient if not given.
        test: notes to score on; split off train by patient if not given.
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the sets share patients or texts; the scores are marked.
        limit: use at most so many notes of each set, for a quick look.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        adapter: what is trained: a LoRA adapter, all weights, or the head alone.
        lora: the adapter's settings.
        scheme: how spans become tags.
        units: what a mention can begin and end with; "auto": what the training notes need.
        layers: whether mentions of different types may overlap ("by_type": tags in a layer for each
            type) or not ("one"); "auto": what the training notes need.
        max_lost: share of the training mentions that may be left out, as tags can't hold them.
        consistent: whether what is a mention in most of its places in a note becomes one in all;
            "auto": of the labels of which that holds in the training notes.
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
    splits = annotated(splits, "spans")
    task = ctl.EntityRecognition.from_notes(
        splits["train"], scheme=scheme, units=units, layers=layers, max_lost=max_lost,
        consistent=consistent, allow_implausible=read.allow_implausible,
    )  # fmt: skip
    model = ctl.TransferModel.from_pretrained(
        encoder, task, adapter=lora if adapter == "lora" else adapter, seed=training.seed
    )
    print(model.summary())
    config = with_checkpoints(training, f"{output}/run")
    ctl.fit(model, splits["train"], splits["dev"], config, allow_leakage=allow_leakage)
    scores = score_and_save(model, splits, output, allow_leakage=allow_leakage)
    print(ctl.display.format_table(scores.table()))
    print(scores)
    push(model, splits, push_to, data_use)
    return scores.summary()


if __name__ == "__main__":
    run(main)
