"""Pretrained weights into a transformers model: all of them, or an error that says which not.

transformers fills whatever a file lacks with random numbers and says so in a log at most. Here
only what is new by intention may be missing: the head, and the pooler that trains with it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from clinical_tl.errors import EncoderError, shown_path
from clinical_tl.network.encoder import EncoderSource, weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

logger = logging.getLogger(__name__)

SHOWN_TENSORS = 10
# What wrappers (Lightning, DataParallel, torch.compile, sentence-transformers, a class of one's
# own) put before the names of the model that they hold.
_WRAPPERS = frozenset(
    {
        "0",
        "_orig_mod",
        "auto_model",
        "backbone",
        "base_model",
        "bert_model",
        "encoder",
        "language_model",
        "lm",
        "model",
        "module",
        "net",
        "network",
        "plm",
        "pretrained",
        "text_encoder",
        "text_model",
        "transformer",
    }
)
_BLOCK = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
# Constants that older versions of transformers saved beside the weights.
_CONSTANTS = re.compile(r"(?:inv_freq|position_ids|masked_bias|attn\.bias|attention\.bias)$")


@dataclass(frozen=True)
class Loaded:
    """A model in fp32, and the names of its parameters that are new."""

    model: PreTrainedModel
    new: frozenset[str]


def load_weights(
    auto: Any,  # noqa: ANN401  (one of transformers' Auto classes, which share no base)
    source: EncoderSource,
    config: PretrainedConfig,
    *,
    exact: bool = False,
    **extra: object,
) -> Loaded:
    """The weights of `source` in the model that `auto` makes of `config`, in fp32.

    Tensors that lie behind a wrapper's prefix are taken from there, which is said once. With
    `exact` not even the head may be new. No code of the folder is run, and no pickle is read.

    Raises `EncoderError` if tensors of the encoder are missing, of another shape, left over or
    not finite.
    """
    _check_size(source, config)
    try:
        model, found = auto.from_pretrained(
            source.path,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            **extra,
        )
    except MemoryError:
        raise
    except Exception as error:
        # transformers, safetensors and their parsers raise whatever their versions know.
        raise EncoderError(
            f"the encoder {shown_path(source.name)!r} could not be loaded "
            f"({type(error).__name__}); it must "
            "be a transformers encoder with weights in safetensors format, of the architecture "
            f"that its config.json names ({config.model_type!r})"
        ) from error
    missing = set(found["missing_keys"])
    mismatched = {name: (tuple(was), tuple(now)) for name, was, now in found["mismatched_keys"]}
    wanted = {n for n in missing if exact or _is_encoder(model, n)}
    unexpected = set(found["unexpected_keys"])
    if wanted:
        unwrapped = _unwrap(model, source, wanted, unexpected)
        missing, wanted = missing - unwrapped.keys(), wanted - unwrapped.keys()
        unexpected -= set(unwrapped.values())
    shapes = {n: s for n, s in mismatched.items() if exact or _is_encoder(model, n)}
    surplus = _surplus(model, unexpected, exact=exact)
    if wanted or shapes or surplus:
        raise EncoderError(_not_loaded(source, model, wanted, shapes, surplus))
    new = frozenset(missing | set(mismatched))
    require_finite(model, f"the encoder {shown_path(source.name)!r}", new=new)
    see_both_sides(model, source.name)
    return Loaded(model, new)


def require_finite(
    model: nn.Module,
    what: str,
    error: type[Exception] = EncoderError,
    *,
    new: frozenset[str] = frozenset(),
) -> None:
    """Raises `error` if a weight is infinite or not a number: such a model predicts nonsense.

    `new` weights came with no file; transformers may leave them as the memory happened to be.
    """
    broken = [
        name
        for name, tensor in model.named_parameters()
        if name not in new and not tensor.is_meta and not bool(torch.isfinite(tensor).all())
    ]
    if broken:
        raise error(
            f"{what} has weights that are infinite or not numbers, in {_some(broken)}; its "
            "training diverged or the file is damaged: copy it again, or use another one"
        )


@torch.no_grad()
def see_both_sides(model: PreTrainedModel, name: str) -> None:
    """Let a decoder's tokens see what stands at their right, as an encoder's do.

    A mention's first word must know the words after it. Whether a token sees them is tried on
    six tokens, of which the last is exchanged.

    Raises `EncoderError` for an architecture that can only read from left to right.
    """
    untyped: Any = model
    if _sees_right(untyped.base_model):
        return
    model.config.is_causal = False
    if not _sees_right(untyped.base_model):
        raise EncoderError(
            f"the encoder {shown_path(name)!r} ({model.config.model_type!r}) reads from left to "
            "right only: no "
            "token sees what follows it, which tagging and pooling need; use an encoder (BERT, "
            "ModernBERT, …) or a decoder whose attention transformers can make bidirectional "
            "(Llama, Qwen, Gemma, Mistral)"
        )
    logger.warning(
        "%s: a decoder (%s); its attention is made bidirectional here, so that every token sees "
        "its whole window",
        name,
        model.config.model_type,
    )


def _sees_right(encoder: Any) -> bool:  # noqa: ANN401  (any architecture's bare model)
    size = int(encoder.get_input_embeddings().num_embeddings)
    ids = torch.arange(6)[None] % size
    other = ids.clone()
    other[0, -1] = 6 % size
    mask, mode = torch.ones_like(ids), encoder.training
    encoder.eval()
    states = [encoder(input_ids=i, attention_mask=mask).last_hidden_state for i in (ids, other)]
    encoder.train(mode)
    return not torch.equal(states[0][0, 0], states[1][0, 0])


def tensor_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Name → shape of all tensors in safetensors files, read off their headers.

    Raises `EncoderError` for a file that is none.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as stream:
                for name in stream.keys():  # noqa: SIM118  (no mapping: it has nothing but keys)
                    shapes[name] = tuple(stream.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            raise EncoderError(
                f"{shown_path(file)} is no whole safetensors file ({type(error).__name__}); "
                "copy it again"
            ) from error
    return shapes


def _check_size(source: EncoderSource, config: PretrainedConfig) -> None:
    """Before anything is built: blocks without number would be built one by one."""
    shapes = tensor_shapes(weight_files(source.path))
    blocks = getattr(config, "num_hidden_layers", None)
    if isinstance(blocks, int) and blocks > max(len(shapes), 1):
        raise EncoderError(
            f"the encoder {shown_path(source.name)!r} has {blocks:,} blocks by its config.json, "
            "but its "
            f"weights hold {len(shapes)} tensors in all: the file is truncated or of another "
            "model; copy both again from one place"
        )


def _encoder_prefix(model: PreTrainedModel) -> str:
    untyped: Any = model
    return next((f"{n}." for n, c in model.named_children() if c is untyped.base_model), "")


def _is_encoder(model: PreTrainedModel, name: str) -> bool:
    """Whether a parameter is the encoder's own: no head, and no pooler, which trains with it."""
    return name.startswith(_encoder_prefix(model)) and "pooler" not in name.split(".")


def _unwrap(
    model: PreTrainedModel, source: EncoderSource, wanted: set[str], unexpected: set[str]
) -> dict[str, str]:
    """Load what lies behind a wrapper's prefix: the model's names → those in the file."""
    from safetensors import safe_open

    own = _encoder_prefix(model)
    short = {name.removeprefix(own) for name in wanted}
    probe = max(short, key=len)
    prefixes = {name.removesuffix(probe) for name in unexpected if name.endswith(f".{probe}")}
    plain = _WRAPPERS | {own.rstrip("."), str(model.base_model_prefix)}
    for prefix in sorted(prefixes, key=len):
        if not all(part in plain for part in prefix.rstrip(".").split(".")):
            continue
        if not all(f"{prefix}{name}" in unexpected for name in short):
            continue
        parameters = dict(model.named_parameters()) | dict(model.named_buffers())
        keys = {
            name: key
            for name in parameters
            if name.startswith(own) and (key := f"{prefix}{name.removeprefix(own)}") in unexpected
        }
        shapes = tensor_shapes(files := weight_files(source.path))
        if any(shapes[key] != tuple(parameters[name].shape) for name, key in keys.items()):
            continue
        for file in files:
            with safe_open(str(file), framework="pt") as stream, torch.no_grad():
                held = set(stream.keys())
                for name, key in keys.items():
                    if key in held:
                        parameters[name].copy_(stream.get_tensor(key))
        logger.warning(
            "%s: its tensors bear a wrapper's prefix %r, which is passed over; save the encoder "
            "alone (wrapper.%ssave_pretrained) to be rid of this message",
            source.name,
            prefix,
            prefix,
        )
        return keys
    return {}


def _surplus(model: PreTrainedModel, unexpected: Iterable[str], *, exact: bool) -> list[str]:
    """Tensors of the encoder's blocks that the model has no place for.

    Heads of another task are passed over, as everywhere; a block that is passed over means that
    config.json describes a smaller or another encoder.
    """
    if exact:
        return sorted(unexpected)
    stacks = {name[: m.start(1)] for name, _ in model.named_parameters() if (m := _block(name))}
    stacks = {stack.removeprefix(_encoder_prefix(model)) for stack in stacks}
    return sorted(
        name
        for name in unexpected
        if (m := _block(name))
        and not _CONSTANTS.search(name)
        and any(f".{name[: m.start(1)]}".endswith(f".{stack}") for stack in stacks)
    )


def _block(name: str) -> re.Match[str] | None:
    return _BLOCK.search(name)


def _not_loaded(
    source: EncoderSource,
    model: PreTrainedModel,
    missing: set[str],
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
    surplus: list[str],
) -> str:
    n_all = sum(_is_encoder(model, name) for name, _ in model.named_parameters())
    found = []
    if missing:
        found.append(f"{len(missing)} of {n_all} tensors are missing: {_some(sorted(missing))}")
    if shapes:
        examples = [f"{n} is {was}, not {now}" for n, (was, now) in list(shapes.items())[:3]]
        found.append(f"{len(shapes)} tensors have another shape: {'; '.join(examples)}")
    if surplus:
        found.append(f"{len(surplus)} tensors have no place in it: {_some(surplus)}")
    if missing and len(missing) < n_all and not surplus:
        cause = "the file is truncated, or was saved with other names in part"
        mend = "copy the folder again, or save the encoder again with save_pretrained()"
    elif missing and not shapes:
        cause = (
            "the weights were saved from a wrapper (a class of one's own around the encoder), or "
            "are of another architecture"
        )
        mend = "save the encoder itself: wrapper.<encoder>.save_pretrained(folder)"
    else:
        cause = "config.json is of another model or size than the weights"
        mend = "copy config.json and the weights from one place"
    return (
        f"the encoder {shown_path(source.name)!r} is not what its config.json describes "
        f"({model.config.model_type!r}): {'; '.join(found)}. They would be random or unused. "
        f"Likely cause: {cause}. To mend: {mend}"
    )


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN_TENSORS
    return ", ".join(names[:SHOWN_TENSORS]) + (f" and {more} more" if more > 0 else "")
