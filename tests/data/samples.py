"""A small sound input of every format that is read, as files: name → bytes.

What the package writes it has written; the others are in the layout of their tools.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.writing import write_notes
from clinical_tl.schema import Note, Relation, Span

TEXT = "Quartermaine took aspirin for three days; no fever."
SECRET = "Quartermaine"
NOTES = [
    Note(
        f"n{number}",
        TEXT,
        patient_id=f"p{number}",
        label="ward",
        codes=("I10", "E11.9"),
        spans=(Span(18, 25, "Drug", id="T1"), Span(45, 50, "Sign", id="T2")),
        relations=(Relation("T1", "T2", "treats"),),
    )
    for number in range(3)
]
# What an ending alone does not say.
WRITTEN = {"brat": "brat", "excel": "a.xlsx", "docbin": "a.spacy", "bioc_xml": "a.bioc.xml"}
WRITTEN |= {"bioc_json": "a.bioc.json", "conll": "a.conll", "parquet": "a.parquet"}
TOKENS = ("Quartermaine", "took", "aspirin")


def _lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _table(*rows: str) -> bytes:
    return ("\n".join(rows) + "\n").encode()


_FHIR = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "subject": {"reference": "Patient/1"},
    "content": [
        {
            "attachment": {
                "contentType": "text/plain",
                "data": base64.b64encode(TEXT.encode()).decode(),
            }
        }
    ],
}
_MEDCAT = {
    "id": 1,
    "user": "admin",
    "cui": "C0004057",
    "value": "aspirin",
    "start": 18,
    "end": 25,
    "validated": True,
    "correct": True,
    "deleted": False,
    "alternative": False,
    "killed": False,
    "manually_created": False,
    "acc": 1.0,
    "meta_anns": [],
}
_DOCUMENT = {"id": 1, "name": "d1", "text": TEXT, "annotations": [_MEDCAT]}
_MDACE = {"begin": 18, "end": 25, "code": "I10", "code_system": "ICD-10-CM", "type": "Human"}
_MDACE_NOTE = {
    "note_id": 5,
    "category": "Discharge summary",
    "description": "Report",
    "annotations": [_MDACE],
    "text": TEXT,
}
SAMPLES: dict[str, dict[str, bytes]] = {
    "pubtator": {
        "a.pubtator": f"1|t|{TEXT}\n1|a|Well.\n1\t18\t25\taspirin\tChemical\tD001241\n\n".encode()
    },
    "gliner": {"a.json": _lines({"tokenized_text": [*TOKENS], "ner": [[2, 2, "Drug"]]})},
    "spacy_json": {"a.json": json.dumps([[TEXT, {"entities": [[18, 25, "Drug"]]}]]).encode()},
    "medcat": {
        "a.json": json.dumps(
            {"projects": [{"name": "p", "id": 3, "cuis": "", "documents": [_DOCUMENT]}]}
        ).encode()
    },
    "mdace": {"a.json": json.dumps({"hadm_id": 1, "comment": "", "notes": [_MDACE_NOTE]}).encode()},
    "fhir": {"a.ndjson": _lines(_FHIR)},
    "i2b2_xml": {
        "a.xml": (
            f'<?xml version="1.0"?><deIdi2b2><TEXT><![CDATA[{TEXT}]]></TEXT><TAGS>'
            '<NAME id="P0" start="0" end="12" text="Quartermaine" TYPE="PATIENT"/></TAGS>'
            "</deIdi2b2>"
        ).encode()
    },
    "webanno_tsv": {
        "a.tsv": _table(
            "#FORMAT=WebAnno TSV 3.3",
            "#T_SP=custom.Med|value",
            "",
            "",
            "#Text=Quartermaine took aspirin",
            "1-1\t0-12\tQuartermaine\t_\t",
            "1-2\t13-17\ttook\t_\t",
            "1-3\t18-25\taspirin\tDrug\t",
        )
    },
    "mimic": {
        "discharge.csv": _table(
            "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
            f'1-DS-1,1,900,DS,1,2150-01-02 00:00:00,,"{TEXT}"',
        ),
        "diagnoses_icd.csv": _table(
            "subject_id,hadm_id,seq_num,icd_code,icd_version", "1,900,1,I10,10"
        ),
    },
    "mimic_notes": {
        "discharge.csv": _table(
            "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
            f'1-DS-1,1,900,DS,1,2150-01-02 00:00:00,,"{TEXT}"',
        )
    },
    "codiesp": {"texts/a.txt": TEXT.encode(), "codes.tsv": b"a\tI10\na\tE11.9\n"},
    "labelled_texts": {"a.txt": TEXT.encode(), "labels.csv": b"file,label\na.txt,ward\n"},
    "class_folders": {"ward/a.txt": TEXT.encode(), "icu/b.txt": b"Worse."},
    "texts": {"a.txt": TEXT.encode()},
    "chemprot": {
        "a.jsonl": _lines({"text": "<< Quartermaine >> took [[ aspirin ]]", "label": "INHIBITOR"})
    },
}


def put(name: str, folder: Path) -> Path:
    """Writes a format's sample into a new folder; returns what `read_notes` is given."""
    known = FORMATS[name]
    if name not in SAMPLES:
        ending = next(iter(known.endings), ".json")
        path = folder / WRITTEN.get(name, f"a{ending}")
        write_notes(NOTES, path, format=name, lossy=True)
        return path
    for inner, content in SAMPLES[name].items():
        path = folder / "in" / inner
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "in" if known.is_folder else folder / "in" / next(iter(SAMPLES[name]))
