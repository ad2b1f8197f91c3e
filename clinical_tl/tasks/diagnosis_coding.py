"""Diagnosis coding: codes of a system, in its one spelling, at a level of its hierarchy."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from clinical_tl.data.codes.code_system import TOP, CodeSystem, Level
from clinical_tl.data.codes.code_table import NO_TABLE, CodeTable, read_codes
from clinical_tl.data.codes.known_systems import SystemName, find_system
from clinical_tl.data.notes import NotesLike
from clinical_tl.errors import MissingExtraError, NoteError, TaskError, shown_id, shown_ids
from clinical_tl.schema import LabelSet, Note
from clinical_tl.tasks.multi_label_classification import (
    ATTENTION_FROM,
    HeadKind,
    Loss,
    MultiLabelClassification,
)

if TYPE_CHECKING:
    from clinical_tl.network.token_pooling import TokenPooling
    from clinical_tl.tasks.losses import Pooling

logger = logging.getLogger(__name__)

OTHER_SYSTEM = (
    ". That is most of them: codes of another system would get the categories and descriptions of "
    "the codes spelt alike, so look at what the codes are"
)


@dataclass(frozen=True)
class DiagnosisCoding(MultiLabelClassification):
    """Any number of codes a note, of a system that `code_system` names.

    `level` rolls codes up to what stands above them, in training and in gold. `describe_labels`
    starts a label-attention head from the encoded descriptions of the codes. `titles` (label →
    description) and `tops` (code → what stands above all others above it) are what a file of codes
    said when the task was fitted. For the other settings see `MultiLabelClassification`.
    """

    head: HeadKind = "label_attention"
    level: Level = "code"
    code_system: SystemName = "icd10cm"  # type: ignore[misc]  # each task's own
    titles: Mapping[str, str] = field(default_factory=dict, hash=False)
    tops: Mapping[str, str] = field(default_factory=dict, hash=False)

    kind: ClassVar[str] = "diagnosis_coding"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._system.check_level(self.level, top=bool(self.tops))

    @classmethod
    def from_notes(
        cls,
        notes: NotesLike,
        *,
        head: HeadKind | Literal["auto"] = "label_attention",
        loss: Loss = "bce",
        pooling: TokenPooling | Literal["auto"] = "auto",
        window_pooling: Pooling = "max",
        describe_labels: bool = True,
        per_label_thresholds: bool = False,
        shrinkage: float = 10.0,
        allow_implausible: bool = False,
        level: Level = "code",
        code_system: SystemName = "icd10cm",
        codes: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit the codes on training notes (never on dev or test).

        Codes are normalised as their system writes them (of ICD-10-CM `i2510` is `I25.10`); those
        absent from its list are kept, counted and logged.

        Args:
            notes: with `codes`, all of one system.
            head: as of `MultiLabelClassification`; label attention by default.
            loss: binary cross-entropy, with weighted positives, or asymmetric.
            pooling: as of `MultiLabelClassification`.
            window_pooling: likewise.
            describe_labels: start label attention from the codes' descriptions.
            per_label_thresholds: tune a threshold a code.
            shrinkage: how strongly those are drawn toward the global one.
            allow_implausible: take codes and ids that look like text and not like names.
            level: `"code"`, `"category"` or `"chapter"`, as far as the system has them, or
                `"top"`: what stands above all others by the file of `codes`.
            code_system: what the codes are of; `"any"` takes them as they are.
            codes: a TSV or CSV file with the columns `code`, `description` and `parent` (the last
                two if you have them). What it says of these codes is saved with the task.

        Raises:
            TaskError: notes that are not coded, no code at all, malformed codes, or codes or ids
                that look like text.
            ConfigError: an unknown system, a level that it lacks, or no table in the file.
            NoteError: faulty rows of the file.
            MissingExtraError: a system whose titles are an extra's, without it and without `codes`.
        """
        system = find_system(code_system)
        table = NO_TABLE if codes is None else read_codes(codes, system)
        system.check_level(level, top=bool(table.tops))
        records = cls._annotated(notes, allow_implausible=allow_implausible)
        _check_codes(records, system, listed=system.lists and codes is None)
        tops = table.tops if level == TOP else {}
        labels = cls._labels((c for n in records for c in _rolled(n, system, level, tops)), records)
        if head == "auto":
            head = "linear" if len(labels) < ATTENTION_FROM else "label_attention"
        return cls(
            labels=labels,
            head=head,
            loss=loss,
            pooling=pooling,
            window_pooling=window_pooling,
            describe_labels=describe_labels,
            per_label_thresholds=per_label_thresholds,
            shrinkage=shrinkage,
            n_train=len(records),
            level=level,
            code_system=code_system,
            titles=_titles(labels, system, table if codes is not None else None),
            tops=tops,
        )

    def own_labels(self, note: Note) -> tuple[str, ...]:
        """The note's codes in their one spelling and at the task's level, each once."""
        return _rolled(note, self._system, self.level, self.tops)

    def label_title(self, label: str) -> str | None:
        """What the file of codes, or the system's list, calls a code."""
        if label in self.titles:
            return self.titles[label]
        try:
            return self._system.describe(label)
        except (NoteError, MissingExtraError):
            return None

    def descriptions(self) -> list[str] | None:
        """The codes' titles, of one that has none the code; `None` where none has one."""
        titles = [self.label_title(code) for code in self.labels]
        named = zip(self.labels, titles, strict=True)
        return [title or code for code, title in named] if any(titles) else None

    def label_names(self) -> Mapping[str, Sequence[str]]:
        """The codes of the task's level and what the system's list calls them, title first."""
        return self._system.names(self.level)

    @property
    def _at_level(self) -> str:
        return f", at its level ({self.level})"

    @property
    def _system(self) -> CodeSystem:
        return find_system(self.code_system)


def _check_codes(notes: Sequence[Note], system: CodeSystem, *, listed: bool) -> None:
    """Refuse codes that are not the system's; say how many its list lacks, and what is odd."""
    given = [code for note in notes for code in note.codes or ()]
    wrong, hints = system.faults(given)
    if wrong:
        raise TaskError(
            f"diagnosis coding: {len(wrong)} of {len(given)} codes are no {system.title} codes "
            f"({system.shape}), in notes {shown_ids(_notes_of_rows(notes, wrong))}; correct them "
            "(where a cell holds several: separator=… when reading), or say what they are: "
            f"code_system=… (names of your own: MultiLabelClassification){hints}"
        )
    if said := system.doubt(given):
        logger.warning("diagnosis coding: %s", said)
    if not listed:
        return
    spelt = {system.normalise(code) for code in given}
    absent = sum(system.describe(code) is None for code in spelt)
    if absent:
        logger.warning(
            "diagnosis coding: %d of %d distinct codes are not in the %s tabular list; they are "
            "kept, without description%s",
            absent,
            len(spelt),
            system.title,
            OTHER_SYSTEM if absent > len(spelt) - absent else "",
        )


def _titles(labels: LabelSet, system: CodeSystem, table: CodeTable | None) -> dict[str, str]:
    """What a table says of the labels, or an extra that need not be there another time."""
    titles = {} if table is None else {n: table.titles[n] for n in labels if n in table.titles}
    if table is not None and table.titles and len(titles) < len(labels):
        logger.warning(
            "diagnosis coding: codes=… describes %d of the %d labels", len(titles), len(labels)
        )
    if table is None and system.extra is not None:
        titles = {name: title for name in labels if (title := system.describe(name))}
    return titles


def _rolled(note: Note, system: CodeSystem, level: str, tops: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return system.roll_up(note.codes or (), level, tops)
    except NoteError as error:
        raise TaskError(f"note {shown_id(note.note_id)!r}: {error}") from error


def _notes_of_rows(notes: Sequence[Note], rows: Sequence[int]) -> list[str]:
    owners = [note.note_id for note in notes for _ in note.codes or ()]
    return sorted({owners[row] for row in rows})
