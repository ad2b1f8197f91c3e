"""Does transfer help here, and which? `best_transfer` climbs from what is free to what is dear.

Every rung is scored on the same held-out notes, fold by fold of the training notes; folds part
neither a patient's notes nor copies of a text. The best of several is partly the luckiest, so
the score that is reported is not the winner's own: for each fold the rung is chosen by the other
folds, and what it said of this one is scored (Varma & Simon 2006, doi 10.1186/1471-2105-7-91,
on the bias of the score that one selects by).
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import SeenNotes
from clinical_tl.display.silence import without_warnings
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import (
    ArtifactError,
    ClinicalTLError,
    ConfigError,
    OutputError,
    TaskError,
    shown_value,
)
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.evaluation import baselines
from clinical_tl.evaluation.estimates import Bootstrap, Estimate
from clinical_tl.evaluation.subgroups import patients_of
from clinical_tl.metrics.note_counts import NoteCounts
from clinical_tl.saved.choice_rows import CHOICE, choice_rows, choice_verdict
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.processes import on_main_process
from clinical_tl.tasks.abilities import DecidesNotes, dev_metrics
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task_checks import check_notes
from clinical_tl.training.config import TrainingConfig
from clinical_tl.transfer.climb_folds import FEWEST_FOR_DEV, climb_folds, with_dev
from clinical_tl.transfer.climb_record import ClimbedFold, ClimbRecord, climb_settings, file_name
from clinical_tl.transfer.rungs import Means, Rung, rungs_of
from clinical_tl.transfer.training_cost import TrainingCost

if TYPE_CHECKING:
    from clinical_tl.models.feature_model import FeatureModel
    from clinical_tl.models.lexical_part import Lexical
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.network.adapter import Adapter
    from clinical_tl.rules.rule import Rule
    from clinical_tl.schema import Note, Prediction
    from clinical_tl.tasks.task import Task

logger = logging.getLogger(__name__)

FAILURES = (ClinicalTLError, MemoryError, RuntimeError)
"""What a single rung may fail with: notes that it can't be fitted to, or too little memory."""
OF_THE_FOLDER = (OutputError, ArtifactError)
"""What the place of checkpoints is to blame for."""
FOLDS = 5
FEWEST_FOLDS = 2
"""A rung that the budget has no room for so many folds of is not climbed."""
FEWEST_FOR_ONE_FOLD = 20
"""Unless a fold has so many notes: then one will do."""
RESAMPLES, CONFIDENCE = 1000, 0.95
CLIMB_FOLDER = "climb"
"""In the `output_dir`; beside it are the checkpoints of the winner's own training."""
CHEAP_SHARE = 0.1
"""Of the budget a rung that is not trained has for its folds, but for the first two: of hundreds of
notes they tell enough, and the adapter needs the time."""
START_SECONDS = 20.0
"""What a fold of a trained rung takes at least: with less left no training is tried."""


@dataclass(frozen=True)
class RungScore:
    """What a rung was worth: `score` on held-out notes of `folds` folds, with its interval.

    `gain` is the difference to the best cheaper rung on the same notes, patient by patient;
    `seconds` of fitting and predicting all its folds. A rung that was not climbed has the reason
    in `left_out`, and no figures.
    """

    name: str
    cost: str
    folds: int = 0
    score: Estimate | None = None
    gain: Estimate | None = None
    seconds: float = 0.0
    left_out: str | None = None


@dataclass(frozen=True, repr=False)
class TransferChoice(Tabular):
    """What `best_transfer` found.

    `chosen` names the rung that `model` is of, fitted on all training notes. `estimate` is what
    such a choice is worth on new notes (`metric`, with its interval; `None` where a single fold
    was climbed). `transfer` is the best rung with the encoder minus the best without, `None`
    where one kind is missing; `best_free` names the latter.
    """

    metric: str
    rungs: tuple[RungScore, ...]
    chosen: str
    estimate: Estimate | None
    transfer: Estimate | None
    best_free: str | None
    notes: int
    model: TransferModel | FeatureModel = field(repr=False)

    def table(self) -> Table:
        """One row a rung."""
        return Table(choice_rows(self.to_dict()))

    def glance(self) -> Iterable[str | Table]:
        """The verdict, then the rungs."""
        return self.verdict, self.table()

    @property
    def verdict(self) -> str:
        """What was found, in a sentence or two."""
        return choice_verdict(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """All but the model, as JSON values."""
        return {
            "metric": self.metric,
            "chosen": self.chosen,
            "notes": self.notes,
            "estimate": self.estimate and asdict(self.estimate),
            "transfer": self.transfer and asdict(self.transfer),
            "best_free": self.best_free,
            "rungs": [asdict(rung) for rung in self.rungs],
        }


def best_transfer(
    train: NotesLike,
    encoder: str | Path,
    task: Task,
    dev: NotesLike | None = None,
    *,
    budget_minutes: float = 60.0,
    rungs: Sequence[str] | None = None,
    lexical: Lexical = True,
    rules: Sequence[Rule] = (),
    adapter: Adapter | None = None,
    config: TrainingConfig | None = None,
    folds: int = FOLDS,
    progress: bool = True,
    allow_leakage: bool = False,
) -> TransferChoice:
    """Find out which way of using an encoder is best for these notes, and fit that one.

    In order of cost: what needs no encoder (majority, TF-IDF; memorised mentions, a lexicon;
    co-occurrence), the encoder's frozen features (nearest centroid, a linear model, with words
    beside them), an adapter and all weights, both from a head that starts at the linear model.
    What is not trained has a tenth of the budget a rung for its folds, and two folds at least.
    What a fold of training takes is tried on a few notes. Higher rungs are left out where the
    budget has no room for two folds of them (or one, of twenty notes and more), or where an
    adapter is worse than something cheaper for sure, and so is one that can't be fitted to some
    fold, with the reason. Where a fold's training notes have one class, or nothing, every rung
    says that. The winner is the best rung that is a model, of equals the cheapest, fitted anew on
    all training notes.

    Args:
        train: annotated notes.
        encoder: a folder, `"hub:org/name"`, a Hub id in the local cache, or `"offline"`.
        task: fitted on them.
        dev: notes that choose epochs and thresholds, never the rung; of 60 training notes and
            more some are set aside where it is not given.
        budget_minutes: for the climb; the winner's own training comes on top, about as long as
            one of its folds. What was begun is finished.
        rungs: names of the rungs to climb, all by default.
        lexical: as of `TrainingConfig`; `False` leaves the rungs with words out.
        rules: a lexicon's, for entity recognition.
        adapter: of the adapter's rung; `LoRA()` by default.
        config: of the trained rungs, its seed of all; its `lexical` is this one's. What each
            rung was worth is kept in its `output_dir`, and with `resume` an interrupted climb goes
            on from there, with what is left of its budget.
        folds: at most; each is held out once. They are drawn by position: the same notes in
            another order have other ones.
        progress: show a progress bar.
        allow_leakage: go on where training and dev notes share patients or texts.

    Raises:
        TaskError: notes without annotation, too few for two folds, or a task whose predictions
            are no decisions about notes.
        ConfigError: an unknown rung, none that is a model, settings out of range, private
            training, or an `output_dir` with a climb of other notes or settings.
        ArtifactError: an `output_dir` with damaged settings or checkpoints.
        NoteError: training and dev notes share patients or texts.
        EncoderError: as `TransferModel.from_pretrained`.
    """
    from clinical_tl.models.feature_model import FeatureModel
    from clinical_tl.network.adapter import check_adapter
    from clinical_tl.network.frozen_encoder import FrozenEncoder
    from clinical_tl.training.loop import check_metric

    check_at_least(FEWEST_FOLDS, folds=folds)
    if not budget_minutes > 0:
        raise ConfigError(f"budget_minutes={budget_minutes}; allowed: above 0")
    config = config or TrainingConfig()
    if config.dp is not None:
        raise ConfigError(
            "best_transfer reads the notes with every rung, which no single ε tells; leave dp out, "
            "and train the way that it finds with fit()"
        )
    place = None if config.output_dir is None else as_path(config.output_dir)
    # Every fold would find the checkpoints of the one before.
    config = replace(config, output_dir=None, trackers=(), lexical=lexical)
    if not isinstance(task, DecidesNotes):
        raise TaskError(f"{task.title}: its predictions are no decisions about notes to compare")
    chosen = _chosen(rungs_of(task, lexical=lexical, rules=rules), rungs)
    notes = as_notes(train)
    kept = None if dev is None else as_notes(dev)
    check_notes(task, notes, kept)
    if kept is not None or config.metric is not None:
        check_metric(task, config.metric or task.monitor, notes if kept is None else kept)
    if adapter is not None:
        check_adapter(adapter)
    SeenNotes.of(notes, kept, allow_leakage=allow_leakage)
    sides = [list(side) for side in climb_folds(notes, folds, config.seed)]
    with tempfile.TemporaryDirectory() as cache:
        means = Means(
            task,
            encoder,
            FrozenEncoder.from_pretrained(encoder),
            Path(cache),
            lexical,
            adapter,
            config,
            rules,
            allow_leakage,
        )
        record = ClimbRecord()
        if place is not None:
            settings = climb_settings(means, sides, kept)
            record = ClimbRecord.of(place / CLIMB_FOLDER, settings, resume=config.resume)
        climb = _Climb(means, sides, kept, budget_minutes * 60, record, progress=progress)
        climb.ends -= record.seconds({rung.name for rung in chosen})
        for rung in chosen:
            climb.climb(rung)
        winner, fitted = climb.fitted(*with_dev(notes, kept, means.config.seed), place)
    if isinstance(fitted, FeatureModel):
        # Its folder is gone.
        fitted = replace(fitted, cache=None)
    found = climb.choice(winner, fitted)
    fitted.metrics[CHOICE] = found.to_dict()
    on_main_process(lambda: logger.info("%s", found.verdict))
    return found


class _Climb:
    """The rungs climbed so far: what each was worth on the held-out notes, fold by fold."""

    def __init__(
        self,
        means: Means,
        sides: Sequence[Sequence[Note]],
        dev: Sequence[Note] | None,
        budget: float,
        record: ClimbRecord,
        *,
        progress: bool,
    ) -> None:
        self.means, self.sides, self.dev = means, sides, dev
        self.record = record
        self.budget, self.ends = budget, time.monotonic() + budget
        self.progress = progress
        self.task: Any = means.task
        self.climbed: dict[str, list[ClimbedFold]] = {}
        self.rungs: dict[str, Rung] = {}
        self.left_out: dict[str, str] = {}
        self.cost: TrainingCost | None = None

    def climb(self, rung: Rung) -> None:
        """Fit and predict as many folds as the budget has room for; says why where none."""
        self.rungs[rung.name] = rung
        done = self.record.of_rung(rung.name)
        if rung.cost == "trained" and not done:
            self._try_training(rung)
        reason = self._reason_against(rung, done)
        if reason is not None:
            self.left_out[rung.name] = reason
            return
        fewest = FEWEST_FOLDS
        if rung.cost == "trained" and not self._has_room(FEWEST_FOLDS, done):
            fewest = self._fewest
        with tqdm(
            total=len(self.sides), desc=rung.name, unit="fold", disable=not self.progress
        ) as bar:
            bar.update(len(done))
            for held_out in range(len(done), len(self.sides)):
                if len(done) >= fewest and not self._has_room_for_another(rung, done):
                    break
                try:
                    done.append(self._climbed(rung, held_out))
                except FAILURES as error:
                    self._leave_out(rung, f"fold {held_out + 1} of {len(self.sides)}", error)
                    return
                self.record.keep(rung.name, held_out, done[-1])
                bar.update()
                left = self.ends - time.monotonic()
                bar.set_postfix({"budget left": f"{max(left, 0) / 60:.0f} min"})
        self.climbed[rung.name] = done

    def _try_training(self, rung: Rung) -> None:
        """Measure what training costs, before the first that is trained."""
        if self.cost is not None or any(self.rungs[n].cost == "trained" for n in self.climbed):
            return
        if self.ends - time.monotonic() < START_SECONDS * self._fewest:
            return
        notes = [note for side in self.sides for note in side]
        try:
            with without_warnings():
                self.cost = TrainingCost.measured(
                    lambda some, config: rung.fit(replace(self.means, config=config), some, None),
                    notes,
                    self.means.config,
                )
        except FAILURES:
            # Of so few notes that tells nothing of what more will do.
            self.cost = None

    def _climbed(self, rung: Rung, held_out: int) -> ClimbedFold:
        """What a rung is worth on a fold that it has not seen."""
        started, side = time.monotonic(), self.sides[held_out]
        counts = self.task.note_counts(side, self._said(rung, held_out, side))
        return ClimbedFold(counts, time.monotonic() - started)

    def _said(self, rung: Rung, held_out: int, side: Sequence[Note]) -> list[Prediction]:
        train, others = self._others(held_out)
        one_label = isinstance(self.task, NoteTask) and not self.task.multi_label
        with without_warnings():
            if len(self.task.gold_labels(train)) <= one_label:
                if one_label:
                    return baselines.majority(self.task, train, side)
                return [self.task.unread(note.note_id) for note in side]
            dev = _choosing(self.task, self.means.config, others)
            return rung.fit(self.means, train, dev).predict(side, progress=False)

    def _leave_out(self, rung: Rung, where: str, error: Exception) -> None:
        # Hours of other rungs are worth more than one that fails.
        self.left_out[rung.name] = f"{where}: {error}"
        self.climbed.pop(rung.name, None)
        logger.warning("%s is left out, %s", rung.name, self.left_out[rung.name])

    def _reason_against(self, rung: Rung, done: Sequence[ClimbedFold]) -> str | None:
        if rung.cost != "trained":
            return None
        trained = [n for n in self.climbed if self.rungs[n].cost == "trained"]
        cheaper = self._best([n for n in self.climbed if self.rungs[n].cost != "trained"])
        if trained and cheaper is not None:
            gain = self._difference(trained[-1], cheaper)
            if gain is not None and gain.high < 0:
                return f"{trained[-1]} is worse than {cheaper}, which costs less"
        if not self._has_room(self._fewest, done):
            left = max(self.ends - time.monotonic(), 0)
            return (
                f"{self._fewest} of {len(self.sides)} folds would take about "
                f"{self._seconds_each(done) * self._fewest / 60:.0f} min, the budget has "
                f"{left / 60:.0f} left"
            )
        return None

    def _has_room(self, folds: int, done: Sequence[ClimbedFold]) -> bool:
        """Whether there is time for so many folds of a trained rung, some of them done."""
        missing = folds - len(done)
        return missing <= 0 or self._seconds_each(done) * missing <= self.ends - time.monotonic()

    def _has_room_for_another(self, rung: Rung, done: Sequence[ClimbedFold]) -> bool:
        each = _mean_seconds(done)
        if rung.cost == "trained":
            return each <= self.ends - time.monotonic()
        return each * (len(done) + 1) <= CHEAP_SHARE * self.budget

    @property
    def _fewest(self) -> int:
        """Folds that tell enough to go by."""
        return 1 if min(map(len, self.sides)) >= FEWEST_FOR_ONE_FOLD else FEWEST_FOLDS

    def _seconds_each(self, done: Sequence[ClimbedFold]) -> float:
        """What a fold of a trained rung takes, about; of one that has some done, what they took."""
        trained = [folds for n, folds in self.climbed.items() if self.rungs[n].cost == "trained"]
        if done or trained:
            return _mean_seconds(done or trained[-1])
        if self.cost is None:
            return START_SECONDS
        # Its head starts from a linear model, as those on frozen features are.
        frozen = [
            _mean_seconds(folds)
            for name, folds in self.climbed.items()
            if self.rungs[name].cost == "frozen"
        ]
        train, dev = self._others(0)
        return max(
            START_SECONDS,
            max(frozen, default=0.0) + self.cost.seconds(self.means.config, train, dev),
        )

    def _others(self, held_out: int) -> tuple[list[Note], list[Note] | None]:
        """Training and dev notes where one fold is held out."""
        rest = [i for i in range(len(self.sides)) if i != held_out]
        if self.dev is not None:
            return [note for i in rest for note in self.sides[i]], list(self.dev)
        if sum(map(len, self.sides)) < FEWEST_FOR_DEV or len(rest) < 2:
            return [note for i in rest for note in self.sides[i]], None
        dev = (held_out + 1) % len(self.sides)
        return [n for i in rest if i != dev for n in self.sides[i]], list(self.sides[dev])

    def fitted(
        self, train: Sequence[Note], dev: Sequence[Note] | None, place: Path | None
    ) -> tuple[Rung, Any]:
        """The best rung that is a model (of equals the first), fitted on all notes.

        Of one that can't be, the next best takes the place. Checkpoints are kept in `place`.
        """
        dev = _choosing(self.task, self.means.config, dev)
        while best := self._best([name for name in self.climbed if self.rungs[name].is_model]):
            means = self.means
            if place is not None:
                config = replace(means.config, output_dir=place / file_name(best))
                means = replace(means, config=config)
            try:
                return self.rungs[best], self.rungs[best].fit(means, train, dev)
            except OF_THE_FOLDER:
                # A full disk, or a damaged checkpoint, is no reason to take another rung.
                raise
            except FAILURES as error:
                self._leave_out(self.rungs[best], "all notes", error)
        raise TaskError(
            "no rung that is a model could be climbed: "
            + "; ".join(f"{name}: {why}" for name, why in self.left_out.items())
            + ". Give more notes, or a larger budget_minutes where that is the reason"
        )

    def choice(self, winner: Rung, model: Any) -> TransferChoice:  # noqa: ANN401  (either model)
        """Everything that was found."""
        scores = []
        for name, rung in self.rungs.items():
            if name in self.left_out:
                scores.append(RungScore(name, rung.cost, left_out=self.left_out[name]))
                continue
            before = self._best([n for n in self.climbed if n in list(self.rungs)[: len(scores)]])
            gain = None if before is None else self._difference(name, before)
            done = self.climbed[name]
            score, seconds = self._estimate(done), sum(fold.seconds for fold in done)
            scores.append(RungScore(name, rung.cost, len(done), score, gain, seconds))
        free = self._best([n for n in self.climbed if self.rungs[n].cost == "free"])
        other = self._best([n for n in self.climbed if self.rungs[n].cost != "free"])
        transfer = None if free is None or other is None else self._difference(other, free)
        return TransferChoice(
            self.task.monitor,
            tuple(scores),
            winner.name,
            self._nested(winner.name),
            transfer,
            free,
            sum(map(len, self.sides)),
            model,
        )

    def _nested(self, winner: str) -> Estimate | None:
        """The score of choosing: for each fold by the others, among the rungs that have it.

        A dear rung of a single fold takes no part, and where it was chosen there is no score.
        """
        if len(self.climbed[winner]) < FEWEST_FOLDS:
            return None
        names = [
            name
            for name, done in self.climbed.items()
            if self.rungs[name].is_model and len(done) >= FEWEST_FOLDS
        ]
        found = []
        for held_out in range(len(self.climbed[winner])):
            having = [name for name in names if len(self.climbed[name]) > held_out]
            best = self._best(having, without=held_out) or winner
            found.append(self.climbed[best][held_out])
        return self._estimate(found)

    def _best(self, names: Sequence[str], without: int | None = None) -> str | None:
        """The best name, two by two on the folds that both have, but for one; of equals the first.

        Where a dear one has a fold or two, those without it are told apart by all of theirs.
        """
        best: str | None = None
        for name in names:
            if best is None:
                best = name
                continue
            shared = range(min(len(self.climbed[best]), len(self.climbed[name])))
            folds = [fold for fold in shared if fold != without]
            if self._score(name, folds) > self._score(best, folds):
                best = name
        return best

    def _score(self, name: str, folds: Iterable[int]) -> float:
        counts = _joined([self.climbed[name][i] for i in folds])
        found = counts.figures(np.ones((1, len(counts))))[self.task.monitor][0]
        return float(np.nan_to_num(found))

    def _estimate(self, done: Sequence[ClimbedFold]) -> Estimate | None:
        """The score on the first folds, of whatever was climbed there."""
        counts = _joined(done)
        found = self._bootstrap(len(done)).estimates(counts, range(len(counts)))
        return found.get(self.task.monitor)

    def _difference(self, one: str, other: str) -> Estimate | None:
        mine, theirs = self.climbed[one], self.climbed[other]
        both = min(len(mine), len(theirs))
        found = self._bootstrap(both).differences(_joined(mine[:both]), _joined(theirs[:both]))
        return found.get(self.task.monitor)

    def _bootstrap(self, folds: int) -> Bootstrap:
        notes = [note for side in self.sides[:folds] for note in side]
        return Bootstrap(patients_of(notes), RESAMPLES, CONFIDENCE, self.means.config.seed)


def _joined(done: Sequence[ClimbedFold]) -> NoteCounts:
    return NoteCounts.joined([fold.counts for fold in done])


def _mean_seconds(done: Sequence[ClimbedFold]) -> float:
    return sum(fold.seconds for fold in done) / len(done)


def _chosen(known: Sequence[Rung], names: Sequence[str] | None) -> list[Rung]:
    by_name = {rung.name: rung for rung in known}
    wanted = list(by_name) if names is None else list(names)
    wrong = [name for name in wanted if name not in by_name]
    if wrong or isinstance(names, str):
        raise ConfigError(
            f"rungs {[shown_value(name) for name in wrong] or shown_value(names)}: choose among "
            f"{list(by_name)}"
        )
    chosen = [rung for rung in known if rung.name in wanted]
    if not any(rung.is_model for rung in chosen):
        raise ConfigError(
            "rungs: none of these is a model; take at least one of "
            f"{[rung.name for rung in known if rung.is_model]}"
        )
    return chosen


def _choosing(
    task: Task, config: TrainingConfig, dev: Sequence[Note] | None
) -> Sequence[Note] | None:
    """The dev notes, if they have what the metric needs: codes, where it ranks them."""
    if dev is None or (config.metric or task.monitor) not in dev_metrics(task, dev):
        return None
    return dev
