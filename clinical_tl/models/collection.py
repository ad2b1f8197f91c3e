"""Several adapters over one encoder: its weights in memory once, notes read for all tasks at once.

Each adapter keeps its own transformers model (their heads differ), but every weight that
training left as it was is one tensor for all of them. Notes are cut into tokens and batches
once, and the blocks below the lowest adapter run once a batch; only from there on the
adapters differ, and each runs by itself. So predictions are those of each model alone, with
every kind of adapter and head.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.errors import ArtifactError, ConfigError
from clinical_tl.models.reader import predict_together
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.device import reading_precision
from clinical_tl.network.shared_encoder import (
    share_blocks,
    share_weights,
)
from clinical_tl.network.structure import base_model
from clinical_tl.network.weights import adapter_kind
from clinical_tl.schema import Prediction
from clinical_tl.tasks.abilities import HidesInputs, ReadsExamples

if TYPE_CHECKING:
    from clinical_tl.network.precision import Precision
    from clinical_tl.text.windows import Windowing


class ModelCollection:
    """Models trained on one encoder, which predict together; made by `load_many`.

    `models` has them by name. They are for predicting: training one of them is possible, but
    blocks that it shared may then differ, so make the collection anew afterwards.
    """

    def __init__(self, models: Mapping[str, TransferModel]) -> None:
        """Puts the models on one encoder; they lose their own copies of it.

        Raises:
            ConfigError: no model, fully fine-tuned ones (they share nothing), or models on
                several devices.
            ArtifactError: models that were trained on different encoders.
        """
        if not models:
            raise ConfigError("a collection needs at least one model; none was given")
        _check_encoders(models)
        self.models = dict(models)
        encoders = [base_model(model.network.model) for model in self.models.values()]
        share_weights(encoders)
        self.shared_blocks = share_blocks(encoders)
        """How many of the encoder's lowest blocks no adapter changes: they run once a batch."""

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, name: str) -> TransferModel:
        return self.models[name]

    @property
    def n_parameters(self) -> int:
        """Numbers in memory, what the models share counted once."""
        networks = [model.network for model in self.models.values()]
        distinct = {id(p): p.numel() for network in networks for p in network.parameters()}
        return sum(distinct.values())

    def predict_many(
        self,
        notes: NotesLike | Sequence[str],
        *,
        batch_tokens: int | None = None,
        precision: Precision = "no",
        progress: bool = True,
    ) -> dict[str, list[Prediction]]:
        """For each model's name one `Prediction` a note or text, in input order.

        They equal each model's own `predict`, which folds LoRA weights, to 1e-4. Models with the
        same tokenizer and windows read the same batches; a relation model, which reads excerpts,
        has batches of its own.
        """
        records = as_notes(notes)
        predictions: dict[str, list[Prediction]] = {}
        for names in self._reading_alike():
            models = [self.models[name] for name in names]
            first = models[0]
            autocast = reading_precision(precision, first.device)
            found = predict_together(
                [model.reader for model in models],
                records,
                batch_tokens=batch_tokens,
                progress=progress,
                autocast=autocast,
                fold=False,
            )
            predictions.update({name: [] for name in names})
            for row in found:
                for name, prediction in zip(names, row, strict=True):
                    predictions[name].append(prediction)
        return {name: predictions[name] for name in self.models}

    predict = predict_many
    """The same, under the name that single models have."""

    def _reading_alike(self) -> list[list[str]]:
        """The models' names, those together that can read the same batches."""
        groups: dict[tuple[str, Windowing, str], list[str]] = defaultdict(list)
        for name, model in self.models.items():
            # Tasks that make their own inputs have no batch in common with any other.
            own = name if isinstance(model.task, ReadsExamples | HidesInputs) else ""
            groups[model.tokenizer.fingerprint, model.windowing, own].append(name)
        return list(groups.values())


def load_many(
    folders: Sequence[str | Path] | Mapping[str, str | Path],
    *,
    encoder: str | Path | None = None,
    device: str | torch.device | None = None,
) -> ModelCollection:
    """Several saved models over one encoder.

    Args:
        folders: what `save_pretrained` wrote, by name, or a sequence of them, which are then
            named as the folders are.
        encoder: another place for their encoder, as in `TransferModel.load`.
        device: where they compute; by default a GPU where there is one.

    Raises:
        ConfigError: no folder, two of the same name, or a full fine-tune.
        ArtifactError: a folder that is damaged, or models of different encoders.
    """
    if isinstance(folders, str | Path):
        raise ConfigError("a single folder was given; give a sequence of folders: [folder]")
    if isinstance(folders, Mapping):
        named = dict(folders)
    else:
        named = {Path(folder).name: folder for folder in folders}
        if len(named) < len(folders):
            raise ConfigError(
                "two folders have the same name, which would name their models; give names: "
                "load_many({'name': folder, …})"
            )
    models: dict[str, TransferModel] = {}
    for name, folder in named.items():
        models[name] = TransferModel.load(folder, encoder=encoder, device=device)
        # At once, so that no more than two encoders are ever in memory.
        _check_encoders(models)
        share_weights([base_model(model.network.model) for model in models.values()])
    return ModelCollection(models)


def _check_encoders(models: Mapping[str, TransferModel]) -> None:
    full = [name for name, m in models.items() if adapter_kind(m.network) == "full"]
    if full:
        raise ConfigError(
            f"{full}: all weights were fine-tuned, so there is no encoder to share; load them "
            "with TransferModel.load(), or train with an adapter (LoRA(...), or 'frozen')"
        )
    by_hash: dict[str, list[str]] = defaultdict(list)
    for name, model in models.items():
        by_hash[model.source.sha256].append(name)
    if len(by_hash) > 1:
        found = "; ".join(
            f"{names} on {models[names[0]].source.name!r} (SHA-256 {digest[:12]}…)"
            for digest, names in by_hash.items()
        )
        raise ArtifactError(
            f"the models were trained on {len(by_hash)} different encoders: {found}; a "
            "collection has one: make a collection for each"
        )
    devices = sorted({str(model.network.device) for model in models.values()})
    if len(devices) > 1:
        raise ConfigError(f"the models are on {devices}; move them to one first: model.to(device)")
