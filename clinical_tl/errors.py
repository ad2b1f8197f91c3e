"""The package's one family of errors.

Every message says what was wrong, where (file, line, note id, offsets), what is
allowed and how to mend it. No message ever carries text from a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

SHOWN_FAULTS = 20
LONGEST_SHOWN = 64


def shown_id(note_id: str, noun: str = "id") -> str:
    """A note id, or another name, fit for a message.

    A wrongly mapped column puts whole notes into ids and labels, so anything that does not
    look like a name (white space, over 64 characters) is described instead of shown.
    """
    if len(note_id) > LONGEST_SHOWN or any(c.isspace() for c in note_id):
        return f"<{noun} of {len(note_id)} characters>"
    return note_id


def shown_ids(note_ids: Iterable[str], noun: str = "id", *, at_most: int = 5) -> str:
    """The first few names of several, fit for a message."""
    return str([shown_id(note_id, noun) for note_id in islice(note_ids, at_most)])


class ClinicalTLError(Exception):
    """Base class: catch this to catch everything the package raises on purpose."""


class NoteError(ClinicalTLError, ValueError):
    """Notes that break the schema: ids, offsets, labels, splits."""


class TaskError(ClinicalTLError, ValueError):
    """Targets that a task can't be trained on or scored against."""


class ConfigError(ClinicalTLError, ValueError):
    """Settings that are unknown, of the wrong type or that contradict one another."""


class EncoderError(ClinicalTLError, ValueError):
    """A pretrained encoder that can't be found, verified or adapted."""


class TrainingError(ClinicalTLError, RuntimeError):
    """Training that can't go on (a loss that is not a number, an empty train set)."""


class ArtifactError(ClinicalTLError, ValueError):
    """A saved folder that is corrupted, truncated or from an incompatible version."""


class HubError(ClinicalTLError, RuntimeError):
    """A push to or a pull from the Hub that failed: network, login, rights, conflicts."""


class ReleaseError(ClinicalTLError, RuntimeError):
    """A folder that the release gate holds back; says which checks block, and why."""


class MissingExtraError(ClinicalTLError, ImportError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'clinical-tl[{extra}]'"
        )


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input.

    `where` is a place a person can go to (`file:line`, note id, offsets), `found` says what
    is there (types, lengths, counts; never note text), `allowed` what would be right.
    """

    where: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; allowed: {self.allowed}"


class FaultyNotesError(NoteError):
    """All faults of an input at once: the first 20 are shown, all are counted.

    The complete list is in `faults`.
    """

    def __init__(self, source: str, faults: Sequence[Fault], mend: str) -> None:
        self.faults = tuple(faults)
        shown = [f"  {fault}" for fault in self.faults[:SHOWN_FAULTS]]
        hidden = len(self.faults) - len(shown)
        if hidden:
            shown.append(f"  … and {hidden} more")
        noun = "fault" if len(self.faults) == 1 else "faults"
        super().__init__(
            "\n".join([f"{source}: {len(self.faults)} {noun}", *shown, f"To mend: {mend}"])
        )
