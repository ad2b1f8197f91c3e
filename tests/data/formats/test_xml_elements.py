import pytest

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.problems import Faults
from clinical_tl.data.formats.xml_elements import xml_elements


def elements(tmp_path, content, name=""):
    path = tmp_path / "a.xml"
    path.write_bytes(content.encode())
    faults = Faults("a.xml")
    return list(xml_elements(File.at(path), faults, name)), faults


def test_elements_come_with_their_lines_and_without_namespaces(tmp_path):
    content = '<x:a xmlns:x="u">\n<x:b x:k="1">one<b>two</b></x:b>\n<c><b/></c></x:a>'
    found, faults = elements(tmp_path, content, "b")
    assert [(line, element.tag, element.attrib) for line, element in found] == [
        (2, "b", {"k": "1"}),
        (3, "b", {}),
    ]
    assert "".join(found[0][1].itertext()) == "onetwo"
    assert not faults
    ((line, root),), _ = elements(tmp_path, content)
    assert (line, root.tag, len(root)) == (1, "a", 2)


def test_what_is_longer_than_what_is_read_at_once(tmp_path):
    found, _ = elements(tmp_path, f"<a>{'<b>é</b>' * 50_000}</a>", "b")
    assert len(found) == 50_000
    assert {element.text for _, element in found} == {"é"}


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (f"{LAUGHS}<a>&b;</a>", "XML that declares entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "a.txt">]><a>&x;</a>', "XML that declares entities"),
        ('<!DOCTYPE a [<!ENTITY % x SYSTEM "a">]><a/>', "XML that declares entities"),
        ('<!DOCTYPE a SYSTEM "a.dtd"><a>&x;</a>', "an entity that the file doesn't have"),
        ("<a>&x;</a>", "broken XML at column 4: undefined entity"),
        ("<a><b></a>", "broken XML at column 9: mismatched tag"),
        ("", "broken XML at column 1: no element found"),
    ],
)
def test_what_is_dangerous_or_broken_is_told(tmp_path, content, found):
    none, faults = elements(tmp_path, content)
    assert none == []
    assert (len(faults), faults.rejected, faults.is_refused) == (1, 1, False)
    assert found in faults.faults[0].found


def test_a_file_of_many_that_breaks_off_is_refused_after_those_before(tmp_path):
    found, faults = elements(tmp_path, "<a>\n<b>1</b>\n<b>2", "b")
    assert [element.text for _, element in found] == ["1"]
    assert faults.is_refused
    assert faults.faults[0].where == "a.xml:3"
