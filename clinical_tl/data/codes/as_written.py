"""`any`: codes of whatever system, as they are but for outer blanks."""

from __future__ import annotations

import re

from clinical_tl.data.codes.code_system import CodeSystem, spelt

SHAPE = "a code that is not blank"

_SOMETHING = re.compile(r".*\S.*", re.DOTALL)


def normalise(code: str) -> str:
    """The code without outer blanks. Raises `NoteError` for one that is blank."""
    spelt(code, _SOMETHING, "", SHAPE)
    return code.strip()


ANY = CodeSystem("any", "", SHAPE, normalise)
