"""Saved folders: whole or refused, plain for others, the same predictions back."""

import json
import shutil
from collections import Counter

import pytest
import torch

from clinical_tl.errors import ArtifactError, EncoderError, ReleaseError
from clinical_tl.models.loading import load
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.release.push import push_folder
from clinical_tl.saved.artifact import read_artifact, read_metrics, write_artifact
from clinical_tl.storage.sealed_json import file_digest, write_sealed
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from tests.crash_points import every_crash_point
from tests.tiny_encoders import write_encoder

STOCK = {
    "classification": lambda notes: NoteClassification.from_notes(notes),
    "coding": lambda notes: DiagnosisCoding.from_notes(notes, head="linear"),
    "entities": lambda notes: EntityRecognition.from_notes(notes),
}
IDS = torch.tensor([[2, 30, 40, 50, 3], [2, 60, 70, 3, 0]])
MASK = (IDS != 0).long()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"), "bert")


@pytest.fixture(scope="module", params=STOCK, ids=STOCK.keys())
def trained(request, encoder, synthetic_notes):
    return train(encoder, synthetic_notes, STOCK[request.param], LoRA(r=4))


def train(encoder, notes, build_task, adapter):
    notes = notes.select(range(12))
    model = TransferModel.from_pretrained(encoder, build_task(notes), adapter=adapter, window=64)
    config = TrainingConfig(epochs=2, learning_rate=1e-2, head_init="random", progress=False)
    fit(model, notes, notes, config, allow_leakage=True)
    return model


@pytest.fixture
def saved(encoder, synthetic_notes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    train(encoder, synthetic_notes, STOCK["classification"], LoRA(r=4)).save_pretrained(folder)
    return folder


def logits(model):
    model.eval()
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK).logits


def auto_class(model):
    import transformers

    return getattr(transformers, model.network.auto_class)


def test_an_adapter_loads_in_plain_peft_with_equal_logits(trained, encoder, tmp_path):
    from peft import PeftModel
    from transformers import AutoConfig

    folder = trained.save_pretrained(tmp_path / "model")
    config = AutoConfig.from_pretrained(folder)
    base = auto_class(trained).from_pretrained(encoder, config=config)
    plain = PeftModel.from_pretrained(base, folder)
    assert torch.equal(logits(plain), logits(trained.network.model))
    assert config.id2label == dict(enumerate(trained.task.head_spec.outputs))


@pytest.mark.parametrize("adapter", ["full", "frozen"])
def test_a_full_model_loads_in_plain_transformers_with_equal_logits(
    encoder, synthetic_notes, adapter, tmp_path
):
    model = train(encoder, synthetic_notes, STOCK["classification"], adapter)
    folder = model.save_pretrained(tmp_path / "model")
    plain = auto_class(model).from_pretrained(folder)
    assert torch.equal(logits(plain), logits(model.network.model))


def test_a_merged_model_gives_the_same_logits_and_runs_in_a_pipeline(trained, tmp_path):
    from transformers import pipeline

    folder = trained.merge(tmp_path / "merged")
    plain = auto_class(trained).from_pretrained(folder)
    torch.testing.assert_close(logits(plain), logits(trained.network.model), atol=1e-5, rtol=1e-4)
    name = "token" if "Token" in trained.network.auto_class else "text"
    result = pipeline(f"{name}-classification", model=str(folder))("Admitted with chest pain.")
    assert isinstance(result, list)
    assert not list(folder.glob("adapter_*"))


def test_a_label_attention_model_cannot_be_merged_and_says_so(encoder, synthetic_notes, tmp_path):
    model = train(encoder, synthetic_notes, DiagnosisCoding.from_notes, LoRA(r=4))
    with pytest.raises(ArtifactError, match="head='linear' of coding"):
        model.merge(tmp_path / "merged")


def test_metrics_thresholds_and_card_are_saved_without_note_text(
    encoder, synthetic_notes, tmp_path
):
    model = train(encoder, synthetic_notes, DiagnosisCoding.from_notes, LoRA(r=4))
    folder = model.save_pretrained(tmp_path / "model")
    loaded = TransferModel.load(folder)
    assert loaded.task.thresholds == model.task.thresholds
    assert loaded.metrics["dev"] == model.metrics["dev"]
    assert "micro_f1" in (folder / "README.md").read_text()
    assert not list(folder.glob("*.bin")) + list(folder.glob("*.pt")) + list(folder.glob("*.pkl"))
    everything = "".join(
        file.read_text() for file in folder.iterdir() if file.suffix in {".json", ".md"}
    )
    for note in synthetic_notes.select(range(12)):
        assert note.text[:50] not in everything


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:1000]), r"adapter_model\.safetensors differs"),
        (lambda f: f.unlink(), r"adapter_model\.safetensors is missing"),
        (
            lambda f: f.write_bytes(f.read_bytes()[:-1] + b"\x7f"),
            r"adapter_model\.safetensors differs",
        ),
    ],
    ids=["truncated", "missing", "one byte changed"],
)
def test_damage_is_noticed(saved, damage, message):
    damage(saved / "adapter_model.safetensors")
    with pytest.raises(ArtifactError, match=message):
        TransferModel.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "has format 99, this version reads format 1"),
        ({"task": {"kind": "poetry"}}, "does not describe a task this version knows"),
        ({"windowing": {"size": 3}}, "does not describe a task"),
    ],
)
def test_an_incompatible_description_is_refused(saved, change, message):
    description = json.loads((saved / "task.json").read_text())
    del description["digest"]
    write_sealed(saved / "task.json", {**description, **change})
    with pytest.raises(ArtifactError, match=message):
        TransferModel.load(saved)


def test_a_folder_that_is_no_artifact_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"holds no task\.json"):
        TransferModel.load(tmp_path)
    (tmp_path / "task.json").write_text("{not json")
    with pytest.raises(ArtifactError, match="missing or damaged"):
        TransferModel.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.update(files={}),
        lambda rows: rows["files"].pop("adapter_model.safetensors"),
        lambda rows: rows["files"].pop("tokenizer.json"),
        lambda rows: rows["files"].update({"../x.json": "0" * 64}),
        lambda rows: rows["files"].update({"metrics.json": None}),
        lambda rows: rows.update(files=None),
        lambda rows: rows.update(encoder=None),
        lambda rows: rows["encoder"].pop("revision"),
        lambda rows: rows["encoder"].update(name=3),
        lambda rows: rows.update(task=[]),
        lambda rows: rows.update(windowing=1),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_description_that_was_changed_is_refused(artifact, change, sealed):
    file = artifact / "task.json"
    rows = json.loads(file.read_text())
    change(rows)
    if sealed:
        del rows["digest"]
        write_sealed(file, rows)
    else:
        file.write_text(json.dumps(rows))
    with pytest.raises(ArtifactError):
        read_artifact(artifact)


def test_labels_in_another_order_are_refused(artifact):
    rows = json.loads((artifact / "task.json").read_text())
    rows["task"]["labels"]["names"].reverse()
    (artifact / "task.json").write_text(json.dumps(rows))
    with pytest.raises(ArtifactError, match="differs from what was saved"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "[]", "null", '"task"', '{"files": 1}', "\ufeff{}", " " * ((1 << 26) + 1)],
    ids=["deep", "list", "null", "text", "number", "mark", "huge"],
)
def test_a_description_that_is_none_is_one_error(artifact, content):
    for name in ("task.json", "metrics.json"):
        (artifact / name).write_text(content)
        with pytest.raises(ArtifactError, match="again"):
            read_artifact(artifact)
            read_metrics(artifact)


def test_every_flipped_bit_of_a_description_is_noticed(artifact):
    file = artifact / "task.json"
    content = file.read_bytes()
    for position, byte in enumerate(content):
        if bytes([byte]).isspace():
            continue
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 7
        file.write_bytes(flipped)
        with pytest.raises(ArtifactError):
            read_artifact(artifact)


@pytest.mark.parametrize("then", ["the next save", "a load"])
def test_a_kill_at_any_point_of_a_save_leaves_the_old_model_or_the_new(tmp_path, then):
    folder = tmp_path / "model"

    def before():
        shutil.rmtree(tmp_path)
        write("old", folder)
        (folder / "predictions.jsonl").write_text("theirs")

    def after():
        if then == "a load":
            assert read_artifact(folder)["task"]["kind"] in ("old", "new")
        write("next", folder)
        assert read_artifact(folder)["task"]["kind"] == "next"
        assert (folder / "predictions.jsonl").read_text() == "theirs"
        assert [path.name for path in tmp_path.iterdir()] == ["model"], "leftovers"

    assert every_crash_point(before, lambda: write("new", folder), after) > 10


def test_what_others_put_beside_a_model_stays_and_its_old_parts_go(tmp_path):
    folder = tmp_path / "model"
    write("old", folder)
    (folder / "report.json").write_text("{}")
    (folder / "run" / "checkpoint-1").mkdir(parents=True)
    (folder / "run" / "checkpoint-1" / "weights").write_text("theirs")
    write("new", folder)
    assert (folder / "run" / "checkpoint-1" / "weights").read_text() == "theirs"
    assert not (folder / "report.json").exists(), "a report of another model"
    read_artifact(folder)


def write(word, folder):
    description = {
        "package_version": "0",
        "task": {"kind": word, "labels": {"names": ["a", "b"]}},
        "encoder": {"name": "e", "sha256": "0", "revision": None},
        "adapter": "peft",
        "windowing": {},
    }

    def write_files(draft):
        (draft / "adapter_model.safetensors").write_text(word)
        (draft / "tokenizer.json").write_text(word)

    write_artifact(folder, description, metrics={}, card="# Card", write_files=write_files)


@pytest.fixture
def artifact(tmp_path):
    write("kind", tmp_path / "artifact")
    return tmp_path / "artifact"


def test_another_encoder_is_refused_and_a_copy_of_the_right_one_taken(saved, encoder, tmp_path):
    other = write_encoder(tmp_path / "other", "bert", seed=9)
    with pytest.raises(ArtifactError, match="name the right encoder"):
        TransferModel.load(saved, encoder=other)
    copy = shutil.copytree(encoder, tmp_path / "copy")
    expected = TransferModel.load(saved).predict(["Chest pain."])
    assert TransferModel.load(saved, encoder=copy).predict(["Chest pain."]) == expected


def test_loading_reads_every_file_once_for_its_hash(saved, monkeypatch):
    read = Counter()

    def counted(file):
        read[file.name] += 1
        return file_digest(file)

    monkeypatch.setattr("clinical_tl.saved.artifact.file_digest", counted)
    load(saved)
    assert set(read) >= {"adapter_model.safetensors", "metrics.json"}
    assert set(read.values()) == {1}


def test_what_another_class_saved_is_named(saved):
    description = read_artifact(saved)
    for adapter, loader in {"features": "FeatureModel", "onnx": "models.OnnxModel"}.items():
        write_sealed(saved / "task.json", {**description, "adapter": adapter})
        with pytest.raises(ArtifactError, match=rf"load it with clinical_tl\.{loader}\.load"):
            TransferModel.load(saved)


def test_a_missing_encoder_is_named(saved):
    with pytest.raises(EncoderError, match="no encoder 'nobody/nothing'"):
        TransferModel.load(saved, encoder="nobody/nothing")


def test_other_peoples_folders_are_not_replaced(saved, tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("years of work")
    model = TransferModel.load(saved)
    with pytest.raises(ArtifactError, match="choose another folder"):
        model.save_pretrained(precious)
    assert (precious / "chapter.txt").exists()
    model.save_pretrained(saved)
    assert TransferModel.load(saved).predict(["Cough."]) == model.predict(["Cough."])


def test_a_failed_save_leaves_the_old_folder(saved, monkeypatch):
    model = TransferModel.load(saved)
    before = {file.name: file.read_bytes() for file in saved.iterdir()}

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("clinical_tl.models.transfer_model.save_network", broken)
    with pytest.raises(OSError, match="disk full"):
        model.save_pretrained(saved)
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before
    assert [p for p in saved.parent.iterdir() if p != saved] == []


def test_an_adapter_of_a_local_encoder_is_not_pushed(saved):
    with pytest.raises(ReleaseError, match="which nobody else has"):
        push_folder(saved, "somebody/model")
