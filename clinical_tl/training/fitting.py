"""`fit`: train a model on notes, choose by the dev set, tune thresholds there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import SeenNotes
from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.estimators.feature_classifier import Balance
from clinical_tl.models.lexical_part import fit_lexical, lexical_facts, weigh_words
from clinical_tl.models.open_codes import with_open_codes
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.weights import adapter_settings
from clinical_tl.saved.evaluations import forget_scores, record_scores, set_digest
from clinical_tl.saved.training_notes import training_notes
from clinical_tl.schema import Note
from clinical_tl.storage.output import require_folder
from clinical_tl.storage.paths import as_path
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task import Task
from clinical_tl.tasks.task_checks import check_notes
from clinical_tl.text.visible import written_notes
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.head_start import HeadStart, head_start
from clinical_tl.training.log import TrainingResult
from clinical_tl.training.loop import TrainingRun, check_metric
from clinical_tl.training.source_weights import LabelSources, label_plan, start_from, weights_digest

logger = logging.getLogger(__name__)


def fit(
    model: TransferModel,
    train: NotesLike,
    dev: NotesLike | None = None,
    config: TrainingConfig | None = None,
    *,
    init_adapter: str | Path | TransferModel | None = None,
    init_labels: LabelSources = "exact",
    allow_leakage: bool = False,
) -> TrainingResult:
    """Train `model` in place and return what happened.

    A call that is refused, fails or is interrupted leaves the model as it was. With `dev` the
    weights of the last epoch are kept, or those of an earlier one that was better there by more
    than luck (`estimators.chance.luck`); where `TrainingConfig.patience` ends training before,
    those of the best epoch. Thresholds are tuned on it; those of an earlier training are
    forgotten, and so are its scores.

    With `init_adapter`, a model trained on a source task (its folder or Hub id, or the model
    itself), training starts from its weights instead of new ones: adapter or encoder, and the
    head where labels match. `init_labels` says how they do: by equal name (`"exact"`), also by
    their place in the ICD hierarchy (`"hierarchy"`), or as a mapping says, target label →
    source labels (such as `match_labels(...).mapping`). What was taken over is reported in
    `model.metrics["source"]`.

    Dev notes that share patients or texts with the training notes choose what has learnt them by
    heart: an error, or with `allow_leakage` a warning and a mark in `model.metrics`. The model
    remembers what it has seen, for `evaluate`; in memory alone, it is never saved.

    Raises:
        NoteError: training and dev notes share patients or texts; no training note has any text.
        TrainingError: no training notes, an empty dev set, a loss or weights that are no numbers.
        TaskError: notes without annotation, with blank labels, mentions beyond their text, or
            labels that the task was not fitted on.
        ConfigError: settings that can't work here, a checkpoint of another run, or a source
            model that does not fit.
    """
    config = config or TrainingConfig()
    spent = _spent(model, config)
    # Thresholds of earlier weights would hide what the new ones are tuned on.
    task = model.task.untuned()
    train_notes = as_notes(train)
    dev_notes = None if dev is None else as_notes(dev)
    source = None if init_adapter is None else _source(init_adapter)
    earlier = [known.seen for known in (model, source) if known is not None]
    seen, leak = SeenNotes.of(train_notes, dev_notes, before=earlier, allow_leakage=allow_leakage)
    start = _start(model, train_notes)
    # What can be refused at once is, before the notes are read for the head's start.
    check_notes(task, train_notes, dev_notes)
    taught = written_notes(train_notes)
    if config.metric is not None:
        check_metric(task, config.metric, dev_notes)
    chosen_by = [name for name in ("metric", "patience") if getattr(config, name) is not None]
    if chosen_by and dev_notes is None:
        logger.warning(
            "there are no dev notes, so %s choose nothing: all epochs are trained, and the last "
            "one is kept",
            " and ".join(f"{name}={shown_value(getattr(config, name))}" for name in chosen_by),
        )
    if config.output_dir is not None:
        require_folder(as_path(config.output_dir))
    # What words said after an earlier training is forgotten with it.
    reader = replace(model.reader, task=task, lexical=None)
    head = None
    if config.head_init == "probe" and (source is not None or start["earlier training"]):
        raise ConfigError(
            "head_init='probe': the head has its weights from "
            f"{'init_adapter' if source is not None else 'an earlier training'}; use 'auto', or "
            "train a new model (TransferModel.from_pretrained)"
        )
    if source is None and _is_new(model, config) and _needs_probe(task, config):
        head = head_start(reader, taught, seed=config.seed)
        if head is None and config.head_init == "probe":
            raise ConfigError(
                "head_init='probe': this head has no linear last layer, or the training notes "
                "don't settle at least two outputs; use 'auto' or 'random'"
            )
    if isinstance(task, NoteTask) and task.chooses_weights:
        # Frequencies are read without noise: private training goes without.
        usual: Balance | None = None if config.dp is not None else "balanced"
        task = task.weighted(usual if head is None else head.balance)
    words = fit_lexical(task, taught, config.lexical) if config.lexical else None
    if source is not None:
        found, _ = label_plan(model, source, init_labels)
        start["init_adapter"] = weights_digest(source.network)
        start["init_labels"] = {name: list(names) for name, names in found.items()}
    told = _told_start(model, start, head, config)
    # Everything is checked before anything of the model changes.
    run = TrainingRun(
        replace(reader, task=task),
        config,
        taught,
        dev_notes,
        start=start,
    )

    def initialise() -> None:
        if head is not None and config.head_init != "random":
            head.give(run.reader)
        if source is not None:
            report = start_from(model, source, labels=init_labels)
            model.metrics["source"] = report.to_dict()

    before = {name: p.detach().cpu().clone() for name, p in model.network.trainable().items()}
    told_before = dict(model.metrics)
    try:
        result = run.run(initialise, start_counts=head is not None and config.head_init != "random")
    except BaseException:
        # Half-trained weights would pass for new ones that have seen no note.
        with torch.no_grad():
            for name, parameter in model.network.trainable().items():
                parameter.copy_(before[name])
                parameter.grad = None
        model.metrics = told_before
        raise
    model.task, model.lexical = task, None
    with_open_codes(model, None)
    # What other weights scored says nothing of these.
    forget_scores(model.metrics)
    # Said at once: should dev notes fail to be read, the model still knows what it has seen.
    model.seen = seen
    # It is no longer what lies in the folder that it was loaded from.
    model.saved_as = None
    if result.privacy is not None:
        # It would keep statistics of the notes without noise.
        model.novelty = None
        if spent is not None:
            result = replace(result, privacy=result.privacy.after(*spent))
    model.metrics["training"] = {
        **asdict(result),
        **training_notes(train, train_notes, private=result.privacy is not None),
        "adapter": adapter_settings(model.network),
        "trainable_parameters": model.trainable_parameters,
        "seed": config.seed,
        "head_start": told,
        "class_balance": task.balance if isinstance(task, NoteTask) else None,
        "lexical": None,
    }
    if dev_notes is not None:
        predictions = run.best_predictions
        if predictions is None:
            predictions = model.predict(dev_notes, progress=config.progress)
        if words is not None and isinstance(task, NoteTask):
            predictions = weigh_words(task, words, dev_notes, predictions)
        model.task = model.task.tuned(dev_notes, predictions)
        decided = model.task.decided(dev_notes, predictions)
        scores = model.task.score(dev_notes, decided, model.tokenizer).summary()
        record_scores(model.metrics, "dev", dev_notes, scores, leak=leak)
    if words is not None:
        model.lexical = words
        model.metrics["training"]["lexical"] = lexical_facts(words)
    return result


def _told_start(
    model: TransferModel, start: Mapping[str, Any], head: HeadStart | None, config: TrainingConfig
) -> Mapping[str, Any] | None:
    """For the metrics: where the head's weights come from."""
    if start["init_adapter"] is not None:
        return {"from": "source"}
    if start["earlier training"] is not None:
        return {"from": "earlier training"}
    if "training" in model.metrics:
        # A finished run that is started again.
        before: Mapping[str, Any] | None = model.metrics["training"].get("head_start")
        return before
    if head is None or config.head_init == "random":
        return {"from": "random"}
    return {"from": "probe", "strength": head.strength}


def _is_new(model: TransferModel, config: TrainingConfig) -> bool:
    """Whether the head may start from a linear model: nothing trained it, and no noise hides it."""
    return "training" not in model.metrics and config.dp is None


def _needs_probe(task: Task, config: TrainingConfig) -> bool:
    wanted = config.head_init == "probe" or (config.head_init == "auto" and task.starts_from_probe)
    return wanted or (isinstance(task, NoteTask) and task.chooses_weights)


def _source(given: str | Path | TransferModel) -> TransferModel:
    if isinstance(given, str | Path):
        return TransferModel.load(given)
    if not isinstance(given, TransferModel):
        raise ConfigError(
            f"init_adapter is a {type(given).__name__}; give a folder, a Hub id or a TransferModel"
        )
    return given


def _start(model: TransferModel, train: Sequence[Note]) -> dict[str, Any]:
    """Where the model's weights come from: its encoder, and notes it was trained on before."""
    before = model.metrics.get("training", {}).get("notes_sha256")
    return {
        "encoder": model.source.sha256,
        **model.start,
        # The notes of this very run are those of a finished one that is started again.
        "earlier training": None if before == set_digest(train) else before,
        "init_adapter": None,
        "init_labels": None,
    }


def _spent(model: TransferModel, config: TrainingConfig) -> tuple[float, float] | None:
    """The (ε, δ) of the trainings that made the model's weights so far, if private ones did.

    Raises `ConfigError` where a private training would go on from weights that were not.
    """
    before = model.metrics.get("training")
    if config.dp is None or before is None:
        return None
    privacy = before.get("privacy")
    if privacy is None:
        raise ConfigError(
            "private training (TrainingConfig.dp): this model was trained without privacy before, "
            "and no noise can take that back; start from a new one (TransferModel.from_pretrained)"
        )
    return float(privacy["epsilon"]), float(privacy["delta"])
