"""Several adapters over one encoder: one copy of it, and each model's own predictions."""

import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ArtifactError, ConfigError
from clinical_tl.models.collection import ModelCollection, load_many
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.network.structure import base_model
from clinical_tl.schema import Note, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from tests.tiny_encoders import write_encoder

UPPER = LoRA(r=4, layers=(1,))


def build(encoder, task, adapter, *, window=48):
    """A model as training might have left it: every trained number moved from its start."""
    model = TransferModel.from_pretrained(encoder, task, adapter=adapter, window=window, overlap=12)
    generator = torch.Generator().manual_seed(window)
    with torch.no_grad():
        for parameter in model.network.trainable().values():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    model.network.eval()
    return model


def models(encoder, notes, adapters):
    tasks = {
        "section": NoteClassification.from_notes(notes),
        "entities": EntityRecognition.from_notes(notes),
        "codes": DiagnosisCoding.from_notes(notes, describe_labels=False),
        "linear": DiagnosisCoding.from_notes(notes, head="linear"),
    }
    return {
        name: build(encoder, task, adapter)
        for (name, task), adapter in zip(tasks.items(), adapters, strict=True)
    }


@pytest.fixture(scope="module")
def notes(synthetic_notes):
    own = as_notes(synthetic_notes)[:10]
    return [*own, Note("long", " ".join(note.text for note in own[:4])), Note("empty", "")]


def assert_equal_predictions(together, alone, tolerance=1e-4):
    for one, other in zip(together, alone, strict=True):
        assert (one.note_id, one.label, one.codes) == (other.note_id, other.label, other.codes)
        assert [(r.head, r.tail, r.label) for r in one.relations or ()] == [
            (r.head, r.tail, r.label) for r in other.relations or ()
        ]
        assert [r.score for r in one.relations or ()] == pytest.approx(
            [r.score for r in other.relations or ()], abs=tolerance
        )
        assert dict(one.scores) == pytest.approx(dict(other.scores), abs=tolerance)
        assert [s.key for s in one.spans or ()] == [s.key for s in other.spans or ()]
        assert [s.score for s in one.spans or ()] == pytest.approx(
            [s.score for s in other.spans or ()], abs=tolerance
        )
        assert {c: [s.key for s in e] for c, e in one.evidence.items()} == {
            c: [s.key for s in e] for c, e in other.evidence.items()
        }


@pytest.mark.parametrize(
    ("adapters", "blocks"),
    [
        ((LoRA(r=4), LoRA(r=2, targets="attention"), LoRA(r=4, dora=True), UPPER), 0),
        ((UPPER, UPPER, LoRA(r=2, layers=(1,), targets="attention"), "frozen"), 1),
    ],
    ids=["all blocks", "the upper block"],
)
def test_saved_models_predict_together_as_each_does_alone(
    tiny_encoder, notes, tmp_path, adapters, blocks
):
    alone = models(tiny_encoder, notes[:10], adapters)
    expected = {name: model.predict(notes, progress=False) for name, model in alone.items()}
    folders = [model.save_pretrained(tmp_path / name) for name, model in alone.items()]
    collection = load_many(folders)
    assert len(collection) == 4
    assert collection.shared_blocks == blocks
    for budget in (8192, 120):
        together = collection.predict(notes, batch_tokens=budget, progress=False)
        assert list(together) == list(alone)
        for name, found in together.items():
            assert_equal_predictions(found, expected[name])
    # The random models must say something, or equality would prove little.
    assert any(p.spans for p in expected["entities"])
    assert any(p.codes for p in expected["codes"])


def test_the_encoder_is_in_memory_once(tiny_encoder, notes):
    alone = models(tiny_encoder, notes[:10], (LoRA(r=4), UPPER, LoRA(r=2), "frozen"))
    apart = sum(p.numel() for m in alone.values() for p in m.network.parameters())
    plain = base_model(alone["codes"].network.model)
    encoder = sum(p.numel() for name, p in plain.named_parameters() if "lora_" not in name)
    collection = ModelCollection(alone)
    assert apart - collection.n_parameters >= 3 * encoder
    pointers = set()
    for name in collection.models:
        model = base_model(collection[name].network.model)
        weights = dict(model.named_parameters())
        pointers.add(weights["embeddings.word_embeddings.weight"].data_ptr())
        query = "encoder.layer.0.attention.self.query"
        weight = weights.get(f"{query}.weight", weights.get(f"{query}.base_layer.weight"))
        pointers.add(weight.data_ptr())
    assert len(pointers) == 2
    # What training made is each model's own.
    heads = [model.network.trainable() for model in alone.values()]
    assert len({id(p) for head in heads for p in head.values()}) == sum(map(len, heads))


def test_shared_blocks_run_once_a_batch_and_are_left_as_they_were(tiny_encoder, notes):
    collection = ModelCollection(
        models(tiny_encoder, notes[:10], (UPPER, UPPER, UPPER, UPPER)),
    )
    (first, second), runs = base_model(collection["section"].network.model).encoder.layer, []
    first.attention.register_forward_hook(lambda *_: runs.append("lower"))
    second.attention.register_forward_hook(lambda *_: runs.append("upper"))
    collection["entities"].network.train()
    collection.predict(notes[:3], batch_tokens=8192, progress=False)
    assert runs == ["lower", "upper"]
    assert "forward" not in vars(first)
    assert collection["entities"].network.training
    assert not collection["section"].network.training
    collection["codes"].predict(notes[:3], batch_tokens=8192, progress=False)
    assert runs == ["lower", "upper", "lower"]


@pytest.mark.parametrize("architecture", ["longformer", "modernbert", "deberta-v2"])
def test_other_architectures_agree_too(architecture, notes, tmp_path):
    encoder = write_encoder(tmp_path / "encoder", architecture)
    collection = models(encoder, notes[:10], (UPPER, UPPER, UPPER, "frozen"))
    expected = {name: model.predict(notes, progress=False) for name, model in collection.items()}
    shared = ModelCollection(collection)
    assert shared.shared_blocks == 1
    for name, found in shared.predict(notes, progress=False).items():
        assert_equal_predictions(found, expected[name])


def test_relation_models_and_other_windows_read_their_own_batches(tiny_encoder, notes):
    spans = (
        Span(0, 4, "Drug", id="a"),
        Span(5, 9, "Problem", id="b"),
        Span(10, 14, "Drug", id="c"),
    )
    related = [Note("1", "abcd efgh ijkl", spans=spans, relations=(Relation("a", "b", "treats"),))]
    alone = {
        "relations": build(tiny_encoder, RelationExtraction.from_notes(related), UPPER),
        "entities": build(tiny_encoder, EntityRecognition.from_notes(notes[:10]), UPPER),
        "narrow": build(tiny_encoder, EntityRecognition.from_notes(notes[:10]), UPPER, window=32),
    }
    expected = {name: model.predict(related, progress=False) for name, model in alone.items()}
    together = ModelCollection(alone).predict(related, progress=False)
    for name, found in together.items():
        assert_equal_predictions(found, expected[name])


def test_what_cannot_be_shared_is_refused(tiny_encoder, notes, tmp_path):
    task = NoteClassification.from_notes(notes[:10])
    other = write_encoder(tmp_path / "other", "bert", seed=1)
    lora = build(tiny_encoder, task, LoRA(r=2)).save_pretrained(tmp_path / "lora")
    full = build(tiny_encoder, task, "full").save_pretrained(tmp_path / "full")
    foreign = build(other, task, LoRA(r=2)).save_pretrained(tmp_path / "foreign")
    with pytest.raises(ConfigError, match=r"\['full'\]: all weights were fine-tuned"):
        load_many([lora, full])
    with pytest.raises(ArtifactError, match="trained on 2 different encoders") as error:
        load_many([lora, foreign])
    assert "['lora'] on" in str(error.value)
    with pytest.raises(ConfigError, match="at least one model"):
        load_many([])
    with pytest.raises(ConfigError, match="single folder"):
        load_many(lora)
    with pytest.raises(ConfigError, match="two folders have the same name"):
        load_many([lora, tmp_path / "other" / ".." / "lora"])
    with pytest.raises(ConfigError, match="'no' or 'bf16'"):
        load_many([lora]).predict(["a"], precision="fp8")
