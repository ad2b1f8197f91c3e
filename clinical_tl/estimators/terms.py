"""What clusters of notes are about: their most distinctive words, none that few notes share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.features import Floats, Ints

MIN_NOTES = 5
# Letters alone: no dates, numbers of records or telephones.
_WORD = r"(?u)\b[^\W\d_]{2,}\b"

# What is denied distinguishes notes; scikit-learn's list would drop the words that deny.
_NEGATIONS = frozenset({"no", "not", "none", "never", "without", "nor", "neither"})


@dataclass(frozen=True)
class Term:
    """A word, its weight in the cluster, and how many of the cluster's notes have it."""

    term: str
    weight: float
    notes: int


@dataclass(frozen=True)
class DistinctiveTerms:
    """For each cluster its terms, the most distinctive first; possibly none.

    `withheld` counts the (cluster, word) pairs that too few notes share to be shown.
    """

    by_cluster: dict[int, tuple[Term, ...]]
    min_notes: int
    withheld: int


def distinctive_terms(
    texts: Sequence[str],
    labels: Sequence[int] | Ints,
    *,
    n: int = 10,
    min_notes: int = MIN_NOTES,
    patients: Sequence[Hashable | None] | None = None,
) -> DistinctiveTerms:
    """The words that set each cluster apart, by class-based TF-IDF (Grootendorst 2022, §3.3).

    The weight of word t in cluster c is tf(t, c) · log(1 + A / f(t)): its share of the
    cluster's words, times the logarithm of one plus the mean number of words a cluster over
    its number of occurrences anywhere. Words are two letters or more with no digit beside
    them, case ignored, scikit-learn's English stop words (but not negations) left out; notes
    in no cluster (−1) are not counted.

    A word is shown for a cluster only if `min_notes` of the cluster's notes have it, or so
    many patients where those are given: names and other rare words of a few notes don't
    surface. It is no de-identification: the name of a physician who signs every note is
    frequent. Look at the words before passing them on.

    Args:
        texts: of the notes.
        labels: cluster of each note, −1 for none.
        n: words a cluster, at most.
        min_notes: notes (patients) of a cluster that must share a word.
        patients: the patient of each note, `None` for one of its own.

    Raises:
        TaskError: lengths that disagree, or no note in a cluster.
        ConfigError: `n` or `min_notes` below 1.
    """
    check_at_least(1, n=n, min_notes=min_notes)
    found = np.asarray(labels, dtype=np.int64)
    owners = [None] * len(texts) if patients is None else patients
    if not len(texts) == len(found) == len(owners):
        raise TaskError(
            f"{len(texts)} texts have {len(found)} cluster labels and {len(owners)} patients; "
            "give one of each a text"
        )
    kept = np.flatnonzero(found >= 0).tolist()
    if not kept:
        raise TaskError(f"none of the {len(texts)} notes is in a cluster; there is none to name")
    clusters, cluster = np.unique(found[kept], return_inverse=True)
    counts, words = _count_words([texts[i] for i in kept])
    occurrences = np.asarray(_summed(counts, cluster).toarray(), dtype=np.float64)
    weights = _class_tfidf(occurrences)
    numbers: dict[Hashable, int] = {}
    keys = [("alone", i) if owners[i] is None else ("patient", owners[i]) for i in kept]
    patient = [numbers.setdefault(key, len(numbers)) for key in keys]
    # A patient's notes in a cluster count as one.
    shares, share = np.unique(np.stack([cluster, patient]), axis=1, return_inverse=True)
    sharing = _summed(_summed(counts, share.reshape(-1)) > 0, shares[0]).toarray()
    shown = sharing >= min_notes
    by_cluster = {
        int(number): tuple(
            Term(words[t], float(weights[row, t]), int(sharing[row, t]))
            for t in np.lexsort((np.arange(len(words)), -weights[row]))
            if shown[row, t]
        )[:n]
        for row, number in enumerate(clusters)
    }
    withheld = int(((sharing > 0) & ~shown).sum())
    return DistinctiveTerms(by_cluster, min_notes, withheld)


def _count_words(texts: Sequence[str]) -> tuple[Any, list[str]]:
    """Occurrences (notes, words), sparse, and the words in alphabetical order."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

    stop_words = sorted(ENGLISH_STOP_WORDS - _NEGATIONS)
    vectoriser = CountVectorizer(token_pattern=_WORD, stop_words=stop_words)
    try:
        counts = vectoriser.fit_transform(texts)
    except ValueError:
        raise TaskError(
            f"the {len(texts)} notes in clusters have no word but stop words; there is nothing "
            "to describe them by"
        ) from None
    return counts, vectoriser.get_feature_names_out().tolist()


def _summed(rows: Any, groups: Ints) -> Any:  # noqa: ANN401  (sparse arrays are untyped)
    """Sums of the rows of each group, shape (groups, columns), sparse."""
    from scipy.sparse import csr_array

    n = len(groups)
    members = csr_array((np.ones(n), (groups, np.arange(n))), shape=(int(groups.max()) + 1, n))
    return csr_array(members @ rows)


def _class_tfidf(occurrences: Floats) -> Floats:
    """Weights (clusters, words) from occurrences (clusters, words)."""
    totals = occurrences.sum(axis=1, keepdims=True)
    rarity = np.log1p(totals.mean() / occurrences.sum(axis=0))
    return np.asarray(occurrences / np.maximum(totals, 1) * rarity)
