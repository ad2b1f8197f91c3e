import base64
import json

import pytest

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import Note

TEXT = "Nahm Aspirin 😀.\r\nGeht."
SECRET = "Quartermaine"


def attachment(text=TEXT, kind="text/plain", charset="utf-8", **more):
    data = base64.b64encode(text.encode(charset)).decode()
    return {"attachment": {"contentType": kind, "data": data, **more}}


def resource(number, *contents, kind="DocumentReference", **more):
    return {
        "resourceType": kind,
        "id": f"d{number}",
        "status": "current",
        "type": {"text": "Discharge summary"},
        "subject": {"reference": f"Patient/{number}"},
        "content": list(contents),
        **more,
    }


def lines(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("shape", ["ndjson", "bundle", "pretty"])
def test_bulk_exports_and_bundles(tmp_path, shape, caplog):
    latin = attachment("Gr\u00fc\u00dfe", "text/plain; charset=ISO-8859-1", "latin-1")
    report = resource(3, kind="DiagnosticReport") | {"presentedForm": [attachment()["attachment"]]}
    resources = [
        {"resourceType": "Patient", "id": "1"},
        resource(1, attachment(), attachment(SECRET, "text/html")),
        resource(2, latin),
        report,
        resource(4, attachment(), status="entered-in-error"),
        resource(5, attachment(), docStatus="entered-in-error"),
    ]
    path = tmp_path / f"a.{'ndjson' if shape == 'ndjson' else 'json'}"
    if shape == "ndjson":
        lines(path, *resources[1:], resources[0])
    else:
        entries = [{"fullUrl": "urn:x", "resource": item} for item in resources]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        indent = 2 if shape == "pretty" else None
        path.write_text(json.dumps(bundle, indent=indent), encoding="utf-8")
    assert guess_format(File.at(path)).name == "fhir"
    assert list(read_notes(path, columns={"label": "type.text"})) == [
        Note("d1", TEXT, patient_id="Patient/1", label="Discharge summary"),
        Note("d2", "Gr\u00fc\u00dfe", patient_id="Patient/2", label="Discharge summary"),
        Note("d3", TEXT, patient_id="Patient/3", label="Discharge summary"),
    ]
    assert "1 attachments of other types beside a text" in caplog.text
    assert "1 resources of type 'Patient'" in caplog.text
    assert "2 resources that were entered in error" in caplog.text


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([attachment(SECRET, "text/html")], "a note as text/html; .*text/plain"),
        ([attachment(SECRET, "application/pdf")], "a note as application/pdf"),
        ([{"attachment": {"url": "Binary/1"}}], "a note by its address"),
        ([], "a resource without an attachment"),
        ([attachment(SECRET), attachment(SECRET)], "2 texts in one resource"),
        ([{"attachment": {"contentType": "text/plain", "data": "a"}}], "can't be decoded"),
        ([attachment("é", charset="latin-1")], r"can't be decoded \(UnicodeDecodeError\)"),
        ([attachment(SECRET, "text/plain; charset=klingon")], r"can't be decoded \(LookupError\)"),
    ],
)
def test_faults_have_their_place_and_no_text(tmp_path, contents, message):
    path = lines(tmp_path / "a.ndjson", resource(1, attachment()), resource(2, *contents))
    with pytest.raises(FaultyNotesError, match=rf"a.ndjson:2: .*{message}") as caught:
        read_notes(path)
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["d1"]


def test_a_type_is_text_where_none_is_said(tmp_path):
    bare = {"attachment": {"data": base64.b64encode(b"\xef\xbb\xbfok").decode()}}
    assert read_notes(lines(tmp_path / "a.ndjson", resource(1, bare)))["text"] == ["ok"]
