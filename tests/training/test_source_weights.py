"""Starting a target task from a source model: what is taken over, what is new, what is refused."""

from dataclasses import replace

import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ConfigError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import Note, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.source_weights import label_ancestry, start_from

QUICK = TrainingConfig(epochs=1, batch_tokens=512, progress=False)


def model_of(encoder, task, **settings):
    return TransferModel.from_pretrained(encoder, task, window=64, overlap=16, **settings)


def stirred(model, seed=1):
    """A model whose every trained weight is off its start, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.trainable().values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def tagged(*labels):
    return [
        Note("1", "a b c d e", spans=tuple(Span(2 * i, 2 * i + 1, n) for i, n in enumerate(labels)))
    ]


def named(*labels):
    return [Note(str(i), f"text {i}", label=name) for i, name in enumerate(labels)]


@pytest.mark.parametrize("adapter", [LoRA(r=4), "full", "frozen"], ids=["lora", "full", "frozen"])
def test_the_same_task_takes_over_everything(tiny_encoder, adapter):
    task = EntityRecognition.from_notes(tagged("Disease", "Drug"))
    source = stirred(model_of(tiny_encoder, task, adapter=adapter))
    target = model_of(tiny_encoder, task, adapter=adapter, seed=5)
    report = start_from(target, source)
    theirs = source.network.trainable()
    for name, parameter in target.network.trainable().items():
        assert torch.equal(parameter, theirs[name]), name
    assert report.labels == {"Disease": ("Disease",), "Drug": ("Drug",)}
    assert report.new == report.left == ()
    texts = ["a b c d"]
    assert target.predict(texts) == source.predict(texts)


def test_of_other_labels_the_common_ones_are_taken_over(tiny_encoder):
    source = stirred(
        model_of(tiny_encoder, EntityRecognition.from_notes(tagged("Disease", "Drug")))
    )
    task = EntityRecognition.from_notes(tagged("Anatomy", "Disease"))
    target = model_of(tiny_encoder, task)
    before = target.network.model.classifier.weight.detach().clone()
    report = start_from(target, source)
    after = target.network.model.classifier.weight
    theirs = source.network.model.classifier.weight
    # O, B-Anatomy, I-Anatomy, B-Disease, I-Disease from O, B-Disease, I-Disease, B-Drug, I-Drug.
    assert torch.equal(after[0], theirs[0])
    assert torch.equal(after[1:3], before[1:3])
    assert torch.equal(after[3:5], theirs[1:3])
    assert (report.new, report.left) == (("Anatomy",), ("Drug",))


def test_a_mapping_gives_the_mean_of_its_sources(tiny_encoder):
    source = stirred(model_of(tiny_encoder, NoteClassification.from_notes(named("a", "b", "c"))))
    target = model_of(tiny_encoder, NoteClassification.from_notes(named("x", "y")))
    report = start_from(target, source, labels={"y": ("a", "c")})
    theirs = source.network.model.classifier.weight
    assert torch.equal(target.network.model.classifier.weight[1], theirs[[0, 2]].mean(dim=0))
    assert report.to_dict() == {
        "weights": report.weights,
        "labels": {"y": ["a", "c"]},
        "new": ["x"],
        "left": ["b"],
    }


def test_a_tagger_of_four_prefixes_starts_from_one_of_two(tiny_encoder):
    notes = tagged("Disease")
    source = stirred(model_of(tiny_encoder, EntityRecognition.from_notes(notes)))
    target = model_of(tiny_encoder, EntityRecognition.from_notes(notes, scheme="BILOU"))
    start_from(target, source)
    outputs = list(target.task.head_spec.outputs)
    theirs = list(source.task.head_spec.outputs)
    weight, given = (m.network.model.classifier.weight for m in (target, source))
    expected = {"O": "O", "B": "B", "I": "I", "L": "I", "U": "B"}
    for row, output in enumerate(outputs):
        prefix, _, label = output.partition("-")
        name = f"{expected[prefix]}-{label}" if label else "O"
        assert torch.equal(weight[row], given[theirs.index(name)])


def test_no_relation_means_the_same_in_every_relation_task(tiny_encoder):
    def related(*labels):
        pairs = [
            Note(
                str(i),
                "aspirin gave ulcer but ibuprofen did not",
                spans=(
                    Span(0, 7, "Drug", id="a"),
                    Span(13, 18, "Sign", id="b"),
                    Span(23, 32, "Drug", id="c"),
                ),
                relations=(Relation("a", "b", label),),
            )
            for i, label in enumerate(labels)
        ]
        return model_of(tiny_encoder, RelationExtraction.from_notes(pairs))

    source, target = stirred(related("causes", "treats")), related("eases", "treats")
    assert target.task.outputs == ("no relation", "eases", "treats")
    before = target.network.model.classifier.weight.detach().clone()
    report = start_from(target, source)
    theirs, after = (m.network.model.classifier.weight for m in (source, target))
    assert torch.equal(after[[0, 2]], theirs[[0, 2]])
    assert torch.equal(after[1], before[1])
    assert (report.labels, report.new) == ({"treats": ("treats",)}, ("eases",))


def test_another_task_takes_over_the_adapter_alone(tiny_encoder):
    source = stirred(model_of(tiny_encoder, EntityRecognition.from_notes(tagged("Disease"))))
    notes = [Note("1", "a", codes=("I10",)), Note("2", "b", codes=("E11.9",))]
    target = model_of(tiny_encoder, DiagnosisCoding.from_notes(notes))
    head = target.network.head.queries.weight.detach().clone()
    report = start_from(target, source)
    assert report.weights > 0
    assert report.labels == {}
    assert torch.equal(target.network.head.queries.weight, head)
    texts = ["a b c d"]
    torch.testing.assert_close(target.embed_texts(texts), source.embed_texts(texts))


def test_labels_without_any_in_common_are_told_of(tiny_encoder, caplog):
    target = model_of(tiny_encoder, NoteClassification.from_notes(named("a", "b")))
    source = stirred(model_of(tiny_encoder, NoteClassification.from_notes(named("x", "y", "z"))))
    start_from(target, source)
    assert "none of the target's 2 labels is one of the source's 3" in caplog.text
    caplog.clear()
    start_from(target, source, labels={"a": ["x"]})
    assert "none of the" not in caplog.text


def test_codes_find_their_relatives():
    assert label_ancestry(
        ["I25.10", "I25", "E11.9", "J45"], ["I25.1", "I25.10", "I25.2", "E11"]
    ) == {
        "I25.10": ("I25.10",),
        "I25": ("I25.1", "I25.10", "I25.2"),
        "E11.9": ("E11",),
    }


def test_the_hierarchy_starts_label_attention(tiny_encoder):
    def coder(*codes):
        notes = [Note(str(i), "a", codes=(code,)) for i, code in enumerate(codes)]
        return model_of(tiny_encoder, DiagnosisCoding.from_notes(notes))

    source, target = stirred(coder("E11", "I25")), coder("I25.10", "J45.909")
    report = start_from(target, source, labels="hierarchy")
    assert report.labels == {"I25.10": ("I25",)}
    assert torch.equal(target.network.head.queries.weight[0], source.network.head.queries.weight[1])
    assert torch.equal(target.network.head.projection.weight, source.network.head.projection.weight)


def test_fit_starts_there_and_says_so(tiny_encoder, synthetic_notes, tmp_path):
    notes = synthetic_notes.select(range(8))
    task = EntityRecognition.from_notes(notes)
    source = stirred(model_of(tiny_encoder, task))
    folder = source.save_pretrained(tmp_path / "source")
    ends = []
    for start in (folder, source, None):
        target = model_of(tiny_encoder, task, seed=3)
        fit(target, notes, config=QUICK, init_adapter=start)
        ends.append(target)
    first, second, without = (m.network.trainable() for m in ends)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], without[name]) for name in first)
    assert set(ends[0].metrics["source"]["labels"]) == set(task.labels)
    assert "source" not in ends[2].metrics


def test_a_checkpoint_of_another_start_is_refused(tiny_encoder, synthetic_notes, tmp_path):
    notes = synthetic_notes.select(range(4))
    task = NoteClassification.from_notes(notes)
    config = replace(QUICK, output_dir=tmp_path)
    fit(model_of(tiny_encoder, task), notes, config=config)
    source = stirred(model_of(tiny_encoder, task))
    with pytest.raises(ConfigError, match="init_adapter"):
        fit(model_of(tiny_encoder, task), notes, config=config, init_adapter=source)
    config = replace(QUICK, output_dir=tmp_path / "mapped")
    fit(model_of(tiny_encoder, task), notes, config=config, init_adapter=source)
    first, second = list(task.labels)[:2]
    with pytest.raises(ConfigError, match="other init_labels"):
        fit(
            model_of(tiny_encoder, task),
            notes,
            config=config,
            init_adapter=source,
            init_labels={first: [second]},
        )


def test_what_does_not_fit_is_refused(tiny_encoder, tmp_path_factory):
    from tests.tiny_encoders import write_encoder

    task = NoteClassification.from_notes(named("a", "b"))
    target = model_of(tiny_encoder, task)
    with pytest.raises(ConfigError, match="same kind of adapter"):
        start_from(target, model_of(tiny_encoder, task, adapter="full"))
    with pytest.raises(ConfigError, match="rank, targets and layers"):
        start_from(target, model_of(tiny_encoder, task, adapter=LoRA(r=2)))
    other = write_encoder(tmp_path_factory.mktemp("other"), "bert", seed=9)
    with pytest.raises(ConfigError, match="other weights"):
        start_from(target, model_of(other, task))
    with pytest.raises(ConfigError, match="follows ICD-10-CM codes"):
        start_from(target, model_of(tiny_encoder, task), labels="hierarchy")
    with pytest.raises(ConfigError, match="1 labels that the target does not have"):
        start_from(target, model_of(tiny_encoder, task), labels={"z": ["a"]})
    with pytest.raises(ConfigError, match="a single string"):
        start_from(target, model_of(tiny_encoder, task), labels={"a": "b"})
    with pytest.raises(ConfigError, match="init_adapter is a int"):
        fit(target, named("a", "b"), init_adapter=5)
    with pytest.raises(ConfigError, match="give a mapping"):
        start_from(target, model_of(tiny_encoder, task), labels="nearest")


def test_head_rows_survive_saving(tiny_encoder, tmp_path):
    notes = named("a", "b")
    source = stirred(model_of(tiny_encoder, NoteClassification.from_notes(notes)))
    target = model_of(tiny_encoder, NoteClassification.from_notes(notes))
    start_from(target, source)
    again = TransferModel.load(target.save_pretrained(tmp_path / "m"))
    assert again.predict(as_notes(notes)) == source.predict(as_notes(notes))
