"""How exactly models compute; imports nothing heavy, so that `--help` stays instant."""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "no", "bf16", "fp16"]
"""`"no"` is fp32; `"auto"` what `accelerate launch` was told, else bf16 where it is native."""
