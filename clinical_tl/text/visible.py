"""Whether a text says anything: one rule for every way to read notes, whatever the tokenizer."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from clinical_tl.errors import NoteError, shown_ids

if TYPE_CHECKING:
    from clinical_tl.schema import Note
    from clinical_tl.text.tokenizer import TokenisedNote

logger = logging.getLogger(__name__)

# Letters and signs by their category, blank by their looks: fillers of Hangul, empty Braille, and
# what stands for an object that the text lost.
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffc")
# White space, control and format characters (zero-width spaces, byte order marks, soft hyphens),
# and marks that stand on no letter.
_NOTHING = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"})


def has_text(text: str) -> bool:
    """Whether a text has a visible character; `str.strip` sees one in a zero-width space."""
    return any(
        character not in _FILLERS and unicodedata.category(character) not in _NOTHING
        for character in text
    )


def can_be_read(text: str, tokens: TokenisedNote) -> bool:
    """Whether a text says anything, and its tokenizer keeps some of it."""
    return bool((tokens.ends > tokens.starts).any()) and has_text(text)


def written_notes(notes: Sequence[Note]) -> list[Note]:
    """The training notes that something can be learned from; how many can't is logged.

    Raises `NoteError` where none can.
    """
    written = [note for note in notes if has_text(note.text)]
    if not written:
        raise NoteError(
            f"none of the {len(notes)} training notes has any visible text; give notes with some"
        )
    if len(written) < len(notes):
        logger.warning(
            "%d of %d training notes have no visible text; nothing is learned from them",
            len(notes) - len(written),
            len(notes),
        )
    return written


def tell_unread(notes: Iterable[Note]) -> None:
    """Warn, once for all, of notes of which nothing was read."""
    ids = list(dict.fromkeys(note.note_id for note in notes))
    if ids:
        logger.warning(
            "%d notes have nothing to read (blank, or of characters that the tokenizer drops), "
            "e.g. %s: they get no label, code, mention or relation, and the labels' shares in "
            "training as scores",
            len(ids),
            shown_ids(ids),
        )
