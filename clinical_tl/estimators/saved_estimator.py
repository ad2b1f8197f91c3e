"""A fitted estimator on disk: its arrays as safetensors, its settings as JSON, no pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_tl.boundary import refusing
from clinical_tl.errors import ArtifactError, shown_id, shown_path
from clinical_tl.output import require_folder
from clinical_tl.replacement import replacing_file
from clinical_tl.sealed_json import file_digest, read_object, read_sealed, write_sealed

FORMAT = 1
_MEND = "copy the folder again, or save the estimator again"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SavedEstimator:
    """What an estimator consists of: `settings` are JSON values, `arrays` its parameters."""

    settings: Mapping[str, Any]
    arrays: Mapping[str, Array]


def write_estimator(folder: Path, name: str, estimator: SavedEstimator) -> None:
    """Write `<name>.safetensors` and `<name>.json` into a folder, which is made if need be.

    The JSON comes last, and names the arrays' file and its SHA-256. Where an estimator is
    replaced the arrays go into `<name>-2.safetensors` (and back), so that a kill leaves the
    earlier one or this. Raises `OutputError` where the file system refuses.
    """
    from safetensors.numpy import save_file

    folder = require_folder(folder)
    settings, names = folder / f"{name}.json", _array_files(name)
    taken = None
    with suppress(ArtifactError):
        taken = read_sealed(settings, mend=_MEND).get("arrays")
    new, other = names if taken != names[0] else names[::-1]
    # safetensors writes the buffer as it lies; ascontiguousarray would give scalars an axis.
    plain = {key: np.array(array, order="C") for key, array in estimator.arrays.items()}
    with replacing_file(folder / new) as draft:
        save_file(plain, str(draft))
    description = {
        "format": FORMAT,
        "arrays": new,
        "arrays_sha256": file_digest(folder / new),
        "settings": dict(estimator.settings),
    }
    with replacing_file(settings) as draft:
        write_sealed(draft, description)
    (folder / other).unlink(missing_ok=True)


def read_estimator(folder: Path, name: str) -> SavedEstimator:
    """What `write_estimator` wrote.

    Raises `ArtifactError` for files that are missing, damaged or of another format.
    """
    from safetensors.numpy import load

    settings = folder / f"{name}.json"
    if not settings.is_file():
        raise ArtifactError(
            f"{shown_path(folder)} lacks {settings.name}; give a folder that save() wrote"
        )
    found = read_object(settings, mend=_MEND).get("format")
    if found != FORMAT:
        raise ArtifactError(
            f"{settings} has format {shown_id(found)}, this version reads format {FORMAT}; use "
            "the version that wrote it, or fit and save again"
        )
    description = read_sealed(settings, mend=_MEND)
    with refusing(ArtifactError, f"{settings} is damaged", _MEND):
        if description["arrays"] not in _array_files(name):
            raise ArtifactError(f"{settings} names no file of its own; {_MEND}")
        arrays = folder / description["arrays"]
        if not arrays.is_file():
            raise ArtifactError(
                f"{shown_path(folder)} lacks {arrays.name}; give a folder that save() wrote"
            )
        content = arrays.read_bytes()
        if hashlib.sha256(content).hexdigest() != description["arrays_sha256"]:
            raise ArtifactError(f"{arrays} differs from what was saved; {_MEND}")
        return SavedEstimator(dict(description["settings"]), load(content))


def _array_files(name: str) -> tuple[str, str]:
    return f"{name}.safetensors", f"{name}-2.safetensors"


def prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays under names that start with `prefix` and a dot."""
    return {f"{prefix}.{key}": array for key, array in arrays.items()}


def unprefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Of the arrays those that `prefixed` named, under their own names."""
    start = f"{prefix}."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
