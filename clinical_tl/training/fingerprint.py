"""What two runs must share for one to go on where the other stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from clinical_tl.data.notes import note_to_row
from clinical_tl.network.structure import is_peft
from clinical_tl.network.weights import adapter_kind
from clinical_tl.schema import Note
from clinical_tl.training.config import FREE

if TYPE_CHECKING:
    from clinical_tl.models.reader import Reader
    from clinical_tl.network.network import Network
    from clinical_tl.training.config import TrainingConfig

# Where an adapter's encoder lies is not what it is.
PLACES = frozenset({"base_model_name_or_path", "revision"})


def fingerprint(
    config: TrainingConfig,
    reader: Reader,
    train: Sequence[Note],
    dev: Sequence[Note] | None,
    start: Mapping[str, Any],
) -> dict[str, Any]:
    """Settings as they are, everything else as hashes: notes with their annotation, too.

    `start` says what the network's weights are before training, and how it is dealt out. The
    weights are not hashed themselves: a run that is interrupted and started again in one process
    has moved them.
    """
    return {
        **{name: value for name, value in asdict(config).items() if name not in FREE},
        **start,
        "adapter": _adapter(reader.network),
        "windows": [reader.windowing.length, reader.windowing.overlap],
        "tokenizer": reader.tokenizer.fingerprint,
        "task": digest(json.dumps(reader.task.to_dict(), sort_keys=True)),
        "training notes": digest(*map(whole_note, train)),
        "dev notes": None if dev is None else digest(*map(whole_note, dev)),
    }


def _adapter(network: Network) -> str:
    kind = adapter_kind(network)
    if not is_peft(network.model):
        return kind
    configs: Any = network.model.peft_config
    settings = {name: plain_settings(config.to_dict()) for name, config in configs.items()}
    return f"{kind} {digest(json.dumps(settings, sort_keys=True, default=str))}"


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an adapter without places; sets, whose order is nobody's, as lists."""
    return {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in settings.items()
        if name not in PLACES
    }


def whole_note(note: Note) -> str:
    """All of a note, as text; `repr` shows none of its own."""
    row = note_to_row(replace(note, metadata={}))
    # In memory metadata may hold what JSON can't.
    row["metadata"] = _said(note.metadata)
    return json.dumps(row, default=str)


def _said(value: object) -> str:
    """A value as text, the same in every process: sets have another order in each."""
    if isinstance(value, set | frozenset):
        return f"set {sorted(map(_said, value))}"
    if isinstance(value, Mapping):
        return f"mapping {sorted((_said(key), _said(own)) for key, own in value.items())}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} {[_said(own) for own in value]}"
    return repr(value)


def digest(*parts: str) -> str:
    """One SHA-256 for texts in their order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
