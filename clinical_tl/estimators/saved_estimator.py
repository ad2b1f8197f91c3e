"""A fitted estimator on disk: one safetensors file, settings as JSON in its header, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ArtifactError, refusing, shown_id, shown_path
from clinical_tl.storage.output import require_folder
from clinical_tl.storage.replacement import replacing_file

FORMAT = 2
_MEND = "copy the file again, or fit and save the estimator again"

Array = npt.NDArray[Any]


def write_estimator(file: Path, kind: str, state: Mapping[str, Any]) -> None:
    """Write the state of an estimator: a file there is replaced in one step.

    Arrays of numbers become tensors; all else must be what JSON has, or arrays, tuples,
    mappings and records (dataclasses) of that. The folder is made if need be.

    Raises `OutputError` where the file system refuses.
    """
    from safetensors.numpy import save_file

    arrays: dict[str, Array] = {}
    text = json.dumps(
        {"format": FORMAT, "estimator": kind, "state": _split(state, "state", arrays)}
    )
    require_folder(file.parent)
    with replacing_file(file) as draft:
        save_file(arrays, draft, metadata={"content": text, "sha256": _digest(text, arrays)})


def read_estimator(file: Path, kind: str) -> dict[str, Any]:
    """What `write_estimator` wrote; records come back as lists.

    Raises `ArtifactError` for a file that is missing, damaged, of another format or estimator.
    """
    from safetensors import safe_open

    if not file.is_file():
        raise ArtifactError(
            f"{shown_path(file.parent)} lacks {file.name}; give a folder that save() wrote"
        )
    with refusing(ArtifactError, f"{shown_path(file)} is damaged", _MEND):
        with safe_open(file, framework="numpy") as stored:
            metadata = stored.metadata()
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (no mapping)
        text = metadata["content"]
        if metadata["sha256"] != _digest(text, arrays):
            raise ArtifactError(f"{shown_path(file)} differs from what was saved; {_MEND}")
        content = json.loads(text)
        found = content["format"], content["estimator"]
        if found != (FORMAT, kind):
            raise ArtifactError(
                f"{shown_path(file)} holds {shown_id(found[1])} in format {shown_id(found[0])}, "
                f"where this version reads {kind} in format {FORMAT}; use what wrote it, or fit "
                "and save again"
            )
        state: dict[str, Any] = _joined(content["state"], arrays)
        return state


def _split(value: Any, name: str, arrays: dict[str, Array]) -> Any:  # noqa: ANN401  (JSON)
    """JSON for a value, in which all that JSON lacks is an object of one key, its kind."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        # safetensors writes the buffer as it lies; ascontiguousarray would give scalars an axis.
        arrays[name] = np.array(value, order="C")
        return {"array": name}
    if isinstance(value, np.ndarray):
        return {"values": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {
            "mapping": [
                [_split(key, name, arrays), _split(item, f"{name}.{key}", arrays)]
                for key, item in value.items()
            ]
        }
    if isinstance(value, tuple):
        return {"tuple": _split(list(value), name, arrays)}
    if is_dataclass(value) and not isinstance(value, type):
        value = list(astuple(value))
    if isinstance(value, list):
        return [_split(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
    return value


def _joined(value: Any, arrays: Mapping[str, Array]) -> Any:  # noqa: ANN401  (JSON)
    """The inverse of `_split`."""
    if isinstance(value, list):
        return [_joined(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "values":
        return np.array(content)
    if kind == "tuple":
        return tuple(_joined(content, arrays))
    return {_joined(key, arrays): _joined(item, arrays) for key, item in content}


def _digest(text: str, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
