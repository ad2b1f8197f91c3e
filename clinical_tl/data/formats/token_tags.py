"""Tokens and their tags in one record, as datasets for token classification hold them.

On the Hub these are `tokens` and `ner_tags`, the tags as numbers whose names the dataset
declares (`ClassLabel`). The text is rebuilt as that of CoNLL files is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import PurePosixPath

from clinical_tl.data.formats.cells import printed_list
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import stem
from clinical_tl.data.formats.problems import Place, UnreadableError
from clinical_tl.data.formats.tag_schemes import OUTSIDE, SCHEMES, Scheme, SeenTags, Tagging
from clinical_tl.data.formats.token_line import token_line
from clinical_tl.errors import ConfigError, shown_id, shown_value

_PREFIXES = frozenset("BIOLUES")


def tag_layout(
    layout: Layout,
    scheme: Scheme | None,
    tag_names: Sequence[str] | None,
    tag_lists: Iterable[object] = (),
    mention_label: str | None = None,
) -> Layout:
    """The layout with what is to be known of tags before the first record is read.

    Args:
        layout: which column holds which field.
        scheme: the tags' scheme; by default the one that their spellings tell (`seen_tagging`).
        tag_names: what tags are called that are numbers.
        tag_lists: the tags of all texts, looked through where there are no names.
        mention_label: the label of all mentions, where tags are marks alone (`B`, `I`, `O`).

    Raises:
        ConfigError: an unknown scheme, or names that are no list of strings.
    """
    if scheme is not None and scheme not in SCHEMES:
        raise ConfigError(f"scheme={shown_value(scheme)}; allowed: {list(SCHEMES)}")
    names = tuple(tag_names or layout.tag_names)
    if isinstance(tag_names, str) or not all(isinstance(name, str) for name in names):
        raise ConfigError("tag_names must be a list of strings: tag_names=['O', 'B-Drug', …]")
    tagging = seen_tagging(names or _spellings(tag_lists), scheme, mention_label)
    return replace(layout, tagging=tagging, tag_names=names)


def seen_tagging(
    tags: Iterable[str], scheme: Scheme | None = None, label: str | None = None
) -> Tagging:
    """How tags that are spelled so are meant: `b-drug`, `B_Drug` and `Drug-B` as `B-Drug`.

    Args:
        tags: the spellings, in any order.
        scheme: their scheme; by default `seen_scheme`'s.
        label: the label of tags that are marks alone.
    """
    spellings = set(tags)
    seen = SeenTags()
    for tag in spellings:
        seen.add([tag])
    tagging = seen.tagging(scheme, label)
    if scheme is not None:
        return tagging
    are_bare = seen.lack_labels and label is None
    plain = {tagging.plain(tag) for tag in spellings} - {OUTSIDE}
    found = None if are_bare else seen_scheme(plain)
    if found == "IO" and not all(tag.startswith("I-") for tag in plain):
        # Labels: "S_phase" among others has no mark.
        tagging = replace(tagging, style=None)
    return replace(tagging, scheme=found or "BIO", is_told=found is not None)


def seen_scheme(tags: Iterable[str]) -> Scheme | None:
    """The scheme of tags that are spelled so; `None` where all are `O`.

    Labels without prefix, or with `I-` alone, are `IO`: adjoining mentions of one label are one.
    `B-` and `I-` are `BIO`; `IOB1`, which is spelled the same, has to be asked for.
    """
    mentions = {tag for tag in tags if tag != "O"}
    prefixes = {tag.partition("-")[0] for tag in mentions}
    if not mentions:
        return None
    if not prefixes <= _PREFIXES or not all("-" in tag for tag in mentions) or prefixes == {"I"}:
        return "IO"
    if prefixes & {"L", "U"}:
        return "BILOU"
    return "IOBES" if prefixes & {"E", "S"} else "BIO"


def tokens_to_text(
    record: Mapping[str, object], columns: tuple[str, str | None], layout: Layout, place: Place
) -> tuple[dict[str, object], Layout]:
    """The record with `text` and `spans` instead of tokens and tags, and the layout for it.

    Without a `note_id` the id is that of the column `id`, or notes are numbered.

    Args:
        record: one text.
        columns: of the tokens and of their tags.
        layout: which column holds which field.
        place: where the record stands.

    Raises `UnreadableError` for tokens or tags that are none.
    """
    token_column, tag_column = columns
    if tag_column is not None and tag_column not in record:
        found = f"no column {shown_id(tag_column, 'column')!r}"
        raise UnreadableError(found, "the column of tags (or columns={'tags': None})")
    tokens = _strings(record.get(token_column), "tokens")
    tags = None if tag_column is None else _named(record.get(tag_column), tag_column, layout)
    text, starts = token_line(tokens)
    spans: list[dict[str, object]] | None = None
    if tags is not None:
        if len(tags) != len(tokens):
            raise UnreadableError(
                f"{len(tokens)} tokens and {len(tags)} tags", "a tag for every token"
            )
        spans = [
            {"start": starts[first], "end": starts[end - 1] + len(tokens[end - 1]), "label": label}
            for first, end, label in mention_runs(tags, layout.tagging)
        ]
    rest = {name: value for name, value in record.items() if name not in columns}
    mapping = {name: c for name, c in layout.columns.items() if name not in ("tokens", "tags")}
    layout = with_id(replace(layout, columns=mapping), rest, "id", place)
    return {**rest, "text": text, "spans": spans}, layout


def mention_runs(tags: Sequence[str], tagging: Tagging | None) -> list[tuple[int, int, str]]:
    """Mentions as (first token, token after the last, label).

    Raises `UnreadableError` for tags that are not of the scheme, by default `seen_tagging`'s.
    """
    if tagging is None or not tagging.is_told:
        tagging = seen_tagging(tags, label=None if tagging is None else tagging.label)
    runs, wrong = tagging.runs(tags)
    if wrong:
        if tagging.label is None and SeenTags(Counter(tags)).lack_labels:
            raise UnreadableError(
                "tags that are marks alone (B, I, O), without labels",
                "mention_label='…', what all mentions are; or scheme='IO' if they are labels",
            )
        at, reason = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UnreadableError(
            f"token {at}: {reason}{more}",
            f"a valid {tagging.scheme} sequence (or another scheme, of {list(SCHEMES)}: scheme=…)",
        )
    return runs


def with_id(layout: Layout, record: Mapping[str, object], column: str, place: Place) -> Layout:
    """The layout in which notes have an id.

    That is `note_id`, else what a column of another name holds, else their number in the file.
    """
    if layout.id_prefix is not None or "note_id" in layout.columns or "note_id" in record:
        return layout
    if record.get(column) is not None:
        return replace(layout, columns={**layout.columns, "note_id": column})
    return replace(layout, id_prefix=stem(PurePosixPath(place.file)))


def tag_lists(layout: Layout, records: Iterable[object]) -> Iterator[object]:
    """Yields the tags of the records that have any."""
    for record in records:
        if isinstance(record, Mapping):
            columns = layout.token_columns(record)
            if columns is not None and columns[1] is not None:
                yield record.get(columns[1])


def _spellings(tag_lists: Iterable[object]) -> set[str]:
    return {tag for tags in tag_lists for tag in _listed(tags) if isinstance(tag, str)}


def _listed(value: object) -> Sequence[object]:
    # Tables hold lists as programs print them.
    if isinstance(value, str):
        try:
            items = printed_list(value) or ()
        except (ValueError, RecursionError):
            return ()
        return [int(item) if isinstance(item, Decimal) else item for item in items]
    return value if isinstance(value, list | tuple) else ()


def _strings(value: object, name: str) -> list[str]:
    items = _listed(value)
    strings = [item for item in items if isinstance(item, str)]
    if not items or len(strings) < len(items) or not all(map(str.strip, strings)):
        raise UnreadableError(f"{name} that are no list of words", "a list of words, none blank")
    return strings


def _named(value: object, column: str, layout: Layout) -> list[str] | None:
    """The tags by name; `None` where none is given, as in test sets."""
    if value is None:
        return None
    tags = [_name(tag, column, layout.tag_names) for tag in _listed(value)]
    if tags and all(tag is None for tag in tags):
        return None
    if any(tag is None for tag in tags):
        raise UnreadableError("tokens without a tag between others", "a tag for every token")
    return [tag for tag in tags if tag is not None]


def _name(tag: object, column: str, names: Sequence[str]) -> str | None:
    # Unlabelled test sets have -1, padded ones -100.
    if tag is None or (isinstance(tag, int) and tag < 0):
        return None
    if isinstance(tag, str):
        return tag
    if isinstance(tag, int) and not isinstance(tag, bool):
        if tag < len(names):
            return names[tag]
        found = f"class numbers in {shown_id(column, 'column')!r} and {len(names)} names for them"
    else:
        found = f"tags of type {type(tag).__name__} in {shown_id(column, 'column')!r}"
    raise UnreadableError(
        found, "tags as B-Drug, or their names in order: tag_names=['O', 'B-Drug', 'I-Drug', …]"
    )
