"""Pickled weights made into safetensors, without running what is in the pickle."""

from __future__ import annotations

import shutil
from pathlib import Path

from clinical_tl.errors import EncoderError, shown_path

_KEPT = (".json", ".txt", ".model")


def convert_encoder(encoder: str | Path, folder: str | Path) -> Path:
    """Write an encoder whose weights are pickled (`pytorch_model.bin`) as a plain folder.

    Many published biomedical encoders have no other weights. torch reads the numbers alone
    (`weights_only`), so no code of the file is run; config and vocabulary are copied. Returns
    `folder`, which `TransferModel.from_pretrained` takes.

    Args:
        encoder: a folder, `"hub:org/name"`, or a Hub id in the local cache.
        folder: where to write; must be empty or not there.

    Raises `EncoderError` if there are no pickled weights, or they are more than numbers.
    """
    import torch
    from safetensors.torch import save_file

    from clinical_tl.storage.hub_cache import PLAIN_FILES, cached_snapshot, hub_id

    source, target = Path(encoder), Path(folder)
    if not source.is_dir():
        wanted = hub_id(str(encoder))
        patterns = ("pytorch_model.bin", *PLAIN_FILES)
        found = None if wanted is None else cached_snapshot(wanted, patterns=patterns)
        if found is None:
            raise EncoderError(
                f"no encoder {shown_path(str(encoder))!r} here; give a folder, or "
                "'hub:org/name' to download"
            )
        source = found
    if target.exists() and any(target.iterdir()):
        raise EncoderError(f"{shown_path(target)} is not empty; choose another folder")
    files = sorted(source.glob("pytorch_model*.bin"))
    if not files:
        raise EncoderError(
            f"{shown_path(source)} has no pickled weights (pytorch_model.bin) to convert"
        )
    weights: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            weights |= torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            # Unpickling something else fails in as many ways as there are things.
            raise EncoderError(
                f"{shown_path(file)} holds more than weights ({type(error).__name__}); it is "
                "not read: ask "
                "its authors for safetensors"
            ) from error
    target.mkdir(parents=True, exist_ok=True)
    # Tied tensors share memory, which a safetensors file can't say.
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in weights.items()}
    save_file(plain, target / "model.safetensors", metadata={"format": "pt"})
    for file in source.iterdir():
        if file.suffix in _KEPT and not file.name.startswith("pytorch_model"):
            shutil.copyfile(file, target / file.name)
    return target
