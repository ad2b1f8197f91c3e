"""Vectors of texts on disk: appended as they are computed, memory-mapped when they are read.

vectors.npy    a float32 matrix, one row a text, that np.load(mmap_mode="r") reads
keys.sha256    of each row the SHA-256 digest of its text, 32 bytes, and a CRC-32 of that
               digest and the row's vector, 4 bytes
settings.json  what the vectors were made with

Rows are written before the matrix' header says that they are there, and both before their
keys, so what an interrupted run leaves behind is either whole or has no key and is
overwritten. What was changed since is refused. Texts are not kept, but vectors and digests of
short texts can tell what they were: keep the folder where the notes are kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_tl.errors import ArtifactError, refusing
from clinical_tl.storage.output import writing
from clinical_tl.storage.replacement import replace_text

DIGEST = 32
_KEY = DIGEST + 4
_MEND = "remove the folder, and the vectors are computed anew"


class VectorStore:
    """The vectors of one encoder under one set of settings.

    Raises `ArtifactError` for a folder of other settings, or one that is damaged.
    """

    def __init__(self, folder: Path, *, dimension: int, settings: Mapping[str, Any]) -> None:
        self.dimension = dimension
        self._vectors = folder / "vectors.npy"
        self._keys = folder / "keys.sha256"
        record = json.dumps({**settings, "dimension": dimension}, indent=1, sort_keys=True)
        file = folder / "settings.json"
        if not file.exists():
            replace_text(file, record)
        elif file.read_bytes() != record.encode():
            raise ArtifactError(
                f"{folder} holds vectors of other settings than the ones asked for; remove the "
                "folder, or name another cache"
            )
        with refusing(ArtifactError, f"{folder} can't be read", _MEND):
            self._rows = self._read_keys()

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, keys: Sequence[bytes]) -> np.ndarray:
        """The row of each key, shape (keys,), −1 for one that is not there."""
        return np.array([self._rows.get(key, -1) for key in keys], dtype=np.int64)

    def append(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Add rows of shape (keys, dimension); they are on disk when this returns."""
        n = len(self._rows)
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        with writing(self._vectors), self._open(self._vectors) as stream:
            stream.truncate(len(self._header(n)) + n * self.dimension * 4)
            if not n:
                stream.write(self._header(0))
            stream.seek(0, 2)
            stream.write(rows.tobytes())
            stream.flush()
            stream.seek(0)
            stream.write(self._header(n + len(keys)))
            stream.flush()
            # A power cut must not keep the keys and lose their rows.
            os.fsync(stream.fileno())
        with writing(self._keys), self._open(self._keys) as stream:
            stream.truncate(n * _KEY)
            stream.seek(0, 2)
            checked = (key + _check(key, row) for key, row in zip(keys, rows, strict=True))
            stream.write(b"".join(checked))
            stream.flush()
            os.fsync(stream.fileno())
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
        data = self._keys.read_bytes()
        start = len(self._header(0))
        whole = (self._vectors.stat().st_size - start) // (4 * self.dimension)
        # Rows that are cut off are computed again.
        n = min(max(whole, 0), len(data) // _KEY)
        if not n:
            return {}
        with self._vectors.open("rb") as stream:
            np.lib.format.read_magic(stream)
            (rows_told, width), by_columns, kind = np.lib.format.read_array_header_1_0(stream)
            as_written = width == self.dimension and not by_columns and kind == np.dtype("<f4")
            if not as_written or rows_told < n:
                raise ArtifactError(f"{self._vectors} is not what was written; {_MEND}")
        rows = np.memmap(
            self._vectors, dtype="<f4", mode="r", shape=(n, self.dimension), offset=start
        )
        found: dict[bytes, int] = {}
        for i, row in enumerate(rows):
            key = data[i * _KEY : i * _KEY + DIGEST]
            if data[i * _KEY + DIGEST : (i + 1) * _KEY] != _check(key, row) or key in found:
                raise ArtifactError(
                    f"row {i} of {self._vectors}, or its key, is not what was written; {_MEND}"
                )
            found[key] = i
        return found


def _check(key: bytes, row: np.ndarray) -> bytes:
    return zlib.crc32(row.tobytes(), zlib.crc32(key)).to_bytes(4, "little")


def text_digest(text: str) -> bytes:
    """The key of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
