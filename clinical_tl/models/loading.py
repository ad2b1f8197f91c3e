"""Loading a saved model of whatever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.saved.hub import find_saved

if TYPE_CHECKING:
    import torch

    from clinical_tl.models.feature_model import FeatureModel
    from clinical_tl.models.transfer_model import TransferModel


def load(
    folder: str | Path,
    *,
    revision: str | None = None,
    encoder: str | Path | None = None,
    device: str | torch.device | None = None,
) -> TransferModel | FeatureModel:
    """The model that `save_pretrained` wrote: fine-tuned, or linear on frozen features.

    Arguments and errors as in `TransferModel.load`.
    """
    from clinical_tl.models.feature_model import ADAPTER, FeatureModel
    from clinical_tl.models.transfer_model import TransferModel

    saved = find_saved(folder, revision=revision)
    loads = FeatureModel if saved.description["adapter"] == ADAPTER else TransferModel
    return loads.from_saved(saved, encoder=encoder, device=device)
