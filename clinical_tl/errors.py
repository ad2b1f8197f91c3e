"""The package's one family of errors.

Every message says what was wrong, where (file, line, note id, offsets), what is
allowed and how to mend it. No message ever carries text from a note.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice


@contextmanager
def refusing(
    kind: type[ClinicalTLError], what: str, mend: str, *, own: bool = False
) -> Iterator[None]:
    """Turns every foreign error in the block into `kind`: "<what> (<its type>); <mend>".

    The foreign message is left out, since it may quote what was read. The package's own
    errors pass (but with `own`), and so do a want of memory or of an extra, which are not the
    input's fault.
    """
    try:
        yield
    except (MemoryError, MissingExtraError):
        raise
    except Exception as error:
        if isinstance(error, ClinicalTLError) and not own:
            raise
        raise kind(f"{what} ({type(error).__name__}); {mend}") from error


SHOWN_OF_A_KIND = 3
SHOWN_FAULTS = 20
LONGEST_SHOWN = 64
# In a name; "history_of_present_illness" has one too many, as has "John_Smith_HIV_positive".
MOST_WORDS = 3
MOST_PIECES = 6
LONGEST_WORD = 24
LONGEST_PART = 128
LONGEST_PATH = 1024

# Thai to Burmese, Khmer, kana, Han, Hangul: a few letters are a word, and no blank parts them.
_BLANKLESS = re.compile(
    "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]"
)
LETTERS_A_WORD = 2
_PIECE = re.compile(r"[^\W_]+")
# "familyHistory" has two words, "HIVPositive" too.
_WORD = re.compile(r"[^\W\d_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
CODE_SHARE = 0.25
_HUB_ID = re.compile(r"(?:hub:)?[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
_ENDING = re.compile(
    r"\.(?:ann|arrow|bin|bio|conll|csv|gz|html?|iob2|jsonl?|md|ndjson|np[yz]|onnx|parquet|pdf"
    r"|pubtator|safetensors|spacy|tsv|txt|xlsx|xml|ya?ml|zip)",
    re.IGNORECASE,
)


def shown_id(note_id: object, noun: str = "id") -> str:
    """A note id, a label, or another name, fit for a message.

    A wrongly mapped column puts whole notes into ids and labels, so anything that does not
    look like a name is described instead of shown: white space or what is not printable
    (terminal escapes, marks of direction, half a character), over 64 characters, more than
    three words however they are glued (`_`, `-`, `%20`, a capital inside; two letters are a
    word where a script has no blanks).

    >>> shown_id("visit-0042"), shown_id("Family_history")
    ('visit-0042', 'Family_history')
    >>> shown_id("Patient was seen for chest pain")
    '<id of 31 characters>'
    """
    name = str(note_id)
    return name if _is_name(name) else f"<{noun} of {len(name)} characters>"


def shown_ids(note_ids: Iterable[object], noun: str = "id", *, at_most: int = 5) -> str:
    """The first few names of several, fit for a message."""
    return str([shown_id(note_id, noun) for note_id in islice(note_ids, at_most)])


def shown_value(value: object) -> str:
    """A setting as it was given, fit for a message: text is described (`shown_id`)."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        items = ", ".join(map(shown_value, value))
        return f"[{items}]" if isinstance(value, list) else f"({items})"
    return repr(shown_id(value, "text"))


def shown_path(path: object) -> str:
    """A path, a file's name or a Hub id as it was given, fit for a message.

    A note's text that is given where a path belongs is described instead of shown: shown is
    what exists, what lies in a folder that exists, what has the ending of a file, a Hub id,
    and what is made of names (`shown_id`). Characters that are not printable are escaped.
    """
    given = os.fspath(path) if isinstance(path, os.PathLike) else path
    text = given if isinstance(given, str) else str(given)
    if _is_path(text):
        return printable(text)
    return f"<a text of {len(text):,} characters where a path belongs>"


def printable(text: str) -> str:
    """The text with everything but line breaks that is not printable written as an escape."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


def blankless_letters(text: str) -> int:
    """How many letters are of scripts that part no words by blanks: kana, Han, Thai and so on."""
    return len(_BLANKLESS.findall(text))


def _is_name(text: str) -> bool:
    if len(text) > LONGEST_SHOWN or any(c.isspace() or not c.isprintable() for c in text):
        return False
    n_words = count_words(text)
    return (
        n_words <= MOST_WORDS
        and (n_words <= 1 or len(_PIECE.findall(text)) <= MOST_PIECES)
        and all(len(word) <= LONGEST_WORD for word in _words_of(text))
        and not has_escapes(text)
    )


def count_words(text: str) -> int:
    """How many words a text has, however they are glued (`shown_id`); codes are none."""
    return len(_words_of(text)) + math.ceil(blankless_letters(text) / LETTERS_A_WORD)


def has_escapes(text: str) -> bool:
    """Whether it has characters as a URL writes them (`%20`), or some that are not printable."""
    return bool(_ESCAPED.search(text)) or not text.isprintable()


def _words_of(text: str) -> list[str]:
    pieces = _PIECE.findall(text)
    return [word for piece in pieces if not _is_code(piece) for word in _words(piece)]


def _is_code(piece: str) -> bool:
    """Whether it is a number or a code that has no words in it, such as `4f9a`, `R07`."""
    digits = sum(char.isdigit() for char in piece)
    return digits >= CODE_SHARE * len(piece) or (digits > 0 and bool(_HEX.fullmatch(piece)))


def _words(piece: str) -> list[str]:
    """Its runs of two letters or more in scripts that part words."""
    runs = _WORD.findall(_BLANKLESS.sub(" ", piece))
    return [word for run in runs for word in _HUMP.split(run) if len(word) > 1]


def _is_path(text: str) -> bool:
    parts = re.split(r"[/\\]", text)
    if len(text) > LONGEST_PATH or "\n" in text or any(len(part) > LONGEST_PART for part in parts):
        return False
    folder = os.path.dirname(text)  # noqa: PTH120  (of a text that need not be a path)
    is_inside = folder.strip(".~/\\") != "" and os.path.isdir(folder)  # noqa: PTH112
    return (
        os.path.exists(text)  # noqa: PTH110
        or is_inside
        or bool(_ENDING.search(parts[-1][-len(".safetensors") :]))
        or (bool(_HUB_ID.fullmatch(text)) and _is_name(parts[0]))
        or all(_is_name(part) for part in parts)
    )


class ClinicalTLError(Exception):
    """Base class: catch this to catch everything the package raises on purpose.

    Its message holds printable characters and line breaks only.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


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


class OutputError(ClinicalTLError, RuntimeError):
    """Something that can't be written: a full or read-only disk, a place that is taken."""


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
    """All faults of an input at once: 20 are shown, of one kind three, and all are counted.

    The list, whole unless there were thousands, is in `faults`; `total` is their number.
    """

    def __init__(
        self, source: str, faults: Sequence[Fault], mend: str, *, total: int | None = None
    ) -> None:
        self.faults = tuple(faults)
        self.total = len(self.faults) if total is None else total
        kinds = Counter[tuple[str, str]]()
        shown: list[str] = []
        for fault in self.faults:
            kind = (fault.found, fault.allowed)
            kinds[kind] += 1
            if kinds[kind] <= SHOWN_OF_A_KIND and len(shown) < SHOWN_FAULTS:
                shown.append(f"  {fault}")
        hidden = self.total - len(shown)
        if hidden:
            shown.append(f"  … and {hidden} more")
        noun = "fault" if self.total == 1 else "faults"
        super().__init__("\n".join([f"{source}: {self.total} {noun}", *shown, f"To mend: {mend}"]))
