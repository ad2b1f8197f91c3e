"""What `make real-transfer` runs: every way to transfer on real corpora, one row a recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_tl.errors import ConfigError

from . import (
    adapt_encoder,
    explore,
    features,
    learning_curve,
    matching,
    relation_extraction,
    rules,
    rules_and_model,
    self_training,
    similarity,
    source_task,
)
from .claim import claim_output
from .command_line import run
from .results import Results

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Step:
    """A recipe with its config; `writes` says that it takes an output folder.

    In `flags`, `{output}` is the folder of all steps.
    """

    recipe: Callable[..., Any]
    config: str
    writes: bool = True
    flags: tuple[str, ...] = ()


ADAPTED = "{output}/adapt_case_reports"


STEPS = (
    Step(adapt_encoder.main, "adapt_case_reports"),
    Step(
        similarity.main,
        "similarity_bc5cdr_ncbi",
        writes=False,
        flags=(f'--encoders=["offline", "{ADAPTED}"]',),
    ),
    Step(matching.main, "matching_mts", writes=False),
    Step(explore.main, "explore_mts_dialog", writes=False),
    Step(features.main, "features_mts"),
    Step(rules.main, "rules_ncbi_disease"),
    Step(rules_and_model.main, "rules_and_model_ncbi"),
    Step(source_task.main, "bc5cdr_to_ncbi"),
    Step(self_training.main, "self_training_ncbi"),
    Step(learning_curve.main, "learning_curve_mts"),
    Step(relation_extraction.main, "chemprot"),
    Step(relation_extraction.main, "bc5cdr_relations"),
    Step(learning_curve.main, "learning_curve_ncbi", flags=(f"--adapted_encoder={ADAPTED}",)),
)


def main(output: str = "runs/real_transfer", only: str = "") -> None:
    """Run every recipe of transfer that the summary does not have yet.

    Args:
        output: folder for summary.json and what the recipes write; several hours on two cores.
        only: run only the configs whose name contains this.
    """
    claim_output(output)
    results = Results(f"{output}/summary.json")
    for step in STEPS:
        key = {"row": step.config}
        if only not in step.config or results.has(key):
            continue
        print(f"\n== {step.config}", flush=True)
        flags = [f"--config={CONFIGS / step.config}.yaml"]
        flags += [flag.replace("{output}", output) for flag in step.flags]
        adapted = Path(ADAPTED.replace("{output}", output))
        if step.flags and not adapted.is_dir():
            raise ConfigError(f"{step.config} reads {adapted}; run --only=adapt_case_reports first")
        if step.writes:
            flags.append(f"--output={output}/{step.config}")
        started = time.perf_counter()
        figures = run(step.recipe, flags)
        seconds = round(time.perf_counter() - started, 1)
        results.add({**key, "figures": figures, "seconds": seconds})
    print(results.file)


if __name__ == "__main__":
    run(main)
