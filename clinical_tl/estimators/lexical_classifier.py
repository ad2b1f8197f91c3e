"""`LexicalClassifier`: which words speak for which label, for what an encoder does not know.

A linear model on TF-IDF is what few labels have to beat, and it knows other things than a
network: drug names, abbreviations, headings. Its logits can be added to a network's.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import regex
from sklearn.base import ClassifierMixin

from clinical_tl.errors import TaskError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.text.scripts import has_blankless, parts

if TYPE_CHECKING:
    from clinical_tl.estimators.features import Floats, Ints

STRENGTH, STRENGTH_OF_MANY = 10.0, 100.0
"""Inverse L2 strengths (scikit-learn's `C`) for one label a note, and for many."""
MIN_NOTES = 3
HASHED_TERMS = 2**15
OVERLAP = 20.0
"""What a note's likeness to a label's description counts. Chosen on CodiEsp's dev notes with
TF-IDF alone: MAP 0.360 without, 0.377, 0.395, 0.420, 0.425 with 5, 10, 20, 40."""
# Letters alone: no dates, numbers of records or telephones.
_RUN = regex.compile(r"(?<!\w)\p{L}[\p{L}\p{M}]+(?!\w)")


def lexical_terms(text: str) -> Iterator[str]:
    """The words of a text in lower case: runs of two letters or more with no digit beside them.

    In scripts without blanks between words, each letter and each two neighbours.
    """
    for found in _RUN.finditer(text.lower()):
        run = found[0]
        if not has_blankless(run):
            yield run
            continue
        letters = [run[start:end] for start, end in parts(run, 0, len(run))]
        yield from letters
        yield from (first + second for first, second in pairwise(letters))


class NoSharedWordError(TaskError):
    """No word is in as many texts as one must be in to be kept."""


class LexicalClassifier(ClassifierMixin, Estimator):
    """L2-regularised logistic regression on the TF-IDF of words (sublinear, unit length).

    One multinomial model where a text has one label (`y` of shape (n,)), one binary model a
    label where it has many (0 and 1, shape (n, labels)).

    The vocabulary is text of the notes. It holds words of letters alone, which `min_notes` notes
    have, or notes of so many patients where `fit` gets `groups`; that is no de-identification: a
    physician's name may be in every note. With `hashed` no word is kept, only numbers that words
    fall on (32,768 of them); who guesses a word can still look up whether it was there.

    `weight` is what its logits count beside another model's. `class_weight` is scikit-learn's:
    `None`, `"balanced"` or class → weight; of many labels `None` or `"balanced"`.

    Attributes:
        terms_: the words, `None` where they are hashed.
        buckets_: the words' numbers where they are hashed, else `None`.
        idf_: shape (terms,).
        coef_: shape (classes or labels, terms).
        intercept_: shape (classes or labels,).
        classes_: the classes, or the columns of many labels.
        multi_label_: whether `y` had many labels a text.

    Example:
        >>> texts = ["dyspnea and cough", "cough at night", "knee pain", "pain in the knee"]
        >>> classifier = LexicalClassifier(min_notes=1).fit(texts, [0, 0, 1, 1])
        >>> classifier.predict_proba(["a cough"]).round(1).tolist()
        [[0.8, 0.2]]
    """

    file = "lexical_classifier"
    found = ("terms_", "buckets_", "idf_", "coef_", "intercept_", "classes_", "multi_label_")

    def __init__(
        self,
        *,
        strength: float | None = None,
        min_notes: int = MIN_NOTES,
        hashed: bool = False,
        weight: float = 0.5,
        class_weight: Mapping[Any, float] | str | None = "balanced",
    ) -> None:
        self.strength = strength
        self.min_notes = min_notes
        self.hashed = hashed
        self.weight = weight
        self.class_weight = class_weight

    def fit(
        self,
        texts: Sequence[str],
        y: npt.ArrayLike,
        groups: Sequence[Hashable] | None = None,
        *,
        descriptions: Sequence[str] | None = None,
    ) -> LexicalClassifier:
        """Fit on texts; `groups` are their patients, `None` for one of its own.

        `descriptions`, one a label (of many), let words speak for a label that training never
        had beside it: what a text shares with the description (the cosine of their TF-IDF) is
        added to the label's logit. Their words join the vocabulary.

        Raises `TaskError` for lengths that disagree or texts without a word that enough share,
        `ConfigError` for `min_notes` below 1.
        """
        check_at_least(1, min_notes=self.min_notes)
        gold = np.asarray(y)
        if len(texts) != len(gold) or (groups is not None and len(groups) != len(texts)):
            raise TaskError(
                f"{len(texts)} texts, {len(gold)} rows of y and "
                f"{'no' if groups is None else len(groups)} groups; give one of each a text"
            )
        features = self._fit_terms(texts, groups, descriptions or [])
        self.multi_label_ = gold.ndim > 1
        self.classes_ = np.arange(gold.shape[1]) if gold.ndim > 1 else np.unique(gold)
        if self.multi_label_:
            self.coef_, self.intercept_ = self._fit_each(features, gold)
        else:
            self.coef_, self.intercept_ = self._fit_one(features, gold)
        if descriptions:
            self.coef_ = self.coef_ + OVERLAP * self._features(descriptions).toarray()
        self.coef_ = self.coef_.astype(np.float32)
        self.n_features_in_ = len(self.idf_)
        return self

    def logits(self, texts: Sequence[str]) -> Floats:
        """Shape (n, classes or labels); their softmax or sigmoids are the probabilities."""
        self.check_fitted()
        found: Floats = self._features(texts) @ self.coef_.T.astype(np.float64) + self.intercept_
        return found

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities, shape (n, classes) or (n, labels)."""
        from scipy.special import expit, softmax

        logits = self.logits(texts)
        result: Floats = expit(logits) if self.multi_label_ else softmax(logits, axis=1)
        return result

    def predict(self, texts: Sequence[str]) -> npt.NDArray[Any]:
        """The likeliest class, shape (n,), or 0 and 1 at one half, shape (n, labels)."""
        logits = self.logits(texts)
        if self.multi_label_:
            return (logits >= 0).astype(np.int64)
        likeliest: npt.NDArray[Any] = self.classes_[logits.argmax(axis=1)]
        return likeliest

    def _fit_terms(
        self,
        texts: Sequence[str],
        groups: Sequence[Hashable] | None,
        descriptions: Sequence[str],
    ) -> Any:  # noqa: ANN401  (sparse arrays are untyped)
        from sklearn.feature_extraction.text import CountVectorizer

        self.terms_: tuple[str, ...] | None = None
        self.buckets_: Ints | None = None
        if self.hashed:
            counts, names = _hashed(texts), np.arange(HASHED_TERMS)
        else:
            vectoriser = CountVectorizer(analyzer=lexical_terms)
            try:
                counts = vectoriser.fit_transform(texts)
            except ValueError:
                raise _no_word(len(texts), 1) from None
            names = vectoriser.get_feature_names_out()
        known = _owners(counts, groups) >= self.min_notes
        described = {term for text in descriptions for term in lexical_terms(text)}
        if self.hashed:
            if descriptions:
                known |= _hashed([" ".join(described)]).toarray()[0] > 0
            self.buckets_ = np.flatnonzero(known)
        else:
            self.terms_ = tuple(sorted({*names[known].tolist(), *described}))
        if not known.any():
            raise _no_word(len(texts), self.min_notes)
        documents = self._counts(texts)
        n_with = np.bincount(documents.indices, minlength=documents.shape[1])
        # As scikit-learn's: a word that all texts have keeps a weight of 1.
        self.idf_ = np.log((1 + len(texts)) / (1 + n_with)) + 1
        return self._features(texts)

    def _counts(self, texts: Sequence[str]) -> Any:  # noqa: ANN401  (sparse arrays are untyped)
        from sklearn.feature_extraction.text import CountVectorizer

        if self.buckets_ is not None:
            return _hashed(texts)[:, self.buckets_]
        return CountVectorizer(analyzer=lexical_terms, vocabulary=self.terms_).transform(texts)

    def _features(self, texts: Sequence[str]) -> Any:  # noqa: ANN401  (sparse arrays are untyped)
        from sklearn.preprocessing import normalize

        counts = self._counts(texts).astype(np.float64)
        counts.data = (1 + np.log(counts.data)) * self.idf_[counts.indices]
        return normalize(counts, copy=False)

    def _fit_one(self, features: Any, gold: npt.NDArray[Any]) -> tuple[Floats, Floats]:  # noqa: ANN401  (sparse)
        from sklearn.linear_model import LogisticRegression

        if len(self.classes_) < 2:
            raise TaskError("y has one class only; at least two are needed")
        model = LogisticRegression(
            C=self.strength or STRENGTH, class_weight=self.class_weight, max_iter=1000
        ).fit(features, gold)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(self.classes_) == 2:
            # One row that says how much likelier the second is.
            half = np.array([[-0.5], [0.5]])
            return half * coefficients, half[:, 0] * intercepts
        return coefficients, intercepts

    def _fit_each(self, features: Any, gold: npt.NDArray[Any]) -> tuple[Floats, Floats]:  # noqa: ANN401  (sparse)
        from scipy.special import logit
        from sklearn.linear_model import LogisticRegression

        coefficients = np.zeros((gold.shape[1], features.shape[1]))
        # What all texts have, or none, nothing can be told apart by.
        intercepts = logit(gold.mean(axis=0).clip(1e-6, 1 - 1e-6))
        for column, targets in enumerate(gold.T):
            if 0 < targets.mean() < 1:
                model = LogisticRegression(
                    C=self.strength or STRENGTH_OF_MANY,
                    solver="liblinear",
                    class_weight=self.class_weight,
                ).fit(features, targets)
                coefficients[column], intercepts[column] = model.coef_[0], model.intercept_[0]
        return coefficients, intercepts


def _hashed(texts: Sequence[str]) -> Any:  # noqa: ANN401  (sparse arrays are untyped)
    from sklearn.feature_extraction.text import HashingVectorizer

    vectoriser = HashingVectorizer(
        analyzer=lexical_terms, n_features=HASHED_TERMS, alternate_sign=False, norm=None
    )
    return vectoriser.transform(texts)


def _owners(counts: Any, groups: Sequence[Hashable] | None) -> Ints:  # noqa: ANN401  (sparse)
    """How many patients' texts have each term, shape (terms,)."""
    from scipy.sparse import csr_array

    n = counts.shape[0]
    given: list[Hashable] = [None] * n if groups is None else list(groups)
    names = [(None, row) if group is None else (group,) for row, group in enumerate(given)]
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    owner = csr_array(
        (np.ones(n), ([numbers[name] for name in names], range(n))), shape=(len(numbers), n)
    )
    by_owner = (owner @ (counts > 0).astype(np.float64)).tocsr()
    found: Ints = np.bincount(by_owner.indices, minlength=counts.shape[1])
    return found


def _no_word(n: int, min_notes: int) -> NoSharedWordError:
    return NoSharedWordError(
        f"none of the {n} texts has a word of two letters or more that {min_notes} of them "
        "(or of their patients) share; there is nothing to learn from words"
    )
