"""Codes beyond training: found by their names, told where from, saved, scored as what they are."""

import logging
from dataclasses import replace

import numpy as np
import pytest

import clinical_tl as ctl
from clinical_tl.errors import ArtifactError, ConfigError, NoteError, TaskError
from clinical_tl.integrations.onnx_export import export_onnx
from clinical_tl.models.code_candidates import FEATURES
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.label_names import checked_names
from clinical_tl.models.open_codes import OpenCodes, fit_open_codes, with_open_codes
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.rules.rule import Rule
from clinical_tl.schema import LabelScores, Note, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.multi_label_classification import MultiLabelClassification
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

SAID = {
    "I10": "high blood pressure",
    "R05": "cough",
    "J45": "asthma",
    "A00": "cholera",
    "B05": "measles",
    "G35": "multiple sclerosis",
    "L40": "psoriasis",
    "M10": "gout",
}
TRAINED, NEW = list(SAID)[:2], list(SAID)[2:]
WHEN = ["today", "at night", "for days", "since then", "at home", "at rest"]


def written(n, first, codes):
    notes = []
    for i in range(n):
        own = [codes[i % len(codes)], codes[(i * 3 + 1) % len(codes)]]
        said = ". ".join(
            f"{SAID[code].capitalize()} {WHEN[(i + j) % 6]}"
            for j, code in enumerate(dict.fromkeys(own))
        )
        text = f"Seen nr {first + i} {WHEN[i % 6]}. {said}."
        notes.append(Note(f"{first + i}", text, codes=tuple(dict.fromkeys(own))))
    return notes


TRAIN = written(24, 0, TRAINED)
DEV = written(40, 100, [*TRAINED, *NEW[:4]])
TEST = written(24, 200, [*TRAINED, *NEW])
BLANK = Note("blank", "​ ", codes=())
TASK = DiagnosisCoding.from_notes(TRAIN, level="category")
QUICK = TrainingConfig(epochs=1, batch_tokens=512, progress=False, head_init="random")


@pytest.fixture(scope="module")
def closed(tiny_encoder):
    return FeatureModel.fit(tiny_encoder, TASK, TRAIN, progress=False)


@pytest.fixture(scope="module")
def model(closed):
    return fit_open_codes(closed, DEV, progress=False)


def test_codes_that_training_never_showed_are_found_in_notes(model, closed):
    predictions = model.predict([*TEST, BLANK], progress=False)
    for note, said in zip(TEST, predictions, strict=False):
        assert set(note.codes) & set(NEW) <= set(said.codes), note.text
    assert predictions[-1] == closed.predict([BLANK], progress=False)[0]
    scores = TASK.evaluate(TEST, predictions[:-1])
    alone = TASK.evaluate(TEST, closed.predict(TEST, progress=False))
    assert scores.micro_f1 > alone.micro_f1 + 0.2
    assert scores.ranking.mean_average_precision > alone.ranking.mean_average_precision + 0.2
    assert closed.open_codes is None


def test_each_code_says_where_it_came_from_and_where_it_is_written(model):
    for note, said in zip(TEST, model.predict(TEST, progress=False), strict=True):
        assert list(said.sources) == list(said.codes)
        for code in set(said.codes) & set(NEW):
            assert set(said.sources[code]) <= {"name", "rules", "similar"}
            stretches = {note.text[span.start : span.end].lower() for span in said.evidence[code]}
            assert any(SAID[code] in stretch for stretch in stretches)
            assert {dict(span.attributes)["source"] for span in said.evidence[code]} <= set(
                said.sources[code]
            )
        record = said.to_dict()
        assert record["sources"] == {code: list(own) for code, own in said.sources.items()}


def test_scores_hold_the_tasks_codes_and_the_other_candidates(model):
    (said,) = model.predict(TEST[2:3], progress=False)
    scores = said.scores
    assert isinstance(scores, LabelScores)
    assert scores.names == TASK.labels.names
    assert all(0 <= score <= 1 for score in scores.values())
    for code in said.codes:
        assert scores[code] >= model.open_codes.threshold_
    ranked = list(scores.top(len(scores)).values())
    assert ranked == sorted(ranked, reverse=True)
    assert set(scores.others).isdisjoint(TASK.labels.names)
    assert [c for c in scores if c in scores] == list(scores)


def test_what_dev_notes_said_is_by_folds_and_kept(model):
    told = model.metrics["open_codes"]
    assert told["dev_notes"] == len(DEV)
    assert list(told["weights"]) == list(FEATURES)
    assert told["union"]["micro_f1"] > told["model"]["micro_f1"]


def test_scores_of_dev_folds_do_not_come_from_the_same_notes(closed):
    """Where right and wrong are drawn by lot, folds say so."""
    rng = np.random.default_rng(0)
    drawn = [replace(n, codes=tuple(rng.choice(list(SAID), 1))) for n in DEV]
    told = fit_open_codes(closed, drawn, progress=False).metrics["open_codes"]
    assert told["union"]["micro_f1"] < 0.45


def test_it_is_saved_with_the_model_and_does_the_same(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    loaded = ctl.load(tmp_path / "model")
    assert isinstance(loaded, FeatureModel)
    same(model.predict(TEST, progress=False), loaded.predict(TEST, progress=False))


def same(first, second):
    for one, other in zip(first, second, strict=True):
        assert one.codes == other.codes
        assert one.sources == other.sources
        assert one.evidence.keys() == other.evidence.keys()
        assert dict(one.scores) == pytest.approx(dict(other.scores), abs=1e-5)


@pytest.mark.parametrize("head", ["label_attention", "linear"])
def test_a_fine_tuned_coder_takes_it_streamed_and_whole(tiny_encoder, tmp_path, head):
    task = DiagnosisCoding.from_notes(TRAIN, level="category", head=head)
    model = TransferModel.from_pretrained(tiny_encoder, task, window=32, overlap=8, seed=0)
    fit(model, TRAIN, None, QUICK)
    plain = model.predict(TEST, progress=False)
    assert fit_open_codes(model, DEV, progress=False) is model
    found = model.predict(TEST, progress=False)
    assert any(set(said.codes) & set(NEW) for said in found)
    same(found, list(model.predict_stream(iter(TEST), progress=False)))
    model.save_pretrained(tmp_path / "model")
    same(found, ctl.load(tmp_path / "model").predict(TEST, progress=False))
    for refused in (lambda: model.merge(tmp_path / "merged"), model.merged):
        with pytest.raises(ArtifactError, match="open code set"):
            refused()
    with pytest.raises(ConfigError, match="open code set"):
        export_onnx(model, tmp_path / "graph")
    opened = model.open_codes
    assert with_open_codes(model, None).predict(TEST, progress=False) == plain
    fit(with_open_codes(model, opened), TRAIN, None, QUICK)
    assert model.open_codes is None
    assert "open_codes" not in model.metrics


def test_rules_find_what_names_do_not(closed):
    """A word of the ward's own, with the codes that it stands for."""
    dev = [replace(n, text=n.text.replace("Psoriasis", "Flaky")) for n in DEV]
    dev = [
        replace(n, text=f"{n.text} Flakyskin.", codes=(*n.codes, "L40.9")) if i % 3 else n
        for i, n in enumerate(dev)
    ]
    rule = Rule("ward:1", "flakyskin", "Code", "ward", concepts=("L409",))
    model = fit_open_codes(closed, dev, rules=[rule], progress=False)
    (said,) = model.predict([Note("x", "Came with flakyskin today.")], progress=False)
    assert said.codes == ("L40",)
    assert said.sources["L40"][0] == "rules"
    assert said.evidence["L40"][0].key == (10, 19, "L40")


def test_names_of_ones_own_are_saved_and_used(closed, tmp_path):
    names = {code: [said] for code, said in SAID.items()}
    model = fit_open_codes(closed, DEV, names=names, progress=False)
    model.save_pretrained(tmp_path / "model")
    found = OpenCodes.load(tmp_path / "model")
    assert {code: list(own) for code, own in found.names_.items()} == names
    same(model.predict(TEST, progress=False), ctl.load(tmp_path / "model").predict(TEST))


def test_names_are_given_in_any_spelling_or_as_a_file(closed, tmp_path):
    plain = {code: [said] for code, said in SAID.items()}
    odd = {f" {code.lower()} ": said for code, said in SAID.items()}
    table = tmp_path / "codes.csv"
    rows = [f"{code},{said}" for code, said in SAID.items()]
    table.write_text("\n".join(["code,description", "I00-I99,a chapter", *rows]))
    first = fit_open_codes(closed, DEV, names=plain, progress=False)
    for names in (odd, table):
        other = fit_open_codes(closed, DEV, names=names, progress=False)
        same(first.predict(TEST, progress=False), other.predict(TEST, progress=False))


@pytest.mark.parametrize(
    ("names", "rules", "said"),
    [
        ({"I10": None}, (), "1 have names that are no list of strings"),
        ({"I10": [1, 2]}, (), "1 have names that are no list of strings"),
        ({"patient says": ["x"]}, (), "1 are none of diagnosis coding"),
        ({"I10": [" "]}, (), "of 1 codes 0 are none"),
        ({}, (), "of 0 codes"),
        (None, "lexicon.tsv", "are no rules"),
        (None, [1], "1 of 1 are no rules"),
    ],
)
def test_what_are_no_names_or_rules_is_said_at_once(names, rules, said):
    with pytest.raises(ConfigError, match=said) as told:
        checked_names(TASK, names, rules)
    assert "patient says" not in str(told.value)


def test_the_copy_alone_says_that_it_is_open(closed, model, tmp_path):
    assert "open_codes" not in closed.metrics
    closed.save_pretrained(tmp_path / "closed")
    model.save_pretrained(tmp_path / "open")
    cards = [(tmp_path / name / "README.md").read_text() for name in ("closed", "open")]
    assert ["codes that training never showed" in card for card in cards] == [False, True]


def test_what_was_open_before_stays_where_opening_it_again_fails(model):
    with pytest.raises(TaskError, match="text and a code"):
        fit_open_codes(model, [replace(n, codes=()) for n in DEV], progress=False)
    assert model.open_codes is not None
    assert "open_codes" in model.metrics


def test_labels_of_ones_own_are_opened_by_names(tiny_encoder):
    """Findings that training lacked, where a person says what they are called."""
    titles = {code: said.title() for code, said in SAID.items()}

    def found(notes):
        return [replace(n, codes=tuple(titles[c] for c in n.codes)) for n in notes]

    task = MultiLabelClassification.from_notes(found(TRAIN))
    closed = FeatureModel.fit(tiny_encoder, task, found(TRAIN), progress=False)
    with pytest.raises(ConfigError, match="nothing says what"):
        fit_open_codes(closed, found(DEV), progress=False)
    names = {title: [title] for title in titles.values()}
    model = fit_open_codes(closed, found(DEV), names=names, progress=False)
    said = {code for p in model.predict(found(TEST), progress=False) for code in p.codes}
    assert {titles[code] for code in NEW} <= said


def test_the_same_seed_gives_the_same(closed):
    first, second = (fit_open_codes(closed, DEV, progress=False).open_codes for _ in range(2))
    assert first.coef_.tolist() == second.coef_.tolist()
    assert first.threshold_ == second.threshold_


def test_a_changed_list_is_said(model, caplog):
    state = model.open_codes.to_state() | {"digest_": "other"}
    with caplog.at_level(logging.WARNING):
        replace(model, open_codes=OpenCodes.from_state(state)).predict(TEST[:1], progress=False)
    assert "other names" in caplog.text


def test_that_the_union_loses_is_said(closed, caplog, monkeypatch):
    """It is the one given all the same: a person asked for it."""

    def silent(self, *given, **_):
        self.coef_ = np.zeros(len(FEATURES))
        return [replace(p, codes=()) for p in given[2]]

    monkeypatch.setattr(OpenCodes, "fit", silent)
    with caplog.at_level(logging.WARNING):
        model = fit_open_codes(closed, DEV, progress=False)
    assert model.open_codes is not None
    (told,) = [r.getMessage() for r in caplog.records if "union loses" in r.getMessage()]
    assert told.endswith("; the union loses in micro_f1")


def test_what_can_not_be_opened_is_refused(closed, tiny_encoder):
    with pytest.raises(NoteError, match="training notes share"):
        fit_open_codes(closed, TRAIN, progress=False)
    with pytest.raises(TaskError, match="no 'codes'"):
        fit_open_codes(closed, [Note("a", "text")], progress=False)
    with pytest.raises(TaskError, match="unrelated"):
        fit_open_codes(closed, [replace(n, patient_id="p") for n in DEV], progress=False)
    with pytest.raises(TaskError, match="among the candidates"):
        fit_open_codes(closed, [replace(n, codes=("Z99.9",)) for n in DEV], progress=False)
    with pytest.raises(TaskError, match="text and a code"):
        fit_open_codes(closed, [replace(n, text=" ") for n in DEV], progress=False)
    bad = Rule("own:1", "x-ray", "Code", "own", concepts=("patient says",))
    with pytest.raises(ConfigError, match="'own:1': its concepts are none") as told:
        fit_open_codes(closed, DEV, rules=[bad], progress=False)
    assert "patient says" not in str(told.value)
    chapters = DiagnosisCoding.from_notes(TRAIN, level="chapter")
    model = FeatureModel.fit(tiny_encoder, chapters, TRAIN, progress=False)
    with pytest.raises(ConfigError, match="nothing says what"):
        fit_open_codes(model, DEV, progress=False)
    topics = NoteClassification.from_notes([replace(n, label=n.codes[0]) for n in TRAIN])
    labelled = [replace(n, label=n.codes[0]) for n in TRAIN]
    other = FeatureModel.fit(tiny_encoder, topics, labelled, progress=False)
    with pytest.raises(TaskError, match="DiagnosisCoding"):
        fit_open_codes(other, labelled, progress=False)


def test_evidence_of_a_span_never_leaves_the_text(model):
    for note, said in zip(TEST, model.predict(TEST, progress=False), strict=True):
        for spans in said.evidence.values():
            for span in spans:
                assert isinstance(span, Span)
                assert 0 <= span.start < span.end <= len(note.text)
