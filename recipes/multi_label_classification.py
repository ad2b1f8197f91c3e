"""Fine-tune an encoder to give notes any of many labels: train, evaluate, save, optionally push."""

from __future__ import annotations

from typing import Literal

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.network.lora import LoRA
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
    head: Literal["auto", "linear", "label_attention"] = "auto",
    loss: Literal["bce", "bce_pos_weight", "asymmetric"] = "bce",
    pooling: Literal["auto", "mean", "max", "cls", "stock"] = "auto",
    window_pooling: Literal["mean", "max"] = "max",
    per_label_thresholds: bool = False,
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/multi_label_classification",
    push_to: str | None = None,
    data_use: Literal["public", "credentialed", "local"] | None = None,
) -> dict[str, float]:
    """Train a classifier of many labels a note and score it on test notes.

    Args:
        corpus: a public corpus by name (codiesp), or "synthetic", the default without train.
        train: your own training notes (JSON lines, CSV, Parquet, …) with their labels as codes;
            columns of 0 and 1 a label are read as --read.columns.codes '[Edema, Effusion]'.
        dev: notes to choose epochs and thresholds on; split off train by patient if not given.
        test: notes to score on; split off train by patient if not given.
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the sets share patients or texts; the scores are marked.
        limit: use at most so many notes of each set, for a quick look.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        adapter: what is trained: a LoRA adapter, all weights, or the head alone.
        lora: the adapter's settings.
        head: linear with few labels and label attention (PLM-ICD) from 50 on, or either of them.
        loss: binary cross-entropy, the same with weighted positives, or asymmetric loss.
        pooling: what a linear head reads of a window; auto is what suits the encoder, stock loads
            in plain peft too.
        window_pooling: how the windows of a long note are joined.
        per_label_thresholds: tune a threshold a label, drawn toward the global one.
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
    splits = annotated(splits, "codes")
    task = ctl.MultiLabelClassification.from_notes(
        splits["train"],
        head=head,
        loss=loss,
        pooling=pooling,
        window_pooling=window_pooling,
        per_label_thresholds=per_label_thresholds,
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
    print(scores)
    push(model, splits, push_to, data_use)
    return scores.summary()


if __name__ == "__main__":
    run(main)
