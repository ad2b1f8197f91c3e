"""The formats that notes are read from and written to; a new one is a line here."""

from __future__ import annotations

from clinical_tl.data.formats.bioc import BIOC_JSON, BIOC_XML
from clinical_tl.data.formats.brat import BRAT
from clinical_tl.data.formats.chemprot import CHEMPROT
from clinical_tl.data.formats.codiesp import CODIESP
from clinical_tl.data.formats.conll import CONLL
from clinical_tl.data.formats.doc_bin import DOC_BIN
from clinical_tl.data.formats.doccano import DOCCANO
from clinical_tl.data.formats.fhir import FHIR
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.gliner import GLINER
from clinical_tl.data.formats.i2b2_xml import I2B2_XML
from clinical_tl.data.formats.json_lines import JSON_LINES
from clinical_tl.data.formats.label_studio import LABEL_STUDIO
from clinical_tl.data.formats.mdace import MDACE
from clinical_tl.data.formats.medcat import MEDCAT
from clinical_tl.data.formats.mimic import MIMIC, MIMIC_NOTES
from clinical_tl.data.formats.prodigy import PRODIGY
from clinical_tl.data.formats.pubtator import PUBTATOR
from clinical_tl.data.formats.spacy_json import SPACY_JSON
from clinical_tl.data.formats.spreadsheets import EXCEL
from clinical_tl.data.formats.tables import CSV, PARQUET, TSV
from clinical_tl.data.formats.text_folders import CLASS_FOLDERS, LABELLED_TEXTS, TEXTS
from clinical_tl.data.formats.unread_xml import UNREAD_XML
from clinical_tl.data.formats.webanno_tsv import WEBANNO_TSV, WEBANNO_TSV_2

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        DOCCANO,
        LABEL_STUDIO,
        PRODIGY,
        GLINER,
        SPACY_JSON,
        MEDCAT,
        MDACE,
        FHIR,
        JSON_LINES,
        CSV,
        TSV,
        PARQUET,
        EXCEL,
        BIOC_XML,
        BIOC_JSON,
        I2B2_XML,
        *UNREAD_XML,
        WEBANNO_TSV,
        WEBANNO_TSV_2,
        PUBTATOR,
        CONLL,
        BRAT,
        MIMIC,
        MIMIC_NOTES,
        CODIESP,
        LABELLED_TEXTS,
        CLASS_FOLDERS,
        TEXTS,
        CHEMPROT,
        DOC_BIN,
    )
}
"""Name → format, in the order in which they are looked for: the surest sign first."""
