"""The check for identifiers: dates, numbers, names, and stretches of the training notes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

from clinical_tl.data.codes.known_systems import SYSTEMS
from clinical_tl.data.codes.snomed import SNOMED
from clinical_tl.errors import NoteError
from clinical_tl.release.check import ReleaseCheck, Status
from clinical_tl.release.folder import Fragment, ReleaseFolder, fragments
from clinical_tl.release.known_words import WORDS_FILE
from clinical_tl.release.patterns import find_identifiers
from clinical_tl.saved.artifact import CARD_FILE
from clinical_tl.schema import Note

NAME = "identifiers"
SHARED_WORDS = 8
"""So many words in a row that also stand in a training note are a quotation."""
SHOWN = 12

# What its authors may well write into a card; a person should look at it.
_AUTHORS_MAY = {"date", "email", "URL"}
# Fields that hold notes or say whose they are; no file of a model has them.
_NOTE_FIELDS = {
    "text", "note_text", "note_id", "patient_id", "subject_id", "hadm_id", "stay_id", "mrn", "ssn",
}  # fmt: skip
# What a code may be made of.
_CODE = re.compile(r"[\w.]+")
_VERSION = re.compile(r"v?\d+(?:\.\d+)+\S*")
_WORD = re.compile(r"\w+")
_WORDS_AT_ONCE = 500

CountNames = Callable[[str], int]
Places = dict[tuple[str, str, str], int]
"""(file, place, kind) → count."""


def check_identifiers(folder: ReleaseFolder, train: Sequence[Note] | None) -> ReleaseCheck:
    """Scan every file: patterns, fields of notes, person names, quotations of training notes.

    Person names are looked for by a spaCy model where one is installed and only warn: to such
    a model Parkinson and Crohn are people. Quotations are looked for if the training notes are
    given. A tokenizer's vocabulary is the encoder's, which is public, and full of years and web
    addresses: only tokens that were added to it are read. Labels that are codes may look like
    record numbers (SNOMED CT's do).
    """
    count_names = person_counter()
    codes = _own_codes(folder)
    blocking: Places = {}
    warning: Places = {}
    texts: dict[str, list[Fragment]] = {}
    for file in folder.files:
        shown = folder.shown(file)
        if shown != file.relative_to(folder.path).as_posix():
            blocking[(shown, "name", "identifier")] = 1
        if file.is_symlink():
            continue
        texts[shown] = list(fragments(file))
        for fragment in texts[shown]:
            for kind, n in _kinds(fragment, count_names, codes).items():
                lenient = kind in ("person name", "home folder") or (
                    _is_card(file, folder) and kind in _AUTHORS_MAY
                )
                places = warning if lenient else blocking
                key = (shown, fragment.place, kind)
                places[key] = places.get(key, 0) + n
        if file.name == WORDS_FILE and count_names is not None:
            named = sum(map(count_names, _written_as_names(texts[shown])))
            if named:
                warning[(shown, "words", "person name")] = named
    blocking |= _quotations(texts, train or ())
    notes = []
    if count_names is None:
        notes.append("person names were not looked for: no spaCy model is installed")
    if train is None:
        notes.append("quotations were not looked for: no training notes were given")
    found = blocking or warning
    says = f"{_listed(found)}" if found else f"none in {len(texts)} files"
    clean: Status = "partial" if notes else "pass"
    status: Status = "block" if blocking else "warn" if warning else clean
    return ReleaseCheck(NAME, status, "; ".join([says, *notes]))


def person_counter() -> CountNames | None:
    """Counts person names in a text by an installed spaCy model; `None` where there is none."""
    # Asking the packages themselves spares the import of spaCy where there is no model.
    installed = sorted(entry.name for entry in entry_points(group="spacy_models"))
    if not installed:
        return None
    import spacy

    for name in installed:
        pipeline = spacy.load(name)
        if pipeline.has_pipe("ner") or pipeline.has_pipe("entity_ruler"):
            return lambda text: sum(e.label_ in ("PERSON", "PER") for e in pipeline(text).ents)
    return None


def _own_codes(folder: ReleaseFolder) -> frozenset[str]:
    """The task's labels, where they can't be numbers of patients that were mapped by mistake.

    Of SNOMED CT each has its check digit; most codes of other systems have letters.
    """
    task = folder.description.get("task", {})
    system = SYSTEMS.get(task.get("code_system", ""))
    if system is None:
        return frozenset()
    names = task["labels"]["names"]
    if system is not SNOMED and 2 * sum(any(map(str.isalpha, name)) for name in names) < len(names):
        return frozenset()
    spelt = set()
    for name in (*names, *task.get("tops", ())):
        with suppress(NoteError):
            spelt.add(system.normalise(name))
    return frozenset(spelt)


def _kinds(
    fragment: Fragment, count_names: CountNames | None, codes: frozenset[str]
) -> Counter[str]:
    if fragment.key.endswith("version") and _VERSION.fullmatch(fragment.text):
        return Counter()
    text = fragment.text
    if codes:
        text = _CODE.sub(lambda word: "" if word[0] in codes else word[0], text)
    kinds = find_identifiers(text)
    if fragment.key == "<key>" and fragment.text.casefold() in _NOTE_FIELDS:
        kinds["field of notes"] += 1
    # A name has a capital and a letter that is none; this spares the model most of the work.
    if count_names is not None and re.search(r"[A-Z][a-z]", fragment.text):
        n = count_names(fragment.text)
        if n:
            kinds["person name"] += n
    return kinds


def _written_as_names(pieces: Sequence[Fragment]) -> Iterator[str]:
    """Words that were saved in lower case with capitals, without which none is taken for a name."""
    words = [piece.text.title() for piece in pieces if piece.text.isalpha()]
    for start in range(0, len(words), _WORDS_AT_ONCE):
        yield ", ".join(words[start : start + _WORDS_AT_ONCE])


def _is_card(file: Path, folder: ReleaseFolder) -> bool:
    return file == folder.path / CARD_FILE


def _quotations(texts: dict[str, list[Fragment]], train: Sequence[Note]) -> Places:
    """Runs of `SHARED_WORDS` words that a file shares with a training note, by their start.

    A file's pieces are read as one text, so that a note cut into lines or words is found too.
    """
    if not train:
        return {}
    starts: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for file, pieces in texts.items():
        words = [(word, p.place) for p in pieces for word in _words(p.text)]
        for i in range(len(words) - SHARED_WORDS + 1):
            run = tuple(word for word, _ in words[i : i + SHARED_WORDS])
            starts.setdefault(run, []).append((file, words[i][1]))
    found: set[tuple[str, ...]] = set()
    for note in train:
        own = _words(note.text)
        found.update(
            run
            for i in range(len(own) - SHARED_WORDS + 1)
            if (run := tuple(own[i : i + SHARED_WORDS])) in starts
        )
    places: Counter[tuple[str, str, str]] = Counter()
    kind = f"run of {SHARED_WORDS} words of a training note"
    # In the order of the files, not of a set.
    for run, spots in starts.items():
        if run in found:
            places.update((file, place, kind) for file, place in spots)
    return dict(places)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _listed(places: Places) -> str:
    total = sum(places.values())
    shown = [
        f"{file}, {place}: {kind} ×{n}" for (file, place, kind), n in list(places.items())[:SHOWN]
    ]
    if len(places) > SHOWN:
        shown.append(f"… and {len(places) - SHOWN} more places")
    return f"{total} found ({'; '.join(shown)})"
