"""`SplitRecord`: which notes are on which side, kept beside a model so that it is found again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from clinical_tl.data.notes import Notes
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import (
    ArtifactError,
    ConfigError,
    NoteError,
    refusing,
    shown_id,
    shown_ids,
    shown_path,
)
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replacing_file
from clinical_tl.storage.sealed_json import read_sealed, write_sealed

ENDING = ".split.json"
_MEND = "train again, or give the notes of one side as a file of their own"


@dataclass(frozen=True)
class SplitOrigin:
    """How the sides of a split came about.

    Attributes:
        corpus: the public corpus, or `synthetic`; `None` for a user's own files.
        given: the sides that are as they were given.
        fractions: side → share, of the notes that were divided.
        by: what was kept together, `patient_id` or `note_id` (each note for itself).
        seed: of the division.
        kept_texts: whether notes of one text, or nearly one, were kept together too.
        limit: how many notes of each side were kept, if not all.
    """

    corpus: str | None = None
    given: tuple[str, ...] = ()
    fractions: Mapping[str, float] | None = None
    by: str | None = None
    seed: int | None = None
    kept_texts: bool = True
    limit: int | None = None

    def __str__(self) -> str:
        said = []
        if self.corpus is not None and self.given:
            said.append(f"the corpus {shown_id(self.corpus, 'corpus')!r} with its own sides")
        elif self.given:
            said.append(f"{', '.join(self.given)} as given")
        if self.fractions is not None:
            largest_first = sorted(self.fractions.items(), key=lambda item: -item[1])
            shares = ", ".join(f"{side} {share:g}" for side, share in largest_first)
            unit = "by patient" if self.by == "patient_id" else "note by note"
            texts = ", equal and nearly equal texts together" if self.kept_texts else ""
            of_corpus = f"the corpus {shown_id(self.corpus, 'corpus')!r}"
            what = "the training notes" if self.corpus is None else of_corpus
            said.append(f"{what} divided {unit}{texts}: {shares} (seed {self.seed})")
        if self.limit is not None:
            said.append(f"at most {self.limit} of each side, the first")
        return "; ".join(said)


@dataclass(frozen=True, eq=False, repr=False)
class SplitRecord(Discreet):
    """Which notes are on which side: their ids and hashes of their texts, never text.

    Ids can name patients, and whoever has a text can ask a hash for it: the record is as
    confidential as the notes' ids. It lies beside the model's folder, `model.split.json` beside
    `model`, and never in it, so that no push takes it along.

    Attributes:
        origin: how the sides came about.
        sides: side → note id → hash of the text.
    """

    origin: SplitOrigin
    sides: Mapping[str, Mapping[str, str]]

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"sides"})

    @classmethod
    def of(cls, splits: Mapping[str, Notes], origin: SplitOrigin) -> SplitRecord:
        """The record of these sides."""
        return cls(
            origin,
            {
                side: {note.note_id: _hash(note.text) for note in notes.records}
                for side, notes in splits.items()
            },
        )

    @classmethod
    def beside(cls, model: str | Path) -> SplitRecord:
        """The record of a saved model.

        Raises `ConfigError` where there is none, `ArtifactError` for one that is damaged.
        """
        file = file_beside(model)
        if not file.is_file():
            raise ConfigError(
                f"{shown_path(file)} is not there: the training recipes keep it beside the "
                f"model's folder, and only there it says which notes were which; {_MEND}"
            )
        value = read_sealed(file, mend=_MEND)
        with refusing(ArtifactError, f"{shown_path(file)} is damaged", _MEND):
            origin = dict(value["origin"])
            origin["given"] = tuple(origin["given"])
            return cls(
                SplitOrigin(**origin), {side: dict(ids) for side, ids in value["sides"].items()}
            )

    def save(self, model: str | Path) -> Path:
        """Write the record beside a model's folder; returns the file."""
        file = file_beside(model)
        with replacing_file(file) as draft:
            write_sealed(draft, {"origin": asdict(self.origin), "sides": dict(self.sides)})
        return file

    def among(self, side: str, notes: Notes) -> Notes:
        """Those of these notes whose texts are a side's, whatever their ids."""
        hashes = set(self._side(side).values())
        return notes.filter(lambda note: _hash(note.text) in hashes)

    def has(self, side: str, notes: Notes) -> bool:
        """Whether the notes of a side are all among these, by their ids."""
        return set(self._side(side)) <= set(notes["note_id"])

    def find(self, side: str, notes: Notes) -> Notes:
        """The notes of a side among these, in their order.

        Raises:
            ConfigError: a side that the split does not have.
            NoteError: notes of the side that are missing, or whose texts have changed.
        """
        wanted = self._side(side)
        ids: Sequence[str] = list(notes["note_id"])
        missing = sorted(set(wanted) - set(ids))
        if missing:
            raise NoteError(
                f"{len(missing)} of the {len(wanted)} {side} notes are not among these "
                f"{len(ids)}, e.g. {shown_ids(missing)}; give the file that the model was trained "
                "with, read as it was then (columns, make_ids)"
            )
        found = notes.select([i for i, note_id in enumerate(ids) if note_id in wanted])
        changed = [n.note_id for n in found.records if _hash(n.text) != wanted[n.note_id]]
        if changed:
            raise NoteError(
                f"the texts of {len(changed)} of the {len(wanted)} {side} notes have changed "
                f"since the training, e.g. {shown_ids(changed)}; give the file as it was, or "
                "score them as notes of their own, without split"
            )
        return found

    def _side(self, side: str) -> Mapping[str, str]:
        if side not in self.sides:
            raise ConfigError(
                f"split={shown_id(side, 'name')!r}; this model's has the sides "
                f"{shown_ids(self.sides, 'name')}"
            )
        return self.sides[side]


def file_beside(model: str | Path) -> Path:
    """Where the record of a model's folder lies."""
    folder = as_path(model).resolve()
    return folder.with_name(f"{folder.name}{ENDING}")


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
