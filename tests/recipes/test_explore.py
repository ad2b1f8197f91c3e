"""The recipe that looks at unlabelled notes, as a function and by its config."""

from pathlib import Path

from jsonargparse import ArgumentParser

from clinical_tl.data.writing import write_notes
from clinical_tl.estimators.novelty import METHODS
from recipes import explore, predict

CONFIG = Path(__file__).parents[2] / "recipes" / "configs" / "explore_mts_dialog.yaml"


def test_the_config_is_accepted():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(explore.main)
    assert parser.parse_args([f"--config={CONFIG}"]).outside == "codiesp"


def test_clusters_words_and_strange_notes(tiny_encoder, synthetic_notes, tmp_path, capsys):
    from clinical_tl.data.synthetic import generate_notes

    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "test", "outside")}
    write_notes(synthetic_notes.select(range(28)), files["train"])
    write_notes(synthetic_notes.select(range(29, 40)), files["test"])
    write_notes(generate_notes(6, seed=8, words=(40, 80)), files["outside"])
    figures = explore.main(**files, encoder=str(tiny_encoder), n_clusters=2, seed=1)
    assert -1 <= figures["ari"] <= 1
    assert figures["notes"] == 24
    assert {f"auroc_{method}" for method in METHODS} <= figures.keys()
    printed = capsys.readouterr().out
    assert "2 clusters, silhouette" in printed
    assert "withheld: " in printed
    assert not any(text[:40] in printed for text in synthetic_notes["text"])


def test_a_model_with_a_detector_predicts_novelty(tiny_encoder, synthetic_notes, tmp_path):
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.tasks.note_classification import NoteClassification

    train = synthetic_notes.select(range(20))
    model = TransferModel.from_pretrained(tiny_encoder, NoteClassification.from_notes(train))
    model.fit_novelty(train)
    folder = str(model.save_pretrained(tmp_path / "model"))
    write_notes(synthetic_notes.select(range(20, 24)), tmp_path / "n.jsonl")
    out = tmp_path / "p.jsonl"
    assert predict.main(folder, str(tmp_path / "n.jsonl"), str(out), with_novelty=True) == 4
    assert out.read_text().count('"novelty"') == 4
