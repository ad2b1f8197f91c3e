"""Exported graphs give what the model gives, whatever the number and length of notes."""

import importlib
import shutil
import sys
from dataclasses import replace

import pytest
import torch

import clinical_tl as ctl
from clinical_tl.errors import ArtifactError, EncoderError, MissingExtraError, NoteError
from clinical_tl.integrations.onnx_export import compare_predictions, export_onnx
from clinical_tl.models.onnx_model import OnnxModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import Prediction, ScoredRelation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from recipes import export_onnx as recipe


def build(encoder, notes, task):
    """A model whose adapter and head are far from doing nothing."""
    model = TransferModel.from_pretrained(
        encoder, task.from_notes(notes), adapter=LoRA(r=2), window=48, overlap=12
    )
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in model.network.trainable().values():
            parameter += 0.2 * torch.randn_like(parameter)
    model.network.eval()
    return model


@pytest.fixture(scope="module", params=[EntityRecognition, DiagnosisCoding], ids=["token", "laat"])
def exported(request, tiny_encoder, synthetic_notes, tmp_path_factory):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extra [onnx] is not installed")
    model = build(tiny_encoder, synthetic_notes, request.param)
    folder = tmp_path_factory.mktemp("onnx") / "model"
    return model, export_onnx(model, folder, check=synthetic_notes.select(range(6)))


def test_the_report_says_that_nothing_but_rounding_changed(exported):
    _, report = exported
    assert report.notes == 6
    assert report.changed_notes == 0
    assert 0 < report.largest_logit_difference < 1e-4
    assert report.largest_score_difference < 1e-4
    size = sum(file.stat().st_size for file in report.folder.glob("*.onnx"))
    assert report.megabytes == pytest.approx(size / 1e6)
    assert type(ctl.load(report.folder)) is OnnxModel


@pytest.mark.parametrize("notes", [slice(0, 1), slice(1, 9)], ids=["one", "eight"])
def test_predictions_are_the_models_for_any_number_of_notes(exported, synthetic_notes, notes):
    """Including evidence, spans and their scores; long notes have several windows."""
    model, report = exported
    rows = synthetic_notes.select(range(notes.start, notes.stop))
    texts = ["", *rows["text"]]
    loaded = OnnxModel.load(report.folder, threads=1)
    found = loaded.predict(texts, batch_tokens=200, progress=False)
    expected = model.predict(texts, batch_tokens=200, progress=False)
    assert any(prediction.spans or prediction.codes for prediction in expected)
    assert compare_predictions(expected, found)[0] < 1e-4
    for one, other in zip(expected, found, strict=True):
        assert (one.note_id, one.codes) == (other.note_id, other.codes)
        assert _keys(one.spans) == _keys(other.spans)
        assert one.evidence.keys() == other.evidence.keys()
        for code in one.evidence:
            assert _keys(one.evidence[code]) == _keys(other.evidence[code])
            for span, same in zip(one.evidence[code], other.evidence[code], strict=True):
                assert span.score == pytest.approx(same.score, abs=1e-4)


def test_evidence_is_part_of_what_is_compared(exported, synthetic_notes):
    model, report = exported
    if not isinstance(model.task, DiagnosisCoding):
        pytest.skip("only label attention has evidence")
    predictions = OnnxModel.load(report.folder).predict(synthetic_notes, progress=False)
    assert any(prediction.evidence for prediction in predictions)


def test_graphs_that_give_other_numbers_are_not_written(exported, tmp_path, monkeypatch):
    model, report = exported

    def others(network, folder):
        del network
        for file in report.folder.glob("*.onnx"):
            shutil.copyfile(file, folder / file.name)

    monkeypatch.setattr("clinical_tl.network.onnx_graph.write_graphs", others)
    before = {n: p.detach().clone() for n, p in model.network.trainable().items()}
    with torch.no_grad():
        for parameter in model.network.trainable().values():
            parameter *= 1.5
    try:
        with pytest.raises(EncoderError, match=r"differ by up to .* it was not written"):
            export_onnx(model, tmp_path / "model")
    finally:
        with torch.no_grad():
            for name, parameter in model.network.trainable().items():
                parameter.copy_(before[name])
    assert not (tmp_path / "model").exists()


def test_the_recipe_exports_in_8_bit(exported, synthetic_notes, tmp_path, monkeypatch, capsys):
    model, report = exported

    def same(network, folder):
        del network
        for file in report.folder.glob("*.onnx"):
            shutil.copyfile(file, folder / file.name)

    monkeypatch.setattr("clinical_tl.network.onnx_graph.write_graphs", same)
    model.save_pretrained(tmp_path / "model")
    rows = recipe.main(str(tmp_path / "model"), str(tmp_path / "onnx"), int8=True, limit=5)
    assert rows["notes"] == 5
    assert 1e-4 < rows["largest_logit_difference"] < 1
    assert "largest_logit_difference" in capsys.readouterr().out
    assert rows["megabytes"] < report.megabytes
    loaded = OnnxModel.load(tmp_path / "onnx")
    assert loaded.export["int8"] is True
    differences = compare_predictions(
        model.predict(synthetic_notes, progress=False),
        loaded.predict(synthetic_notes, progress=False),
    )
    assert 1e-5 < differences[0] < 0.2


def test_what_can_not_be_exported_is_refused(tiny_encoder, synthetic_notes, tmp_path, monkeypatch):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason="the extra [onnx] is not installed")
    model = build(tiny_encoder, synthetic_notes, NoteClassification)

    def fails(*_, **__):
        raise RuntimeError("data-dependent")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(EncoderError, match=r"^bert can't be exported .*known to work"):
        export_onnx(model, tmp_path / "onnx")
    with pytest.raises(NoteError, match="no notes to compare"):
        export_onnx(model, tmp_path / "onnx", check=[])


def test_without_the_extra_the_error_says_what_to_install(
    tiny_encoder, synthetic_notes, tmp_path, monkeypatch
):
    model = build(tiny_encoder, synthetic_notes, NoteClassification)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clinical-tl\[onnx\]'"):
        export_onnx(model, tmp_path / "onnx")


def test_another_kind_of_folder_is_refused(tiny_encoder, synthetic_notes, tmp_path):
    model = build(tiny_encoder, synthetic_notes, NoteClassification)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(ArtifactError, match="holds no exported model"):
        OnnxModel.load(tmp_path / "model")


def test_predictions_are_compared_by_score_and_by_decision():
    here = Prediction("a", spans=(Span(0, 4, "P", score=0.9), Span(5, 8, "P", score=0.6)))
    there = replace(here, spans=(Span(0, 4, "P", score=0.7),))
    assert compare_predictions([here], [there]) == (pytest.approx(0.2), 1)
    first = Prediction("a", label="x", scores={"x": 0.6, "y": 0.4})
    second = Prediction("a", label="y", scores={"x": 0.45, "y": 0.55})
    assert compare_predictions([first, first], [first, second]) == (pytest.approx(0.15), 1)
    assert compare_predictions([first], [first]) == (0.0, 0)
    related = Prediction("a", relations=(ScoredRelation("T1", "T2", "treats", 0.5),))
    assert compare_predictions([related], [replace(related, relations=())]) == (None, 1)
    assert compare_predictions([Prediction("a", codes=())], [Prediction("a", codes=("I10",))]) == (
        None,
        1,
    )


def test_importing_the_exporter_loads_nothing_heavy():
    """The recipe's --help imports it."""
    import subprocess

    module = importlib.import_module("clinical_tl.integrations.onnx_export")
    code = f"import sys, {module.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _keys(spans):
    return None if spans is None else [span.key for span in spans]
