"""Where rules come from: a lexicon, the training notes' mentions, other corpora."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import clinical_tl as ctl
from clinical_tl import rules as ctl_rules
from clinical_tl.data.corpora import VARIABLE
from clinical_tl.errors import ConfigError


@dataclass(frozen=True)
class RuleSources:
    """What becomes rules, and which of them stay.

    Args:
        lexicon: a table of names (.tsv or .tsv.gz), also relative to the corpora's folder.
        name_column: of the lexicon, by number from 0 or by its name in the first line.
        id_column: of the lexicon, likewise.
        label: what the lexicon's names are marked as; of the other corpora only this is used.
        annotations: whether the training notes' mentions become rules.
        corpora: further corpora whose training notes' mentions become rules.
        tune: whether rules that fail on the training notes are pruned.
        min_precision: the share of a rule's hits that must be gold for it to stay.
        min_support: a rule that fires less often on the training notes is never pruned.
    """

    lexicon: str | None = None
    name_column: int | str = 0
    id_column: int | str = 1
    label: str = "Disease"
    annotations: bool = True
    corpora: tuple[str, ...] = ()
    tune: bool = True
    min_precision: float = 0.5
    min_support: int = 1


def rules_from(
    sources: RuleSources, train: ctl.Notes, limit: int | None = None
) -> ctl_rules.RuleSet:
    """The rules of all sources, pruned together on the training notes.

    Raises `ConfigError` where there is no source.
    """
    # Pruned here, a short rule that a longer one hides would be gone when that one falls.
    whole = {"min_precision": 0.0, "tune": not sources.tune}
    sets = []
    if sources.annotations:
        sets.append(ctl_rules.from_annotations(train, origin="train", **whole))
    if sources.lexicon:
        sets.append(
            ctl_rules.from_lexicon(
                _found(sources.lexicon),
                name_column=sources.name_column,
                id_column=sources.id_column,
                label=sources.label,
            )
        )
    for name in sources.corpora:
        other = ctl.note_splits(name, limit=limit)["train"]
        sets.append(ctl_rules.from_annotations(other, labels=[sources.label], origin=name, **whole))
    if not sets:
        raise ConfigError("no source of rules: give a lexicon, annotations or corpora")
    rules = sets[0].merged(*sets[1:])
    if not sources.tune:
        return rules
    return rules.tuned(train, min_precision=sources.min_precision, min_support=sources.min_support)


def _found(lexicon: str) -> Path:
    """The lexicon's path, in the corpora's folder if it is not where it says."""
    path, corpora = Path(lexicon), os.environ.get(VARIABLE)
    return path if path.exists() or not corpora else Path(corpora) / path
