"""What a spaCy component predicts with: a saved model or a file of rules, loaded or copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.auto_model import load_model
from clinical_tl.errors import ConfigError
from clinical_tl.schema import Note, Prediction

if TYPE_CHECKING:
    from clinical_tl.spacy_annotations import ComponentSettings

Predict = Callable[[Sequence[Note]], list[Prediction]]

MODEL_FOLDER = "model"
RULES_FILE = "rules.jsonl"


def load_source(settings: ComponentSettings) -> Predict:
    """What predicts notes, by the settings.

    Raises `ConfigError` where there is no source, or for a relation model, and whatever
    loading it raises.
    """
    if not settings.source:
        factory, field = ("clinical_tl", "model")
        if settings.kind == "rules":
            factory, field = ("clinical_tl_rules", "rules")
        raise ConfigError(
            f"the component has no {field}; give one: nlp.add_pipe({factory!r}, "
            f"config={{{field!r}: '…'}})"
        )
    if settings.kind == "rules":
        from clinical_tl.rules.matching import RuleMatcher
        from clinical_tl.rules.rule_set import RuleSet

        return RuleMatcher(RuleSet.load(settings.source), context=settings.context).predict
    from clinical_tl.transfer.feature_extraction import FeatureModel

    model = load_model(settings.source, encoder=settings.encoder, device=settings.device)
    if model.task.needs:
        raise ConfigError(
            f"{settings.source}: a model for {model.task.title} reads a note's "
            f"{' and '.join(model.task.needs)} too, which documents don't carry with their ids; "
            "call its predict() on notes"
        )
    if isinstance(model, FeatureModel):
        return lambda notes: model.predict(notes, progress=False)
    budget = settings.batch_tokens
    return lambda notes: model.predict(notes, batch_tokens=budget, progress=False)


def save_source(settings: ComponentSettings, folder: Path) -> None:
    """Write the model or the rules that the settings name into a folder, under a fixed name."""
    if settings.kind == "rules":
        from clinical_tl.rules.rule_set import RuleSet

        RuleSet.load(settings.source).save(folder / RULES_FILE)
    else:
        model = load_model(settings.source, encoder=settings.encoder)
        model.save_pretrained(folder / MODEL_FOLDER)
