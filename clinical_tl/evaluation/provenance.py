"""What a report is of: which model with which settings, on which notes, made when and with what."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from datetime import date
from typing import Any

from clinical_tl.data.traces import text_key
from clinical_tl.saved.choice_rows import CHOICE
from clinical_tl.saved.evaluations import set_digest
from clinical_tl.schema import Note
from clinical_tl.storage.clock import now
from clinical_tl.tasks.task import Task
from clinical_tl.version import __version__

_PEFT = {
    "peft_type": "method",
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "adapter_dropout",
    "use_dora": "dora",
    "use_rslora": "rank_stabilised",
}
# A setting, and no path or sentence.
_SETTING = re.compile(r"[\w.+-][\w .+:-]{0,63}")
# What is no setting, and the adapter, of which its own config tells.
_NO_SETTINGS = ("sha256", "path", "dir", "folder", "statement", "best_value", "adapter")

Setting = str | int | float | bool


@dataclass(frozen=True)
class Provenance:
    """When, with which version and on what data a report was made.

    `made` is year, month and day, UTC (`storage.clock.now`). `notes_sha256` is of the texts, in
    any order, as in a model's `metrics.json`; `gold_sha256` of the texts with what the task's
    annotators said.
    """

    made: tuple[int, int, int]
    version: str
    notes_sha256: str
    gold_sha256: str

    @classmethod
    def of(cls, task: Task, notes: Sequence[Note]) -> Provenance:
        """Of a report on these notes that is made now."""
        return cls(_today(), __version__, set_digest(notes), _gold_digest(task, notes))

    @property
    def day(self) -> str:
        """The day, as ISO 8601 has it."""
        return date(*self.made).isoformat()


@dataclass(frozen=True)
class EvaluatedModel:
    """A model as a report names it: its kind, where it came from, and what is known of its making.

    `saved_as` is the name of its folder, or its Hub id; `None` for one that was not loaded.
    `encoder` names no folder but by its last part. `settings` are those of adapter, windows and
    training that the model remembers; `thresholds` what decides, one for all or one a label;
    `temperature` what the model's probabilities are scaled by already, where it has one;
    `choice` what `best_transfer` compared it with, where it was chosen so.
    """

    kind: str
    saved_as: str | None = None
    encoder: str | None = None
    revision: str | None = None
    encoder_sha256: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float | None = None
    epochs: tuple[Mapping[str, Any], ...] = ()
    choice: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, model: object, task: Task) -> EvaluatedModel:
        """What a model tells of itself; of one that is none of the package's little is known."""
        source = getattr(model, "source", None) or getattr(
            getattr(model, "encoder", None), "source", None
        )
        metrics: Mapping[str, Any] = getattr(model, "metrics", None) or {}
        training = metrics.get("training", {})
        return cls(
            kind=_kind(model),
            saved_as=getattr(model, "saved_as", None),
            encoder=None if source is None else _encoder_name(source.name),
            revision=None if source is None else source.revision,
            encoder_sha256=None if source is None else source.sha256,
            settings=dict(_settings(model, training)),
            thresholds=thresholds_of(task),
            temperature=getattr(task, "temperature", None),
            epochs=tuple(_epoch(row, training.get("metric")) for row in training.get("epochs", ())),
            choice=metrics.get(CHOICE),
        )

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the model has, where it remembers."""
        found = self.settings.get("best_epoch")
        return found if isinstance(found, int) else None

    @property
    def threshold(self) -> float | None:
        """What decides for all labels alike, where something does."""
        return self.thresholds.get("")


def _today() -> tuple[int, int, int]:
    day = now()
    # In parts: the release gate takes a written date in a model's folder for a patient's.
    return day.year, day.month, day.day


def _gold_digest(task: Task, notes: Sequence[Note]) -> str:
    """One SHA-256 for the texts with their gold, by note in any order."""
    rows = sorted(
        text_key(note.text)
        + json.dumps([_plain(getattr(note, name)) for name in task.fields]).encode()
        for note in notes
    )
    return hashlib.sha256(b"".join(rows)).hexdigest()


def _plain(gold: Any) -> Any:  # noqa: ANN401  (whatever a note's fields hold)
    if isinstance(gold, list | tuple):
        return [_plain(part) for part in gold]
    return _plain(list(vars(gold).values())) if is_dataclass(gold) else gold


def _encoder_name(name: str) -> str:
    """A Hub id or `offline` as it is; of a folder of this machine the last part."""
    return (
        re.split(r"[/\\]", name.rstrip("/\\"))[-1] if name[:1] in "/\\." or ":\\" in name else name
    )


def _kind(model: object) -> str:
    from clinical_tl.network.weights import adapter_kind

    known = {
        "FeatureModel": "linear model on frozen features",
        "OnnxModel": "exported model (ONNX)",
    }
    name = type(model).__name__
    if name != "TransferModel":
        return known.get(name, name)
    return {
        "peft": "encoder with an adapter",
        "full": "fully fine-tuned encoder",
        "frozen": "head on a frozen encoder",
    }[adapter_kind(model.network)]  # type: ignore[attr-defined]


def _settings(model: object, training: Mapping[str, Any]) -> Iterator[tuple[str, Setting]]:
    network = getattr(getattr(model, "network", None), "model", None)
    for config in (getattr(network, "peft_config", None) or {}).values():
        row = config.to_dict()
        for name, shown in _PEFT.items():
            if isinstance(row.get(name), Setting):
                value = row[name]
                yield shown, value if isinstance(value, bool | int | float) else _text(value)
    windowing = getattr(model, "windowing", None)
    if windowing is not None:
        yield "window_tokens", windowing.length
        yield "window_overlap", windowing.overlap
    for name in ("layer", "pooling"):
        if isinstance(getattr(model, name, None), Setting):
            yield f"features_{name}", getattr(model, name)
    strength = getattr(getattr(model, "classifier", None), "strength_", None)
    if strength is not None:
        yield "inverse_l2_strength", float(strength)
    for name, value in (getattr(model, "export", None) or {}).items():
        if isinstance(value, Setting):
            yield f"export_{name}", value
    yield from _plain_settings(training)


def _plain_settings(row: Mapping[str, Any]) -> Iterator[tuple[str, Setting]]:
    """What of a model's training record is a number or a word; of nested records as well."""
    for name, value in row.items():
        if any(part in name for part in _NO_SETTINGS):
            continue
        if name == "languages" and isinstance(value, Mapping):
            yield name, ", ".join(value) or "not known"
        elif isinstance(value, Mapping):
            yield from _plain_settings(value)
        elif isinstance(value, bool | int | float) or (
            isinstance(value, str) and _SETTING.fullmatch(value)
        ):
            yield name, value


def _text(value: object) -> str:
    return str(getattr(value, "value", value))


def thresholds_of(task: Task) -> dict[str, float]:
    """Label → its threshold; under an empty name the one of all labels."""
    found: Any = getattr(task, "thresholds", None)
    if found is not None and found.per_label is not None:
        return dict(zip(task.labels.names, map(float, found.per_label), strict=True))
    single = getattr(task, "threshold", None) if found is None else found.global_threshold
    return {} if single is None else {"": float(single)}


def _epoch(row: Mapping[str, Any], metric: str | None) -> dict[str, Any]:
    """One epoch of the training record: losses, and the dev metric that was watched."""
    value = (row.get("dev") or {}).get(metric)
    return {
        "epoch": row["epoch"],
        "loss": row.get("loss"),
        "dev_loss": row.get("dev_loss"),
        "dev": value,
    }
