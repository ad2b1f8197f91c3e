"""The audits against losses worked by hand, and models that remember or do not."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ArtifactError, TaskError
from clinical_tl.estimators.novelty import NoveltyDetector
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.loading import load
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.encoder import find_encoder
from clinical_tl.network.lora import LoRA
from clinical_tl.network.masked_lm import load_masked_lm
from clinical_tl.release import memorisation
from clinical_tl.release.canaries import CANDIDATES, canary_exposure, canary_notes
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.gate import check_release
from clinical_tl.release.masked_model import MaskedModel
from clinical_tl.release.memorisation import check_memorisation, membership_audit
from clinical_tl.schema import Note
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from tests.release.folders import write_json, write_model
from tests.tiny_encoders import write_encoder

EASY = {"public": False, "train": None, "held_out": None}


@pytest.fixture(scope="module")
def sides(synthetic_notes):
    """Twenty notes a side, their labels drawn by lot: nothing but memory can tell them."""
    rng = np.random.default_rng(0)
    notes = [
        Note(str(i), note.text[:200], label="ab"[int(rng.integers(2))])
        for i, note in enumerate(as_notes(synthetic_notes))
    ]
    return notes[:20], notes[20:]


def classifier(encoder, sides, folder, *, epochs):
    task = NoteClassification.from_notes(sides[0])
    model = TransferModel.from_pretrained(encoder, task, adapter="full", window=64)
    if epochs:
        config = TrainingConfig(
            epochs=epochs,
            learning_rate=5e-3,
            dropout=0.0,
            batch_tokens=256,
            head_init="random",
            progress=False,
        )
        fit(model, sides[0], config=config)
    return model, ReleaseFolder.read(model.save_pretrained(folder))


@pytest.fixture(scope="module")
def remembers(tiny_encoder, sides, tmp_path_factory):
    return classifier(tiny_encoder, sides, tmp_path_factory.mktemp("r") / "model", epochs=30)


@pytest.fixture(scope="module")
def knows_nothing(tiny_encoder, sides, tmp_path_factory):
    return classifier(tiny_encoder, sides, tmp_path_factory.mktemp("k") / "model", epochs=0)


@pytest.fixture(scope="module")
def masked(tiny_encoder, tmp_path_factory):
    """A folder with a masked language model whose head is its own."""
    folder = tmp_path_factory.mktemp("masked")
    load_masked_lm(find_encoder(tiny_encoder)).model.save_pretrained(folder)
    NoteTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return folder


def test_a_notes_loss_is_that_of_its_prediction(remembers, sides):
    model, folder = remembers
    unknown = [Note("u", sides[0][0].text, label="never seen")]
    expected = [
        -np.log(prediction.scores[note.label])
        for note, prediction in zip(sides[1], model.predict(sides[1], progress=False), strict=True)
    ]
    found = load(folder.path).losses(sides[1] + unknown)
    np.testing.assert_allclose(found[:-1], expected, rtol=1e-3, atol=1e-5)
    assert np.isnan(found[-1])


def test_so_is_it_on_frozen_features(tiny_encoder, sides, tmp_path):
    task = NoteClassification.from_notes(sides[0])
    model = FeatureModel.fit(tiny_encoder, task, sides[0], strengths=[1.0], progress=False)
    folder = ReleaseFolder.read(model.save_pretrained(tmp_path / "model"))
    predictions = model.predict(sides[1], progress=False)
    expected = [-np.log(p.scores[n.label]) for n, p in zip(sides[1], predictions, strict=True)]
    found = load(folder.path).losses([*sides[1], Note("u", "fever", label="never seen")])
    np.testing.assert_allclose(found[:-1], expected, rtol=1e-4, atol=1e-6)
    assert np.isnan(found[-1])


def test_an_entity_recognisers_loss_is_the_mean_of_its_units(
    tiny_encoder, synthetic_notes, tmp_path
):
    notes = as_notes(synthetic_notes.select(range(3)))
    task = EntityRecognition.from_notes(notes)
    model = TransferModel.from_pretrained(
        tiny_encoder, task, adapter=LoRA(r=2), window=32, overlap=8
    )
    model.network.eval()
    with torch.no_grad():
        # All weights of the head zero: every tag is as likely, in every window.
        for name, parameter in model.network.named_parameters():
            if model.network.is_head(name):
                parameter.zero_()
    folder = ReleaseFolder.read(model.save_pretrained(tmp_path / "model"))
    found = load(folder.path).losses(notes)
    np.testing.assert_allclose(found, np.log(len(task.tag_set)), rtol=1e-6)


def test_a_model_that_remembers_its_notes_is_held_back(remembers, sides):
    _, folder = remembers
    audit = membership_audit(folder, *sides)
    assert (audit.train_notes, audit.held_out_notes, audit.calibrated) == (20, 20, False)
    assert audit.auc.estimate > memorisation.MEMBERSHIP_BOUND
    assert audit.auc.low > 0.5
    given = {"public": False, "train": sides[0], "held_out": sides[1]}
    found = check_memorisation(folder, "local", **given)
    assert found.status == "block"
    assert f"membership AUC {audit.auc.estimate:.2f} (95 % interval" in found.reason
    assert check_memorisation(folder, "public", **given).status == "warn"


def test_a_model_that_saw_nothing_is_not(knows_nothing, sides):
    _, folder = knows_nothing
    audit = membership_audit(folder, *sides)
    assert audit.auc.low < 0.5 < audit.auc.high
    given = {"public": True, "train": sides[0], "held_out": sides[1]}
    # Twenty notes a side leave too wide an interval to be sure of more.
    assert check_memorisation(folder, "public", **given).status != "block"
    assert check_memorisation(folder, "local", **given).status != "pass"


@pytest.mark.parametrize(
    ("data_use", "public", "status"),
    [
        ("public", True, "unchecked"),
        ("local", False, "unchecked"),
        ("local", True, "block"),
        ("credentialed", True, "block"),
    ],
)
def test_an_unaudited_model_of_patients_stays_private(tmp_path, sides, data_use, public, status):
    folder = ReleaseFolder.read(write_model(tmp_path / "model"))
    missing = {"public": public, "train": sides[0], "held_out": None}
    assert check_memorisation(folder, data_use, **missing).status == status
    few = {"public": public, "train": sides[0], "held_out": sides[1][:19]}
    found = check_memorisation(folder, data_use, **few)
    assert (found.status, "needs 20 notes" in found.reason) == (status, True)
    # Its encoder is not here.
    found = check_memorisation(folder, data_use, public=public, train=sides[0], held_out=sides[1])
    assert (found.status, "can't be loaded" in found.reason) == (status, True)


@pytest.mark.parametrize("kind", [TransferModel, FeatureModel])
def test_an_encoder_that_lies_elsewhere_today_is_audited_there(kind, tiny_encoder, sides, tmp_path):
    before = shutil.copytree(tiny_encoder, tmp_path / "before")
    task = NoteClassification.from_notes(sides[0])
    if kind is TransferModel:
        model = TransferModel.from_pretrained(before, task, adapter=LoRA(r=2), window=64)
    else:
        model = FeatureModel.fit(before, task, sides[0], strengths=[1.0], progress=False)
    saved = model.save_pretrained(tmp_path / "model")
    given = {"data_use": "local", "train": sides[0], "held_out": sides[1]}
    expected = audit_of(check_release(saved, **given))
    assert expected.startswith("membership AUC")
    before.rename(tmp_path / "after")
    assert "can't be loaded" in audit_of(check_release(saved, **given))
    assert audit_of(check_release(saved, encoder=tmp_path / "after", **given)) == expected
    # Another encoder is no stand-in.
    other = write_encoder(tmp_path / "other", "bert", seed=1)
    assert "(ArtifactError)" in audit_of(check_release(saved, encoder=other, **given))


def audit_of(report):
    (reason,) = [check.reason for check in report.checks if check.name == memorisation.NAME]
    return reason


@pytest.mark.parametrize(("method", "status"), [("knn", "block"), ("mahalanobis", "unchecked")])
def test_a_detector_that_holds_notes_never_leaves(tmp_path, method, status):
    folder = write_model(tmp_path / "model")
    embeddings = np.random.default_rng(0).normal(size=(30, 4))
    NoveltyDetector(method).fit(embeddings).save(folder)
    assert check_memorisation(ReleaseFolder.read(folder), "public", **EASY).status == status


def test_masked_losses_are_those_of_plain_transformers(masked):
    model = MaskedModel.load(masked)
    text = "The number 4 2"
    start = text.index("4")
    (tokens,) = model.tokenizer.encode([text])
    secret = [t for t in range(len(tokens)) if tokens.starts[t] >= start]
    special = model.tokenizer
    ids = [*special.prefix_ids, *tokens.ids.tolist(), *special.suffix_ids]
    expected = []
    for t in secret:
        position = len(special.prefix_ids) + t
        hidden = torch.tensor([ids])
        hidden[0, position] = special.tokenizer.mask_token_id
        with torch.no_grad():
            logits = model.reader.network.model(input_ids=hidden).logits[0, position]
        expected.append(-logits.log_softmax(dim=-1)[ids[position]].item())
    found = model.secret_losses([text, text + " 7"], [start, start])
    assert found[0] == pytest.approx(np.mean(expected), rel=1e-5)
    assert found[1] != found[0]


def test_a_notes_masked_loss_repeats_and_reads_every_window(masked):
    model = MaskedModel.load(masked)
    notes = [Note("1", "fever and cough " * 100), Note("2", ""), Note("3", "rash")]
    found = model.note_losses(notes)
    assert np.isnan(found[1])
    assert np.isfinite(found[[0, 2]]).all()
    np.testing.assert_array_equal(found, model.note_losses(notes))
    assert not np.array_equal(found[[0, 2]], model.note_losses(notes, seed=1)[[0, 2]])


class Keeps:
    """Stands for a masked model: knows some secrets, and of the rest their order."""

    def __init__(self, known, rank):
        self.known, self.rank = known, rank

    def secret_losses(self, texts, starts):
        assert len(set(texts)) == len(texts) == CANDIDATES + 1
        assert all(text[start - 1] == " " for text, start in zip(texts, starts, strict=True))
        own = 0.0 if texts[0] in self.known else self.rank - 1.5
        return np.array([own, *range(CANDIDATES)])


def test_exposure_is_bits_of_rank():
    canaries = canary_notes(3, seed=1)
    kept = canary_exposure(Keeps({canaries[1].text}, 512), canaries)
    assert kept.bits == (0.0, 9.0 - np.log2(1 + 0), 0.0)
    assert kept.highest == 9.0
    assert canary_exposure(Keeps(set(), 128), canaries).bits == (2.0, 2.0, 2.0)


def test_a_kept_canary_holds_an_adapted_encoder_back(masked, sides, tmp_path, monkeypatch):
    for file in masked.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    origin = {"encoder": str(masked), "encoder_sha256": find_encoder(masked).sha256}
    write_json(tmp_path / "adaptation.json", {**origin, "new_head": False})
    folder = ReleaseFolder.read(tmp_path)
    canaries = canary_notes(2)
    given = {"public": True, "train": sides[0] + canaries, "held_out": sides[1]}
    bits = {"highest": 6.9}
    monkeypatch.setattr(
        memorisation,
        "canary_exposure",
        lambda _, planted: (
            type("Exposure", (), bits)
            if [c.text for c in planted] == [c.text for c in canaries]
            else None
        ),
    )
    found = check_memorisation(folder, "local", **given)
    # The same weights as its origin's: calibrated, every loss is 0 and the AUC a coin's.
    assert "membership AUC 0.50 (95 % interval 0.50 to 0.50" in found.reason
    assert "20 training, 20 held-out notes, 0 left out, calibrated" in found.reason
    assert "highest exposure of 2 canaries 6.9 bits, bound 7.0" in found.reason
    assert found.status == "pass"
    # Its origin may lie elsewhere today.
    gone = {**origin, "encoder": str(tmp_path / "gone")}
    write_json(tmp_path / "adaptation.json", {**gone, "new_head": False})
    moved = ReleaseFolder.read(tmp_path)
    assert "calibrated" not in check_memorisation(moved, "local", **given).reason
    assert "calibrated" in check_memorisation(moved, "local", encoder=masked, **given).reason
    # An encoder of that name with other weights is no origin to compare with.
    other = {**origin, "encoder_sha256": "0" * 64}
    write_json(tmp_path / "adaptation.json", {**other, "new_head": False})
    stranger = ReleaseFolder.read(tmp_path)
    assert "calibrated" not in check_memorisation(stranger, "local", **given).reason
    bits["highest"] = 7.1
    assert check_memorisation(folder, "local", **given).status == "block"
    unplanted = check_memorisation(folder, "local", **{**given, "train": sides[0]})
    assert (unplanted.status, "not looked for: canaries" in unplanted.reason) == ("partial", True)


def test_an_exported_graph_is_not_audited_by_another_head(remembers, sides, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    from clinical_tl.integrations.onnx_export import export_onnx

    model, _ = remembers
    export_onnx(model, tmp_path / "graphs")
    folder = ReleaseFolder.read(tmp_path / "graphs")
    found = check_memorisation(folder, "local", public=True, train=sides[0], held_out=sides[1])
    assert found.status == "block"
    assert "not audited" in found.reason
    with pytest.raises(ArtifactError, match="has no losses to audit; audit the folder"):
        membership_audit(folder, *sides)


def test_tags_on_frozen_features_have_no_loss_of_a_note(tiny_encoder, synthetic_notes, tmp_path):
    notes = as_notes(synthetic_notes)
    task = EntityRecognition.from_notes(notes)
    model = FeatureModel.fit(tiny_encoder, task, notes, strengths=[1.0], progress=False)
    with pytest.raises(TaskError, match="has no loss of a note; allowed"):
        model.losses(notes)
    folder = ReleaseFolder.read(model.save_pretrained(tmp_path / "model"))
    found = check_memorisation(folder, "local", public=True, train=notes[:20], held_out=notes[20:])
    assert (found.status, "no loss of a note" in found.reason) == ("block", True)


def test_a_folder_that_says_nothing_of_its_task_is_not_audited(tmp_path, sides):
    folder = replace(ReleaseFolder.read(write_model(tmp_path / "model")), description={})
    found = check_memorisation(folder, "local", public=True, train=sides[0], held_out=sides[1])
    assert (found.status, "not audited" in found.reason) == ("block", True)
