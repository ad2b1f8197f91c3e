"""`CodeSystem`: how the codes of one system are written, what they mean, what stands above them.

A system is one module of this folder that declares itself, and a line in `known_systems`. Codes
are never shown: a wrongly mapped column would put a whole note there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from clinical_tl.errors import ConfigError, NoteError, shown_value

Level = Literal["code", "category", "chapter", "top"]
TOP = "top"
CATEGORY = 3
"""Characters of a category in ICD-10 and what is made from it."""


def _nothing(codes: Sequence[str]) -> tuple[int, ...]:
    del codes
    return ()


def _nowhere(code: str) -> str | None:
    del code
    return None


def _nameless(level: str) -> Mapping[str, Sequence[str]]:
    del level
    return {}


def _no_doubt(codes: Sequence[str]) -> str:
    del codes
    return ""


@dataclass(frozen=True)
class CodeSystem:
    """One system of codes.

    Attributes:
        name: what settings call it.
        title: what sentences call it; empty where nothing is said of what codes are.
        shape: what a code looks like, in words.
        normalise: a code in any spelling → its one spelling. Raises `NoteError`.
        levels: coarser level → the function from a code, or from what it gives, to its name there.
        describe: a code's title, `None` where nothing says it. Raises `MissingExtraError` without
            `extra`.
        names: level → every code there, and what the list calls it, title first; empty without one.
        lists: whether `describe` knows all codes of the system.
        extra: the extra that brings its list, where it is not in the package's requirements.
        foreign: the positions of codes that are well-formed and another system's.
        hints: what wrong codes may be (a pattern of upper-case codes), and how that is mended.
        doubt: what is odd about all codes together though each may be right, in words.
    """

    name: str
    title: str
    shape: str
    normalise: Callable[[str], str]
    levels: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    describe: Callable[[str], str | None] = _nowhere
    names: Callable[[str], Mapping[str, Sequence[str]]] = _nameless
    lists: bool = False
    extra: str | None = None
    foreign: Callable[[Sequence[str]], Iterable[int]] = _nothing
    hints: tuple[tuple[re.Pattern[str], str], ...] = ()
    doubt: Callable[[Sequence[str]], str] = _no_doubt

    def check_level(self, level: str, *, top: bool = False) -> None:
        """Raise `ConfigError` for a level that the system has not.

        `top`: whether a file of codes says what stands above them.
        """
        known = ["code", *self.levels, *([TOP] if top else [])]
        if level not in known:
            mend = "" if top else "; level='top' needs codes=… that names parents"
            raise ConfigError(
                f"level {shown_value(level)} is not among those of "
                f"code_system={self.name!r}; allowed: {', '.join(known)}{mend}"
            )

    def roll_up(
        self, codes: Iterable[str], level: str = "code", tops: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """The codes at a level, each once, in order of first appearance.

        What is at that level already stays. `tops` (a code in its one spelling → what stands
        above all others) is for the level `top`; codes that it lacks stay, too.

        Raises `NoteError` for a malformed code.
        """
        if level == TOP:
            rolled = [self._top(code, tops or {}) for code in codes]
        else:
            at_level = self.normalise if level == "code" else self.levels[level]
            rolled = [at_level(code) for code in codes]
        return tuple(dict.fromkeys(rolled))

    def _top(self, code: str, tops: Mapping[str, str]) -> str:
        own = code.strip()
        if own not in tops:
            own = self.normalise(code)
        return tops.get(own, own)

    def faults(self, codes: Sequence[str]) -> tuple[tuple[int, ...], str]:
        """The positions of what is no code of the system, and what it may be, for a message."""
        wrong = set(self.foreign(codes))
        for position, code in enumerate(codes):
            try:
                self.normalise(code)
            except NoteError:
                wrong.add(position)
        found = [codes[i].strip().upper() for i in wrong if isinstance(codes[i], str)]
        counts = [(sum(bool(p.fullmatch(code)) for code in found), hint) for p, hint in self.hints]
        said = "".join(f". Of {n} of them: {hint}" for n, hint in counts if n)
        return tuple(sorted(wrong)), said


def spelt(code: object, pattern: re.Pattern[str], title: str, shape: str) -> re.Match[str]:
    """How a code, without outer blanks and in capitals, matches its system's pattern.

    Raises `NoteError`, which carries the code's length only.
    """
    if not isinstance(code, str):
        raise NoteError(
            f"a code must be a string, got {type(code).__name__}; read the code column as text"
        )
    match = pattern.fullmatch(code.strip().upper())
    if match is None:
        raise NoteError(
            f"a string of {len(code)} characters is no {title} code; allowed: {shape}; check "
            "which column holds the codes"
        )
    return match


def dotted(stem: str, rest: str | None) -> str:
    """A code with its dot."""
    return f"{stem}.{rest}" if rest else stem


def names_at(
    level: str, own: Mapping[str, Sequence[str]], longest: int
) -> Mapping[str, Sequence[str]]:
    """The names of the codes of a level, title first, from those of all codes.

    A category, three characters, also goes by the names of its codes of up to `longest`. Other
    levels have none.
    """
    if level == "code":
        return {code: tuple(dict.fromkeys(names)) for code, names in own.items()}
    if level != "category":
        return {}
    found = {code: list(names) for code, names in own.items() if len(code) == CATEGORY}
    for code, names in own.items():
        if code[:CATEGORY] in found and CATEGORY < len(code) <= longest:
            found[code[:CATEGORY]] += names
    return {code: tuple(dict.fromkeys(names)) for code, names in found.items()}
