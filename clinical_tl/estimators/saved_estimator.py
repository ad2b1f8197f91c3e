"""A fitted estimator on disk: its arrays as safetensors, its settings as JSON, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ArtifactError, shown_path

FORMAT = 1

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SavedEstimator:
    """What an estimator consists of: `settings` are JSON values, `arrays` its parameters."""

    settings: Mapping[str, Any]
    arrays: Mapping[str, Array]


def write_estimator(folder: Path, name: str, estimator: SavedEstimator) -> None:
    """Write `<name>.safetensors` and `<name>.json` into a folder, which is made if need be.

    The JSON comes last and holds the SHA-256 of the arrays' file, so that half a save is
    noticed.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    arrays, settings = folder / f"{name}.safetensors", folder / f"{name}.json"
    settings.unlink(missing_ok=True)
    # safetensors writes the buffer as it lies; ascontiguousarray would give scalars an axis.
    plain = {key: np.array(array, order="C") for key, array in estimator.arrays.items()}
    save_file(plain, str(arrays))
    description = {
        "format": FORMAT,
        "arrays_sha256": hashlib.sha256(arrays.read_bytes()).hexdigest(),
        "settings": dict(estimator.settings),
    }
    settings.write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_estimator(folder: Path, name: str) -> SavedEstimator:
    """What `write_estimator` wrote.

    Raises `ArtifactError` for files that are missing, damaged or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    settings, arrays = folder / f"{name}.json", folder / f"{name}.safetensors"
    missing = [file.name for file in (settings, arrays) if not file.is_file()]
    if missing:
        raise ArtifactError(
            f"{shown_path(folder)} lacks {' and '.join(missing)}; give a folder that save() wrote"
        )
    try:
        description = json.loads(settings.read_text(encoding="utf-8"))
        found, digest = description["format"], description["arrays_sha256"]
        values = dict(description["settings"])
    except (KeyError, TypeError, UnicodeDecodeError, ValueError) as error:
        raise ArtifactError(f"{settings} is damaged; save the estimator again") from error
    if found != FORMAT:
        raise ArtifactError(
            f"{settings} has format {found!r}, this version reads format {FORMAT}; use the "
            "version that wrote it, or fit and save again"
        )
    content = arrays.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ArtifactError(
            f"{arrays} differs from what was saved; copy the folder again, or save again"
        )
    try:
        return SavedEstimator(values, load(content))
    except SafetensorError as error:
        raise ArtifactError(f"{arrays} is damaged; save the estimator again") from error


def prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays under names that start with `prefix` and a dot."""
    return {f"{prefix}.{key}": array for key, array in arrays.items()}


def unprefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Of the arrays those that `prefixed` named, under their own names."""
    start = f"{prefix}."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
