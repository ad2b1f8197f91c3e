"""An open code set: codes that training never showed, beside those that it did.

Whatever codes it was trained on, a coder can give no other, and one in six gold codes may be
another. Codes have names, though. For each note there are candidates from three sources: the
model's own scores; the names of codes, found in the note word by word (`rules`) or in part
(`NameIndex`); and the likeness of a name to a piece of the note in the encoder's space. A
logistic regression of `FEATURES`, fitted on dev notes, weighs what speaks for each, and its
probabilities take the place of the model's.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import require_apart
from clinical_tl.data.ties import related_notes
from clinical_tl.data.traces import Traces
from clinical_tl.errors import TaskError
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.logistic_regression import LinearWeights, fit_logistic
from clinical_tl.estimators.name_index import NameIndex
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.metrics.thresholds import tune_cut
from clinical_tl.models.code_candidates import (
    FEATURES,
    Candidates,
    Embed,
    candidates,
    evidence_of,
)
from clinical_tl.models.label_names import (
    Names,
    NamingTask,
    checked_names,
    names_of,
    naming_task,
    rolled_rule,
)
from clinical_tl.network.structure import is_peft
from clinical_tl.rules.code_names import from_names
from clinical_tl.rules.matcher import RuleMatcher
from clinical_tl.rules.rule import Rule
from clinical_tl.saved.evaluations import OPEN_CODES
from clinical_tl.schema import LabelScores, Note, Prediction, Span
from clinical_tl.tasks.task_checks import check_annotated
from clinical_tl.text.visible import has_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from clinical_tl.estimators.features import Floats, Ints
    from clinical_tl.models.feature_model import FeatureModel
    from clinical_tl.models.transfer_model import TransferModel

Model = TypeVar("Model", "TransferModel", "FeatureModel")

logger = logging.getLogger(__name__)


SOURCES = {"model": range(2), "similar": range(2, 4), "name": range(4, 9), "rules": range(9, 11)}
FOLDS = 5
STRENGTH = 1.0
LARGE_SHARE = 0.2
"""Of what speaks for a code: a source that gives so much is named."""


class OpenCodes(Estimator):
    """What `fit_open_codes` learns, to be used with the model that it was fitted beside.

    Attributes:
        names_: code → names; `None` for those of the system's list.
        digest_: of the names, so that another release of the list is noticed.
        rules_: the rules that were given, as JSON values.
        coef_: shape (features,), of features as they are in `FEATURES`.
        intercept_: a number.
        mean_: shape (features,), of the dev notes' candidates.
        threshold_: from which probability on a code is given.
    """

    file = OPEN_CODES
    found = ("names_", "digest_", "rules_", "coef_", "intercept_", "mean_", "threshold_")

    names_: Mapping[str, Sequence[str]] | None
    rules_: Sequence[Mapping[str, Any]]

    def fit(
        self,
        task: NamingTask,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        embed: Embed,
        *,
        names: Mapping[str, Sequence[str]] | None = None,
        rules: Iterable[Rule] = (),
        seed: int = 0,
    ) -> list[Prediction]:
        """Learn from dev notes and the model's predictions of them.

        Gives the union's predictions, each note's by what was learnt from the other folds.
        """
        self.names_ = None if names is None else {code: list(own) for code, own in names.items()}
        self.rules_ = [asdict(rule) for rule in rules]
        self.digest_ = _digest(names_of(task, self.names_))
        self.n_features_in_ = len(FEATURES)
        pools = list(self._pools(task, notes, predictions, embed))
        gold = [set(task.own_labels(note)) for note in notes]
        codes = self._index(task).codes
        right = [
            np.array([codes[code] in own for code in pool.codes], dtype=bool)
            for pool, own in zip(pools, gold, strict=True)
        ]
        features, flat = np.concatenate([p.features for p in pools]), np.concatenate(right)
        missed = sum(map(len, gold)) - int(flat.sum())
        folds = _folds(notes, seed)
        whose = np.repeat(np.arange(len(notes)), [len(own) for own in right])
        held_out = np.zeros(len(flat))
        for fold in np.unique(folds):
            inside = folds[whose] == fold
            if flat[~inside].any():
                weights = _fitted(features[~inside], flat[~inside])
                held_out[inside] = weights.probabilities(features[inside], exclusive=False)[:, 0]
        threshold = tune_cut(held_out, flat, missed=missed)
        if threshold is None:
            raise TaskError(
                f"none of the {sum(map(len, gold))} codes of the {len(notes)} dev notes is among "
                "the candidates that the model, names and rules find; look at the codes' spelling "
                "and level, and at the language of names and notes"
            )
        weights = _fitted(features, flat)
        self.coef_, self.intercept_ = weights.coefficients[0], float(weights.intercepts[0])
        self.mean_, self.threshold_ = features.mean(axis=0), float(threshold)
        parts = np.split(held_out, np.cumsum([len(own) for own in right])[:-1])
        return [
            self._joined(task, prediction, pool, own)
            for prediction, pool, own in zip(predictions, pools, parts, strict=True)
        ]

    def union(
        self,
        task: NamingTask,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        embed: Embed,
    ) -> list[Prediction]:
        """The predictions with the codes that reach the threshold, likeliest first.

        `scores` has the probabilities of the task's codes and, in `others`, of the other
        candidates; `sources` says what spoke for each code, most first, and `evidence` where.
        Notes with nothing to read stay as they are.
        """
        self.check_fitted()
        return [
            self._joined(task, prediction, pool, self._probabilities(pool.features))
            if has_text(note.text)
            else prediction
            for note, prediction, pool in zip(
                notes,
                predictions,
                self._pools(task, notes, predictions, embed),
                strict=True,
            )
        ]

    def _probabilities(self, features: Floats) -> Floats:
        weights = LinearWeights(self.coef_[None], np.array([self.intercept_]))
        return weights.probabilities(features, exclusive=False)[:, 0]

    def _index(self, task: NamingTask) -> NameIndex:
        """The names of the open code set, the task's labels first."""
        known: NameIndex | None = getattr(self, "_known_index", None)
        if known is None:
            names = names_of(task, self.names_)
            if _digest(names) != self.digest_:
                logger.warning(
                    "open code set: the installed tabular list has other names than the one that "
                    "this model was fitted with; names that it lacks are not found"
                )
            mentioned = (code for rule in self._rules(task) for code in rule.concepts)
            # The labels come first; what is named after them takes no other place.
            bare = dict.fromkeys([*task.labels, *mentioned], ())
            known = NameIndex({**bare, **names})
            self._known_index = known
        return known

    def _rules(self, task: NamingTask) -> list[Rule]:
        """The rules that were given, their concepts at the task's level."""
        rules = [Rule(**{**row, "concepts": tuple(row["concepts"])}) for row in self.rules_]
        return [rolled_rule(rule, task) for rule in rules]

    def _matcher(self, task: NamingTask) -> RuleMatcher:
        known: RuleMatcher | None = getattr(self, "_known_matcher", None)
        if known is None:
            own = from_names(names_of(task, self.names_), origin=" names")
            known = RuleMatcher([*self._rules(task), *own])
            self._known_matcher = known
        return known

    def _pools(
        self,
        task: NamingTask,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        embed: Embed,
    ) -> Iterator[Candidates]:
        named: dict[str, Floats] = getattr(self, "_known_vectors", {})
        self._known_vectors = named
        index, matcher = self._index(task), self._matcher(task)
        return candidates(task, index, matcher, notes, predictions, embed, named)

    def _joined(
        self, task: NamingTask, said: Prediction, pool: Candidates, own: Floats
    ) -> Prediction:
        """A prediction with the candidates' probabilities in place of the model's."""
        index = self._index(task)
        n_trained = len(task.labels)
        trained = pool.codes < n_trained
        scores = np.array([said.scores[name] for name in task.labels.names], dtype=np.float32)
        # Behind the candidates, in the model's order.
        scores *= own[trained].min(initial=1.0)
        scores[pool.codes[trained]] = own[trained]
        others = {
            index.codes[code]: float(probability)
            for code, probability in zip(pool.codes[~trained], own[~trained], strict=True)
        }
        given = np.flatnonzero(own >= self.threshold_)
        given = given[np.argsort(-own[given], kind="stable")]
        sources: dict[str, tuple[str, ...]] = {}
        evidence: dict[str, tuple[Span, ...]] = {}
        for place in given.tolist():
            code = index.codes[pool.codes[place]]
            sources[code] = self._sources(pool.features[place])
            stretches = tuple(evidence_of(index, said, pool, place, code, sources[code]))
            if stretches:
                evidence[code] = stretches
        return replace(
            said,
            codes=tuple(sources),
            scores=LabelScores(task.labels.names, scores, others),
            evidence=evidence,
            sources=sources,
        )

    def _sources(self, features: Floats) -> tuple[str, ...]:
        """What spoke for a code, most first: sources of a large share of all that did."""
        said = self.coef_ * (features - self.mean_)
        # That a code was not trained says nothing for it.
        said[:2] *= features[FEATURES.index("trained")]
        sums = {name: float(said[columns].sum()) for name, columns in SOURCES.items()}
        total = sum(max(value, 0.0) for value in sums.values())
        ranked = sorted(sums, key=lambda name: -sums[name])
        return tuple(n for n in ranked if sums[n] > LARGE_SHARE * total) or (ranked[0],)


def fit_open_codes(
    model: Model,
    dev: NotesLike,
    *,
    names: Names | None = None,
    rules: Iterable[Rule] = (),
    seed: int = 0,
    progress: bool = True,
    allow_leakage: bool = False,
) -> Model:
    """Let a trained coder give codes beyond those of training, as far as dev notes bear them out.

    What the model predicts then is the union: `Prediction.sources` says where each code came
    from, `evidence` where it is written. It is saved with the model. `metrics["open_codes"]` has
    what the model alone and the union reach on the dev notes, the union by folds; that it is the
    lower one is logged.

    Args:
        model: a trained coder (`DiagnosisCoding`), or another model of many labels a note. A
            `TransferModel` is changed, of a `FeatureModel` a changed copy is given.
        dev: coded notes that the model was not trained on; those that chose its epochs will do.
        names: code → what it is called, title first, or a file with the columns `code` and
            `description`; by default those of the code system's list at the task's level. They are
            saved with the model.
        rules: more names, with the codes as `concepts`: `rules.from_lexicon`, or
            `rules.from_annotations` of mentions that carry codes. They are saved with the model,
            and are as confidential as their source (the release gate asks).
        seed: of the folds, which part neither patients nor copies.
        progress: whether bars are shown.
        allow_leakage: go on where dev notes share patients or texts with the training notes, whose
            scores say more of what the model remembers. A loaded model does not know its own.

    Returns:
        The model with its open code set.

    Raises:
        TaskError: a model of another task, dev notes that have no code or no text, none to be
            found, or fewer than two that are unrelated.
        NoteError: dev and training notes share patients or texts.
        ConfigError: as `checked_names`.
    """
    task, records = naming_task(model.task), as_notes(dev)
    own_names, given = checked_names(task, names, rules)
    check_annotated(records, "codes", "open code set")
    if not any(note.codes and has_text(note.text) for note in records):
        raise TaskError(
            f"open code set: none of the {len(records)} dev notes has text and a code; give notes "
            "that were coded"
        )
    if model.seen is not None:
        require_apart(
            model.seen.train,
            Traces.of(records),
            known_as="training notes",
            notes_as="dev notes",
            allow_leakage=allow_leakage,
        )
    before = model.open_codes, model.metrics.get(OPEN_CODES)
    try:
        predictions = with_open_codes(model, None).predict(records, progress=progress)
        codes = OpenCodes()
        union = codes.fit(
            task, records, predictions, vectors_of(model), names=own_names, rules=given, seed=seed
        )
    except BaseException:
        with_open_codes(model, *before)
        raise
    alone, joined = (
        {name: task.evaluate(records, said).summary()[name] for name in ("micro_f1", "map")}
        for said in (predictions, union)
    )
    told = {
        "dev_notes": len(records),
        "rules": len(given),
        "model": alone,
        "union": joined,
        "weights": dict(zip(FEATURES, codes.coef_.tolist(), strict=True)),
    }
    lower = [name for name in alone if joined[name] < alone[name]]
    logger.log(
        logging.WARNING if lower else logging.INFO,
        "open code set: on %d dev notes %s for the union, %s for the model alone%s",
        len(records),
        *(", ".join(f"{name} {value:.3f}" for name, value in s.items()) for s in (joined, alone)),
        f"; the union loses in {' and '.join(lower)}" if lower else "",
    )
    return with_open_codes(model, codes, told)


def with_open_codes(
    model: Model, codes: OpenCodes | None, told: Mapping[str, Any] | None = None
) -> Model:
    """The model with an open code set, or without: a `TransferModel` itself, or a copy.

    `told` is what its metrics say of it.
    """
    metrics = {name: value for name, value in model.metrics.items() if name != OPEN_CODES}
    if told is not None:
        metrics[OPEN_CODES] = dict(told)
    if is_dataclass(model):
        return replace(model, open_codes=codes, metrics=metrics)
    model.open_codes, model.metrics = codes, metrics
    return model


def opened(
    codes: OpenCodes | None,
    model: Model,
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
) -> list[Prediction]:
    """What a model with an open code set says of notes; without one, the predictions."""
    if codes is None:
        return list(predictions)
    return codes.union(naming_task(model.task), notes, predictions, vectors_of(model))


def vectors_of(model: TransferModel | FeatureModel) -> Embed:
    """What embeds texts by a model's encoder, its adapter off, into unit length.

    Fine-tuning for codes makes texts alike that have codes in common, which names of other codes
    are not part of: on CodiEsp's dev notes, codes, the union has micro-F1 0.515 and MAP 0.484 with
    the adapter, 0.520 and 0.490 without.
    """
    network: Any = getattr(model, "network", None)

    def embed(texts: Sequence[str]) -> Floats:
        has_adapter = network is not None and is_peft(network.model)
        with network.model.disable_adapter() if has_adapter else nullcontext():
            found: Any = model.embed_texts(texts)
        return unit_length(np.asarray(found.cpu() if hasattr(found, "cpu") else found))

    return embed


def _digest(names: Mapping[str, Sequence[str]]) -> str:
    rows = json.dumps({code: list(own) for code, own in names.items()}, sort_keys=True)
    return hashlib.sha256(rows.encode()).hexdigest()


def _folds(notes: Sequence[Note], seed: int) -> Ints:
    """A fold a note, shape (notes,)."""
    units = related_notes(notes)
    n_units = int(units.max()) + 1
    if n_units < 2:
        raise TaskError(
            f"the {len(notes)} dev notes are of one patient, or copies of one note; give two that "
            "are unrelated at least, dozens to trust"
        )
    found: Ints = (np.random.default_rng(seed).permutation(n_units) % min(FOLDS, n_units))[units]
    return found


def _fitted(features: Floats, right: npt.NDArray[np.bool_]) -> LinearWeights:
    return fit_logistic(features, right[:, None], n_outputs=1, strength=STRENGTH)
