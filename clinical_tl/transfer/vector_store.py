"""Vectors of texts on disk: appended as they are computed, memory-mapped when they are read.

vectors.npy    a float32 matrix, one row a text, that np.load(mmap_mode="r") reads
keys.sha256    the SHA-256 digest of each row's text, 32 bytes a row
settings.json  what the vectors were made with

Rows are written before the matrix' header says that they are there, and both before their
keys, so what an interrupted run leaves behind is either whole or has no key and is
overwritten. Texts are not kept, but vectors and digests of short texts can tell what they
were: keep the folder where the notes are kept.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_tl.errors import ArtifactError

DIGEST = 32


class VectorStore:
    """The vectors of one encoder under one set of settings."""

    def __init__(self, folder: Path, *, dimension: int, settings: Mapping[str, Any]) -> None:
        self.dimension = dimension
        self._vectors = folder / "vectors.npy"
        self._keys = folder / "keys.sha256"
        folder.mkdir(parents=True, exist_ok=True)
        record = json.dumps({**settings, "dimension": dimension}, indent=1, sort_keys=True)
        file = folder / "settings.json"
        if not file.exists():
            draft = file.with_suffix(".tmp")
            draft.write_text(record, encoding="utf-8")
            draft.replace(file)
        elif file.read_text(encoding="utf-8") != record:
            raise ArtifactError(
                f"{folder} holds vectors of other settings than the ones asked for; remove the "
                "folder, or name another cache"
            )
        self._rows = self._read_keys()

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, keys: Sequence[bytes]) -> np.ndarray:
        """The row of each key, shape (keys,), −1 for one that is not there."""
        return np.array([self._rows.get(key, -1) for key in keys], dtype=np.int64)

    def append(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Add rows of shape (keys, dimension); they are on disk when this returns."""
        n = len(self._rows)
        with self._open(self._vectors) as stream:
            stream.truncate(len(self._header(n)) + n * self.dimension * 4)
            if not n:
                stream.write(self._header(0))
            stream.seek(0, 2)
            stream.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
            stream.flush()
            stream.seek(0)
            stream.write(self._header(n + len(keys)))
        with self._open(self._keys) as stream:
            stream.truncate(n * DIGEST)
            stream.seek(0, 2)
            stream.write(b"".join(keys))
        self._rows.update({key: n + i for i, key in enumerate(keys)})

    def matrix(self) -> np.ndarray:
        """All rows, shape (rows, dimension), mapped from disk and read-only."""
        if not self._rows:
            return np.zeros((0, self.dimension), dtype=np.float32)
        shape = (len(self._rows), self.dimension)
        start = len(self._header(0))
        return np.memmap(self._vectors, dtype="<f4", mode="r", shape=shape, offset=start)

    def _header(self, n: int) -> bytes:
        """NumPy's, which leaves room for the number of rows to grow."""
        stream = io.BytesIO()
        fields = {"descr": "<f4", "fortran_order": False, "shape": (n, self.dimension)}
        np.lib.format.write_array_header_1_0(stream, fields)
        return stream.getvalue()

    @staticmethod
    def _open(file: Path) -> Any:  # noqa: ANN401  (a binary stream, which typing spells by mode)
        file.touch()
        return file.open("r+b")

    def _read_keys(self) -> dict[bytes, int]:
        if not self._keys.exists():
            return {}
        size = self._vectors.stat().st_size - len(self._header(0))
        whole = max(size, 0) // (4 * self.dimension)
        data = self._keys.read_bytes()
        n = min(whole, len(data) // DIGEST)
        return {data[i * DIGEST : (i + 1) * DIGEST]: i for i in range(n)}


def text_digest(text: str) -> bytes:
    """The key of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
