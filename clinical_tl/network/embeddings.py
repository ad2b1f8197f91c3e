"""`embed`: notes as vectors of a frozen encoder, computed once and read from disk after that.

Feature extraction is the transfer that costs least: the encoder is read and never trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clinical_tl.data.notes import NotesLike, as_notes, in_order
from clinical_tl.errors import EncoderError, NoteError
from clinical_tl.network.vector_store import VectorStore, text_digest
from clinical_tl.schema import Note
from clinical_tl.storage.output import require_folder
from clinical_tl.storage.paths import as_path

if TYPE_CHECKING:
    from clinical_tl.network.frozen_encoder import FrozenEncoder, VectorPooling
    from clinical_tl.text.units import UnitSize

FORMAT = 3
LAST = -1
JOINED = 6
"""Vectors that make up what is known of a unit: two layers, of it and of those beside it."""
CHUNK = 512
"""Notes whose vectors are written at once: what a kill can cost."""
IN_MEMORY = 2**28
"""Bytes up to which vectors that don't lie in the notes' order are copied into memory."""
UNITS_IN_MEMORY = 2**31
"""And those of units are in memory at all."""


@dataclass(frozen=True)
class Embeddings:
    """Vectors of notes, in the notes' order.

    `matrix`, shape (notes, d), float32, is mapped from disk where there is a cache (small ones
    only if the notes lie there in order); `computed` of its rows were not in the cache before.
    """

    matrix: np.ndarray
    computed: int

    def __len__(self) -> int:
        return len(self.matrix)


@dataclass(frozen=True)
class UnitEmbeddings:
    """Vectors of the units of notes (`text.units`), for tagging.

    `matrix` has shape (units, d), float32; `note` (the note's position), `starts` and `ends`
    (characters) have shape (units,). Units of a note are in text order.
    """

    matrix: np.ndarray
    note: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.matrix)


def embed(
    encoder: str | Path | FrozenEncoder,
    notes: NotesLike | Sequence[str],
    *,
    layer: int | None = None,
    pooling: VectorPooling = "mean",
    cache: str | Path | None = None,
    progress: bool = True,
) -> Embeddings:
    """One vector a note, whatever its length.

    Args:
        encoder: a folder, a Hub id, `"offline"`, or an encoder already loaded.
        notes: a dataset, notes or texts; a dataset is read a piece at a time.
        layer: whose states are pooled; 0 is the embeddings, −1 the last, the default.
        pooling: `mean` or `max` over a note's tokens (each counted once wherever windows
            overlap), or `cls`, the mean of its windows' first states.
        cache: folder to keep the vectors in, by the weights' hash, the settings and the
            text's hash: the same text is never read twice, a run that was killed goes on.
            It is as confidential as the notes.
        progress: show a progress bar.

    Raises:
        NoteError: there are no notes, or what is given is none.
        EncoderError: the encoder can't be found, or has no fast tokenizer.
        ConfigError: a layer or pooling that does not exist.
    """
    notes = in_order(notes)
    if not len(notes):
        raise NoteError("there are no notes to embed; give at least one note or text")
    loaded, layer = _load(encoder), LAST if layer is None else layer
    if cache is None:
        return _embed_once(loaded, notes, pooling, layer, progress=progress)
    settings = {
        "format": FORMAT,
        "encoder": loaded.fingerprint,
        "layer": layer,
        "pooling": pooling,
    }
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    from filelock import FileLock

    folder = as_path(cache) / name
    require_folder(folder)
    keys: list[bytes] = []
    # Two processes may share a cache; the second finds what the first has computed.
    with FileLock(folder / "lock"):
        store = VectorStore(folder, dimension=loaded.dimension, settings=settings)
        before = len(store)
        for texts in _chunks(notes, progress=progress):
            digests = [text_digest(text) for text in texts]
            known = store.rows(digests) >= 0
            new = {d: t for d, t, old in zip(digests, texts, known, strict=True) if not old}
            if new:
                vectors = loaded.vectors(list(new.values()), pooling=pooling, layer=layer)
                store.append(list(new), vectors)
            keys.extend(digests)
        rows = store.rows(keys)
        stored = store.matrix()
    if (np.diff(rows) == 1).all():
        return Embeddings(stored[rows[0] : rows[-1] + 1], len(store) - before)
    matrix = _gathered(stored, rows, folder)
    return Embeddings(matrix, len(store) - before)


def embed_units(
    encoder: str | Path | FrozenEncoder,
    notes: NotesLike | Sequence[str],
    *,
    layer: int | None = None,
    size: UnitSize = "words",
    rows: Sequence[int] | npt.NDArray[np.integer] | None = None,
    progress: bool = True,
) -> UnitEmbeddings:
    """What an encoder knows of each unit of the notes, for a linear tagger.

    By default that is the embeddings and the middle layer, their mean over the unit's tokens, and
    the same of the units before and after it, side by side: which words these are, and what they
    are in their sentence, six times the encoder's width. The end of an encoder is shaped by what it
    was trained for; what tells entities lies before (Tenney et al. 2019, arXiv 1905.05950).

    With a `layer` (as of `embed`) it is that layer's state of the unit's first token, where a
    network's head decides it.

    Units are of the `size` of the tagger's task (`EntityRecognition.units`). With `rows` some of
    them are kept, by their numbers among those of all notes, in order; all are read.

    Raises as `embed`; `NoteError` also where the notes have no visible character.
    """
    from clinical_tl.text.units import find_units

    records = as_notes(notes)
    if not records:
        raise NoteError("there are no notes to embed; give at least one note or text")
    loaded = _load(encoder)
    tokens = loaded.tokenizer.encode([note.text for note in records])
    units = [find_units(note.text, t, size) for note, t in zip(records, tokens, strict=True)]
    owner = np.repeat(np.arange(len(records)), [len(u) for u in units])
    if not len(owner):
        raise NoteError(f"the {len(records)} notes have no visible character; nothing to embed")
    kept = np.arange(len(owner)) if rows is None else np.asarray(rows)
    width = loaded.dimension * (1 if layer is not None else JOINED)
    matrix = _empty((len(kept), width), UNITS_IN_MEMORY)
    first = np.searchsorted(owner, np.arange(len(records)))
    from tqdm import tqdm

    with tqdm(total=len(records), desc="embedding", unit="note", disable=not progress) as bar:
        for note, states in loaded.token_states(tokens, layer=layer):
            low, high = np.searchsorted(kept, (first[note], first[note] + len(units[note])))
            if low < high:
                own = kept[low:high] - first[note]
                opening = units[note].tokens
                if layer is None:
                    visible = tokens[note].ends > tokens[note].starts
                    matrix[low:high] = _in_surroundings(states, opening, visible)[own]
                else:
                    matrix[low:high] = states[opening[own]]
            bar.update()
    starts = np.concatenate([u.starts for u in units])[kept]
    ends = np.concatenate([u.ends for u in units])[kept]
    return UnitEmbeddings(matrix, owner[kept], starts, ends)


def _in_surroundings(
    states: npt.NDArray[np.float32],
    opening: npt.NDArray[np.integer],
    visible: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """Each unit, the one before and the one after, (units, 3 k), from states (tokens, k).

    `opening` are the units' first tokens; each goes on to the next, but for tokens of line breaks
    and the like, which are not `visible`.
    """
    counted = visible.astype(np.float32)[:, None]
    sums = np.add.reduceat(states * counted, opening, axis=0)
    means = sums / np.add.reduceat(counted, opening, axis=0)
    beside = np.pad(means, ((1, 1), (0, 0)))
    joined: npt.NDArray[np.float32] = np.concatenate([means, beside[:-2], beside[2:]], axis=1)
    return joined


def _embed_once(
    encoder: FrozenEncoder,
    notes: NotesLike | Sequence[str],
    pooling: VectorPooling,
    layer: int,
    *,
    progress: bool,
) -> Embeddings:
    """Each distinct text once: of copies that are read in other company the last bits differ."""
    rows: dict[bytes, int] = {}
    parts: list[np.ndarray] = []
    of_note: list[int] = []
    for texts in _chunks(notes, progress=progress):
        digests = [text_digest(text) for text in texts]
        new = {d: t for d, t in zip(digests, texts, strict=True) if d not in rows}
        if new:
            rows.update({digest: i for i, digest in enumerate(new, start=len(rows))})
            parts.append(encoder.vectors(list(new.values()), pooling=pooling, layer=layer))
        of_note.extend(rows[digest] for digest in digests)
    matrix = np.concatenate(parts)
    return Embeddings(matrix if len(matrix) == len(of_note) else matrix[of_note], len(matrix))


def _gathered(
    stored: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], folder: Path
) -> npt.NDArray[np.float32]:
    """The stored vectors in the notes' order."""
    shape = (len(rows), stored.shape[1])
    gathered = _empty(shape, IN_MEMORY, folder)
    for start in range(0, len(rows), CHUNK):
        gathered[start : start + CHUNK] = stored[rows[start : start + CHUNK]]
    return gathered


def _empty(
    shape: tuple[int, int], in_memory: int, folder: Path | None = None
) -> npt.NDArray[np.float32]:
    """A matrix to be filled; beyond `in_memory` bytes mapped, not held.

    The file behind it lies in `folder` (by default where temporary files do) and vanishes with the
    matrix.
    """
    if shape[0] * shape[1] * np.dtype(np.float32).itemsize <= in_memory:
        return np.empty(shape, dtype=np.float32)
    from tempfile import TemporaryFile

    with TemporaryFile(dir=folder) as file:
        mapped: npt.NDArray[np.float32] = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
    return mapped


def _load(encoder: str | Path | FrozenEncoder) -> FrozenEncoder:
    from clinical_tl.network.frozen_encoder import FrozenEncoder

    if isinstance(encoder, FrozenEncoder):
        return encoder
    if not isinstance(encoder, str | Path):
        raise EncoderError(
            f"encoder is of type {type(encoder).__name__}; give a folder, a Hub id, 'offline' or "
            "a FrozenEncoder. A fine-tuned TransferModel becomes a folder with merge(folder)"
        )
    return FrozenEncoder.from_pretrained(encoder)


def _chunks(notes: NotesLike | Sequence[str], *, progress: bool) -> Iterator[list[str]]:
    from tqdm import tqdm

    with tqdm(total=len(notes), desc="embedding", unit="note", disable=not progress) as bar:
        for start in range(0, len(notes), CHUNK):
            texts = []
            for i in range(start, min(start + CHUNK, len(notes))):
                item = notes[i]
                if isinstance(item, Mapping):
                    item = item.get("text")
                text = item.text if isinstance(item, Note) else item
                if not isinstance(text, str):
                    raise NoteError(
                        f"position {i}: a {type(text).__name__} where a note's text should be; "
                        "give notes, or texts as strings"
                    )
                texts.append(text)
            yield texts
            bar.update(len(texts))
