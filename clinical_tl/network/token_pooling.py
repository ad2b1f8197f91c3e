"""What of a window's tokens a sequence head reads, and which of it suits an encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from clinical_tl.network.encoder import EncoderSource, weight_files
from clinical_tl.network.pretrained import tensor_shapes

TokenPooling = Literal["mean", "max", "cls", "stock"]
"""All tokens of a window, the first one, or what transformers' own head reads."""

_ENTRIES: dict[str, TokenPooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}


def advised_pooling(source: EncoderSource) -> TokenPooling:
    """What a sequence head on this encoder should read.

    What the folder itself says (sentence-transformers' `1_Pooling`), else the stock head's
    pooler where it comes with trained weights, else the mean of the tokens: a new pooler would
    have to be learnt from the notes, and decoders have none.
    """
    said = _said(Path(source.path))
    if said is not None:
        return said
    names = tensor_shapes(weight_files(source.path, name=source.name))
    return "stock" if any("pooler." in name for name in names) else "mean"


def _said(folder: Path) -> TokenPooling | None:
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        place = next(m["path"] for m in modules if str(m["type"]).endswith("Pooling"))
        settings = json.loads((folder / place / "config.json").read_text(encoding="utf-8"))
        ways = [way for entry, way in _ENTRIES.items() if settings.get(entry) is True]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return None
    # Several at once are concatenated there, which no head here does.
    return ways[0] if len(ways) == 1 else None
