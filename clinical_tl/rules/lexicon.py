"""Rules from a lexicon: a table of names and the concepts they stand for."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from clinical_tl.data.formats.files import numbered_lines
from clinical_tl.data.formats.problems import NOT_UTF8, Faults, Place, is_encodable
from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_ids, shown_path
from clinical_tl.rules.measures import lowered
from clinical_tl.rules.pruning import check_settings, prune
from clinical_tl.rules.rule import Rule, is_abbreviation
from clinical_tl.rules.rule_set import RuleSet
from clinical_tl.schema import Note
from clinical_tl.storage.paths import as_path

# Function words, and everyday words that terminologies list as names or acronyms of disorders.
_WORDS = """
    a about above after again against all almost also although always am among an and another any
    are as at back be became because become been before behind being below beside besides best
    better between beyond big both but by call can cannot case cases class clear come common could
    day days did do does done down due during each early eight either eleven else end enough even
    ever every except face far fast feel few fifth find first five for found four fourth from full
    further get give go good group half had hand has have he hence her here hers herself high him
    himself his how however hundred if in indeed into is it its itself just keep kind last late
    later least left less life like line little long look low made main make man many may me mean
    men met might mild mine moderate more moreover most move much must my myself name near need
    neither never new next night nine no nobody none nor not nothing now number of off often old on
    once one only onto open or other others otherwise our ours out over own part past patient
    patients per perhaps place please point positive negative present put quite rather real really
    right role said same second see seem seen set seven several severe she short should show side
    since single six small so some something sometimes soon still stop such system take ten test
    than that the their theirs them then there these they thing third this those though three
    through thus to together too top total toward true turn twelve twenty two type under unit until
    up upon us use used various very via was way we week weeks well were what when where whether
    which while white who whole whom whose why will with within without woman women word work would
    year years yet you young your yours
    air aim aims arm art ask bad bar bed bite cat cold control crack dim drug drop fall falls fat
    fit fits flat gas heat hit hot ice impact iris large light map march mass mole pet pit plan
    pop post rage red rest sad sand seal sign signs spots tag tan tense tip touch trap
    water wind
"""
COMMON_WORDS = frozenset(_WORDS.split())


logger = logging.getLogger(__name__)


def from_lexicon(
    tsv: str | os.PathLike[str],
    *,
    name_column: int | str = 0,
    id_column: int | str = 1,
    label: str = "Concept",
    min_length: int = 4,
    tune_on: NotesLike | None = None,
    min_precision: float = 0.5,
    min_support: int = 1,
    origin: str | None = None,
) -> RuleSet:
    """Compile a table of names into one rule a name.

    Names that differ in case and white space alone are one; it carries all their ids, and
    heeds case if all forms are abbreviations (`rule.is_abbreviation`). What becomes no rule is
    counted in `RuleSet.pruned` and logged: *repeated* (further lines of a name), *no letter*
    (numbers and punctuation), *short* (fewer than `min_length` characters, abbreviations among
    them), *common word* (a single one of `common_words.COMMON_WORDS`, with or without numbers).
    With `tune_on` also *imprecise*: names that fire there at least `min_support` times and are
    gold mentions in less than `min_precision` of them (see `pruning`). Names that never fire
    there are kept, without a precision: a lexicon is there for what the notes have not shown.

    Pruning buys precision with recall. Of rules that stand alone only those whose precision is
    below half of the F1 they reach together cost F1 (Lipton et al. 2014, arXiv 1402.1892),
    so 0.5 is a matter of taste and not of F1.

    Args:
        tsv: tab-separated text (gunzipped if it ends in `.gz`), one name and one id a line;
            further columns are left out.
        name_column: its number from 0, or its name in the first line.
        id_column: likewise.
        label: what the rules mark a name as.
        min_length: in characters, at least 1.
        tune_on: source notes whose spans are annotated, with `label` among their labels.
        min_precision: in [0, 1].
        min_support: at least 1.
        origin: where the rules say they come from; by default the file's name.

    Raises:
        ConfigError: settings outside what is allowed, columns that the first line lacks,
            `tune_on` without a mention of `label`.
        FaultyNotesError: lines with too few columns, without a name or not UTF-8; all of them
            are told.
        NoteError: no such file.
        TaskError: `tune_on` has no notes, or some whose spans are not annotated.
    """
    check_settings(min_precision, min_support)
    path = as_path(tsv)
    _check(path, min_length, (name_column, id_column))
    source = origin or path.name
    names: dict[tuple[str, ...], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    pruned = Counter[str]()
    for name, concept in _rows(path, name_column, id_column):
        forms, concepts = names[lowered(name)]
        pruned["repeated"] += bool(forms)
        forms.add(name)
        if concept:
            concepts.add(concept)
    rules: list[Rule] = []
    for key, (forms, concepts) in names.items():
        reason = reason_to_prune(key, min(forms), min_length)
        if reason:
            pruned[reason] += 1
            continue
        rules.append(
            Rule(
                f"{source}:{len(rules) + 1}",
                min(forms),
                label,
                source,
                concepts=tuple(sorted(concepts)),
                match_case=is_abbreviation(forms),
            )
        )
    if tune_on is not None:
        _check_label(as_notes(tune_on), label)
        rules, pruned["imprecise"] = prune(
            rules, as_notes(tune_on), min_precision=min_precision, min_support=min_support
        )
    counts = {reason: n for reason, n in sorted(pruned.items()) if n}
    if names and not rules:
        logger.warning(
            "%s: none of its %d names becomes a rule (%s); look at which column holds the names "
            "(name_column, id_column)",
            source,
            len(names),
            counts,
        )
    logger.info("%s: %d rules; pruned: %s", source, len(rules), counts)
    return RuleSet(tuple(rules), counts)


def reason_to_prune(key: tuple[str, ...], name: str, min_length: int) -> str | None:
    """Why a name, with its units in lower case, is no good as a rule; `None` if it is."""
    words = [unit for unit in key if any(map(str.isalpha, unit))]
    if not words:
        return "no letter"
    if len(name) < min_length:
        return "short"
    # Several common words together are a name again: low back pain.
    if len(words) == 1 and words[0] in COMMON_WORDS:
        return "common word"
    return None


def _rows(path: Path, name_column: int | str, id_column: int | str) -> Iterator[tuple[str, str]]:
    """The name and the id of every line, white space made single blanks."""
    faults = Faults(path.name)
    columns: tuple[int, int] | None = None
    if isinstance(name_column, int) and isinstance(id_column, int):
        columns = (name_column, id_column)
    for number, line in numbered_lines(path):
        cells = line.split("\t")
        if columns is None:
            columns = (
                _column(name_column, cells, path.name),
                _column(id_column, cells, path.name),
            )
            continue
        if not line.strip(" \r"):
            continue
        place = Place(path.name, number)
        if not is_encodable(line):
            faults.add(place, "bytes that are not UTF-8", NOT_UTF8)
        elif len(cells) <= max(columns):
            faults.add(
                place, f"{len(cells)} columns", f"at least {max(columns) + 1}, tab-separated"
            )
        elif not (name := " ".join(cells[columns[0]].split())):
            faults.add(place, "a blank name", "a name in every line")
        else:
            yield name, cells[columns[1]].strip()
    if len(faults):
        raise faults.error("one name and its id a line, with a tab between them")


def _column(column: int | str, header: Sequence[str], file: str) -> int:
    if isinstance(column, int):
        return column
    if column not in header:
        raise ConfigError(
            f"{file}:1: no column is named {shown_id(column, 'column')!r} among the {len(header)} "
            "of the first line; name one of them, or give the column's number from 0"
        )
    return header.index(column)


def _check(path: Path, min_length: int, columns: tuple[int | str, int | str]) -> None:
    if min_length < 1 or any(isinstance(column, int) and column < 0 for column in columns):
        raise ConfigError(
            f"min_length is {min_length} and the columns {columns}; allowed: 1 or more, and "
            "numbers from 0 or names"
        )
    if not path.is_file():
        raise NoteError(
            f"{shown_path(path.name)}: no such file; give a lexicon as tab-separated text"
        )


def _check_label(notes: Sequence[Note], label: str) -> None:
    labels = sorted({span.label for note in notes for span in note.spans or ()})
    if labels and label not in labels:
        raise ConfigError(
            f"label is {shown_id(label, 'label')!r}, which no mention of tune_on has, so every "
            f"rule that fires would be pruned; choose one of {shown_ids(labels, 'label')}"
        )
