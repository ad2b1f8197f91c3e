"""Rules that are used together, and their file: JSON lines, one rule a line."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clinical_tl.data.formats.files import numbered_lines
from clinical_tl.data.formats.problems import NOT_UTF8, Faults, Place, is_encodable
from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import NoteError, shown_path
from clinical_tl.rules.rule import Rule
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replace_text

_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "pattern": (str,),
    "label": (str,),
    "origin": (str,),
    "concepts": (list,),
    "match_case": (bool,),
    "support": (int,),
    "precision": (float, int, type(None)),
}
_NEEDED = ("id", "pattern", "label", "origin")


@dataclass(frozen=True, eq=False, repr=False)
class RuleSet(Discreet):
    """Rules in a fixed order; `pruned` counts what of the source became no rule, by reason.

    Raises `NoteError` if two rules share an id.

    >>> ours = RuleSet((Rule("ours:1", "chest pain", "Problem", "ours"),))
    >>> theirs = RuleSet((Rule("theirs:1", "aspirin", "Drug", "theirs", support=9, precision=1.0),))
    >>> both = ours.merged(theirs)
    >>> both
    RuleSet(rules=<2>, pruned=<0>)
    >>> both.summary()
    {'rules': 2, 'without support': 1}
    """

    rules: tuple[Rule, ...]
    pruned: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        twice = sum(n > 1 for n in Counter(rule.id for rule in self.rules).values())
        if twice:
            raise NoteError(
                f"{twice} rule ids occur more than once; allowed: every id once. Sets to be "
                "merged must be compiled with different origins (origin=…)"
            )

    def __len__(self) -> int:
        return len(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def merged(self, *others: RuleSet) -> RuleSet:
        """The rules of all sets, in order; what was pruned is added up.

        Where rules of several sets find the same stretch of text, the matcher decides.
        """
        sets = (self, *others)
        pruned = Counter[str]()
        for rules in sets:
            pruned.update(rules.pruned)
        return RuleSet(tuple(rule for rules in sets for rule in rules), dict(pruned))

    def tuned(
        self,
        notes: NotesLike,
        *,
        min_precision: float = 0.5,
        min_support: int = 1,
    ) -> RuleSet:
        """The rules that hold on annotated notes, with what they reached there (see `pruning`).

        Of a merged set this judges the rules as they are used, side by side: a lexicon's
        "cancer" need not answer for a "breast cancer" that the annotations' rules take.

        Raises:
            ConfigError: settings outside what is allowed.
            TaskError: no notes, or notes whose spans are not annotated.
        """
        from clinical_tl.rules.pruning import prune

        kept, fallen = prune(
            self.rules, as_notes(notes), min_precision=min_precision, min_support=min_support
        )
        pruned = Counter(self.pruned)
        pruned["imprecise"] += fallen
        return RuleSet(tuple(kept), {reason: n for reason, n in sorted(pruned.items()) if n})

    def summary(self) -> dict[str, int]:
        """How many rules there are, how many of them never fired, and what was pruned."""
        silent = sum(not rule.support for rule in self.rules)
        return {"rules": len(self.rules), "without support": silent, **self.pruned}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one JSON object a rule; the file appears only when it is complete.

        The patterns are strings of the source: of annotated notes that are confidential, so is
        this file.
        """
        target = as_path(path)
        lines = (json.dumps(asdict(rule), ensure_ascii=False) + "\n" for rule in self.rules)
        return replace_text(target, "".join(lines))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RuleSet:
        """Read what `save` wrote, or a person edited; blank lines are passed over.

        Raises:
            FaultyNotesError: lines that are no rule; all of them are told.
            NoteError: no such file, or two rules with the same id.
        """
        source = as_path(path)
        if not source.is_file():
            raise NoteError(
                f"{shown_path(source.name)}: no such file of rules; RuleSet.save() writes one"
            )
        faults, rules = Faults(source.name), list[Rule]()
        for number, line in numbered_lines(source):
            if line.strip():
                rules.extend(_read_rule(line, Place(source.name, number), faults))
        if len(faults):
            raise faults.error("one rule a line as RuleSet.save() writes it")
        return cls(tuple(rules))


def _read_rule(line: str, place: Place, faults: Faults) -> Iterator[Rule]:
    if not is_encodable(line):
        faults.add(place, "bytes that are not UTF-8", NOT_UTF8)
        return
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        faults.add(place, "no JSON", "one JSON object a line")
        return
    problems = list(_problems(record))
    for found, allowed in problems:
        faults.add(place, found, allowed)
    if problems:
        return
    record["concepts"] = tuple(record.get("concepts", ()))
    try:
        yield Rule(**record)
    except NoteError as error:
        faults.add(place, str(error), "a rule as RuleSet.save() writes it")


def _problems(record: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  (whatever JSON holds)
    if not isinstance(record, dict):
        yield f"a JSON {type(record).__name__}", "one JSON object a line"
        return
    missing = [name for name in _NEEDED if name not in record]
    if missing:
        yield f"no {', '.join(missing)}", f"at least {', '.join(_NEEDED)}"
    unknown = len(record.keys() - _TYPES.keys())
    if unknown:
        yield f"{unknown} unknown keys", ", ".join(_TYPES)
    for name, types in _TYPES.items():
        if name in record and type(record[name]) not in types:
            yield (
                f"{name} is of type {type(record[name]).__name__}",
                " or ".join(kind.__name__ for kind in types),
            )
    concepts = record.get("concepts", [])
    if isinstance(concepts, list) and not all(isinstance(concept, str) for concept in concepts):
        yield "a concept that is no string", "a list of strings"
