"""Adapters: what of the encoder is trained, and where LoRA goes in each architecture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from clinical_tl.errors import ConfigError, EncoderError
from clinical_tl.models.lora import LoRA

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig
    from torch import nn

Adapter: TypeAlias = "LoRA | PeftConfig | Literal['full', 'frozen']"

# Linear layers inside a block, by architecture: (of attention, of the feed-forward part).
_BERT = (
    r"attention\.self\.(?:query|key|value)|attention\.output\.dense",
    r"intermediate\.dense|output\.dense",
)
_LINEAR_LAYERS: dict[str, tuple[str, str]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "deberta-v2": (
        r"attention\.self\.(?:query|key|value)_proj|attention\.output\.dense",
        r"intermediate\.dense|output\.dense",
    ),
    "distilbert": (r"attention\.(?:q|k|v|out)_lin", r"ffn\.lin[12]"),
    "modernbert": (r"attn\.(?:Wqkv|Wo)", r"mlp\.(?:Wi|Wo)"),
    "longformer": _BERT,
}
# Global attention is what a sequence head reads: it alone updates the first token.
_GLOBAL_LAYERS = {"longformer": r"attention\.self\.(?:query|key|value)_global"}
_BLOCK = re.compile(r"(?:^|\.)layers?\.(\d+)\.")


def lora_config(
    lora: LoRA, model: nn.Module, model_type: str, *, reads_first_token: bool = False
) -> LoraConfig:
    """The peft config of a LoRA adapter for a transformers model, head not yet named.

    `reads_first_token` says that the head reads the first token alone, as sequence heads do.

    Raises `EncoderError` for an architecture without default targets, naming its linear
    layers, and `ConfigError` for layers or targets that the model lacks.
    """
    from peft import LoraConfig

    return LoraConfig(
        r=lora.r,
        lora_alpha=2 * lora.r if lora.alpha is None else lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_pattern(lora, model, model_type, reads_first_token),
        use_dora=lora.dora,
        use_rslora=lora.rslora,
    )


def _pattern(lora: LoRA, model: nn.Module, model_type: str, reads_first_token: bool) -> str:
    linear = linear_layers(model)
    if isinstance(lora.targets, tuple):
        inner = "|".join(rf"(?:.*\.)?{re.escape(target)}" for target in lora.targets)
    elif model_type in _LINEAR_LAYERS:
        attention, feed_forward = _LINEAR_LAYERS[model_type]
        if reads_first_token and model_type in _GLOBAL_LAYERS:
            attention = f"{attention}|{_GLOBAL_LAYERS[model_type]}"
        inner = attention if lora.targets == "attention" else f"{attention}|{feed_forward}"
    else:
        raise EncoderError(
            f"no default LoRA targets for the architecture {model_type!r}; choose from its "
            f"linear layers: LoRA(targets=(...)) with names among {block_suffixes(linear)}"
        )
    blocks = r"\d+" if lora.layers is None else "|".join(str(i) for i in lora.layers)
    pattern = rf"(?:.*\.)?layers?\.(?:{blocks})\.(?:{inner})"
    if not any(re.fullmatch(pattern, name) for name in linear):
        raise ConfigError(
            f"LoRA(targets={lora.targets!r}, layers={lora.layers!r}) matches no linear layer "
            f"of this {model_type} encoder; its blocks are numbered 0 to "
            f"{_n_blocks(linear) - 1}, their linear layers {block_suffixes(linear)}"
        )
    return pattern


def linear_layers(model: nn.Module) -> list[str]:
    """Names of all linear layers of a model."""
    from torch import nn

    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def block_suffixes(linear: Sequence[str]) -> list[str]:
    """The distinct names that linear layers have within a block."""
    return sorted({_BLOCK.split(name)[-1] for name in linear})


def _n_blocks(linear: Sequence[str]) -> int:
    found = [int(match[1]) for name in linear if (match := _BLOCK.search(name))]
    return max(found, default=0) + 1
