"""What the recipes of transfer compare is what they say they compare."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import clinical_tl as ctl
from clinical_tl.errors import ConfigError
from clinical_tl.network.lora import LoRA
from clinical_tl.rules.voting import HOWS
from clinical_tl.training.config import TrainingConfig
from recipes import learning_curve, matching, rules_and_model, self_training, source_task
from recipes.results import Results
from recipes.rule_sources import RuleSources
from tests.tiny_encoders import write_encoder

QUICK = TrainingConfig(epochs=1, batch_tokens=512, learning_rate=5e-3, progress=False)
HERE = {"limit": 24, "lora": LoRA(r=2), "training": QUICK, "workers": 1}


@pytest.fixture
def fits(monkeypatch):
    """Every training: its model, notes, settings and further arguments."""
    calls = []
    fit = ctl.fit

    def spy(model, train, dev, config, **others):
        calls.append(SimpleNamespace(model=model, train=train, config=config, **others))
        return fit(model, train, dev, config, **others)

    monkeypatch.setattr(ctl, "fit", spy)
    return calls


def test_votes_are_chosen_on_dev_and_test_notes_are_scored_once_a_voter(
    tiny_encoder, tmp_path, monkeypatch
):
    evaluate = ctl.EntityRecognition.evaluate
    scored = []

    def spy(task, notes, predictions):
        scored.append(frozenset(p.note_id for p in predictions))
        return evaluate(task, notes, predictions)

    splits = ctl.note_splits(None, limit=24)
    dev, test = (frozenset(splits[name]["note_id"]) for name in ("dev", "test"))
    fitted = rules_and_model.main(
        **HERE, budgets=(8,), encoder=str(tiny_encoder), output=str(tmp_path)
    )
    (tmp_path / "results.json").unlink()
    # With the model on disk nothing is evaluated but votes.
    monkeypatch.setattr(ctl.EntityRecognition, "evaluate", spy)
    again = rules_and_model.main(
        **HERE, budgets=(8,), encoder=str(tiny_encoder), output=str(tmp_path)
    )
    assert again == fitted
    n_votes = len(rules_and_model.RULE_THRESHOLDS) * (2 + len(rules_and_model.THRESHOLDS))
    on_dev = [ids for ids in scored if ids <= dev]
    assert (len(on_dev), scored.count(test)) == (n_votes, 3 + len(HOWS))
    assert len(scored) == n_votes + 3 + len(HOWS)


def test_one_arm_starts_from_the_source_and_the_other_does_not(tiny_encoder, tmp_path, fits):
    source_task.main(
        "synthetic", "synthetic", ["Drug", "Dose"], budgets=(8,), encoder=str(tiny_encoder),
        output=str(tmp_path), **HERE,
    )  # fmt: skip
    assert fits[2].init_labels == "exact"
    starts = [getattr(fit, "init_adapter", "source itself") for fit in fits]
    assert starts == ["source itself", None, tmp_path / "source"]
    assert list(fits[1].train["note_id"]) == list(fits[2].train["note_id"])
    assert fits[1].config == fits[2].config
    with pytest.raises(ConfigError, match="no mention has them"):
        source_task.main(
            "synthetic", "synthetic", ["Drgu"], budgets=(8,), encoder=str(tiny_encoder),
            output=str(tmp_path / "typo"), **HERE,
        )  # fmt: skip


def test_heads_start_from_the_labels_that_match(tiny_encoder, tmp_path, fits, capsys):
    source_task.main(
        "synthetic", "synthetic", ["Drug"], match=True, budgets=(8,), encoder=str(tiny_encoder),
        output=str(tmp_path), **HERE,
    )  # fmt: skip
    scratch, started = fits[1:]
    assert (scratch.init_labels, scratch.init_adapter) == ("exact", None)
    # One source label: whatever lies nearest to it starts from it.
    (sources,) = started.init_labels.values()
    assert sources == ("Drug",)
    assert "no partner" in capsys.readouterr().out


def test_every_method_of_the_curve_is_what_its_name_says(
    tiny_encoder, tmp_path, tmp_path_factory, fits, monkeypatch
):
    adapted = write_encoder(tmp_path_factory.mktemp("adapted"), "bert", seed=4)
    built = {}
    make = ctl.TransferModel.from_pretrained

    def spy(encoder, task, **settings):
        model = make(encoder, task, **settings)
        built[id(model)] = (str(encoder), settings["adapter"], settings["pretrained"])
        return model

    monkeypatch.setattr(ctl.TransferModel, "from_pretrained", spy)
    methods = ("lora", "full", "adapted", "random")
    learning_curve.main(
        **HERE, budgets=(8,), methods=methods, encoder=str(tiny_encoder),
        adapted_encoder=str(adapted), full_learning_rate=7e-5, output=str(tmp_path),
    )  # fmt: skip
    arms = [(*built[id(fit.model)], fit.config.learning_rate) for fit in fits]
    encoder, lora = str(tiny_encoder), HERE["lora"]
    assert arms == [
        (encoder, lora, True, 5e-3),
        (encoder, "full", True, 7e-5),
        (str(adapted), lora, True, 5e-3),
        (encoder, "full", False, 7e-5),
    ]
    with pytest.raises(ConfigError, match="each once"):
        learning_curve.main(**HERE, methods=("lora", "lora"), output=str(tmp_path / "twice"))


def test_rules_of_the_curve_know_the_lexicon(tmp_path):
    test = list(ctl.note_splits(limit=24)["test"])
    names = {note.text[span.start : span.end] for note in test for span in note.spans or ()}
    lexicon = tmp_path / "names.tsv"
    lexicon.write_text("".join(f"{name}\tX{i}\n" for i, name in enumerate(sorted(names))))
    arguments = {**HERE, "task": "entity_recognition", "methods": ("rules",), "budgets": (8,)}
    label = test[0].spans[0].label
    sources = {"with": RuleSources(lexicon=str(lexicon), label=label), "without": RuleSources()}
    values = {}
    for name, rules in sources.items():
        (row,) = learning_curve.main(**arguments, rules=rules, output=str(tmp_path / name))
        values[name] = row["value"]
    assert values["with"] > values["without"] + 0.02
    with pytest.raises(ConfigError, match="another rules"):
        learning_curve.main(**arguments, rules=RuleSources(), output=str(tmp_path / "with"))


def test_teacher_and_student_are_scored_each_for_itself(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("clinical_tl.transfer.self_training.LARGEST_SHARE_OUTSIDE", 1.0)
    students = []
    self_train = ctl.transfer.self_train

    def spy(student, *arguments, **settings):
        students.append(student)
        return self_train(student, *arguments, **settings)

    def evaluate(model, _notes, **_):
        value = 0.9 if model in students else 0.1
        return SimpleNamespace(summary=lambda: {"macro_f1": value})

    monkeypatch.setattr(ctl.transfer, "self_train", spy)
    monkeypatch.setattr(ctl.TransferModel, "evaluate", evaluate)
    arguments = {
        **HERE, "task": "note_classification", "precision": 0.05, "unlabelled": 8,
        "encoder": str(tiny_encoder), "output": str(tmp_path),
    }  # fmt: skip
    (row,) = self_training.main(**arguments, shares=(0.5,))
    assert (row["supervised"], row["self-training"]) == (0.1, 0.9)
    with pytest.raises(ConfigError, match=r"shares \[1\.5\]"):
        self_training.main(**arguments, shares=(1.5,))


def test_own_names_are_counted_over_all_that_both_sides_have(tiny_encoder):
    figures = matching.main(encoder=str(tiny_encoder), limit=40)
    splits = ctl.note_splits(None, limit=40)
    found = ctl.transfer.match_labels(
        splits["train"], splits["test"], str(tiny_encoder), field="label", progress=False
    )
    shared = set(splits["train"]["label"]) & set(splits["test"]["label"])
    own = [pair for pair in found.pairs if pair.source == pair.target]
    assert figures["own name"] == pytest.approx(len(own) / len(shared))


@pytest.mark.parametrize(
    "other",
    [
        {"encoder": "elsewhere"},
        {"training": TrainingConfig(epochs=9)},
        {"rules": RuleSources(min_precision=0.9)},
        {"corpus": "ncbi_disease"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_rows_of_other_settings_are_refused(tmp_path, other):
    settings = {
        "corpus": None, "encoder": "offline", "rules": RuleSources(), "training": TrainingConfig(),
    }  # fmt: skip
    file = tmp_path / "results.json"
    Results(file, settings).add({"a": 1})
    free = {**settings, "training": TrainingConfig(output_dir="x", progress=False)}
    assert Results(file, free).rows == [{"a": 1}]
    with pytest.raises(ConfigError, match=f"results of another {next(iter(other))}"):
        Results(file, {**settings, **other})
    # A setting that nobody gave before is added, and kept from then on.
    Results(file, {**settings, "adapted_encoder": "one"})
    with pytest.raises(ConfigError, match="another adapted_encoder"):
        Results(file, {**settings, "adapted_encoder": "two"})


def test_rows_that_do_not_say_their_settings_are_refused(tmp_path):
    Results(tmp_path / "results.json").add({"a": 1})
    with pytest.raises(ConfigError, match="does not say what its rows were run with"):
        Results(tmp_path / "results.json", {"corpus": None})
