"""Loading a saved model of whatever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.saved.hub import find_saved

if TYPE_CHECKING:
    import torch

    from clinical_tl.models.feature_model import FeatureModel
    from clinical_tl.models.onnx_model import OnnxModel
    from clinical_tl.models.transfer_model import TransferModel


def load(
    folder: str | Path,
    *,
    revision: str | None = None,
    encoder: str | Path | None = None,
    device: str | torch.device | None = None,
) -> TransferModel | FeatureModel | OnnxModel:
    """Whatever was saved: a fine-tuned model, a linear one on frozen features, or an exported one.

    Arguments and errors as in `TransferModel.load`; an exported model has no encoder beside it,
    and computes on the CPU.
    """
    from clinical_tl.models.feature_model import ADAPTER, FeatureModel
    from clinical_tl.models.onnx_model import ONNX, OnnxModel
    from clinical_tl.models.transfer_model import TransferModel

    saved = find_saved(folder, revision=revision)
    if saved.description["adapter"] == ONNX:
        return OnnxModel.load(saved.path)
    loads = FeatureModel if saved.description["adapter"] == ADAPTER else TransferModel
    return loads.from_saved(saved, encoder=encoder, device=device)
