"""JSON files that are checked when they are read: their size, their depth, their own digest.

A sealed file is an object with one more key, `digest`: the SHA-256 of all its other content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_tl.errors import ArtifactError, refusing

# 70,000 codes with their descriptions and thresholds take less than a tenth.
LARGEST_BYTES = 1 << 26
DIGEST = "digest"


def read_json(file: Path, *, mend: str) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """The content of a JSON file.

    Raises `ArtifactError` for one that is missing, too large, nested too deeply or no JSON.
    """
    with refusing(ArtifactError, f"{file} is missing or damaged", mend):
        size = file.stat().st_size
        if size > LARGEST_BYTES:
            raise ArtifactError(
                f"{file} has {size:,} bytes, and at most {LARGEST_BYTES:,} are read; {mend}"
            )
        return json.loads(file.read_text(encoding="utf-8"))


def read_object(file: Path, *, mend: str) -> dict[str, Any]:
    """The same for a file that must hold an object."""
    value = read_json(file, mend=mend)
    if not isinstance(value, dict):
        raise ArtifactError(f"{file} holds a {type(value).__name__}, not an object; {mend}")
    return value


def write_sealed(file: Path, value: Mapping[str, Any]) -> None:
    """Write an object with its digest, keys in order."""
    sealed = {**value, DIGEST: _digest(value)}
    text = json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def read_sealed(file: Path, *, mend: str) -> dict[str, Any]:
    """What `write_sealed` wrote, without the digest.

    Raises `ArtifactError` also where anything was changed since.
    """
    value = read_object(file, mend=mend)
    with refusing(ArtifactError, f"{file} is damaged", mend):
        if value.pop(DIGEST, None) != _digest(value):
            raise ArtifactError(f"{file} differs from what was saved; {mend}")
    return value


def file_digest(file: Path) -> str:
    """A file's SHA-256."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(value: Mapping[str, Any]) -> str:
    # As JSON gives it back: tuples are lists there, numbers that are keys strings.
    plain = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
