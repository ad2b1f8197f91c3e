"""The methods of a learning curve: each trains on a run's notes and scores its test notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import clinical_tl as ctl
from clinical_tl import rules as ctl_rules
from clinical_tl.errors import ConfigError
from clinical_tl.evaluation import baselines

from .budgets import Level, TaskName, fit_task
from .rule_sources import rules_from

if TYPE_CHECKING:
    from clinical_tl.network.adapter import Adapter
    from clinical_tl.network.lora import LoRA
    from clinical_tl.training.config import TrainingConfig
    from clinical_tl.transfer.gain import Kind

    from .rule_sources import RuleSources


@dataclass(frozen=True)
class Run:
    """What every method gets: notes, encoder, settings."""

    task: TaskName
    level: Level
    train: ctl.Notes
    dev: ctl.Notes
    test: ctl.Notes
    encoder: str
    adapted_encoder: str | None
    rules: RuleSources
    limit: int | None
    lora: LoRA
    config: TrainingConfig
    full_learning_rate: float
    allow_leakage: bool = False


@dataclass(frozen=True)
class Method:
    """A line of the curve; `score` gives the test scores of a run."""

    name: str
    kind: Kind
    score: Callable[[Run], dict[str, float]]


def _baseline(run: Run) -> dict[str, float]:
    task: Any = fit_task(run.task, run.train, run.level)
    if run.task == "entity_recognition":
        predictions = baselines.memorised_mentions(run.train, run.test)
    else:
        task, predictions = baselines.tfidf(task, run.train, run.test, dev=run.dev)
    return task.evaluate(run.test, predictions).summary()


def _rules(run: Run) -> dict[str, float]:
    rules = rules_from(run.rules, run.train, run.limit)
    predictions = ctl_rules.RuleMatcher(rules).predict(run.test)
    task = ctl.EntityRecognition.from_notes(run.train)
    return task.evaluate(run.test, predictions).summary()


def _frozen(run: Run) -> dict[str, float]:
    task = fit_task(run.task, run.train, run.level)
    model = ctl.FeatureModel.fit(
        run.encoder,
        task,
        run.train,
        run.dev,
        seed=run.config.seed,
        progress=False,
        allow_leakage=run.allow_leakage,
    )
    scores = model.evaluate(run.test, progress=False, allow_leakage=run.allow_leakage)
    return scores.summary()


def _tuned(
    run: Run, encoder: str, adapter: Adapter, *, pretrained: bool = True
) -> dict[str, float]:
    task = fit_task(run.task, run.train, run.level)
    model = ctl.TransferModel.from_pretrained(
        encoder, task, adapter=adapter, seed=run.config.seed, pretrained=pretrained
    )
    config = run.config
    if adapter == "full":
        config = replace(config, learning_rate=run.full_learning_rate)
    ctl.fit(model, run.train, run.dev, config, allow_leakage=run.allow_leakage)
    scores = model.evaluate(run.test, progress=False, allow_leakage=run.allow_leakage)
    return scores.summary()


METHODS = {
    "baseline": Method("baseline", "baseline", _baseline),
    "rules": Method("rules", "baseline", _rules),
    "frozen": Method("frozen features", "transfer", _frozen),
    "lora": Method("LoRA", "transfer", lambda run: _tuned(run, run.encoder, run.lora)),
    "full": Method("full", "transfer", lambda run: _tuned(run, run.encoder, "full")),
    "adapted": Method(
        "LoRA, adapted encoder",
        "transfer",
        lambda run: _tuned(run, str(run.adapted_encoder), run.lora),
    ),
    "random": Method(
        "random weights",
        "random",
        lambda run: _tuned(run, run.encoder, "full", pretrained=False),
    ),
}


def choose_methods(names: tuple[str, ...], task: TaskName, adapted: str | None) -> list[str]:
    """The names of the methods, without those that can't run here."""
    unknown = sorted(set(names) - set(METHODS))
    if unknown or len(set(names)) < len(names):
        raise ConfigError(f"methods {list(names)}: choose among {', '.join(METHODS)}, each once")
    # Rules find mentions; without an adapted encoder there is nothing to put an adapter on.
    left_out = {"rules"} if task != "entity_recognition" else set()
    left_out |= {"adapted"} if adapted is None else set()
    return [name for name in names if name not in left_out]
