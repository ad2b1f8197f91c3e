import pytest

from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.formats.unread_xml import UNREAD_XML
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError

EXAMPLES = {
    "uima_xmi": '<xmi:XMI xmlns:xmi="http://www.omg.org/XMI" xmi:version="2.0"></xmi:XMI>',
    "knowtator": '<annotations textSource="1.txt"><annotation/></annotations>',
    "gate_xml": '<GateDocument version="3"><TextWithNodes/></GateDocument>',
    "anafora_xml": "<data><annotations><entity><id>1</id></entity></annotations></data>",
    "timeml": "<!-- x -->\n<TimeML><TEXT>x</TEXT></TimeML>",
    "pubmed_xml": '<!DOCTYPE PubmedArticleSet SYSTEM "p.dtd"><PubmedArticleSet/>',
    "jats_xml": '<article article-type="case-report"/>',
    "tei_xml": '<TEI xmlns="http://www.tei-c.org/ns/1.0"/>',
    "cda_xml": '<ClinicalDocument xmlns="urn:hl7-org:v3"/>',
    "fhir_xml": '<Bundle xmlns="http://hl7.org/fhir"/>',
    "i2b2_obesity": '<root><docs><doc id="1"><text>x</text></doc></docs></root>',
}


@pytest.mark.parametrize("known", UNREAD_XML, ids=lambda known: known.name)
def test_each_is_refused_by_name_with_what_to_export(tmp_path, known):
    path = tmp_path / "a.xml"
    path.write_text(f'<?xml version="1.0"?>\n{EXAMPLES[known.name]}\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_notes(path)
    assert f"a.xml: {known.title} is not read here; {known.export}" in str(caught.value)
    with pytest.raises(ConfigError, match="is not read here"):
        read_notes(path, format=known.name)


def test_they_are_listed_among_the_formats():
    assert {known.name for known in UNREAD_XML} == EXAMPLES.keys() <= FORMATS.keys()
