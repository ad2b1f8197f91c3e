"""Ready-made splits: the public corpora by name, synthetic notes, or a user's own files.

The corpora are looked for in the folder that the environment variable `CLINICAL_TL_CORPORA`
names; nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from clinical_tl.data.notes import Notes
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.data.reading import read_notes
from clinical_tl.data.seen_notes import require_apart
from clinical_tl.data.split_record import SplitOrigin
from clinical_tl.data.splits import split_notes
from clinical_tl.data.traces import Traces
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_path
from clinical_tl.storage.paths import as_path

VARIABLE = "CLINICAL_TL_CORPORA"
SYNTHETIC = "synthetic"
SYNTHETIC_NOTES = 400
SYNTHETIC_FRACTIONS = {"train": 0.6, "dev": 0.15, "test": 0.25}
SHARES = {"dev": 0.15, "test": 0.20}
"""Of a user's training notes, for the sides that were not given."""


class Splits(dict[str, Notes]):
    """Sides of notes by name; `origin` says how they came about."""

    def __init__(self, sides: Mapping[str, Notes], origin: SplitOrigin) -> None:
        super().__init__(sides)
        self.origin = origin


def note_splits(
    corpus: str | None = None,
    train: str | Path | None = None,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    *,
    read: ReadOptions = ReadOptions(),
    seed: int = 0,
    limit: int | None = None,
    allow_leakage: bool = False,
) -> Splits:
    """`train`, `dev` and `test` of a named corpus, or of a user's own files; synthetic if neither.

    `read` says how the files are read. `limit` keeps at most so many notes of each, the first
    ones: for a quick look. How the sides came about is their `origin`.

    Raises `ConfigError` where both are given, or dev or test notes without training notes.
    """
    if train is None and (dev or test):
        raise ConfigError("dev or test notes were given without train; give train as well")
    if train is not None and corpus is not None:
        raise ConfigError(
            f"both corpus={shown_id(corpus, 'corpus')!r} and train were given; give one of them "
            "(in a config, corpus: null)"
        )
    if train is not None:
        splits = read_splits(train, dev, test, read=read, seed=seed, allow_leakage=allow_leakage)
    else:
        name = corpus or SYNTHETIC
        splits = Splits(load_corpus(name, seed=seed), _origin_of_corpus(name, seed))
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit}; allowed: at least 1, or None for all notes")
    if limit is None:
        return splits
    kept = {name: notes[:limit] for name, notes in splits.items()}
    return Splits(kept, replace(splits.origin, limit=limit))


def load_corpus(name: str, *, folder: str | Path | None = None, seed: int = 0) -> dict[str, Notes]:
    """The official splits of a public corpus: `train`, `dev` and `test` (MTS-Dialog: `test2`).

    LEAF has none; by name in order every fifth document is for test, the one before it for dev.

    `"unlabelled"`, English case reports without annotation, has `train` alone.

    `"synthetic"` generates short synthetic notes (`seed`) and splits them by patient.

    Raises:
        ConfigError: an unknown name, or no folder of corpora is named.
        NoteError: the corpora's folder has no such corpus.
    """
    if name == SYNTHETIC:
        from clinical_tl.data.synthetic import generate_notes

        notes = generate_notes(SYNTHETIC_NOTES, seed=seed, length="short")
        return split_notes(notes, fractions=SYNTHETIC_FRACTIONS, seed=seed)
    if name not in _LOADERS:
        raise ConfigError(
            f"corpus {shown_id(name, 'corpus')!r}: choose one of {sorted([SYNTHETIC, *_LOADERS])}"
        )
    root = as_path(folder) if folder else corpora_folder()
    if not (root / name).is_dir():
        raise NoteError(
            f"the corpus {name!r} is not in the folder {shown_path(root)!r}; put it there, or name "
            f"the corpora's folder in the environment variable {VARIABLE}"
        )
    splits = _LOADERS[name](root / name)
    for notes in splits.values():
        notes.division = _DIVISIONS.get(name, f"the sets that the corpus {name} is published in")
    return splits


def corpora_folder() -> Path:
    """The folder of the public corpora; `ConfigError` where `CLINICAL_TL_CORPORA` is not set."""
    named = os.environ.get(VARIABLE)
    if not named:
        raise ConfigError(
            f"the environment variable {VARIABLE} is not set, so there is no folder to look for "
            "public corpora in; set it to the one that has them, a folder each"
        )
    return as_path(named)


def read_splits(
    train: str | Path,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    *,
    read: ReadOptions = ReadOptions(),
    seed: int = 0,
    allow_leakage: bool = False,
) -> Splits:
    """A user's own notes as `train`, `dev` and `test`.

    What is not given as a file is split off the training notes by patient (15 % for dev, 20 %
    for test). A note without a patient counts as another patient's. Files that
    share patients or texts are an error (`require_apart`), or with `allow_leakage` a warning.

    Raises as `read_notes` and `split_notes` do, and `NoteError` for leakage.
    """
    sides = read.read_each({"train": train, "dev": dev, "test": test})
    for notes in sides.values():
        notes.division = "given as a file of its own"
    missing = {name: share for name, share in SHARES.items() if name not in sides}
    origin = SplitOrigin(given=tuple(sides))
    if missing:
        by = "patient_id" if any(p is not None for p in sides["train"]["patient_id"]) else "note_id"
        origin = SplitOrigin(
            given=tuple(name for name in sides if name != "train"),
            fractions={"train": round(1 - sum(missing.values()), 6), **missing},
            by=by,
            seed=seed,
            kept_texts=not allow_leakage,
        )
        sides |= split_notes(
            sides["train"],
            by=by,
            unknown="alone",
            fractions=origin.fractions,
            seed=seed,
            allow_leakage=allow_leakage,
        )
    _require_apart(sides, allow_leakage=allow_leakage)
    return Splits(sides, origin)


def _origin_of_corpus(name: str, seed: int) -> SplitOrigin:
    if name != SYNTHETIC:
        return SplitOrigin(corpus=name, given=("train", "dev", "test"))
    return SplitOrigin(corpus=name, fractions=SYNTHETIC_FRACTIONS, by="patient_id", seed=seed)


def _require_apart(splits: Mapping[str, Notes], *, allow_leakage: bool) -> None:
    traces = {name: Traces.of(notes.records) for name, notes in splits.items()}
    for known, name in (("train", "dev"), ("train", "test"), ("dev", "test")):
        require_apart(
            traces[known],
            traces[name],
            known_as=f"{known} notes",
            notes_as=f"{name} notes",
            allow_leakage=allow_leakage,
        )


def _pubtator(folder: Path, *, label: str | None = None) -> dict[str, Notes]:
    splits = {
        # One document of NCBI-disease is in the training file twice.
        name: read_notes(folder / f"{name}.pubtator.txt", format="pubtator", duplicates="first")
        for name in ("train", "dev", "test")
    }
    if label is None:
        return splits
    return {name: _relabel(notes, label) for name, notes in splits.items()}


def _relabel(notes: Notes, label: str) -> Notes:
    """All spans with one label: the corpus' subtypes are not what systems are scored on."""
    return Notes(
        replace(note, spans=tuple(replace(span, label=label) for span in note.spans or ()))
        for note in notes
    )


def _ncbi_disease(folder: Path) -> dict[str, Notes]:
    return _pubtator(folder, label="Disease")


def _bc5cdr(folder: Path) -> dict[str, Notes]:
    return _pubtator(folder)


def _codiesp(folder: Path) -> dict[str, Notes]:
    return {
        name: read_notes(
            folder / name, format="codiesp", texts="text_files_en", codes_file=f"{name}D.tsv"
        )
        for name in ("train", "dev", "test")
    }


def _chemprot(folder: Path) -> dict[str, Notes]:
    return {
        name: read_notes(folder / f"{name}.txt", format="chemprot")
        for name in ("train", "dev", "test")
    }


def _mts_dialog(folder: Path) -> dict[str, Notes]:
    columns = {"note_id": "ID", "text": "section_text", "label": "section_header"}
    files = {
        "train": "MTS-Dialog-TrainingSet.csv",
        "dev": "MTS-Dialog-ValidationSet.csv",
        "test": "MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv",
        "test2": "MTS-Dialog-TestSet-2-MEDIQA-Sum-2023.csv",
    }
    return {name: read_notes(folder / file, columns=columns) for name, file in files.items()}


def _leaf(folder: Path) -> dict[str, Notes]:
    """Published as one set."""
    notes = sorted(read_notes(folder, format="brat"), key=lambda note: note.note_id)
    sides = {"train": (0, 1, 2), "dev": (3,), "test": (4,)}
    return {
        name: Notes(note for i, note in enumerate(notes) if i % 5 in own)
        for name, own in sides.items()
    }


def _unlabelled(folder: Path) -> dict[str, Notes]:
    """Case reports without annotation: training notes alone."""
    return {"train": read_notes(folder / "e3c_case_reports_en.jsonl.gz")}


_LOADERS: dict[str, Callable[[Path], dict[str, Notes]]] = {
    "ncbi_disease": _ncbi_disease,
    "bc5cdr": _bc5cdr,
    "codiesp": _codiesp,
    "chemprot": _chemprot,
    "mts_dialog": _mts_dialog,
    "leaf": _leaf,
    "unlabelled": _unlabelled,
}
_DIVISIONS = {
    "leaf": "the corpus leaf by name in order: every fifth for test, the one before for dev"
}
