"""Decoding that can only give valid tag sequences (Viterbi without learnt transitions)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clinical_tl.text.tokenizer import IntArray

FloatArray = npt.NDArray[np.float64]


def decode_tags(log_probabilities: FloatArray, allowed: np.ndarray) -> IntArray:
    """The likeliest tag sequence among the valid ones, shape (units,).

    `log_probabilities` has shape (units, tags); `allowed` is `TagSet.transitions()`, shape
    (tags + 1, tags + 1), start and end of the note last. Where the unit by unit optimum is
    valid already, it is the answer: most notes never reach the dynamic programme.

    >>> from clinical_tl.schema import LabelSet
    >>> from clinical_tl.text.tags import TagSet
    >>> tags = TagSet(LabelSet(("Drug",)))
    >>> likely = np.array([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    >>> [tags.names[tag] for tag in likely.argmax(axis=1)]
    ['O', 'I-Drug']
    >>> [tags.names[tag] for tag in decode_tags(np.log(likely), tags.transitions())]
    ['B-Drug', 'I-Drug']
    """
    n_units, n_tags = log_probabilities.shape
    if not n_units:
        return np.zeros(0, dtype=np.int64)
    best: IntArray = log_probabilities.argmax(axis=1).astype(np.int64)
    path = np.concatenate([[n_tags], best, [n_tags]])
    if allowed[path[:-1], path[1:]].all():
        return best
    penalty = np.where(allowed, 0.0, -np.inf)
    scores = penalty[n_tags, :n_tags] + log_probabilities[0]
    back = np.zeros((n_units, n_tags), dtype=np.int64)
    for i in range(1, n_units):
        reach = scores[:, None] + penalty[:n_tags, :n_tags]
        back[i] = reach.argmax(axis=0)
        scores = reach.max(axis=0) + log_probabilities[i]
    tags = np.zeros(n_units, dtype=np.int64)
    tags[-1] = int((scores + penalty[:n_tags, n_tags]).argmax())
    for i in range(n_units - 1, 0, -1):
        tags[i - 1] = back[i, tags[i]]
    return tags
