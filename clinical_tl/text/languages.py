"""Which languages texts are in: shares and codes, never the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

MOST_TEXTS = 200
"""So many are looked at, evenly spread over all."""
MOST_LETTERS = 2000
"""Of each, the first ones."""
SURE = 0.9
"""Probability from which on a text's language counts as known."""
FEWEST = 0.1
"""Share of the letters that a language has at least: others are the classifier's slips."""
_NO_LANGUAGE = "zxx"


def languages_of(texts: Sequence[str]) -> dict[str, float]:
    """ISO 639-1 code → share of the letters, the largest first; empty where it can't be told.

    A naive Bayes classifier over bytes (Lui & Baldwin 2012, "langid.py", in py3langid) decides
    text by text; it is in the package that brings it, so nothing is downloaded. Texts that it
    is not sure of (short ones, tables, lists of drugs) are left out. Where those have most of
    the letters, the language of the whole is not known.

    >>> languages_of(["The patient was admitted with chest pain and sent home the next day."])
    {'en': 1.0}
    >>> languages_of(["12/80", ""])
    {}
    """
    step = max(1, -(-len(texts) // MOST_TEXTS))
    identifier, letters, unsure = _identifier(), Counter[str](), 0
    for text in texts[::step]:
        seen = text[:MOST_LETTERS]
        n = sum(char.isalpha() for char in seen)
        if not n:
            continue
        code, probability = identifier.classify(seen)
        if code == _NO_LANGUAGE or probability < SURE:
            unsure += n
        else:
            letters[code] += n
    known = letters.total()
    if known <= unsure:
        return {}
    return {code: round(n / known, 2) for code, n in letters.most_common() if n >= FEWEST * known}


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    """The classifier, of the languages that have a code of two letters.

    Beside these it knows dialects, between which and their languages a few lines can't decide.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages([code for code in found.labels if len(code) == 2 or code == _NO_LANGUAGE])
    return found
