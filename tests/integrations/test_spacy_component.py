"""The spaCy components: a blank English pipeline, alone, beside rules and beside negation."""

import json
import logging
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.tokens import Span as SpacySpan

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ArtifactError, ConfigError
from clinical_tl.integrations import spacy_component
from clinical_tl.integrations.spacy_annotations import (
    ComponentSettings,
    add_extension,
    set_prediction,
)
from clinical_tl.integrations.spacy_component import ClinicalComponent
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.rules.rule_set import RuleSet
from clinical_tl.schema import Note, Prediction, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from tests.models.test_collection import build
from tests.rules.lexicons import rule

TEXT = "No fever. Nonsmall cancer today, fever later."


@pytest.fixture(scope="module")
def notes(synthetic_notes):
    return as_notes(synthetic_notes)[:8]


@pytest.fixture(scope="module")
def folders(tiny_encoder, notes, tmp_path_factory):
    tasks = {
        "ner": EntityRecognition.from_notes(notes),
        "section": NoteClassification.from_notes(notes),
        "codes": DiagnosisCoding.from_notes(notes, describe_labels=False),
    }
    root = tmp_path_factory.mktemp("models")
    for name, task in tasks.items():
        model = build(tiny_encoder, task, LoRA(r=4))
        model.save_pretrained(root / name)
    return root


@pytest.fixture
def rules(tmp_path):
    found = RuleSet(
        (rule("fever", precision=0.9, support=3, concepts=("D5",)), rule("today", "Time"))
    )
    return str(found.save(tmp_path / "rules.jsonl"))


def predicting(monkeypatch, *spans, **fields):
    """Let every component predict these spans."""
    monkeypatch.setattr(
        spacy_component,
        "load_source",
        lambda _: lambda notes: [Prediction(n.note_id, spans=spans, **fields) for n in notes],
    )


def test_mentions_are_those_of_the_model(folders, notes):
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": str(folders / "ner")})
    texts = [note.text for note in notes]
    expected = TransferModel.load(folders / "ner").predict(texts, progress=False)
    docs = list(nlp.pipe(texts, batch_size=5))
    assert sum(len(p.spans) for p in expected) > 5
    dropped = 0
    for doc, prediction in zip(docs, expected, strict=True):
        told = doc._.clinical_tl
        found = {
            (s._.clinical_tl["start"], s._.clinical_tl["end"], s.label_): s._.clinical_tl["score"]
            for s in doc.spans["clinical_tl"]
        }
        predicted = {span.key: span.score for span in prediction.spans}
        assert found == pytest.approx({key: predicted[key] for key in found}, abs=1e-5)
        # Random weights mark pieces of tokens, of which some come to lie on one another.
        assert len(found) == len(predicted) - told["dropped"]
        dropped += told["dropped"]
        assert len(doc.ents) == len(found) - doc._.clinical_tl["not_in_ents"]
        assert doc.cats == {}
    assert dropped < sum(len(p.spans) for p in expected) / 2
    alone = nlp(texts[0])
    assert [e.label_ for e in alone.ents] == [e.label_ for e in docs[0].ents]
    assert nlp.get_pipe("clinical_tl").counts["mentions"] == sum(
        len(p.spans) for p in [*expected, expected[0]]
    )


def test_labels_and_codes_are_categories(folders, notes):
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "clinical_tl", name="section", config={"model": str(folders / "section"), "key": "section"}
    )
    nlp.add_pipe(
        "clinical_tl", name="codes", config={"model": str(folders / "codes"), "key": "icd10"}
    )
    texts = [note.text for note in notes]
    sections = TransferModel.load(folders / "section").predict(texts, progress=False)
    codes = TransferModel.load(folders / "codes").predict(texts, progress=False)
    for doc, section, coded in zip(nlp.pipe(texts), sections, codes, strict=True):
        assert doc.cats == pytest.approx({**section.scores, **coded.scores}, abs=1e-5)
        assert doc._.section["label"] == section.label
        assert doc._.icd10["codes"] == list(coded.codes)
        assert doc._.icd10["evidence"].keys() == coded.evidence.keys()
        assert "section" not in doc.spans
    assert any(coded.codes for coded in codes)


def test_rules_give_spans_with_context(rules):
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl_rules", config={"rules": rules})
    doc = nlp(TEXT)
    spans = doc.spans["clinical_tl_rules"]
    assert [(s.text, s.label_, s.kb_id_) for s in spans] == [
        ("fever", "Problem", "D5"),
        ("today", "Time", ""),
        ("fever", "Problem", "D5"),
    ]
    assert [e.text for e in doc.ents] == ["fever", "today", "fever"]
    first = spans[0]._.clinical_tl_rules
    assert first["score"] == 0.9
    assert first["attributes"]["negation"] == "true"
    assert "negation" not in spans[2]._.clinical_tl_rules["attributes"]
    plain = spacy.blank("en")
    plain.add_pipe(
        "clinical_tl_rules", config={"rules": rules, "context": False, "set_ents": False}
    )
    doc = plain(TEXT)
    assert doc.ents == ()
    assert "negation" not in doc.spans["clinical_tl_rules"][0]._.clinical_tl_rules["attributes"]


def test_models_rules_and_negation_work_side_by_side(monkeypatch, rules):
    if not SpacySpan.has_extension("negated"):
        SpacySpan.set_extension("negated", default=False)

    @Language.component("negation_of_entities")
    def negation(doc):
        for entity in doc.ents:
            entity._.negated = entity.start > 0 and doc[entity.start - 1].lower_ == "no"
        return doc

    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "DATE", "pattern": "today"}])
    nlp.add_pipe("clinical_tl_rules", config={"rules": rules})
    nlp.add_pipe("clinical_tl", config={"model": "anything"})
    nlp.add_pipe("negation_of_entities")
    matcher = nlp.get_pipe("clinical_tl_rules")
    matcher.initialize()
    cancer = Span(10, 25, "Cancer", score=0.8, attributes=(("stage", "IV"),))
    predicting(monkeypatch, Span(33, 38, "Sign", score=0.6), cancer)
    doc = nlp(TEXT)
    assert [(e.text, e.label_, e._.negated) for e in doc.ents] == [
        ("fever", "Problem", True),
        ("Nonsmall cancer", "Cancer", False),
        ("today", "DATE", False),
        ("fever", "Problem", False),
    ]
    assert [s.label_ for s in doc.spans["clinical_tl"]] == ["Cancer", "Sign"]
    assert doc.spans["clinical_tl"][0]._.clinical_tl["attributes"] == {"stage": "IV"}
    assert doc._.clinical_tl["not_in_ents"] == 1
    assert doc._.clinical_tl_rules["not_in_ents"] == 1


@pytest.mark.parametrize(("overwrite", "labels", "left"), [(False, ["OLD"], 1), (True, ["New"], 0)])
def test_entities_are_kept_or_displaced(monkeypatch, overwrite, labels, left):
    predicting(monkeypatch, Span(10, 25, "New"))
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "OLD", "pattern": "cancer"}])
    nlp.add_pipe("clinical_tl", config={"model": "x", "overwrite_ents": overwrite})
    doc = nlp(TEXT)
    assert [e.label_ for e in doc.ents] == labels
    assert doc._.clinical_tl["not_in_ents"] == left
    assert [s.label_ for s in doc.spans["clinical_tl"]] == ["New"]


@pytest.mark.parametrize(
    ("mode", "found", "dropped"),
    [
        ("strict", ["fever"], 2),
        ("contract", ["cancer", "fever"], 1),
        ("expand", ["Nonsmall cancer", "today", "fever"], 0),
    ],
)
def test_misaligned_mentions_are_treated_as_stated_and_counted(
    monkeypatch, caplog, mode, found, dropped
):
    # "small cancer" begins, "tod" ends inside a token.
    predicting(monkeypatch, Span(13, 25, "A"), Span(26, 29, "B"), Span(33, 38, "C"))
    nlp = spacy.blank("en")
    component = nlp.add_pipe("clinical_tl", config={"model": "x", "alignment_mode": mode})
    with caplog.at_level(logging.WARNING):
        docs = list(nlp.pipe([TEXT, TEXT], batch_size=1))
    for doc in docs:
        assert [s.text for s in doc.spans["clinical_tl"]] == found
        assert (doc._.clinical_tl["misaligned"], doc._.clinical_tl["dropped"]) == (2, dropped)
    assert component.misaligned == 4
    assert [r.getMessage() for r in caplog.records] == [
        f"clinical_tl: 4 of 6 mentions so far do not begin and end with a token; {2 * dropped} "
        f"were dropped, the others set by alignment_mode={mode!r}"
    ]
    with caplog.at_level(logging.WARNING):
        nlp(TEXT)
    assert len(caplog.records) == 1


def test_mentions_of_several_types_on_the_same_words_are_all_there(monkeypatch):
    overlapping = (
        Span(10, 25, "A", score=0.5),
        Span(19, 25, "B", score=0.4),
        Span(19, 25, "C", score=0.6),
        Span(33, 38, "D", score=0.1),
        Span(33, 38, "E", score=0.2),
    )
    predicting(monkeypatch, *overlapping)
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": "x"})
    doc = nlp(TEXT)
    with pytest.warns(UserWarning, match="W101"):
        merged = Doc.from_docs([nlp.make_doc("No."), doc])
    for found in (doc, Doc(nlp.vocab).from_bytes(doc.to_bytes()), merged):
        said = {(s.label_, s._.clinical_tl["score"]) for s in found.spans["clinical_tl"]}
        assert said == {(span.label, span.score) for span in overlapping}
    # The longest of those that overlap, and of equally long ones the surest.
    assert [e.label_ for e in doc.ents] == ["A", "E"]
    assert (doc._.clinical_tl["dropped"], doc._.clinical_tl["not_in_ents"]) == (0, 3)
    assert doc[0:1]._.clinical_tl is None


def test_of_mentions_on_the_same_tokens_the_likelier_is_kept(monkeypatch):
    predicting(monkeypatch, Span(10, 13, "A", score=0.4), Span(13, 18, "B", score=0.7))
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": "x"})
    doc = nlp(TEXT)
    assert [(s.label_, s._.clinical_tl["score"]) for s in doc.spans["clinical_tl"]] == [("B", 0.7)]
    assert (doc._.clinical_tl["misaligned"], doc._.clinical_tl["dropped"]) == (2, 1)


def test_documents_carry_what_was_found_through_bytes_and_doc_bins(monkeypatch):
    evidence = {"I10": (Span(3, 8, "I10", score=0.5),)}
    predicting(
        monkeypatch,
        Span(3, 8, "A", score=0.5),
        codes=("I10",),
        scores={"I10": 0.9},
        evidence=evidence,
    )
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": "x"})
    doc = nlp(TEXT)
    (stored,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    for copy in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), stored):
        # A DocBin makes tuples of lists.
        assert json.dumps(copy._.clinical_tl) == json.dumps(doc._.clinical_tl)
        assert json.dumps(copy._.clinical_tl["evidence"]) == '{"I10": [[3, 8, 0.5]]}'
        assert copy.spans["clinical_tl"][0]._.clinical_tl["score"] == 0.5
        assert copy.cats == {"I10": 0.9}


def test_pipelines_are_saved_with_and_without_the_model(folders, notes, rules, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": str(folders / "ner"), "save_model": True})
    nlp.add_pipe(
        "clinical_tl", name="named", config={"model": str(folders / "ner"), "key": "named"}
    )
    nlp.add_pipe("clinical_tl_rules", config={"rules": rules, "save_rules": True})
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    saved = tmp_path / "pipeline" / "clinical_tl" / "model"
    assert loaded.get_pipe("clinical_tl").settings.source == str(saved)
    assert loaded.get_pipe("named").settings.source == str(folders / "ner")
    assert not (tmp_path / "pipeline" / "named" / "model").exists()
    other = spacy.blank("en")
    for name, factory in [
        ("clinical_tl",) * 2,
        ("named", "clinical_tl"),
        ("clinical_tl_rules",) * 2,
    ]:
        other.add_pipe(factory, name=name)
    other.from_bytes(nlp.to_bytes())
    text = notes[0].text + " fever"
    expected = nlp(text)
    for pipeline in (loaded, other):
        doc = pipeline(text)
        for key in ("clinical_tl", "named", "clinical_tl_rules"):
            assert [(s.text, s.label_) for s in doc.spans[key]] == [
                (s.text, s.label_) for s in expected.spans[key]
            ]


def test_failures_go_to_the_error_handler(monkeypatch):
    def fail(_notes):
        raise ConfigError("broken")

    monkeypatch.setattr(spacy_component, "load_source", lambda _: fail)
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": "x"})
    with pytest.raises(ConfigError, match="broken"):
        nlp(TEXT)
    failed = []
    nlp.set_error_handler(lambda name, _proc, docs, _error: failed.append((name, len(docs))))
    assert list(nlp.pipe([TEXT] * 3, batch_size=2)) == []
    assert failed == [("clinical_tl", 1)] * 3


def test_a_document_that_fails_takes_no_other_with_it(monkeypatch):
    def fail_on_numbers(notes):
        if any(note.text.isdigit() for note in notes):
            raise ConfigError("broken")
        return [Prediction(note.note_id, label="a", scores={"a": 1.0}) for note in notes]

    monkeypatch.setattr(spacy_component, "load_source", lambda _: fail_on_numbers)
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": "x"})
    failed = []
    nlp.set_error_handler(lambda _name, _proc, docs, _error: failed.extend(d.text for d in docs))
    done = list(nlp.pipe(["one", "2", "three", "four"], batch_size=3))
    assert [doc.text for doc in done] == ["one", "three", "four"]
    assert all(doc._.clinical_tl["label"] == "a" for doc in done)
    assert failed == ["2"]


def test_a_mention_without_room_puts_out_no_shorter_one():
    doc = spacy.blank("en").make_doc("severe chronic heart failure")
    doc.ents = [doc.char_span(0, 6, label="OTHER")]
    add_extension("shown")
    prediction = Prediction("1", spans=(Span(0, 28, "Problem"), Span(15, 28, "Problem")))
    settings = ComponentSettings("model", "x", "shown", "strict", True, False, False)
    counts = set_prediction(doc, prediction, settings)
    assert [(e.text, e.label_) for e in doc.ents] == [
        ("severe", "OTHER"),
        ("heart failure", "Problem"),
    ]
    assert counts["not_in_ents"] == 1
    counts = set_prediction(doc, prediction, replace(settings, overwrite_ents=True))
    assert [e.text for e in doc.ents] == ["severe chronic heart failure"]
    assert counts["not_in_ents"] == 1


def test_misuse_is_explained(tiny_encoder, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl")
    with pytest.raises(ConfigError, match=r"no model; give one: nlp.add_pipe\('clinical_tl'"):
        nlp.initialize()
    with pytest.raises(ConfigError, match=r"no rules; give one: nlp.add_pipe\('clinical_tl_rules'"):
        spacy.blank("en").add_pipe("clinical_tl_rules")(nlp.make_doc("a"))
    with pytest.raises(ConfigError, match=r"alignment_mode='loose'; allowed: \['strict'"):
        nlp.add_pipe("clinical_tl", name="b", config={"alignment_mode": "loose"})
    with pytest.raises(ConfigError, match="key='<text of 3 characters>'; allowed: a Python name"):
        nlp.add_pipe("clinical_tl", name="b", config={"key": "a b"})
    Doc.set_extension("taken", default=None, force=True)
    with pytest.raises(ConfigError, match="belongs to another component"):
        nlp.add_pipe("clinical_tl", name="b", config={"key": "taken"})
    component = nlp.get_pipe("clinical_tl")
    with pytest.raises(ArtifactError, match="settings of the component 'clinical_tl' are damaged"):
        component.from_bytes(b"{}")
    with pytest.raises(ArtifactError, match=r"holds no settings\.json"):
        component.from_disk(tmp_path)
    spans = (
        Span(0, 4, "Drug", id="a"),
        Span(5, 9, "Problem", id="b"),
        Span(10, 14, "Drug", id="c"),
    )
    related = [Note("1", "abcd efgh ijkl", spans=spans, relations=(Relation("a", "b", "treats"),))]
    task = RelationExtraction.from_notes(related)
    TransferModel.from_pretrained(tiny_encoder, task).save_pretrained(tmp_path / "relations")
    nlp = spacy.blank("en")
    nlp.add_pipe("clinical_tl", config={"model": str(tmp_path / "relations")})
    with pytest.raises(ConfigError, match="relation extraction reads a note's spans too"):
        nlp.initialize()


def test_adding_the_component_loads_no_model():
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'peft', 'datasets'): sys.modules[name] = None\n"
        "import spacy, clinical_tl.integrations.spacy_component\n"
        "spacy.blank('en').add_pipe('clinical_tl', config={'model': 'x'})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert isinstance(spacy.blank("en").add_pipe("clinical_tl"), ClinicalComponent)


def test_a_fresh_process_finds_the_factories_by_their_entry_points():
    code = (
        "import spacy, sys\n"
        "nlp = spacy.blank('en')\n"
        "for name in ('clinical_tl', 'clinical_tl_rules'): nlp.add_pipe(name)\n"
        "print(nlp.pipe_names, nlp.analyze_pipes()['problems'])\n"
    )
    # From elsewhere: the folder of the sources must not be what makes it work.
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/"
    )
    assert "['clinical_tl', 'clinical_tl_rules']" in done.stdout


def test_a_loaded_component_goes_to_another_process(folders, notes):
    nlp = spacy.blank("en")
    component = nlp.add_pipe("clinical_tl", config={"model": str(folders / "ner")})
    text = notes[0].text
    here = nlp(text)
    expected = [(s.text, s.label_) for s in here.spans["clinical_tl"]]
    sent = pickle.loads(pickle.dumps(component))
    doc = sent(nlp.make_doc(text))
    assert [(s.text, s.label_) for s in doc.spans["clinical_tl"]] == expected


def test_two_components_do_not_write_over_each_other(folders, notes):
    nlp = spacy.blank("en")
    for name in ("one", "two"):
        nlp.add_pipe("clinical_tl", name=name, config={"model": str(folders / "ner")})
    with pytest.raises(ConfigError, match=r"'one' has written doc\._\.clinical_tl, and 'two'"):
        nlp(notes[0].text)
