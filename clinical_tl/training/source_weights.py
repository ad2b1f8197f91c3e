"""Starting a target task from a model trained on a source task.

The adapter (or all weights) is taken over as a whole; of the head, what belongs to no label
is taken over too, and a label's own weights where a source label stands for it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from clinical_tl.data.codes.known_systems import find_system
from clinical_tl.errors import ConfigError, shown_ids, shown_path, shown_value
from clinical_tl.network.structure import base_model
from clinical_tl.network.weights import adapter_kind

if TYPE_CHECKING:
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.network.network import Network

logger = logging.getLogger(__name__)

LabelSources = Literal["exact", "hierarchy"] | Mapping[str, Sequence[str]]
"""How target labels find their source labels: by equal name; for ICD codes also by the nearest
ancestor or the descendants; or as told, target label → source labels (their mean is taken)."""


@dataclass(frozen=True)
class SourceReport:
    """What a target model took over from a source model.

    `weights` tensors of adapter or encoder; `labels`: target label → the source labels whose
    weights it got; `new`: the target labels that start from scratch; `left`: the source labels
    that nothing was taken from.
    """

    weights: int
    labels: Mapping[str, tuple[str, ...]]
    new: tuple[str, ...]
    left: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For `metrics.json`."""
        return {
            "weights": self.weights,
            "labels": {target: list(sources) for target, sources in self.labels.items()},
            "new": list(self.new),
            "left": list(self.left),
        }

    def __str__(self) -> str:
        return (
            f"{self.weights} tensors and the weights of {len(self.labels)} labels taken over "
            f"from the source; {len(self.new)} target labels are new, {len(self.left)} source "
            "labels have no part in it"
        )


def start_from(
    model: TransferModel, source: TransferModel, *, labels: LabelSources = "exact"
) -> SourceReport:
    """Give `model` the weights that training `source` has found, in place.

    The tasks may differ: then only adapter or encoder are taken over.

    Raises `ConfigError` where the two don't fit (other encoder weights, other kinds or shapes
    of adapter) or `labels` names labels that are not there.
    """
    found, same_head = label_plan(model, source, labels)
    weights = _copy_encoder(model.network, source.network)
    if same_head:
        _copy_head(model, source, found)
    used = {name for names in found.values() for name in names}
    report = SourceReport(
        weights,
        found,
        tuple(name for name in model.task.labels if name not in found),
        tuple(name for name in source.task.labels if name not in used),
    )
    if same_head and not found:
        logger.warning(
            "none of the target's %d labels is one of the source's %d: %s alone is taken over, and "
            "all labels start anew; init_labels can say which correspond (match_labels finds them)",
            len(model.task.labels),
            len(source.task.labels),
            "the encoder" if adapter_kind(model.network) == "full" else "the adapter",
        )
    logger.info("%s", report)
    return report


def label_plan(
    model: TransferModel, source: TransferModel, labels: LabelSources
) -> tuple[Mapping[str, tuple[str, ...]], bool]:
    """Target label → source labels that `start_from` would take over, and whether heads fit.

    Changes nothing; raises what `start_from` does.
    """
    kind, source_kind = adapter_kind(model.network), adapter_kind(source.network)
    if kind != source_kind:
        raise ConfigError(
            f"the source model was trained as {source_kind!r}, this one is {kind!r}; build it "
            "with the same kind of adapter"
        )
    if kind != "full" and model.source.sha256 != source.source.sha256:
        raise ConfigError(
            f"the source model stands on the encoder {shown_path(source.source.name)!r} (SHA-256 "
            f"{source.source.sha256}), this one on {shown_path(model.source.name)!r} "
            f"({model.source.sha256}); an adapter is worth nothing on other weights"
        )
    found = _sources(model, source, labels)
    _check_shapes(model.network, source.network)
    same_head = type(model.task) is type(source.task) and type(model.network.spec) is type(
        source.network.spec
    )
    return found if same_head else {}, same_head


def label_ancestry(targets: Sequence[str], sources: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For ICD codes: the code itself, else its nearest ancestor, else all of its descendants.

    `I25.10` finds `I25.10`, then `I25.1`, then `I25`; `I25` finds every source code below it.
    A target without any of them is left out.
    """
    known = set(sources)
    found: dict[str, tuple[str, ...]] = {}
    for code in targets:
        stems = [code[:n].rstrip(".") for n in range(len(code), 2, -1)]
        nearest = next((stem for stem in stems if stem in known), None)
        if nearest is not None:
            found[code] = (nearest,)
            continue
        below = tuple(name for name in sources if name.startswith(code) and name != code)
        if below:
            found[code] = below
    return found


def weights_digest(network: Network) -> str:
    """SHA-256 of a network's trained weights."""
    digest = hashlib.sha256()
    for name, parameter in sorted(network.trainable().items()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _sources(
    model: TransferModel, source: TransferModel, labels: LabelSources
) -> dict[str, tuple[str, ...]]:
    targets, known = list(model.task.labels), list(source.task.labels)
    systems = {model.task.code_system, source.task.code_system}
    # Codes of two systems mean different things where they are spelt alike.
    if labels == "exact":
        names = set(known) if len(systems) == 1 else set()
        return {name: (name,) for name in targets if name in names}
    if labels == "hierarchy":
        system = systems.pop() or "icd10cm"
        if systems or not all(_is_code(name, system) for name in (*targets, *known)):
            raise ConfigError(
                "labels='hierarchy' follows ICD-10-CM codes, or those of one other system with a "
                "hierarchy, which these labels are not; use 'exact', or a mapping from target "
                "label to source labels"
            )
        return label_ancestry(targets, known)
    if not isinstance(labels, Mapping):
        raise ConfigError(
            f"labels {shown_value(labels)}: choose 'exact', 'hierarchy', or give a mapping"
        )
    if any(isinstance(names, str) for names in labels.values()):
        raise ConfigError(
            "labels maps a target label to a single string; give a list of source labels: "
            "{target: [source]}"
        )
    wrong = sorted(set(labels) - set(targets))
    wrong_sources = sorted({s for names in labels.values() for s in names} - set(known))
    if wrong or wrong_sources:
        raise ConfigError(
            f"labels maps {len(wrong)} labels that the target does not have (e.g. "
            f"{shown_ids(wrong, 'label')}) and uses {len(wrong_sources)} that the source does not "
            f"have (e.g. {shown_ids(wrong_sources, 'label')})"
        )
    return {target: tuple(names) for target, names in labels.items() if names}


def _is_code(name: str, system_name: str) -> bool:
    system = find_system(system_name)
    try:
        return bool(system.levels) and system.normalise(name) == name
    except ValueError:
        return False


@torch.no_grad()
def _copy_encoder(network: Network, source: Network) -> int:
    """Copy what is trained outside the head; names are counted from the encoder inward.

    So a tagger's adapter fits a classifier, whose models wrap the same encoder otherwise.
    """
    mine, theirs = _encoder_parameters(network), _encoder_parameters(source)
    for name, parameter in mine.items():
        parameter.copy_(theirs[name])
    return len(mine)


def _check_shapes(network: Network, source: Network) -> None:
    mine, theirs = _encoder_parameters(network), _encoder_parameters(source)
    differing = sorted(
        name
        for name in mine.keys() | theirs.keys()
        if name not in mine or name not in theirs or mine[name].shape != theirs[name].shape
    )
    if differing:
        raise ConfigError(
            f"{len(differing)} of {len(mine)} adapter or encoder weights differ in place or "
            f"shape from the source's (e.g. {differing[0]}); use the source's adapter settings: "
            "rank, targets and layers"
        )


def _encoder_parameters(network: Network) -> dict[str, torch.nn.Parameter]:
    encoder = base_model(network.model)
    pooler = "pooler."  # trained with a head, and missing where there is none
    return {
        name: parameter
        for name, parameter in encoder.named_parameters()
        if parameter.requires_grad and not name.startswith(pooler)
    }


@torch.no_grad()
def _copy_head(
    model: TransferModel, source: TransferModel, found: Mapping[str, Sequence[str]]
) -> None:
    rows = _rows(model, source, found)
    outputs, source_outputs = (m.task.head_spec.outputs for m in (model, source))
    theirs = _head_parameters(source.network)
    for name, parameter in _head_parameters(model.network).items():
        given = theirs[name]
        if len(parameter) == len(outputs) and len(given) == len(source_outputs):
            for row, source_rows in rows.items():
                parameter[row] = given[list(source_rows)].mean(dim=0)
        elif parameter.shape == given.shape:
            parameter.copy_(given)


def _head_parameters(network: Network) -> dict[str, torch.nn.Parameter]:
    return {
        name: parameter for name, parameter in network.trainable().items() if network.is_head(name)
    }


def _rows(
    model: TransferModel, source: TransferModel, found: Mapping[str, Sequence[str]]
) -> dict[int, tuple[int, ...]]:
    """Row of the target's output layer → rows of the source's that it is the mean of."""
    positions = {name: i for i, name in enumerate(source.task.head_spec.outputs)}
    rows: dict[int, tuple[int, ...]] = {}
    for row, output in enumerate(model.task.head_spec.outputs):
        names = model.task.output_sources(output, found, positions)
        if names:
            rows[row] = tuple(positions[name] for name in names)
    return rows
