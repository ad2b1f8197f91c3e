"""Fine-tune an encoder to assign ICD or other codes: train, evaluate, save, optionally push."""

from __future__ import annotations

from typing import Literal

import clinical_tl as ctl
from clinical_tl.data.codes.code_system import Level
from clinical_tl.data.codes.known_systems import SystemName
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
    code_system: SystemName = "icd10cm",
    codes: str | None = None,
    level: Level = "code",
    head: Literal["label_attention", "linear", "auto"] = "label_attention",
    loss: Literal["bce", "bce_pos_weight", "asymmetric"] = "bce",
    describe_labels: bool = True,
    per_label_thresholds: bool = False,
    open_codes: bool = False,
    names: str | None = None,
    lexicon: str | None = None,
    training: TrainingConfig = TrainingConfig(),
    output: str = "runs/diagnosis_coding",
    push_to: str | None = None,
    data_use: Literal["public", "credentialed", "local"] | None = None,
) -> dict[str, float]:
    """Train a diagnosis coder and score it on test notes.

    Args:
        corpus: a public corpus by name (codiesp), or "synthetic", the default without train.
        train: your own training notes (JSON lines, CSV, a CodiEsp-style folder, …) with codes.
        dev: notes to choose epochs and thresholds on; split off train if not given.
        test: notes to score on; split off train by patient if not given.
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the sets share patients or texts; the scores are marked.
        limit: use at most so many notes of each set, for a quick look.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        adapter: what is trained: a LoRA adapter, all weights, or the head alone.
        lora: the adapter's settings.
        code_system: what the codes are of; any takes them as they are.
        codes: a TSV or CSV file with the columns code, description and parent, where the system's
            titles or its hierarchy are not known here.
        level: whole codes, categories, chapters, or top: what stands above all others in codes.
        head: label-wise attention over all tokens (PLM-ICD), a linear head, or auto: which
            one is by the number of codes.
        loss: binary cross-entropy, the same with weighted positives, or asymmetric loss.
        describe_labels: start label attention from the codes' descriptions.
        per_label_thresholds: tune a threshold a code, drawn toward the global one.
        open_codes: also give codes that training never showed, found by their names; what dev
            notes say of it is logged.
        names: with open_codes, a TSV or CSV file with the columns code and description, in place of
            the system's list.
        lexicon: with open_codes, a tab-separated file of more names: a name and its code a line.
        training: the training settings.
        output: folder for the model, a report and a table of the predictions for the test notes,
            the training log and checkpoints.
        push_to: a Hub repository (org/name) to push the model to, private.
        data_use: the terms of the training notes; nothing is pushed without them.

    Returns:
        The test scores, metric name to value.
    """
    from clinical_tl.models.label_names import checked_names

    claim_output(output)
    splits = ctl.note_splits(
        corpus, train, dev, test, read=read, limit=limit, allow_leakage=allow_leakage
    )
    splits = annotated(splits, "codes")
    task = ctl.DiagnosisCoding.from_notes(
        splits["train"],
        code_system=code_system,
        codes=codes,
        level=level,
        head=head,
        loss=loss,
        describe_labels=describe_labels,
        per_label_thresholds=per_label_thresholds,
        allow_implausible=read.allow_implausible,
    )
    rules = ctl.rules.from_lexicon(lexicon) if lexicon else ()
    if open_codes:
        # What is amiss is found before the training.
        checked_names(task, names, rules)
    model = ctl.TransferModel.from_pretrained(
        encoder, task, adapter=lora if adapter == "lora" else adapter, seed=training.seed
    )
    print(model.summary())
    config = with_checkpoints(training, f"{output}/run")
    ctl.fit(model, splits["train"], splits["dev"], config, allow_leakage=allow_leakage)
    if open_codes:
        ctl.fit_open_codes(
            model,
            splits["dev"],
            names=names,
            rules=rules,
            seed=training.seed,
            allow_leakage=allow_leakage,
        )
    scores = score_and_save(model, splits, output, allow_leakage=allow_leakage)
    print(ctl.display.format_table([band.row() for band in scores.bands]))
    print(scores)
    push(model, splits, push_to, data_use)
    return scores.summary()


if __name__ == "__main__":
    run(main)
