"""Loading a saved model of whatever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.artifact import read_artifact
from clinical_tl.hub import find_folder

if TYPE_CHECKING:
    import torch

    from clinical_tl.transfer.feature_extraction import FeatureModel
    from clinical_tl.transfer_model import TransferModel


def load_model(
    folder: str | Path,
    *,
    revision: str | None = None,
    encoder: str | Path | None = None,
    device: str | torch.device | None = None,
) -> TransferModel | FeatureModel:
    """The model that `save_pretrained` wrote: fine-tuned, or linear on frozen features.

    Arguments and errors as in `TransferModel.load`.
    """
    from clinical_tl.transfer.feature_extraction import ADAPTER, FeatureModel
    from clinical_tl.transfer_model import TransferModel

    found = find_folder(folder, revision=revision)
    loads = FeatureModel if read_artifact(found)["adapter"] == ADAPTER else TransferModel
    return loads.load(folder, revision=revision, encoder=encoder, device=device)
