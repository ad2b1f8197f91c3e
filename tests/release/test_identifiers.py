"""Every corner of a folder where an identifier may hide; the report never shows it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.release import identifiers
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.identifiers import check_identifiers
from clinical_tl.schema import Note
from tests.release.folders import LABELS, SECRET, write_json, write_model

NOTE = (
    "She was brought in by her neighbour Zebulon after falling from the ladder in the orchard "
    "and could not recall the hour before."
)


def check(folder, train=None):
    return check_identifiers(ReleaseFolder.read(folder), train)


@pytest.fixture(autouse=True)
def no_spacy_model(monkeypatch):
    monkeypatch.setattr(identifiers, "entry_points", lambda **_: [])


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


def test_a_clean_folder_passes_whatever_the_vocabulary_holds(model):
    found = check(model, [Note("1", NOTE)])
    assert found.status == "partial"
    assert found.reason.startswith("none in 6 files; person names were not looked for")


def added_token(folder):
    value = json.loads((folder / "tokenizer.json").read_text())
    value["added_tokens"].append({"id": 3, "content": "mrn 4455667"})
    write_json(folder / "tokenizer.json", value)


PLANTS = {
    "metrics, by position of a key that tells": (
        lambda f: write_json(f / "metrics.json", {"test": {"zebulon@example.org": 1.0}}),
        "metrics.json, $.test.<key 0>: email ×1",
    ),
    "tokenizer addition": (added_token, "tokenizer.json, $.added_tokens[1].content: record number"),
    "log": (
        lambda f: (f / "train_log.jsonl").write_text('{"step": 1}\n{"note": "on 12/03/2019"}\n'),
        "train_log.jsonl, line 2: date ×1",
    ),
    "optimiser leftover": (
        lambda f: (f / "optimizer.pt").write_bytes(b"\x80\x02\x00\xff Dr. Zebulon \x00\xfe"),
        "optimizer.pt, byte 4: name after a title ×1",
    ),
    "safetensors header": (
        lambda f: save_file({"a": np.zeros(1)}, f / "head.safetensors", {"by": "617-555-0123"}),
        "head.safetensors, header.__metadata__.by: phone number ×1",
    ),
    "field of notes": (
        lambda f: write_json(f / "config.json", {"rows": [{"patient_id": "p"}]}),
        "config.json, $.rows[0].<key 0>: field of notes ×1",
    ),
    "number": (
        lambda f: write_json(f / "config.json", {"rows": [{"patient": 10006543}]}),
        "config.json, $.rows[0].patient: record number ×1",
    ),
    "vocabulary": (
        lambda f: (f / "vocab.txt").write_text("the\n##s\nmrn-1234567\n1998\n"),
        "vocab.txt, entry 3: record number ×1",
    ),
    "vocabulary of a BPE": (
        lambda f: (f / "vocab.json").write_text('{"the": 0, "call 617-555-0123": 1}'),
        "vocab.json, entry 2: phone number ×1",
    ),
    "subfolder": (
        lambda f: ((f / "x").mkdir(), (f / "x" / "y.txt").write_text("a\nwww.example.org\n")),
        "x/y.txt, line 2: URL ×1",
    ),
    "name of a file": (
        lambda f: (f / "mrn_4455667_zebulon.txt").write_text("fine"),
        "a file whose name looks like an identifier (.txt), name: identifier ×1",
    ),
    "card": (
        lambda f: (f / "README.md").write_text("Widget: call (617) 555-0123"),
        "README.md, line 1: phone number ×1",
    ),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_an_identifier_blocks_and_is_located_but_not_shown(plant, model):
    put, place = PLANTS[plant]
    put(model)
    found = check(model)
    assert found.status == "block"
    assert place in found.reason
    for secret in (SECRET, SECRET.lower(), "4455667", "0123", "12/03/2019", "example.org"):
        assert secret not in found.reason


def test_a_label_name_is_looked_at(tmp_path):
    labels = {**LABELS, "names": ["cardiology", "patient 48213"]}
    found = check(write_model(tmp_path / "model", labels=labels))
    assert found.status == "block"
    assert "task.json, $.task.labels.names[1]: record number ×1" in found.reason


def test_what_authors_write_into_a_card_only_warns(model):
    card = (model / "README.md").read_text()
    (model / "README.md").write_text(card + "\nWritten 12 March 2019, www.example.org\n")
    found = check(model)
    assert found.status == "warn"
    assert found.reason.startswith("2 found (README.md, line ")


@pytest.mark.parametrize("words", [7, 8, 12])
def test_eight_words_of_a_training_note_are_a_quotation(words, model):
    piece = NOTE.upper().split()[3 : 3 + words]
    # Cut into lines, and into a list of tokens.
    (model / "README.md").write_text("x\n" + "\n".join(piece))
    write_json(model / "metrics.json", {"test": {"tokens": piece}})
    found = check(model, [Note("1", NOTE)])
    assert found.status == ("partial" if words < 8 else "block")
    if words >= 8:
        runs = words - 7
        assert f"{2 * runs} found" in found.reason
        assert "README.md, line 2: run of 8 words of a training note ×1" in found.reason
        assert "metrics.json, $.test.tokens[0]: run of 8 words" in found.reason
    assert SECRET not in found.reason
    assert check(model).status == "partial"


def test_person_names_are_looked_for_where_a_spacy_model_is_installed(model, monkeypatch):
    import spacy

    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": SECRET}])
    monkeypatch.setattr(
        identifiers,
        "entry_points",
        lambda group: [SimpleNamespace(name="a_model")][: group == "spacy_models"],
    )
    monkeypatch.setattr(spacy, "load", lambda name: {"a_model": pipeline}[name])
    assert check(model).status == "partial"
    write_json(model / "config.json", {"label2id": {f"seen by {SECRET}": 0}})
    found = check(model)
    assert (found.status, SECRET in found.reason) == ("warn", False)
    assert "config.json, $.label2id.<key 0>: person name ×1" in found.reason
    assert "no spaCy model" not in found.reason


def test_names_are_looked_for_among_words_in_lower_case_too(model, monkeypatch):
    texts = [f"seen by {SECRET.lower()}", "seen for cough"]
    LexicalClassifier(min_notes=1).fit(texts, [0, 1]).save(model)
    monkeypatch.setattr(identifiers, "person_counter", lambda: lambda text: text.count(SECRET))
    found = check(model, ())
    assert (found.status, SECRET.lower() in found.reason.lower()) == ("warn", False)
    assert "lexical_classifier.safetensors, words: person name ×1" in found.reason
    LexicalClassifier(min_notes=1, hashed=True).fit(texts, [0, 1]).save(model)
    assert check(model, ()).status == "pass"


@pytest.mark.parametrize(
    ("system", "names", "status"),
    [
        ("snomed", ["38341003", "900000000000207008"], "partial"),
        ("snomed", ["38341003", "38341004"], "block"),
        ("icd10pcs", ["0270346", "02HV33Z"], "partial"),
        ("icd10pcs", ["0270346", "1270346", "2270346"], "block"),
        ("any", ["4471132"], "block"),
        (None, ["38341003"], "block"),
    ],
)
def test_a_code_that_looks_like_a_record_number_is_let_through_where_it_can_be_none(
    system, names, status, tmp_path
):
    folder = write_model(tmp_path / "model", labels={"names": names, "support": [9] * len(names)})
    description = json.loads((folder / "task.json").read_text())
    description["task"] |= {} if system is None else {"code_system": system}
    write_json(folder / "task.json", description)
    assert check(folder, []).status == status
    if status == "partial":
        description["task"]["note"] = "4471132"
        write_json(folder / "task.json", description)
        assert check(folder, []).status == "block"
