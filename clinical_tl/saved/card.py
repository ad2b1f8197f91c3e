"""The README.md of a saved model: made of settings and figures alone, it never quotes a note.

Metadata as the Hub reads it (Mitchell et al. 2019, arXiv 1810.03993, is where cards come from).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import ArtifactError, shown_path
from clinical_tl.network.encoder import OFFLINE, OFFLINE_HUB_ID
from clinical_tl.saved import card_sections as sections
from clinical_tl.saved.artifact import ADAPTATION_FILE, CARD_FILE, METRICS_FILE, TASK_FILE
from clinical_tl.saved.card_details import CardDetails
from clinical_tl.saved.card_snippets import load_with_package, load_without_package
from clinical_tl.saved.encoder_licence import encoder_licence
from clinical_tl.saved.evaluations import EVALUATED
from clinical_tl.saved.said_language import said_language
from clinical_tl.saved.saved_report import read_report
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replace_text
from clinical_tl.storage.sealed_json import read_object
from clinical_tl.tasks.task import task_class

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_LIBRARY = {"peft": "peft", "full": "transformers", "frozen": "transformers", "onnx": "onnx"}
_OF_ADAPTATION = (
    "train_notes", "train_patients", "languages", "tokens", "seconds", "steps", "epochs_run",
    "device", "precision",
)  # fmt: skip
UNNAMED = "the authors' notes"


def model_card(
    description: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    report: Mapping[str, Any] | None = None,
    details: CardDetails | None = None,
) -> str:
    """A model card in Markdown with the Hub's metadata block.

    Args:
        description: the content of `task.json`.
        metrics: the content of `metrics.json`.
        report: what an evaluation adds, each part as far as there is one: `intervals`, set of
            notes → metric → `{"low", "high"}`, with the `value` that they are around where it
            is known, `confidence` (else 0.95); `subgroups`, rows of a table;
            `calibration`, metric → value, with the further `temperature` that was fitted on dev
            notes and what it leaves of the calibration (`at_temperature`); and `comparison`, rows
            of a table.
        details: what its authors say; what they leave out is marked as to be completed.
    """
    from huggingface_hub import ModelCard, ModelCardData

    report, details = report or {}, details or CardDetails()
    kind, adapter = description["task"]["kind"], description["adapter"]
    base = _base_model(description["encoder"]["name"])
    known = encoder_licence(description["encoder"]["name"])
    results = list(_eval_results(kind, metrics, report, details))
    metadata = ModelCardData(
        base_model=base,
        library_name=_LIBRARY.get(adapter, "clinical-tl"),
        pipeline_tag=task_class(kind).pipeline_tag,
        tags=["clinical-tl", kind],
        license=details.licence or known or "unknown",
        language=_language_tag(metrics, details),
        datasets=list(details.datasets) or None,
        model_name=_title(kind) if results else None,
        eval_results=results or None,
    )
    parts = [
        f"# {_title(kind)}",
        sections.introduction(description, base),
        f"## Intended use and limits\n\n{sections.use(details)}",
        f"## Training data\n\n{sections.training_data(description, metrics, details)}",
        f"## Training\n\n{sections.training(description, metrics)}",
        *(f"## How it was chosen\n\n{said}" for said in sections.choice(metrics)),
        f"## Evaluation\n\n{sections.scores(metrics, report)}",
        f"## Subgroups\n\n{sections.subgroups(report)}",
        f"## Calibration\n\n{sections.calibration(description, report)}",
        f"## Comparison\n\n{sections.comparison(report)}",
        f"## Environmental cost\n\n{sections.cost(metrics)}",
        f"## Licence\n\n{sections.licence(details, known)}",
        f"## Use with clinical_tl\n\n{load_with_package(description)}",
        f"## Use without it\n\n{load_without_package(description, base)}",
    ]
    body = "\n\n".join(parts)
    return str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n"))


def write_card(
    folder: str | Path,
    *,
    report: Mapping[str, Any] | None = None,
    details: CardDetails | None = None,
    language: str | Sequence[str] | None = None,
) -> Path:
    """Write the card of a saved model, or of an adapted encoder, anew; returns its file.

    `report` is by default what `EvaluationReport.save` left in the folder, `language` that of
    `details`. Raises `ArtifactError` for a folder that is neither, or a report that is damaged,
    `ConfigError` for a language that is no code of ISO 639.
    """
    folder = as_path(folder)
    if language is not None:
        details = replace(details or CardDetails(), language=tuple(said_language(language)))
    if (folder / TASK_FILE).is_file():
        description, metrics = _read(folder / TASK_FILE), _read(folder / METRICS_FILE)
    elif (folder / ADAPTATION_FILE).is_file():
        description, metrics = _adaptation(_read(folder / ADAPTATION_FILE))
    else:
        raise ArtifactError(
            f"{shown_path(folder)} holds neither {TASK_FILE} nor {ADAPTATION_FILE}; give a folder "
            "that save_pretrained() or adapt_encoder() wrote"
        )
    if report is None:
        report = read_report(folder)
    return replace_text(
        folder / CARD_FILE, model_card(description, metrics, report=report, details=details)
    )


def _language_tag(metrics: Mapping[str, Any], details: CardDetails) -> str | list[str] | None:
    """For the Hub: what was said, else what was detected; nothing where that is not known."""
    said, detected = sections.languages(metrics, details)
    codes = said or list(detected or ())
    return codes[0] if len(codes) == 1 else codes or None


def _read(file: Path) -> dict[str, Any]:
    return read_object(file, mend="save the model again")


def _adaptation(found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An adaptation's report in the form of a task's description and metrics."""
    from clinical_tl.version import __version__

    description = {
        "package_version": __version__,
        "task": {"kind": "masked_language"},
        "encoder": {"name": found["encoder"], "sha256": found["encoder_sha256"]},
        "adapter": "full",
        "auto_class": "AutoModelForMaskedLM",
    }
    metrics: dict[str, Any] = {
        f"held out, {when.replace('_', ' ')}": {
            "perplexity": float(found[f"perplexity_{when}"]),
            "accuracy": float(found[f"accuracy_{when}"]),
        }
        for when in ("before", "head_alone", "after")
        if found.get(f"perplexity_{when}") is not None
    }
    given = found.get("training", {})
    adapter = found.get("adapter")
    metrics["training"] = {
        **{name: found.get(name) for name in _OF_ADAPTATION},
        "settings": found.get("settings") or given,
        "seed": given.get("seed"),
        "adapter": {"kind": "full"} if adapter == "full" else {"kind": "LORA", **(adapter or {})},
    }
    of = {"notes": found.get("held_out_notes"), "patients": found.get("held_out_patients")}
    metrics[EVALUATED] = {name: of for name in metrics if name != "training"}
    return description, metrics


def _title(kind: str) -> str:
    return f"{kind.replace('_', ' ').capitalize()} model"


def _base_model(name: str) -> str | None:
    """The encoder's Hub id; a folder of somebody's machine is no address for others."""
    if name == OFFLINE:
        return OFFLINE_HUB_ID
    is_folder = (
        name.startswith((".", "~"))
        or Path(name).is_absolute()
        or Path(name).is_dir()
        or name.count("/") > 1
    )
    return None if is_folder else name


def _eval_results(
    kind: str, metrics: Mapping[str, Any], report: Mapping[str, Any], details: CardDetails
) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    for split, name, value, interval in sections.score_rows(metrics, report):
        if isinstance(value, int):
            continue  # Counts are no metrics.
        limits = {name: float(interval[name]) for name in ("low", "high")} if interval else {}
        yield EvalResult(
            task_type=task_class(kind).pipeline_tag,
            task_name=kind.replace("_", " "),
            dataset_type=details.datasets[0] if details.datasets else "notes",
            dataset_name=", ".join(details.datasets) or UNNAMED,
            dataset_split=split,
            metric_type=name,
            metric_value=round(value, 4),
            metric_args={"confidence": report.get("confidence", sections.CONFIDENCE), **limits}
            if limits
            else None,
        )
