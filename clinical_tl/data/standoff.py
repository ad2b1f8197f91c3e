"""The lines of one BRAT `.ann` file, parsed but not yet put together."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.streams import numbered_lines
from clinical_tl.discreet import Discreet

# What stands before a concept id that names no terminology: BRAT wants TERMINOLOGY:ID.
NO_TERMINOLOGY = "concept:"

OFFSETS = re.compile(r"[0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*")


@dataclass(frozen=True, eq=False, repr=False)
class StandoffMention(Discreet):
    """A `T` line: offsets in the order of the file, and the mention as the file quotes it."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"quoted"})

    line: int
    id: str
    label: str
    pieces: tuple[tuple[int, int], ...]
    quoted: str


@dataclass(eq=False, repr=False)
class Standoff(Discreet):
    """An `.ann` file's lines by kind; references are ids of mentions or events.

    Attributes:
        mentions: id → `T` line, in the order of the file.
        triggers: event id → id of its trigger.
        trigger_lines: (line, id of the trigger) of every event.
        attributes: (line, reference, name, value).
        concepts: (line, reference, concept).
        relations: (line, head, tail, label), arguments of events among them.
    """

    mentions: dict[str, StandoffMention] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    trigger_lines: list[tuple[int, str]] = field(default_factory=list)
    attributes: list[tuple[int, str, str, str]] = field(default_factory=list)
    concepts: list[tuple[int, str, str]] = field(default_factory=list)
    relations: list[tuple[int, str, str, str]] = field(default_factory=list)


class _BrokenLineError(Exception):
    pass


def read_standoff(path: Path, place: Place, faults: Faults) -> Standoff:
    """Parses an `.ann` file; lines may come in any order. What is wrong goes to `faults`."""
    standoff = Standoff()
    for number, line in numbered_lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        known = PARSERS.get(line[0])
        if known is None:
            allowed = "lines that begin with T, E, R, A, M, N, * or #"
            faults.add(place.at(number), "a line of an unknown kind", allowed)
            continue
        parse, shape = known
        try:
            parse(standoff, number, cells)
        except _BrokenLineError as error:
            faults.add(place.at(number), str(error), shape)
        except (ValueError, IndexError):
            faults.add(place.at(number), f"a broken {line[0]} line", shape)
    return standoff


def _mention(standoff: Standoff, line: int, cells: list[str]) -> None:
    mention_id, head, quoted = cells[0], cells[1], "\t".join(cells[2:])
    label, offsets = head.split(" ", 1)
    if not OFFSETS.fullmatch(offsets) or len(cells) < 3:
        raise ValueError
    _require_new(mention_id, standoff)
    pairs = (piece.split(" ") for piece in offsets.split(";"))
    pieces = tuple((int(start), int(end)) for start, end in pairs)
    standoff.mentions[mention_id] = StandoffMention(line, mention_id, label, pieces, quoted)


def _event(standoff: Standoff, line: int, cells: list[str]) -> None:
    _require_new(cells[0], standoff)
    roles = [part.split(":", 1) for part in cells[1].split()]
    (_, trigger), *arguments = [(role, reference) for role, reference in roles]
    standoff.triggers[cells[0]] = trigger
    standoff.trigger_lines.append((line, trigger))
    standoff.relations += [(line, trigger, reference, role) for role, reference in arguments]


def _require_new(own_id: str, standoff: Standoff) -> None:
    if own_id in standoff.mentions or own_id in standoff.triggers:
        message = "an id that an earlier line has"
        raise _BrokenLineError(message)


def _relation(standoff: Standoff, line: int, cells: list[str]) -> None:
    label, first, second = cells[1].split()
    head, tail = first.split(":", 1)[1], second.split(":", 1)[1]
    standoff.relations.append((line, head, tail, label))


def _equivalence(standoff: Standoff, line: int, cells: list[str]) -> None:
    label, first, *others = cells[1].split()
    standoff.relations += [(line, first, other, label) for other in others]


def _attribute(standoff: Standoff, line: int, cells: list[str]) -> None:
    name, reference, *value = cells[1].rstrip().split(" ", 2)
    standoff.attributes.append((line, reference, name, value[0] if value else "true"))


def _concept(standoff: Standoff, line: int, cells: list[str]) -> None:
    _, reference, concept = cells[1].split()
    standoff.concepts.append((line, reference, concept.removeprefix(NO_TERMINOLOGY)))


Parser = Callable[[Standoff, int, list[str]], None]

PARSERS: dict[str, tuple[Parser, str]] = {
    "T": (_mention, "T1<tab>Label start end[;start end]<tab>mention, every id once"),
    "E": (_event, "E1<tab>Type:T1[ Role:T2 …], every id once"),
    "R": (_relation, "R1<tab>Label Arg1:T1 Arg2:T2"),
    "*": (_equivalence, "*<tab>Equiv T1 T2 …"),
    "A": (_attribute, "A1<tab>Name T1[ value]"),
    "M": (_attribute, "M1<tab>Name T1[ value]"),
    "N": (_concept, "N1<tab>Reference T1 TERMINOLOGY:ID<tab>name"),
}
