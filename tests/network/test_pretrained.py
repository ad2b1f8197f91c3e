"""What is not loaded as it was saved is an error: encoders, adapters, configs."""

import json
import logging
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from clinical_tl.errors import ArtifactError, EncoderError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.conversion import convert_encoder
from clinical_tl.network.encoder import find_encoder
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.network.heads import LabelAttentionHead, SequenceHead, TokenHead
from clinical_tl.schema import Note, Span
from clinical_tl.storage.sealed_json import file_digest, write_sealed
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from tests.tiny_encoders import write_encoder

NOTES = [
    Note(str(i), f"Fever and cough for {i} days.", label="xy"[i % 2], codes=("I10",), spans=())
    for i in range(6)
]
HEADS = {
    "sequence": SequenceHead(("x", "y")),
    "token": TokenHead(("O", "B-a", "I-a")),
    "label_attention": LabelAttentionHead(("a", "b")),
}


def changed(encoder, folder, change=None, **settings):
    """A copy of an encoder with other tensors, or another config.json."""
    shutil.copytree(encoder, folder)
    if change is not None:
        weights = change(load_file(folder / "model.safetensors"))
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def prefixed(prefix):
    return lambda weights: {f"{prefix}{name}": t for name, t in weights.items()}


def without_every_second(weights):
    return {name: t for i, (name, t) in enumerate(sorted(weights.items())) if i % 2}


def with_another_shape(weights):
    return {n: t[:7] if "query.weight" in n else t for n, t in weights.items()}


def not_finite(weights):
    broken = dict(weights)
    name = next(n for n in sorted(weights) if "query.weight" in n)
    broken[name] = torch.full_like(weights[name], float("nan"))
    return broken


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (without_every_second, {}, r"tensors are missing: .*truncated"),
        (lambda _: {"x": torch.zeros(1)}, {}, r"2 blocks by its config.json|are missing"),
        (prefixed("strange."), {}, r"tensors are missing.*wrapper"),
        (with_another_shape, {}, r"another shape: .*query\.weight is \(7, 32\), not \(32, 32\)"),
        (not_finite, {}, r"infinite or not numbers, in .*query\.weight"),
        (None, {"num_hidden_layers": 1}, r"16 tensors have no place in it: .*layer\.1\."),
        (None, {"num_hidden_layers": 4}, r"tensors are missing: .*layer\.2\."),
        (None, {"num_hidden_layers": 1_000_000}, "1,000,000 blocks"),
        (None, {"max_position_embeddings": 8}, "another shape: .*position_embeddings"),
        (None, {"hidden_size": 64}, "another shape"),
        (None, {"model_type": "electra"}, "are missing|another shape|no place"),
    ],
)
def test_what_is_not_loaded_is_refused(tiny_encoder, tmp_path, head, change, settings, message):
    folder = changed(tiny_encoder, tmp_path / "e", change, **settings)
    with pytest.raises(EncoderError, match=message) as error:
        head.load(find_encoder(folder), pretrained=True, exact=False)
    assert len(str(error.value)) < 2500


@pytest.mark.parametrize("prefix", ["model.", "module.bert.", "0.auto_model.", "_orig_mod.model."])
def test_a_wrappers_prefix_is_passed_over_and_said(tiny_encoder, tmp_path, prefix, caplog):
    folder = changed(tiny_encoder, tmp_path / "e", prefixed(prefix))
    with caplog.at_level(logging.WARNING):
        found = FrozenEncoder.from_pretrained(folder)
    assert repr(prefix) in caplog.text
    expected = FrozenEncoder.from_pretrained(tiny_encoder)
    assert (found.vectors(["no fever"]) == expected.vectors(["no fever"])).all()


def test_a_head_of_another_task_is_left_behind(tiny_encoder, tmp_path):
    model = HEADS["token"].load(find_encoder(tiny_encoder), pretrained=True, exact=False)
    model.save_pretrained(tmp_path / "e")
    for file in tiny_encoder.glob("token*"):
        shutil.copy(file, tmp_path / "e")
    for head in HEADS.values():
        head.load(find_encoder(tmp_path / "e"), pretrained=True, exact=False)


def test_no_code_of_a_folder_runs_even_where_somebody_says_yes(tiny_encoder, tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    folder = changed(
        tiny_encoder,
        tmp_path / "e",
        auto_map={
            "AutoConfig": "evil.Evil",
            "AutoModel": "evil.Evil",
            "AutoModelForTokenClassification": "evil.Evil",
        },
        model_type="evil",
    )
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').write('x')\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(EncoderError, match="never run"):
        find_encoder(folder)
    assert not marker.exists()


def test_compiled_kernels_of_the_hub_are_not_looked_for(tiny_encoder, tmp_path):
    folder = changed(
        tiny_encoder, tmp_path / "e", _attn_implementation="kernels-community/flash-attn"
    )
    with pytest.raises(EncoderError, match="compiled code of the Hub"):
        FrozenEncoder.from_pretrained(folder)


class Runs:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_pickled_weights_are_refused_and_converted_without_running_them(tiny_encoder, tmp_path):
    folder = tmp_path / "e"
    shutil.copytree(tiny_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"pickled weights.*convert_encoder"):
        find_encoder(folder)
    plain = convert_encoder(folder, tmp_path / "plain")
    found = FrozenEncoder.from_pretrained(plain).vectors(["no fever"])
    assert (found == FrozenEncoder.from_pretrained(tiny_encoder).vectors(["no fever"])).all()
    torch.save({"weights": Runs(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="more than weights"):
        convert_encoder(folder, tmp_path / "other")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["runs/mymodel", "encoders/hospitalX", "nobody", "hub:no/such"])
def test_a_misspelt_folder_never_goes_to_the_network(name, monkeypatch):
    asked = []
    monkeypatch.setattr("socket.socket.connect", lambda *where: asked.append(where))
    with pytest.raises(Exception, match=r"hub:|no such names|folder") as error:
        TransferModel.load(name)
    assert not isinstance(error.value, OSError)
    with pytest.raises(Exception, match="hub:"):
        find_encoder(name)
    assert not asked


def test_a_tokenizer_with_more_tokens_than_the_encoder_is_refused(tmp_path):
    folder = write_encoder(tmp_path / "e", "bert")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    n = len(tokenizer["model"]["vocab"])
    tokenizer["added_tokens"].append(
        dict(tokenizer["added_tokens"][0], id=n, content="[NAME]", special=False)
    )
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(EncoderError, match=rf"token ids up to {n}, .*embeddings for {n} tokens"):
        TransferModel.from_pretrained(folder, NoteClassification.from_notes(NOTES))


@pytest.fixture(scope="module")
def saved(tiny_encoder, tmp_path_factory):
    """Saved adapters by task."""
    folder = tmp_path_factory.mktemp("saved")
    span = [Note("s", "Fever and cough.", spans=(Span(0, 5, "P"),))]
    tasks = {
        "classes": (NoteClassification.from_notes(NOTES), NOTES),
        "codes": (DiagnosisCoding.from_notes(NOTES, describe_labels=False), NOTES),
        "entities": (EntityRecognition.from_notes(span), span),
    }
    for name, (task, notes) in tasks.items():
        model = TransferModel.from_pretrained(tiny_encoder, task, window=32)
        fit(model, notes, config=TrainingConfig(epochs=1, progress=False))
        model.save_pretrained(folder / name)
    return folder


def resaved(folder):
    """Hashes made anew, as by whoever changed the file."""
    rows = json.loads((folder / "task.json").read_text())
    del rows["digest"]
    rows["files"] = {n: file_digest(folder / n) for n in rows["files"]}
    write_sealed(folder / "task.json", rows)


@pytest.mark.parametrize("task", ["classes", "codes", "entities"])
@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (lambda n: n.replace("lora_A", "lora_AA"), "tensors of the adapter are missing"),
        (lambda n: n if "layer.0" in n else None, "tensors of the adapter are missing"),
        (lambda n: None if "classifier" in n or "query" in n else n, "are missing"),
    ],
)
def test_an_adapter_whose_tensors_do_not_match_is_refused(saved, task, rename, message, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved / task, folder)
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({new: t for n, t in weights.items() if (new := rename(n))}, file)
    resaved(folder)
    with pytest.raises(ArtifactError, match=message):
        TransferModel.load(folder)


def test_weights_that_are_no_numbers_are_refused_in_an_adapter(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved / "entities", folder)
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    first = sorted(weights)[0]
    save_file({**weights, first: weights[first] * float("inf")}, file)
    resaved(folder)
    with pytest.raises(ArtifactError, match="infinite or not numbers"):
        TransferModel.load(folder)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("hidden_act", "relu"), ("layer_norm_eps", 0.1), ("num_attention_heads", 2)],
)
def test_an_encoder_whose_config_was_changed_is_another_one(
    saved, tiny_encoder, tmp_path, setting, value
):
    """Its weights have the hash they had; what is computed with them differs."""
    other = changed(tiny_encoder, tmp_path / "e", **{setting: value})
    with pytest.raises(ArtifactError, match=f"another config.json: {setting}: .* then, .* now"):
        TransferModel.load(saved / "entities", encoder=other)
    same = changed(tiny_encoder, tmp_path / "same", hidden_dropout_prob=0.3, id2label={"0": "x"})
    TransferModel.load(saved / "entities", encoder=same)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma"])
def test_a_decoders_tokens_see_their_right_side(architecture, tmp_path, caplog):
    folder = decoder(tmp_path / "e", architecture)
    with caplog.at_level(logging.WARNING):
        model = TransferModel.from_pretrained(
            folder, EntityRecognition.from_notes([Note("s", "Fever", spans=(Span(0, 5, "P"),))])
        )
    assert "bidirectional" in caplog.text
    encoder = model.network.model.get_base_model().base_model.eval()
    first, second = (
        encoder(input_ids=torch.tensor([ids])).last_hidden_state[0, 0]
        for ids in ([5, 6, 7], [5, 6, 8])
    )
    assert not torch.equal(first, second)
    # Several notes of different length in one batch, which need padding.
    classes = NoteClassification.from_notes(NOTES)
    model = TransferModel.from_pretrained(folder, classes, window=32)
    config = TrainingConfig(epochs=1, progress=False)
    fit(model, NOTES, NOTES, config, allow_leakage=True)
    expected = model.predict([*NOTES, "A much longer note about nothing at all."], progress=False)
    model.save_pretrained(tmp_path / "model")
    loaded = TransferModel.load(tmp_path / "model")
    assert loaded.predict([*NOTES, "A much longer note about nothing at all."]) == expected


def test_what_reads_from_left_to_right_only_is_refused(tmp_path):
    folder = decoder(tmp_path / "e", "mamba")
    with pytest.raises(EncoderError, match="left to right only"):
        FrozenEncoder.from_pretrained(folder)


def decoder(folder, architecture):
    write_encoder(folder, "roberta")
    # Some of their tokenizers add tokens of their own.
    n = AutoConfig.from_pretrained(folder).vocab_size + 8
    config = AutoConfig.for_model(
        architecture,
        vocab_size=n,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=48,
        head_dim=8,
        max_position_embeddings=128,
        pad_token_id=None,
        bos_token_id=0,
        eos_token_id=2,
    )
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("pad_token", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
