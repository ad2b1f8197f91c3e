"""Adapters: what of the encoder is trained, and where LoRA goes in each architecture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from clinical_tl.errors import ConfigError, EncoderError, shown_value
from clinical_tl.network.lora import LoRA

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig
    from torch import nn

Adapter: TypeAlias = "LoRA | PeftConfig | Literal['full', 'frozen']"

# The layers of attention, by their names in the architectures that transformers has; whatever
# else is linear in a block belongs to the feed-forward part.
_ATTENTION = re.compile(
    r"(?:^|\.)(?:attention|self_attention|self_attn|attn|attention_layer)\.(?!.*\b(?:ffn|mlp)\b)"
)
# Global attention is what a sequence head reads: it alone updates the first token.
_GLOBAL = re.compile(r"(?:query|key|value)_global$")
# Projections of relative positions, which are shared by all tokens.
_POSITIONS = re.compile(r"(?:^|\.)pos_(?:query_|key_)?(?:proj|q_proj)$")
_BLOCK = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|albert_layers)\.(\d+)\.")


def check_adapter(adapter: Adapter) -> None:
    """Raise `ConfigError` for what is no adapter, or for one that can't work on token positions."""
    if isinstance(adapter, str):
        if adapter not in {"full", "frozen"}:
            raise ConfigError(
                f"adapter {shown_value(adapter)}: choose LoRA(...), a peft config, 'full' or "
                "'frozen'"
            )
    elif not isinstance(adapter, LoRA) and adapter.is_prompt_learning:
        raise ConfigError(
            f"{type(adapter).__name__} puts virtual tokens before the text, which shifts every "
            "token position; use an adapter of the weights (LoRA, IA3, LoHa, …)"
        )


def lora_config(
    lora: LoRA, model: nn.Module, model_type: str, *, reads_first_token: bool = False
) -> LoraConfig:
    """The peft config of a LoRA adapter for a transformers model, head not yet named.

    `reads_first_token` says that the head reads the first token alone, as sequence heads do.

    Raises `EncoderError` for an architecture without repeated blocks of linear layers, and
    `ConfigError` for layers or targets that the model lacks, naming those it has.
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
    """A regular expression of the layers' whole names, which the adapter's file then holds."""
    linear = [name for name in linear_layers(model) if _BLOCK.search(name)]
    if not linear:
        raise EncoderError(
            f"this {model_type} encoder has no linear layers in repeated blocks, where LoRA "
            "goes; name others with a peft config (adapter=LoraConfig(target_modules=...)), or "
            "use adapter='full' or 'frozen'"
        )
    chosen = [
        name
        for name in linear
        if _is_target(lora, _BLOCK.split(name)[-1], reads_first_token)
        and (lora.layers is None or _block_number(name) in lora.layers)
    ]
    if not chosen:
        raise ConfigError(
            f"LoRA(targets={lora.targets!r}, layers={lora.layers!r}) matches no linear layer "
            f"of this {model_type} encoder; its blocks are numbered 0 to "
            f"{_n_blocks(linear) - 1}, their linear layers {block_suffixes(linear)}"
        )
    inner = "|".join(re.escape(suffix) for suffix in block_suffixes(chosen))
    blocks = "|".join(str(n) for n in sorted({_block_number(name) for name in chosen}))
    return rf"(?:.*\.)?(?:layers?|h|blocks?|albert_layers)\.(?:{blocks})\.(?:{inner})"


def _is_target(lora: LoRA, suffix: str, reads_first_token: bool) -> bool:
    if isinstance(lora.targets, tuple):
        return any(suffix == t or suffix.endswith(f".{t}") for t in lora.targets)
    if _POSITIONS.search(suffix) or (_GLOBAL.search(suffix) and not reads_first_token):
        return False
    return lora.targets == "all" or bool(_ATTENTION.search(suffix))


def _block_number(name: str) -> int:
    found = _BLOCK.search(name)
    return -1 if found is None else int(found[1])


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
