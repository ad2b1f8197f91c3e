"""The ladder: folds, budget, what is left out, and an estimate that is not the winner's own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ArtifactError, ConfigError, OutputError, TaskError
from clinical_tl.models.loading import load
from clinical_tl.saved.evaluations import scored_sets
from clinical_tl.schema import LabelScores, Note, Prediction
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.dp import DP
from clinical_tl.transfer import ladder
from clinical_tl.transfer.ladder import best_transfer
from clinical_tl.transfer.rungs import Rung, rungs_of
from clinical_tl.transfer.training_cost import TRIED_EPOCHS, TrainingCost

QUICK = {"config": TrainingConfig(epochs=1, batch_tokens=2048), "progress": False}
LABELS = ("icu", "ward")


@pytest.fixture(scope="module")
def notes(synthetic_notes):
    return as_notes(synthetic_notes)


def names(choice, *, climbed=True):
    return [r.name for r in choice.rungs if (r.left_out is None) == climbed]


@pytest.mark.parametrize("kind", [NoteClassification, DiagnosisCoding, EntityRecognition])
def test_every_rung_is_climbed_and_the_winner_is_an_ordinary_model(
    tiny_encoder, notes, kind, tmp_path
):
    choice = best_transfer(notes, str(tiny_encoder), kind.from_notes(notes), folds=2, **QUICK)
    known = [r.name for r in rungs_of(choice.model.task, lexical=True, rules=())]
    assert [rung.name for rung in choice.rungs] == known
    # Trained for an epoch, a random encoder's adapter may be worse than what costs less.
    assert set(names(choice, climbed=False)) <= {known[-1]}
    assert {rung.folds for rung in choice.rungs if rung.left_out is None} == {2}
    model = load(choice.model.save_pretrained(tmp_path / "model"))
    assert model.predict(notes[:5], progress=False) == choice.model.predict(
        notes[:5], progress=False
    )
    assert model.metrics["choice"] == json.loads(json.dumps(choice.to_dict()))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "## How it was chosen" in card
    assert choice.verdict in card
    assert not any(note.text[:40] in repr(choice) for note in notes)
    assert choice.estimate.low <= choice.estimate.value <= choice.estimate.high


def test_notes_that_share_no_word_are_climbed_without_words(tiny_encoder):
    """Of ten notes a fold's eight may have no word that three of them share."""
    few = [
        Note(f"n{i}", " ".join(f"{letter}{i * 'x'}" * 2 for letter in "abcd"), label=LABELS[i % 2])
        for i in range(10)
    ]
    task = NoteClassification.from_notes(few)
    choice = best_transfer(few, str(tiny_encoder), task, folds=2, **QUICK)
    assert {"frozen features and words", "adapter and words"} <= set(names(choice))
    # Without words they are equal, and the cheaper one is taken.
    assert choice.chosen != "frozen features and words"


def test_the_same_seed_gives_the_same_table(tiny_encoder, notes):
    task = NoteClassification.from_notes(notes)
    rungs = ["TF-IDF", "frozen features"]
    one, two = (
        best_transfer(notes, str(tiny_encoder), task, rungs=rungs, **QUICK) for _ in range(2)
    )
    for first, second in zip(one.rungs, two.rungs, strict=True):
        assert (first.score, first.gain) == (second.score, second.gain)
    assert one.estimate == two.estimate


def failing(name, where):
    """A rung that is fitted to fewer than `where` notes alone."""

    def fit(_means, train, _dev):
        if len(train) >= where:
            raise TaskError("this can't be fitted")
        return Scripted(always)

    return Rung(name, "trained", fit)


def test_a_rung_that_fails_takes_no_other_with_it(monkeypatch, tiny_encoder, caplog):
    """Nor does one that fails once all notes are there."""
    worse = scripted("worse", "frozen", lambda number: number % 3 > 0)
    choice = climb(monkeypatch, tiny_encoder, worse, failing("best", 0), failing("late", 60))
    assert choice.chosen == "worse"
    assert {r.name: r.left_out for r in choice.rungs if r.left_out} == {
        "best": "fold 1 of 5: this can't be fitted",
        "late": "all notes: this can't be fitted",
    }
    assert "late is left out, all notes" in caplog.text
    with pytest.raises(TaskError, match="best: fold 1 of 5"):
        climb(monkeypatch, tiny_encoder, failing("best", 0))


def test_folds_that_lack_a_class_or_any_mention_are_climbed(tiny_encoder, notes):
    """Of ten notes one class may have a single one, and mentions may be in a single note."""
    rare = [replace(n, label="b" if i == 3 else "a") for i, n in enumerate(notes[:10])]
    choice = best_transfer(rare, str(tiny_encoder), NoteClassification.from_notes(rare), **QUICK)
    assert {"TF-IDF", "frozen features"} <= set(names(choice))
    bare = [replace(n, spans=n.spans if i == 3 else ()) for i, n in enumerate(notes[:10])]
    choice = best_transfer(bare, str(tiny_encoder), EntityRecognition.from_notes(bare), **QUICK)
    assert "frozen features" in names(choice)


def test_dev_notes_of_a_fold_that_can_choose_nothing_are_left_out(tiny_encoder, notes):
    """Codes of 3 of 60 notes are in no more than three folds."""
    few = [replace(n, codes=("R05",) if i % 20 == 0 else ()) for i, n in enumerate(notes[:60])]
    choice = best_transfer(few, str(tiny_encoder), DiagnosisCoding.from_notes(few), **QUICK)
    assert "adapter and words" in names(choice)


def test_fewer_patients_than_folds_make_fewer_folds(tiny_encoder, notes):
    task = NoteClassification.from_notes(notes)
    rungs = ["TF-IDF", "frozen features"]
    for sizes in ((10, 10, 10, 10), (34, 2, 2, 2)):
        owners = [f"p{p}" for p, n in enumerate(sizes) for _ in range(n)]
        own = [replace(n, patient_id=p) for n, p in zip(notes[:40], owners, strict=True)]
        choice = best_transfer(own, str(tiny_encoder), task, rungs=rungs, **QUICK)
        assert 2 <= choice.rungs[0].folds <= 4


def test_the_gate_does_not_take_the_choice_for_an_evaluation(tiny_encoder, notes, tmp_path):
    task = NoteClassification.from_notes(notes)
    choice = best_transfer(notes, str(tiny_encoder), task, rungs=["frozen features"], **QUICK)
    folder = choice.model.save_pretrained(tmp_path / "model")
    assert scored_sets(choice.model.metrics) == []
    assert "| choice |" not in (folder / "README.md").read_text(encoding="utf-8")


def test_a_rung_without_room_in_the_budget_is_left_out_and_says_so(tiny_encoder, notes):
    task = NoteClassification.from_notes(notes)
    choice = best_transfer(notes, str(tiny_encoder), task, budget_minutes=1e-3, **QUICK)
    assert names(choice, climbed=False) == ["adapter and words", "full and words"]
    assert "the budget has 0 left" in str(choice)
    assert choice.chosen in ("frozen features", "frozen features and words")


class Scripted:
    """Says what a rule says of each note's number, and is what a rung gives."""

    def __init__(self, right):
        self.right, self.metrics = right, {}

    def predict(self, notes, *, progress=True):
        assert not progress
        found = []
        for note in notes:
            said = note.label if self.right(int(note.note_id)) else other(note.label)
            scores = np.array([said == label for label in LABELS], dtype=np.float32)
            found.append(Prediction(note.note_id, said, scores=LabelScores(LABELS, scores)))
        return found


def always(number):
    return number >= 0


def other(label):
    return LABELS[1 - LABELS.index(label)]


def scripted(name, cost, right, seen=None):
    def fit(_means, train, dev):
        if seen is not None:
            seen.append((train, dev))
        return Scripted(right)

    return Rung(name, cost, fit)


PLAIN = [
    Note(str(i), f"Seen on day {i} of the stay.", label=LABELS[i % 2], patient_id=f"p{i // 2}")
    for i in range(80)
]


def climb(monkeypatch, encoder, *rungs, **settings):
    monkeypatch.setattr(ladder, "rungs_of", lambda *_, **__: list(rungs))
    task = NoteClassification.from_notes(PLAIN)
    return best_transfer(PLAIN, str(encoder), task, **{**QUICK, **settings})


def test_what_costs_more_is_not_tried_where_an_adapter_is_worse_for_sure(monkeypatch, tiny_encoder):
    good = scripted("good", "free", lambda i: i % 10 != 0)
    bad = scripted("bad", "trained", lambda i: i % 3 == 0)
    worse = scripted("worse", "trained", always)
    choice = climb(monkeypatch, tiny_encoder, good, bad, worse)
    assert names(choice, climbed=False) == ["worse"]
    assert "bad is worse than good, which costs less" in str(choice)
    assert choice.chosen == "good"
    gain = choice.rungs[1].gain
    assert gain.high < 0
    assert gain.value == pytest.approx(
        choice.rungs[1].score.value - choice.rungs[0].score.value, abs=1e-9
    )


def timed(monkeypatch, seconds):
    """A clock that goes on when a rung of this many seconds is fitted, on a trial a tenth."""
    clock = [0.0]
    monkeypatch.setattr(ladder.time, "monotonic", lambda: clock[0])

    def taking(rung):
        def fit(means, train, dev):
            trial = means.config.epochs == TRIED_EPOCHS
            took = seconds / 10 if trial else seconds
            clock[0] += took
            model = rung.fit(means, train, dev)
            # Ten times as long as the trial: ten epochs, of two.
            tokens = 1000 * TRIED_EPOCHS if trial else 10_000
            model.metrics["training"] = {"seconds": took, "tokens": tokens}
            return model

        return replace(rung, fit=fit)

    return taking


@pytest.mark.parametrize(
    ("folds", "budget", "climbed"),
    [
        # A fold of 40 notes tells enough by itself, and one of 16 does not.
        (2, 1.2, 1),
        (2, 2.5, 2),
        (5, 1.2, 0),
        (5, 2.5, 2),
        (5, 3.5, 3),
    ],
)
def test_a_dear_rung_has_as_many_folds_as_there_is_time_for(
    monkeypatch, tiny_encoder, folds, budget, climbed
):
    dear = timed(monkeypatch, 60)(scripted("dear", "trained", lambda i: i % 10 > 0))
    monkeypatch.setattr(TrainingCost, "seconds", lambda *_: 60.0)
    frozen = scripted("frozen", "frozen", lambda i: i % 3 > 0)
    choice = climb(monkeypatch, tiny_encoder, frozen, dear, folds=folds, budget_minutes=budget)
    assert choice.rungs[1].folds == climbed
    assert choice.chosen == ("dear" if climbed else "frozen")
    assert (choice.estimate is None) == (climbed == 1)
    if not climbed:
        assert "2 of 5 folds would take about 2 min, the budget has 1 left" in str(choice)
    if climbed == 1:
        assert "of a single fold, what such a choice is worth" in choice.verdict


def test_what_training_costs_is_tried_once_and_not_without_time(monkeypatch, tiny_encoder):
    tried = []

    def measured(_fit, notes, _config):
        tried.append(len(notes))
        raise TaskError("too few")

    monkeypatch.setattr(TrainingCost, "measured", measured)
    rungs = [scripted(name, "trained", always) for name in ("one", "two")]
    choice = climb(monkeypatch, tiny_encoder, scripted("cheap", "frozen", always), *rungs)
    assert tried == [80]
    assert [rung.folds for rung in choice.rungs] == [5, 5, 5]
    choice = climb(
        monkeypatch, tiny_encoder, scripted("cheap", "frozen", always), *rungs, budget_minutes=0.1
    )
    assert tried == [80]
    assert [rung.folds for rung in choice.rungs] == [5, 0, 0]


def test_cheap_rungs_are_told_apart_by_all_their_folds(monkeypatch, tiny_encoder):
    """Also where a dear one has only the first, which flatters another of the cheap ones."""
    seen = []
    dear = timed(monkeypatch, 600)(scripted("dear", "trained", lambda i: i % 2 == 0))
    monkeypatch.setattr(TrainingCost, "seconds", lambda *_: 600.0)
    first = scripted("first", "frozen", always, seen)
    climb(monkeypatch, tiny_encoder, first, folds=2)
    held_out = {int(n.note_id) for n in PLAIN} - {int(n.note_id) for n in seen[0][0]}
    flattered = scripted("flattered", "frozen", lambda i: i in held_out)
    steady = scripted("steady", "frozen", lambda i: i % 8 > 0)
    choice = climb(monkeypatch, tiny_encoder, flattered, steady, dear, folds=2, budget_minutes=15)
    assert choice.rungs[2].folds == 1
    assert choice.chosen == "steady"
    # Whose worth a rung of one fold does not hide.
    assert "such a choice is worth 0." in choice.verdict
    assert choice.verdict.startswith("Nothing without the encoder was climbed")
    free = scripted("free", "free", lambda i: i % 8 > 0)
    alone = climb(monkeypatch, tiny_encoder, free)
    assert alone.verdict.startswith("Nothing with the encoder was climbed")


@pytest.mark.parametrize(("minutes", "folds"), [(60, 5), (40, 4), (10, 2)])
def test_a_cheap_rung_leaves_time_for_dear_ones(monkeypatch, tiny_encoder, minutes, folds):
    slow = timed(monkeypatch, 60)(scripted("slow", "frozen", lambda i: i % 3 > 0))
    choice = climb(monkeypatch, tiny_encoder, slow, budget_minutes=minutes)
    assert choice.rungs[0].folds == folds


def interrupted(rung, at):
    """The rung, stopped by hand at its fit number `at`, and where each fit kept checkpoints."""
    fitted = []

    def fit(means, train, dev):
        fitted.append(means.config.output_dir)
        if len(fitted) == at:
            raise KeyboardInterrupt
        return rung.fit(means, train, dev)

    return replace(rung, fit=fit), fitted


def without_seconds(choice):
    found = choice.to_dict()
    for rung in found["rungs"]:
        rung.pop("seconds")
    return found


def test_an_interrupted_climb_goes_on(monkeypatch, tiny_encoder, tmp_path):
    free = scripted("a free one", "free", lambda i: i % 3 > 0)
    frozen = scripted("frozen", "frozen", lambda i: i % 10 > 0)
    whole = climb(monkeypatch, tiny_encoder, free, frozen)
    config = replace(QUICK["config"], output_dir=tmp_path)
    stopped, before = interrupted(frozen, 3)
    with pytest.raises(KeyboardInterrupt):
        climb(monkeypatch, tiny_encoder, free, stopped, config=config)
    assert len(before) == 3
    free, first = interrupted(free, 0)
    frozen, then = interrupted(frozen, 0)
    choice = climb(monkeypatch, tiny_encoder, free, frozen, config=config)
    assert without_seconds(choice) == without_seconds(whole)
    assert first == []
    # Three folds of five, and the winner on all notes, whose checkpoints have a folder.
    assert then == [None, None, None, tmp_path / "frozen"]
    again, once = interrupted(frozen, 0)
    climb(monkeypatch, tiny_encoder, free, again, config=config)
    assert once == [tmp_path / "frozen"]
    with pytest.raises(ConfigError, match="holds a climb with other training notes; use another"):
        climb(monkeypatch, tiny_encoder, free, frozen, config=config, folds=4)
    anew, every = interrupted(frozen, 0)
    started = replace(config, resume=False)
    climb(monkeypatch, tiny_encoder, free, anew, config=started, folds=4)
    assert len(every) == 5


def test_a_full_disk_does_not_choose_another_rung(monkeypatch, tiny_encoder):
    good = scripted("good", "free", always)
    fits = []

    def fit(means, train, dev):
        fits.append(len(train))
        if len(fits) > 5:
            raise OutputError("No space left on device")
        return good.fit(means, train, dev)

    poor = scripted("poor", "free", lambda i: i % 3 > 0)
    with pytest.raises(OutputError, match="No space"):
        climb(monkeypatch, tiny_encoder, poor, replace(good, fit=fit))
    assert len(fits) == 6


def test_a_damaged_checkpoint_does_not_choose_another_rung(tiny_encoder, notes, tmp_path):
    task = NoteClassification.from_notes(notes)
    config = replace(QUICK["config"], output_dir=tmp_path)
    settings = {"rungs": ["adapter and words"], "folds": 2, "config": config, "progress": False}
    best_transfer(notes, str(tiny_encoder), task, **settings)
    found = list((tmp_path / "adapter-and-words").glob("checkpoint-*/state.json"))
    assert found
    for file in found:
        file.write_text("{}")
    with pytest.raises(ArtifactError, match="can be used: copy them again"):
        best_transfer(notes, str(tiny_encoder), task, **settings)


def test_a_rung_with_few_folds_takes_none_from_the_estimate(monkeypatch, tiny_encoder):
    slow = timed(monkeypatch, 60)
    good = scripted("good", "free", lambda i: i % 10 > 0)
    poor = slow(scripted("poor", "frozen", lambda i: i % 3 > 0))
    alone = climb(monkeypatch, tiny_encoder, good)
    choice = climb(monkeypatch, tiny_encoder, good, poor, budget_minutes=1)
    assert [rung.folds for rung in choice.rungs] == [5, 2]
    assert choice.estimate == alone.estimate


def test_the_time_before_an_interruption_is_part_of_the_budget(monkeypatch, tiny_encoder, tmp_path):
    config = replace(QUICK["config"], output_dir=tmp_path)
    frozen = scripted("frozen", "frozen", lambda i: i % 3 > 0)
    dear = scripted("dear", "trained", lambda i: i % 10 > 0)
    timing = timed(monkeypatch, 60)
    monkeypatch.setattr(TrainingCost, "seconds", lambda *_: 60.0)
    # The trial, two folds, and the third is stopped.
    stopped, _ = interrupted(timing(dear), 4)
    with pytest.raises(KeyboardInterrupt):
        climb(monkeypatch, tiny_encoder, frozen, stopped, config=config, budget_minutes=3.5)
    going_on, fitted = interrupted(timing(dear), 0)
    choice = climb(monkeypatch, tiny_encoder, frozen, going_on, config=config, budget_minutes=3.5)
    # Of three and a half minutes one and a half are left: one more fold, and all notes.
    assert len(fitted) == 2
    assert (choice.chosen, choice.rungs[1].folds) == ("dear", 3)
    assert choice.rungs[1].seconds == 180


def test_of_equals_the_cheaper_one_is_chosen(monkeypatch, tiny_encoder):
    rungs = [scripted(name, "frozen", lambda i: i % 4 > 0) for name in ("first", "second")]
    assert climb(monkeypatch, tiny_encoder, *rungs).chosen == "first"


def test_the_verdict_says_whether_transfer_helps(monkeypatch, tiny_encoder):
    free = scripted("free one", "free", lambda i: i % 2 == 0)
    helps = scripted("frozen one", "frozen", lambda i: i % 10 > 0)
    choice = climb(monkeypatch, tiny_encoder, free, helps)
    assert choice.verdict.startswith("Transfer helps here: 0.")
    assert "against free one" in choice.verdict
    harms = climb(monkeypatch, tiny_encoder, scripted("a", "free", lambda i: i % 10 > 0),
                  scripted("b", "frozen", lambda i: i % 2 == 0))  # fmt: skip
    assert harms.verdict.startswith("Transfer does not help here: -0.")
    same = climb(monkeypatch, tiny_encoder, scripted("a", "free", lambda i: i % 3 > 0),
                 scripted("b", "frozen", lambda i: (i + 1) % 3 > 0))  # fmt: skip
    assert same.verdict.startswith("Whether transfer helps can't be told from 80 notes")


def test_folds_part_no_patient_and_dev_notes_are_never_scored(monkeypatch, tiny_encoder):
    seen = []
    climb(monkeypatch, tiny_encoder, scripted("one", "frozen", always, seen))
    *folds, (train, dev) = seen
    assert len(folds) == 5
    patients = {note.patient_id for note in PLAIN}
    for learnt, chosen_by in folds:
        sides = [{note.patient_id for note in side} for side in (learnt, chosen_by)]
        assert not sides[0] & sides[1]
        held_out = patients - sides[0] - sides[1]
        assert len(held_out) == len(patients) / 5
    # The winner is fitted on all of them, some as dev notes.
    assert {note.note_id for note in [*train, *dev]} == {note.note_id for note in PLAIN}


def test_the_estimate_is_not_the_winners_own(monkeypatch, tiny_encoder):
    """Of many rungs that all guess, the best looks better than a choice is worth."""
    own, nested = [], []
    for seed in range(6):
        coins = np.random.default_rng(seed).integers(2, size=(20, len(PLAIN)))
        rungs = [
            scripted(f"coin {number}", "frozen", lambda i, mine=coins[number]: bool(mine[i]))
            for number in range(20)
        ]
        choice = climb(monkeypatch, tiny_encoder, *rungs)
        own.append(max(rung.score.value for rung in choice.rungs))
        nested.append(choice.estimate.value)
    assert np.mean(own) > 0.57
    assert abs(np.mean(nested) - 0.5) < 0.05


def test_misuse_is_refused(tiny_encoder, notes):
    task = NoteClassification.from_notes(notes)

    def called(of=notes, **settings):
        return best_transfer(of, str(tiny_encoder), task, **{**QUICK, **settings})

    with pytest.raises(ConfigError, match="choose among"):
        called(rungs=["LoRA"])
    with pytest.raises(ConfigError, match="none of these is a model"):
        called(rungs=["majority"])
    with pytest.raises(ConfigError, match="above 0"):
        called(budget_minutes=0)
    with pytest.raises(ConfigError, match="folds"):
        called(folds=1)
    with pytest.raises(ConfigError, match="lexical='Hashed'"):
        called(lexical="Hashed")
    # Before a rung is climbed.
    with pytest.raises(ConfigError, match="adapter 'lora'"):
        called(adapter="lora")
    with pytest.raises(ConfigError, match="metric 'f2'"):
        called(config=TrainingConfig(metric="f2"))
    with pytest.raises(TaskError, match="two folds"):
        called(of=notes[:1])
    with pytest.raises(TaskError, match="of more patients"):
        called(of=[replace(note, patient_id="p") for note in notes])


def test_folds_share_no_output_folder(tiny_encoder, notes, tmp_path):
    task = NoteClassification.from_notes(notes)
    config = TrainingConfig(epochs=1, batch_tokens=2048, output_dir=tmp_path / "run")
    choice = best_transfer(
        notes, str(tiny_encoder), task, rungs=["adapter and words"], folds=2, config=config,
        progress=False,
    )  # fmt: skip
    assert choice.chosen == "adapter and words"
    # Those of the winner's own training alone.
    run = tmp_path / "run"
    assert {path.name for path in run.iterdir()} == {"climb", "adapter-and-words"}
    assert len(list((run / "climb").iterdir())) == 3
    assert list((run / "adapter-and-words").glob("checkpoint-*"))
    private = TrainingConfig(dp=DP(target_epsilon=8.0, delta=1e-3))
    with pytest.raises(ConfigError, match="leave dp out"):
        best_transfer(notes, str(tiny_encoder), task, config=private)


def test_relations_have_their_rungs(notes):
    task = RelationExtraction.from_notes(notes)
    assert [r.name for r in rungs_of(task, lexical=True, rules=())] == [
        "co-occurrence", "adapter", "full",
    ]  # fmt: skip
