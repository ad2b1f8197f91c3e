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
import os
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from clinical_tl.data.codes.code_table import read_codes
from clinical_tl.data.codes.known_systems import SystemName, find_system
from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import require_apart
from clinical_tl.data.ties import related_notes
from clinical_tl.data.traces import Traces
from clinical_tl.errors import ConfigError, TaskError, shown_id
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.logistic_regression import LinearWeights, fit_logistic
from clinical_tl.estimators.name_index import FoundNames, NameIndex, ReadText
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.metrics.thresholds import tune_cut
from clinical_tl.network.structure import is_peft
from clinical_tl.rules.code_names import from_names
from clinical_tl.rules.matcher import RuleMatcher, coded, is_denied
from clinical_tl.rules.rule import Rule
from clinical_tl.saved.evaluations import OPEN_CODES
from clinical_tl.schema import LabelScores, Note, Prediction, Span, score_rows
from clinical_tl.tasks.task import NamesLabels, NoteTask, check_annotated
from clinical_tl.text.visible import has_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from clinical_tl.estimators.features import Floats, Ints
    from clinical_tl.models.feature_model import FeatureModel
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.tasks.task import Task

Model = TypeVar("Model", "TransferModel", "FeatureModel")

logger = logging.getLogger(__name__)


class NamingTask(NoteTask, NamesLabels, ABC):
    """A task of many labels a note that knows more of them than training had."""


Names = Mapping[str, Sequence[str]] | str | os.PathLike[str]
"""Code → its names, or the file of a table of codes."""
Embed = Callable[[Sequence[str]], "Floats"]
"""Texts → their vectors (texts, d)."""

FEATURES = (
    *("score", "trained"),
    *("similar", "similar, new"),
    *("named", "named, new", "in one piece", "in one piece, new", "whole"),
    *("mentioned", "denied"),
    *("kin", "notes"),
)
"""What is known of a candidate.

`score` is the logit of the model's probability, `trained` whether there is one, `notes` the
logarithm of 1 + the training notes that have the code. `similar` is the cosine of its likest name
and the likest piece of the note, `named` the share of its best name that stands in the note, `in
one piece` in one piece of it; each once for trained codes and once for `new` ones. `whole` says
that one piece has a whole name, `mentioned` and `denied` that a rule fired, divided among the codes
that it may mean. `kin` says of a new code that trained ones begin as it does (`KIN` characters, a
category of ICD): one of these may be meant.
"""
KIN = 3
SOURCES = {"model": range(2), "similar": range(2, 4), "name": range(4, 9), "rules": range(9, 11)}
# Probabilities are taken between this and its complement.
TINY = 1e-6
SCORED, NAMED, SOUGHT = 100, 50, 300
"""Candidates of a note: by the model's score, by names; and those whose names are sought piece by
piece. On CodiEsp's dev notes 10 to 200 by names differ by 0.002 in micro-F1."""
MOST_NAMES = 8
"""Of a code that are embedded, the first ones."""
FOLDS = 5
STRENGTH = 1.0
LARGE_SHARE = 0.2
"""Of what speaks for a code: a source that gives so much is named."""
CHUNK = 256
_WHOLE = 0.99


@dataclass(frozen=True, eq=False, repr=False)
class _Candidates:
    """The candidates of one note.

    `codes` are places in the open code set, `features` (candidates, features); `likest` is the
    piece of the text that each is likest to, `mentions` the rules' by code.
    """

    codes: Ints
    features: Floats
    read: ReadText
    found: FoundNames
    likest: Ints
    mentions: Mapping[str, Sequence[Span]]


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
        self.digest_ = _digest(_names(task, self.names_))
        self.n_features_in_ = len(FEATURES)
        pools = list(self._candidates(task, notes, predictions, embed))
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
                self._candidates(task, notes, predictions, embed),
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
            names = _names(task, self.names_)
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
        return [_rolled(rule, task) for rule in rules]

    def _matcher(self, task: NamingTask) -> RuleMatcher:
        known: RuleMatcher | None = getattr(self, "_known_matcher", None)
        if known is None:
            own = from_names(_names(task, self.names_), origin=" names")
            known = RuleMatcher([*self._rules(task), *own])
            self._known_matcher = known
        return known

    def _candidates(
        self,
        task: NamingTask,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        embed: Embed,
    ) -> Iterator[_Candidates]:
        index, matcher = self._index(task), self._matcher(task)
        # Names are met again; pieces of notes are not, and are nobody's to keep.
        named: dict[str, Floats] = getattr(self, "_known_vectors", {})
        self._known_vectors = named
        for start in range(0, len(notes), CHUNK):
            texts = [note.text for note in notes[start : start + CHUNK]]
            rows = score_rows(predictions[start : start + CHUNK], task.labels.names)
            if rows is None:
                raise TaskError(
                    "open code set: the predictions lack the scores of some code; give what the "
                    "model's predict() gives"
                )
            reads = [(text, index.read(text)) for text in texts]
            spans = [matcher.spans(text) for text in texts]
            chosen = [
                self._chosen(index, read, row, coded(said))
                for (_, read), row, said in zip(reads, rows, spans, strict=True)
            ]
            new = [t for t in dict.fromkeys(_texts(index, reads, chosen)) if t not in named]
            vectors = named | dict(zip(new, embed(new), strict=True)) if new else named
            own = {text[a:b] for text, read in reads for a, b in read.pieces}
            named.update((text, vectors[text]) for text in new if text not in own)
            for (text, read), row, said, codes in zip(reads, rows, spans, chosen, strict=True):
                yield _described(task, index, text, read, row, said, codes, vectors)

    def _chosen(
        self, index: NameIndex, read: ReadText, row: Floats, mentioned: Mapping[str, Any]
    ) -> Ints:
        """The candidates of a note, as places in the open code set."""
        scored = _highest(row, SCORED)
        positions = index.positions
        ruled = [positions[code] for code in mentioned if code in positions]
        anywhere = index.coverage(read)
        sought = np.unique([*scored, *ruled, *_highest(anywhere, SOUGHT)]).astype(np.int64)
        together = index.found(read, sought).coverage
        by_name = [*_highest(anywhere, NAMED), *sought[_highest(together, NAMED)]]
        return np.unique([*scored, *ruled, *by_name]).astype(np.int64)

    def _joined(
        self, task: NamingTask, said: Prediction, pool: _Candidates, own: Floats
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
            stretches = tuple(_evidence(index, said, pool, place, code, sources[code]))
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
    task, records = _naming(model.task), as_notes(dev)
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


def checked_names(
    task: Task, names: Names | None = None, rules: Iterable[Rule] = ()
) -> tuple[dict[str, list[str]] | None, list[Rule]]:
    """What `fit_open_codes` makes of names and rules, to be known before a long training.

    Gives the names by the task's labels, `None` where they are the system's, and the rules.

    Raises:
        TaskError: a task without an open code set.
        ConfigError: codes that are none of the system's, names or rules that are no such thing, or
            nothing that names a code that training lacked.
    """
    naming = _naming(task)
    given: list[Any] = [rules] if isinstance(rules, str | os.PathLike) else [*rules]
    if other := sum(not isinstance(rule, Rule) for rule in given):
        raise ConfigError(
            f"rules: {other} of {len(given)} are no rules; give what rules.from_lexicon(file) or "
            "RuleSet.load(file) gives"
        )
    for rule in given:
        _rolled(rule, naming)
    if names is not None:
        own = _spelt(naming, names)
    elif naming.label_names():
        own = None
    else:
        raise ConfigError(
            f"{task.title}: nothing says what the labels that training lacked are called; give "
            "names={code: [name, …]} or a file (that of codes=… will do: the task keeps what it "
            "says of its own codes alone), or train on codes or categories of a system with a list"
        )
    return own, given


def _spelt(task: NamingTask, names: Names) -> dict[str, list[str]]:
    """Names of one's own by the labels that they are of."""
    if isinstance(names, str | os.PathLike):
        system = find_system(cast("SystemName", task.code_system or "any"))
        titles = read_codes(names, system).titles
        # A table has chapters and blocks, too.
        return _spelt(task, {c: [t] for c, t in titles.items() if _label(task, c) is not None})
    found: dict[str, list[str]] = {}
    wrong_codes = wrong_names = 0
    for code, own in names.items():
        given = [own] if isinstance(own, str) else own
        label = _label(task, code)
        if not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given):
            wrong_names += 1
        elif label is None:
            wrong_codes += 1
        else:
            found.setdefault(label, []).extend(name for name in given if name.strip())
    if wrong_codes or wrong_names or not any(found.values()):
        raise ConfigError(
            f"names: of {len(names)} codes {wrong_codes} are none of {task.title}"
            f"{f' ({task.code_system})' if task.code_system else ''}, and {wrong_names} have names "
            "that are no list of strings; allowed: code → [title, another name, …]"
        )
    return found


def _label(task: NamingTask, code: str) -> str | None:
    """The task's label for a code; `None` where it is no code."""
    try:
        return task.own_labels(Note("names", "", codes=(code,)))[0]
    except TaskError:
        return None


def opened(
    codes: OpenCodes | None,
    model: Model,
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
) -> list[Prediction]:
    """What a model with an open code set says of notes; without one, the predictions."""
    if codes is None:
        return list(predictions)
    return codes.union(_naming(model.task), notes, predictions, vectors_of(model))


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


def _naming(task: Task) -> NamingTask:
    if isinstance(task, NoteTask) and isinstance(task, NamesLabels):
        return cast("NamingTask", task)
    raise TaskError(
        f"{task.title} has no open code set; allowed: a model of DiagnosisCoding, or of "
        "MultiLabelClassification with names=…"
    )


def _names(
    task: NamingTask, given: Mapping[str, Sequence[str]] | None
) -> Mapping[str, Sequence[str]]:
    return task.label_names() if given is None else given


def _digest(names: Mapping[str, Sequence[str]]) -> str:
    rows = json.dumps({code: list(own) for code, own in names.items()}, sort_keys=True)
    return hashlib.sha256(rows.encode()).hexdigest()


def _rolled(rule: Rule, task: NamingTask) -> Rule:
    """The rule with its concepts as codes at the task's level."""
    try:
        return replace(rule, concepts=task.own_labels(Note(rule.id, "", codes=rule.concepts)))
    except TaskError as error:
        raise ConfigError(
            f"rule {shown_id(rule.id)!r}: its concepts are none of the task's codes; give rules "
            f"whose concepts are ({error})"
        ) from error


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


def _highest(values: npt.NDArray[np.floating], n: int) -> Ints:
    """Places of the `n` highest values above 0."""
    best = np.argpartition(-values, n - 1)[:n] if len(values) > n else np.arange(len(values))
    found: Ints = best[values[best] > 0]
    return found


def _texts(
    index: NameIndex, reads: Sequence[tuple[str, ReadText]], chosen: Sequence[Ints]
) -> Iterator[str]:
    """The texts whose vectors tell how like candidates and notes are."""
    for text, read in reads:
        yield from (text[start:end] for start, end in read.pieces)
    for code in np.unique(np.concatenate(chosen)).tolist():
        yield from (index.names[row] for row in _embedded(index, code))


def _embedded(index: NameIndex, code: int) -> range:
    first, stop = index.first_names[code : code + 2].tolist()
    return range(first, min(stop, first + MOST_NAMES))


def _described(
    task: NamingTask,
    index: NameIndex,
    text: str,
    read: ReadText,
    row: Floats,
    spans: Sequence[Span],
    codes: Ints,
    vectors: Mapping[str, Floats],
) -> _Candidates:
    """The candidates of a note with their features."""
    n_trained = len(task.labels)
    trained = codes < n_trained
    columns = codes[trained]
    score, notes = np.zeros(len(codes)), np.zeros(len(codes))
    inside = row[columns].clip(TINY, 1 - TINY)
    score[trained] = np.log(inside / (1 - inside))
    names = [index.codes[code] for code in codes]
    begins = {label[:KIN] for label in task.labels}
    kin = np.array([name[:KIN] in begins for name in names], dtype=bool)
    notes[trained] = np.log1p(np.array(task.labels.support or [0] * n_trained)[columns])
    found = index.found(read, codes)
    anywhere = index.coverage(read)[codes]
    similar, likest = _similar(index, text, read, codes, vectors)
    asserted, refused = (
        {code: max(1 / len(span.concepts) for span in own) for code, own in sides.items()}
        for sides in (
            _by_code(span for span in spans if is_denied(span) is denied)
            for denied in (False, True)
        )
    )
    features = np.stack(
        [
            score,
            trained,
            *(similar * trained, similar * ~trained),
            *(anywhere * trained, anywhere * ~trained),
            *(found.coverage * trained, found.coverage * ~trained),
            found.coverage > _WHOLE,
            np.array([asserted.get(name, 0.0) for name in names]),
            np.array([refused.get(name, 0.0) for name in names]),
            kin & ~trained,
            notes,
        ],
        axis=1,
    ).astype(np.float64)
    mentions = coded(span for span in spans if not is_denied(span))
    return _Candidates(codes, features, read, found, likest, mentions)


def _by_code(spans: Iterable[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in spans:
        for code in span.concepts:
            found.setdefault(code, []).append(span)
    return found


def _similar(
    index: NameIndex,
    text: str,
    read: ReadText,
    codes: Ints,
    vectors: Mapping[str, Floats],
) -> tuple[Floats, Ints]:
    """The cosine of each code's likest name and the likest piece, and which piece that is."""
    similar, likest = np.zeros(len(codes)), np.full(len(codes), -1, dtype=np.int64)
    rows = [list(_embedded(index, code)) for code in codes.tolist()]
    owners = np.repeat(np.arange(len(codes)), [len(own) for own in rows])
    if not len(owners) or not read.pieces:
        return similar, likest
    names = np.stack([vectors[index.names[row]] for own in rows for row in own])
    parts = np.stack([vectors[text[start:end]] for start, end in read.pieces])
    cosines = names @ parts.T
    best, where = cosines.max(axis=1), cosines.argmax(axis=1)
    order = np.argsort(best, kind="stable")
    similar[owners[order]], likest[owners[order]] = best[order], where[order]
    return similar, likest


def _evidence(
    index: NameIndex,
    said: Prediction,
    pool: _Candidates,
    place: int,
    code: str,
    sources: Sequence[str],
) -> Iterator[Span]:
    """Where what spoke for a code stands, source by source; no stretch twice."""
    seen: set[tuple[int, int]] = set()
    for source in sources:
        stretches: list[tuple[int, int, float | None]] = []
        if source == "model":
            stretches = [(s.start, s.end, s.score) for s in said.evidence.get(code, ())]
        elif source == "rules":
            stretches = [(s.start, s.end, s.score) for s in pool.mentions.get(code, ())[:1]]
        elif source == "name" and (bounds := index.evidence(pool.read, pool.found, place)):
            stretches = [(*bounds, float(pool.found.coverage[place]))]
        elif source == "similar" and pool.likest[place] >= 0:
            stretches = [(*pool.read.pieces[pool.likest[place]], None)]
        for start, end, score in stretches:
            if (start, end) not in seen:
                seen.add((start, end))
                yield Span(start, end, code, attributes=(("source", source),), score=score)
