"""XML that is known and not read: what each is called, and what to export instead."""

from __future__ import annotations

from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.sight import Sight

_AS_STANDOFF = "convert it to BRAT or BioC XML, or write JSON lines of note_id, text and spans"
_AS_TEXTS = "write its texts as a table, as JSON lines, or as a folder of one .txt a note"


def _unread(name: str, title: str, export: str, *roots: str, sign: str = "") -> Format:
    """A format told by the outermost element, and by what must stand somewhere in it."""

    def looks(sight: Sight) -> bool:
        return sight.root in roots and sign in sight.text

    return Format(name, title, export=export, looks=looks)


UNREAD_XML = (
    _unread("uima_xmi", "UIMA's XMI", "export WebAnno TSV 3 from INCEpTION instead", "XMI"),
    _unread(
        "knowtator",
        "XML of Knowtator or eHOST",
        _AS_STANDOFF,
        "annotations",
        "knowtator-project",
        sign="annotat",
    ),
    _unread("gate_xml", "GATE's XML", _AS_STANDOFF, "GateDocument"),
    _unread("anafora_xml", "Anafora's XML", _AS_STANDOFF, "data", sign="<entity>"),
    _unread("timeml", "TimeML", _AS_STANDOFF, "TimeML"),
    _unread(
        "pubmed_xml",
        "PubMed's XML",
        "get the same articles as BioC XML or PubTator from PubTator, or write a table",
        "PubmedArticleSet",
    ),
    _unread(
        "jats_xml", "JATS, articles of journals", "get BioC XML from PubMed Central", "article"
    ),
    _unread("tei_xml", "TEI", _AS_TEXTS, "TEI", "teiCorpus", "TEI.2"),
    _unread("cda_xml", "HL7 CDA", _AS_TEXTS, "ClinicalDocument"),
    _unread(
        "fhir_xml",
        "FHIR's XML",
        "get the same resources as JSON",
        *("Bundle", "DocumentReference", "DiagnosticReport"),
        sign="http://hl7.org/fhir",
    ),
    _unread(
        "i2b2_obesity",
        "XML of the i2b2 task on obesity, texts apart from judgements",
        "join the two by id in a table: note_id, text, and the diseases as codes",
        *("root", "diseaseset"),
        sign="<doc",
    ),
)
"""Each is named in the error and told by its look alone."""
