from xml.parsers import expat

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


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "shift_jis", "cp1252", "utf-16", "utf-8"])
@pytest.mark.parametrize("given", [False, True])
def test_xml_is_read_in_the_encoding_that_it_declares_or_that_is_given(tmp_path, encoding, given):
    said = "é" if encoding == "cp1252" else "高"
    declared = "" if given else f' encoding="{encoding}"'
    path = tmp_path / "a.xml"
    content = f'<?xml version="1.0"{declared}?><a>{f"<b>{said}</b>" * 3000}</a>'
    path.write_bytes(content.encode(encoding))
    faults = Faults("a.xml")
    found = list(xml_elements(File.at(path, encoding if given else None), faults, "b"))
    assert not faults
    assert [element.text for _, element in found] == [said] * 3000


@pytest.mark.parametrize(
    ("encoding", "content", "found"),
    [
        ("gb18030", b"<a>\xff</a>", "bytes that are not of the file's encoding"),
        ("gb18030", b"<a>\x81", "bytes that are not of the file's encoding"),
        ("klingon", b"<a/>", "an encoding that nobody knows"),
        ("hex", b"<a/>", "an encoding that nobody knows"),
    ],
)
def test_xml_of_another_encoding_than_it_declares_is_told(tmp_path, encoding, content, found):
    path = tmp_path / "a.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + content)
    faults = Faults("a.xml")
    assert list(xml_elements(File.at(path), faults)) == []
    assert found in faults.faults[0].found


def test_a_long_comment_is_not_gone_through_again_and_again(tmp_path, monkeypatch):
    fed = []
    real = expat.ParserCreate

    class Counting:
        def __init__(self, *given):
            object.__setattr__(self, "parser", real(*given))

        def __getattr__(self, name):
            return getattr(self.parser, name)

        def __setattr__(self, name, value):
            setattr(self.parser, name, value)

        def Parse(self, chunk, is_last):  # noqa: N802  (expat's name)
            fed.append(len(chunk))
            return self.parser.Parse(chunk, is_last)

    monkeypatch.setattr(expat, "ParserCreate", Counting)
    monkeypatch.setattr("clinical_tl.data.formats.xml_elements.READ_BYTES", 1000)
    found, _ = elements(tmp_path, f"<a><!--{'x' * 1_000_000}--><b>1</b></a>", "b")
    assert [element.text for _, element in found] == ["1"]
    assert len(fed) < 20
