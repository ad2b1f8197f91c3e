"""`ReadOptions`: how files of notes are read, said once for all files of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from clinical_tl.data.formats.brat import NotesAs
from clinical_tl.data.formats.categories import Categories
from clinical_tl.data.formats.conll import Grouping
from clinical_tl.data.formats.doc_bin import Mentions
from clinical_tl.data.formats.i2b2_xml import LabelledBy
from clinical_tl.data.formats.problems import Duplicates
from clinical_tl.data.formats.tables import Quoting
from clinical_tl.data.formats.tag_schemes import Scheme
from clinical_tl.data.notes import Notes
from clinical_tl.data.reading import OnError, read_notes
from clinical_tl.errors import ConfigError


@dataclass(frozen=True)
class ReadOptions:
    """All that `read_notes` can be told, as one value: recipes and configs have it as a group.

    What is left as it is here is not said to `read_notes`, so an option that a format does not
    take is refused only where it was given.

    Args:
        format: json_lines, csv, tsv, parquet, pubtator, conll, brat, codiesp, chemprot, …; by
            default what the file's ending says.
        columns: field to column, e.g. {"note_id": "ID", "text": "letter", "label": "class"}; null
            leaves a field out, and codes may stand in several columns: {"codes": "DIAG*"}.
        metadata_columns: columns to keep beside, e.g. [sex, age_band], or "rest" for all others.
        separator: what stands between the codes in a cell.
        make_ids: number the notes "<file name>-1", … where the file has no ids.
        split: which split of a Hub dataset ("hub:<id>" in the place of a file).
        on_error: stop at faulty notes, or skip them: they are counted, and listed in rejects.
        rejects: the file that lists skipped notes; by default <file>.rejected.jsonl beside it.
        duplicates: a note id that occurs again is a fault, or the first note alone is kept, or
            later ones get a number (<id>#2).
        as_written: fields whose cells mean what they say, e.g. [label] where "NA" is a label.
        cache_dir: folder to write the notes to and map them, for more of them than memory holds;
            as confidential as they are.
        allow_implausible: take labels and ids that look like text and not like names.
        encoding: of the file's text, where it is not UTF-8.
        labels: the labels to keep, e.g. [Drug, Dose], or what each becomes, e.g. {Medication:
            Drug}; null leaves one out.
        delimiter: of a CSV file, the character between its cells, e.g. ";"; by default the one
            that its header shows.
        quoting: of a CSV or TSV file: minimal where quotes enclose cells, none where they are
            characters like any other, backslash where one stands before a quote within a cell.
        scheme: of a CoNLL file, or of tokens with tags, how its tags are written.
        tag_names: of tokens with tags that are numbers, their names in order, e.g. [O, B-Drug].
        grouping: of a CoNLL file, what a note is: its documents, each sentence, or the file.
        token_column: of a CoNLL file, the words' column by number from 0; -1 is the last.
        tag_column: of a CoNLL file, the tags' column.
        id_column: of a CoNLL file, the column of document ids, if it has one.
        mention_label: of tokens whose tags are B, I and O alone, what all mentions are.
        layer: of a WebAnno file, the layer (or layers) of the mentions, where it has several; of
            Label Studio, annotations or predictions.
        feature: of a WebAnno file, the feature that is a mention's label.
        label_key: of a BioC file, the infon that is a mention's label.
        labelled_by: of an i2b2 file, whether a mention's label is its type or its element's name.
        notes_as: of a BRAT folder, what annotators' notes on mentions are.
        texts: of a CodiEsp folder, the folder of the texts.
        codes_file: of a CodiEsp folder, the table of the codes.
        kinds: of a CodiEsp folder whose rows have a kind, those to read.
        sheet: of a spreadsheet, its name, or its number from 1.
        labels_file: of texts beside a table that names them, the table.
        file_column: the column of that table that names the text.
        icd_version: of MIMIC, 9 or 10, where its codes are of both.
        category: of MIMIC, the category (or categories) of notes to keep, or all.
        procedures: of MIMIC, whether the codes of procedures are added.
        no_relation: of a ChemProt file, the label of pairs that are not related.
        mentions: of a DocBin file, where the mentions are: in the package's own record, doc.ents
            or doc.spans.
        spans_key: of a DocBin file, the key in doc.spans.
        label_control: of Label Studio, the control whose choice is the label.
        codes_control: of Label Studio, the control whose choices are the codes.
        cats: what categories are, of a DocBin file and of annotation tools: a label, codes, or to
            be ignored.

    Example:
        >>> ReadOptions(columns={"text": "letter"}, delimiter=";").given()
        {'columns': {'text': 'letter'}, 'delimiter': ';'}
    """

    format: str | None = None
    columns: dict[str, str | list[str] | None] | None = None
    metadata_columns: tuple[str, ...] | Literal["rest"] = ()
    separator: str = ";"
    make_ids: bool = False
    split: str | None = None
    on_error: OnError = "raise"
    rejects: str | None = None
    duplicates: Duplicates = "fault"
    as_written: tuple[str, ...] = ()
    cache_dir: str | None = None
    allow_implausible: bool = False
    encoding: str | None = None
    labels: dict[str, str | None] | tuple[str, ...] | None = None
    delimiter: str | None = None
    quoting: Quoting | None = None
    scheme: Scheme | None = None
    tag_names: tuple[str, ...] | None = None
    grouping: Grouping | None = None
    token_column: int | None = None
    tag_column: int | None = None
    id_column: int | None = None
    mention_label: str | None = None
    layer: str | tuple[str, ...] | None = None
    feature: str | None = None
    label_key: str | None = None
    labelled_by: LabelledBy | None = None
    notes_as: NotesAs | None = None
    texts: str | None = None
    codes_file: str | None = None
    kinds: str | tuple[str, ...] | None = None
    sheet: int | str | None = None
    labels_file: str | None = None
    file_column: str | None = None
    icd_version: int | None = None
    category: str | tuple[str, ...] | None = None
    procedures: bool | None = None
    no_relation: str | None = None
    mentions: Mentions | None = None
    spans_key: str | None = None
    label_control: str | None = None
    codes_control: str | None = None
    cats: Categories | None = None

    def given(self) -> dict[str, Any]:
        """The options that are not as they are by default, as arguments for `read_notes`."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in values if value != field.default}

    def read(self, source: str | os.PathLike[str]) -> Notes:
        """The notes of a file or folder. Raises as `read_notes` does."""
        return read_notes(source, **self.given())

    def read_each(self, sources: Mapping[str, str | os.PathLike[str] | None]) -> dict[str, Notes]:
        """The notes of several files by name, without those that are `None`.

        Raises as `read_notes` does, and `ConfigError` where one file is to list what is skipped
        in several: each would replace what the one before has listed.
        """
        named = {name: source for name, source in sources.items() if source is not None}
        if self.on_error == "skip" and self.rejects is not None and len(named) > 1:
            raise ConfigError(
                f"rejects is one file, and {len(named)} are read ({', '.join(named)}); leave it "
                "out, and what is skipped is listed beside each of them (<file>.rejected.jsonl)"
            )
        return {name: self.read(source) for name, source in named.items()}
