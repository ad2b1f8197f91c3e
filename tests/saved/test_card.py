"""The card: metadata the Hub reads, no text of notes, and snippets that run."""

import contextlib
import re

import pytest
from huggingface_hub import ModelCard

from clinical_tl.data.splits import split_notes
from clinical_tl.errors import ArtifactError, ConfigError
from clinical_tl.evaluation.evaluating import evaluation_report
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.release.patterns import find_identifiers
from clinical_tl.saved.card import model_card, write_card
from clinical_tl.saved.card_details import CardDetails
from clinical_tl.saved.card_snippets import ENCODER, FOLDER
from clinical_tl.saved.evaluations import record_scores
from clinical_tl.schema import Note, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.transfer.domain_adaptation import adapt_encoder

DESCRIPTION = {
    "package_version": "0.1.0",
    "task": {
        "kind": "note_classification",
        "labels": {"names": ["a", "b"], "support": [3, 40]},
    },
    "encoder": {"name": "offline", "revision": None, "sha256": "f" * 64},
    "adapter": "peft",
    "auto_class": "AutoModelForSequenceClassification",
    "windowing": {"length": 128, "overlap": 16},
}
METRICS = {
    "test": {"macro_f1": 0.81234, "notes": 20},
    "training": {"seconds": 12.4, "device": "cpu", "train_notes": 43, "seed": 0},
}
REPORT = {
    "intervals": {"test": {"macro_f1": {"low": 0.7, "high": 0.9}}},
    "subgroups": [{"group": "sex", "value": "female", "macro F1": 0.79}],
    "calibration": {"ece": 0.051},
}
DETAILS = CardDetails(
    licence="mit", datasets=("mts_dialog",), intended_use="Sorting sections.", language="de"
)
RELATED = [
    Note(
        str(i),
        "Aspirin causes rash. Heparin helps.",
        spans=(
            Span(0, 7, "Drug", id="1"),
            Span(15, 19, "Problem", id="2"),
            Span(21, 28, "Drug", id="3"),
        ),
        relations=(Relation("1", "2", "causes"),),
    )
    for i in range(4)
]


def test_the_metadata_is_what_the_hub_reads():
    data = ModelCard(model_card(DESCRIPTION, METRICS, report=REPORT, details=DETAILS)).data
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert (data.library_name, data.pipeline_tag) == ("peft", "text-classification")
    assert (data.license, data.language, data.datasets) == ("mit", "de", ["mts_dialog"])
    assert data.tags == ["clinical-tl", "note_classification"]
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("macro_f1", 0.8123)
    assert (result.dataset_name, result.dataset_split) == ("mts_dialog", "test")
    assert result.metric_args == {"confidence": 0.95, "low": 0.7, "high": 0.9}
    assert not hasattr(data, "widget")
    (bare,) = ModelCard(model_card(DESCRIPTION, METRICS)).data.eval_results
    assert (bare.metric_args, bare.dataset_name) == (None, "the authors' notes")


def test_every_section_says_what_was_measured():
    card = model_card(DESCRIPTION, METRICS, report=REPORT, details=DETAILS)
    for part in (
        "Sorting sections.",
        "43 training notes. A label has 3 to 40 training examples.",
        "128 tokens, overlapping by 16",
        "| test  | macro_f1 | 0.8123 | 0.7 to 0.9    |",
        "| sex   | female |    0.790 |",
        "| ece    | 0.051 |",
        "12 seconds of training, measured (device: cpu)",
        "mit. The encoder's own licence: apache-2.0.",
    ):
        assert part in card


def test_an_interval_is_shown_with_its_own_value_and_confidence_or_not_at_all():
    interval = {"value": METRICS["test"]["macro_f1"], "low": 0.7, "high": 0.9}
    report = {"confidence": 0.8, "intervals": {"test": {"macro_f1": interval}}}
    card = model_card(DESCRIPTION, METRICS, report=report)
    assert "80 % interval" in card
    assert "0.7 to 0.9" in card
    assert "95 %" not in card
    assert ModelCard(card).data.eval_results[0].metric_args["confidence"] == 0.8
    # The model was evaluated again since.
    stale = {"confidence": 0.8, "intervals": {"test": {"macro_f1": {**interval, "value": 0.5}}}}
    card = model_card(DESCRIPTION, METRICS, report=stale)
    assert "0.7 to 0.9" not in card
    assert ModelCard(card).data.eval_results[0].metric_args is None


def test_a_private_run_states_its_guarantee():
    statement = "Trained with differential privacy (DP-SGD): ε = 8 at δ = 1e-05 for each note."
    training = {**METRICS["training"], "privacy": {"epsilon": 8.0, "statement": statement}}
    assert statement in model_card(DESCRIPTION, {**METRICS, "training": training})
    assert "differential privacy" not in model_card(DESCRIPTION, METRICS)


def test_what_is_not_known_is_said_not_to_be():
    description = {**DESCRIPTION, "encoder": {"name": "/data/x", "sha256": "f" * 64}}
    card = model_card(description, {})
    data = ModelCard(card).data
    assert (data.license, data.base_model, data.eval_results) == ("unknown", None, None)
    assert "/data/x" not in card
    assert card.count("To be completed by its authors") == 4
    assert card.count("Not evaluated") == 2
    assert "Not measured." in card


def test_a_head_of_our_own_has_no_snippet_for_others():
    card = model_card({**DESCRIPTION, "auto_class": None}, {})
    assert card.count("```python") == 1
    assert "The head is clinical_tl's own" in card


def test_a_folder_that_is_no_model_gets_no_card(tmp_path):
    with pytest.raises(ArtifactError, match=r"neither task\.json nor adaptation\.json"):
        write_card(tmp_path)
    assert not list(tmp_path.iterdir())


def snippets(card, folder, encoder):
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    return [s.replace(FOLDER, str(folder)).replace(ENCODER, str(encoder)) for s in code]


def task_model(task, notes, encoder, adapter):
    model = TransferModel.from_pretrained(encoder, task, adapter=adapter, window=64)
    fit(model, notes, config=TrainingConfig(epochs=1, progress=False))
    return model


BUILD = {
    "classification": lambda n, e: task_model(NoteClassification.from_notes(n), n, e, LoRA(r=2)),
    "entities": lambda n, e: task_model(EntityRecognition.from_notes(n), n, e, "full"),
    "relations": lambda _, e: task_model(
        RelationExtraction.from_notes(RELATED), RELATED, e, LoRA(r=2)
    ),
    "features": lambda n, e: FeatureModel.fit(
        e, NoteClassification.from_notes(n), n, strengths=[1.0], progress=False
    ),
}


@pytest.mark.parametrize("name", BUILD)
def test_the_snippets_run(name, tiny_encoder, synthetic_notes, tmp_path):
    model = BUILD[name](synthetic_notes.select(range(12)), tiny_encoder)
    folder = model.save_pretrained(tmp_path / "model")
    found = snippets((folder / "README.md").read_text(), folder, tiny_encoder)
    assert len(found) == (1 if name == "features" else 2)
    for code in found:
        names = {}
        # What the user sees of it: nothing but results.
        with contextlib.redirect_stdout(None):
            exec(code, names)
        assert len(names.get("predictions", names.get("logits"))) == 1


def test_an_adapted_encoder_has_a_card_whose_snippets_run(tiny_encoder, synthetic_notes, tmp_path):
    quick = TrainingConfig(epochs=1, progress=False)
    adapt_encoder(tiny_encoder, synthetic_notes, tmp_path / "out", config=quick, window=64)
    card = write_card(tmp_path / "out", details=DETAILS).read_text()
    assert ModelCard(card).data.pipeline_tag == "fill-mask"
    for when in ("before", "head alone", "after"):
        assert re.search(rf"\| held out, {when} +\| perplexity", card)
    with_package, without = snippets(card, tmp_path / "out", tiny_encoder)
    names = {}
    exec(with_package, names)
    assert names["vectors"].matrix.shape == (1, 32)
    exec(without, names)
    assert names["logits"].shape[-1] == 400
    assert not any(text[:40] in card for text in synthetic_notes["text"])


def test_large_counts_do_not_look_like_record_numbers():
    counts = {"trainable_parameters": 2656133, "tokens": 12345678, "seed": 20261122}
    card = model_card(DESCRIPTION, {"training": counts})
    assert "2,656,133" in card
    assert not find_identifiers(card)


SENTENCES = {
    "de": "Der Patient wurde mit Brustschmerzen aufgenommen und am Folgetag entlassen.",
    "es": "La paciente ingresó con dolor torácico y se le dio el alta al día siguiente.",
    "fr": "La patiente a été hospitalisée pour une douleur thoracique et sort le lendemain.",
    "zh": "患者因胸痛入院，既往有糖尿病史，次日出院。",
}


def fitted(encoder, texts):
    notes = [
        Note(str(i), f"{text} {i}", label="ab"[i % 2], patient_id=f"p{i // 2}")
        for i, text in enumerate(texts * 6)
    ]
    model = TransferModel.from_pretrained(
        encoder, NoteClassification.from_notes(notes), adapter=LoRA(r=2), window=64
    )
    fit(model, notes, config=TrainingConfig(epochs=1, progress=False))
    return model


@pytest.mark.parametrize("code", SENTENCES)
def test_the_language_is_that_of_the_training_notes(code, tiny_encoder, tmp_path):
    folder = fitted(tiny_encoder, [SENTENCES[code]]).save_pretrained(tmp_path / "model")
    card = (folder / "README.md").read_text()
    assert ModelCard(card).data.language == code
    assert f"Language: detected in the training notes: {code} (100%)" in card
    written = [f.read_text() for f in (folder / "metrics.json", folder / "task.json")]
    assert not any(SENTENCES[code][:9] in text for text in written)
    # Kept with the model, in whatever form it is written next.
    again = TransferModel.load(folder).merged().save_pretrained(tmp_path / "merged")
    assert ModelCard((again / "README.md").read_text()).data.language == code


def test_mixed_and_undecidable_notes_have_several_languages_or_none(tiny_encoder, tmp_path):
    mixed = fitted(tiny_encoder, [SENTENCES["de"], SENTENCES["fr"]])
    card = (mixed.save_pretrained(tmp_path / "mixed") / "README.md").read_text()
    assert sorted(ModelCard(card).data.language) == ["de", "fr"]
    assert "Language: several, detected in the training notes: " in card
    bare = fitted(tiny_encoder, ["RR 12/80"])
    card = (bare.save_pretrained(tmp_path / "bare") / "README.md").read_text()
    assert ModelCard(card).data.language is None
    assert "Language: can't be told from the training notes" in card
    assert "Language: not looked for" in model_card(DESCRIPTION, METRICS)


def test_what_a_person_says_of_the_language_goes_before_what_was_detected(tiny_encoder, tmp_path):
    model = fitted(tiny_encoder, [SENTENCES["de"]])
    folder = model.save_pretrained(tmp_path / "model", language=("de", "lb"))
    card = (folder / "README.md").read_text()
    assert ModelCard(card).data.language == ["de", "lb"]
    assert "Language: de, lb, as its authors say." in card
    # It stays with the model.
    again = TransferModel.load(folder).save_pretrained(tmp_path / "again")
    assert ModelCard((again / "README.md").read_text()).data.language == ["de", "lb"]
    assert ModelCard(write_card(folder, language="nl").read_text()).data.language == "nl"
    for wrong in ("German", "", (), ["de", "Der Patient"]):
        with pytest.raises(ConfigError, match="codes of ISO 639"):
            model.save_pretrained(tmp_path / "wrong", language=wrong)


def test_the_card_says_how_it_was_trained_and_on_whom(tiny_encoder, synthetic_notes, tmp_path):
    splits = split_notes(synthetic_notes, fractions={"train": 0.6, "dev": 0.2, "test": 0.2})
    task = DiagnosisCoding.from_notes(splits["train"], head="linear", level="category")
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter=LoRA(r=3), window=64)
    config = TrainingConfig(epochs=2, learning_rate=3e-4, seed=7, progress=False)
    result = fit(model, splits["train"], splits["dev"], config)
    model.evaluate(splits["test"], progress=False)
    folder = model.save_pretrained(tmp_path / "model")
    rows = {
        tuple(cell.strip() for cell in line.strip("| ").split("|"))
        for line in (folder / "README.md").read_text().splitlines()
        if line.startswith("|")
    }
    settings = model.metrics["training"]["settings"]
    assert {
        ("learning rate", "0.0003"),
        ("head learning rate", "0.001"),
        ("adapted by", "LORA"),
        ("adapter rank", "3"),
        ("adapter alpha", "6"),
        ("batch (tokens a step)", f"{settings['batch_tokens']:,}"),
        ("epochs planned", "2"),
        ("epochs run", str(len(result.epochs))),
        ("steps", str(result.steps)),
        ("seed", "7"),
        ("precision", result.precision),
    } <= rows
    for name, notes in splits.items():
        assert (name, str(len(notes)), str(len(set(notes["patient_id"])))) in rows
    for code, n in zip(task.labels.names, task.labels.support, strict=True):
        assert (code, str(n)) in rows
    card = (folder / "README.md").read_text()
    assert "Labels are ICD-10-CM codes (level: category)." in card
    assert "divided: at random by patient_id, notes with one text kept together, seed 0." in card
    assert "The test notes were compared with the training notes" in card
    assert not find_identifiers(card)
    # A model that carries its encoder keeps how it was adapted.
    merged = model.merged().save_pretrained(tmp_path / "merged")
    assert "| adapter rank " in (merged / "README.md").read_text()


def test_what_is_not_known_of_patients_and_divisions_is_said(tiny_encoder, tmp_path):
    notes = [Note(str(i), f"Text {i}.", label="ab"[i % 2]) for i in range(6)]
    model = TransferModel.from_pretrained(
        tiny_encoder, NoteClassification.from_notes(notes), adapter="frozen", window=64
    )
    fit(model, notes, config=TrainingConfig(epochs=1, progress=False))
    card = (model.save_pretrained(tmp_path / "model") / "README.md").read_text()
    assert re.search(r"\| train +\| 6 +\| not known +\|", card)
    assert "How the notes were divided: not recorded." in card
    assert "| learning rate " not in card, "no weight of the encoder is trained"


def test_many_labels_and_labels_that_are_text_do_not_swamp_the_card():
    text = "The patient said that her mother had died of it"
    names = [*(f"L{i}" for i in range(59)), "a|b", text]
    labels = {"names": names, "support": list(range(61, 0, -1))}
    task = {"kind": "note_classification", "labels": labels}
    card = model_card({**DESCRIPTION, "task": task}, {})
    assert "11 rarer labels are listed in `task.json`." in card
    labels["support"] = labels["support"][::-1]
    card = model_card({**DESCRIPTION, "task": task}, {})
    assert "<label of 47 characters>" in card
    assert "a\\|b" in card


def test_a_report_beside_the_model_brings_its_temperature_and_comparison(
    tiny_encoder, synthetic_notes, tmp_path
):
    notes = synthetic_notes.select(range(24))
    task = NoteClassification.from_notes(notes)
    first, other = (
        TransferModel.from_pretrained(tiny_encoder, task, adapter="frozen", window=64, seed=seed)
        for seed in (0, 1)
    )
    dev, test = synthetic_notes.select(range(16, 40)), notes.select(range(12, 24))
    report = evaluation_report(
        first, test, dev=dev, against=other, resamples=20, progress=False, allow_leakage=True
    )
    record_scores(first.metrics, "test", list(test), report.scores)
    folder = first.save_pretrained(tmp_path / "model")
    assert "Not compared with another model." in (folder / "README.md").read_text()
    report.save(folder)
    card = write_card(folder).read_text()
    assert "The model applies no temperature." in card
    assert f"A further one of {report.calibration.temperature:.3g}, fitted on dev notes" in card
    assert f"{report.calibration.scaled.ece:.4g}" in card
    assert re.search(r"\| metric +\| +value +\| +other \| +difference \| +low \| +high \|", card)
    assert "Not compared" not in card
    tempered = {**DESCRIPTION, "task": {**DESCRIPTION["task"], "temperature": 1.729}}
    told = model_card(tempered, METRICS, report=REPORT)
    assert "logits by a temperature of 1.73, chosen on the model's dev notes" in told
    assert "No further one was fitted in evaluation." in told
