"""Rules from the names of codes: what a classification calls them, found word by word."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

from clinical_tl.rules.lexicon import reason_to_prune
from clinical_tl.rules.measures import lowered
from clinical_tl.rules.rule import Rule, is_abbreviation
from clinical_tl.rules.rule_set import RuleSet

logger = logging.getLogger(__name__)

LONGEST = 8
"""Words of a name; nobody writes longer titles out."""
LABEL = "Code"
MIN_LENGTH = 4


def from_names(names: Mapping[str, Sequence[str]], *, origin: str = "names") -> RuleSet:
    """One rule a name, with the codes that go by it as its concepts.

    Pruned and counted as by `from_lexicon` are names that a note has without meaning the code
    (*no letter*, *short*, *common word*); names of more than `LONGEST` words are *long*.

    >>> rules = from_names({"J45": ["Asthma"], "J45.9": ["Asthma"], "R52": ["Pain, unspecified"]})
    >>> [(rule.id, rule.concepts) for rule in rules]
    [('names:1', ('J45', 'J45.9')), ('names:2', ('R52',))]
    """
    forms: dict[tuple[str, ...], set[str]] = defaultdict(set)
    codes: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for code, own in names.items():
        for name in own:
            if key := lowered(name):
                forms[key].add(" ".join(name.split()))
                codes[key][code] = None
    rules: list[Rule] = []
    pruned: dict[str, int] = defaultdict(int)
    for key, written in forms.items():
        long = "long" if len(key) > LONGEST else None
        if reason := long or reason_to_prune(key, min(written), MIN_LENGTH):
            pruned[reason] += 1
            continue
        rules.append(
            Rule(
                f"{origin}:{len(rules) + 1}",
                min(written),
                LABEL,
                origin,
                concepts=tuple(codes[key]),
                match_case=is_abbreviation(written),
            )
        )
    logger.info("%s: %d rules; pruned: %s", origin, len(rules), dict(sorted(pruned.items())))
    return RuleSet(tuple(rules), dict(sorted(pruned.items())))
