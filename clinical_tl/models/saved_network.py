"""A network's weights on disk, as plain peft or plain transformers files."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from clinical_tl.errors import ArtifactError, EncoderError
from clinical_tl.models.encoder import EncoderSource, hub_name
from clinical_tl.models.label_attention import LabelAttention
from clinical_tl.models.network import (
    HeadSpec,
    Network,
    freeze,
    hidden_size,
    is_peft,
    load_pretrained,
    quiet_transformers,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD_FILE = "head.safetensors"


def load_network(source: EncoderSource, head: HeadSpec, kind: str, folder: Path) -> Network:
    """The network that `save_network` wrote; `kind` is what `adapter_kind` said then.

    Raises `ArtifactError` where the saved weights don't fit the head or the encoder.
    """
    from peft import PeftModel
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with torch.random.fork_rng(), quiet_transformers():
        try:
            own = kind == "full" or (kind == "frozen" and head.kind != "label_attention")
            saved = replace(source, path=str(folder), revision=None) if own else source
            model: nn.Module = load_pretrained(saved, head, pretrained=True, exact=own)
            if kind == "peft":
                model = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
                # The encoder may be named anew (load(..., encoder=...)).
                model.peft_config["default"].base_model_name_or_path = hub_name(source)
            label_attention = None
            if head.kind == "label_attention":
                label_attention = LabelAttention(hidden_size(model), len(head.outputs))
                label_attention.load_state_dict(load_file(folder / HEAD_FILE))
        except (EncoderError, OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise ArtifactError(
                f"{folder}: the weights can't be loaded into a {head.kind} head with "
                f"{len(head.outputs)} outputs ({type(error).__name__}); the folder is damaged or "
                "was made with another encoder: save the model again or name its encoder"
            ) from error
    if kind == "frozen":
        freeze(model, head)
    return Network(model, label_attention, frozen_encoder=kind == "frozen")


def adapter_kind(network: Network) -> str:
    """`"peft"`, `"full"` or `"frozen"`: how the network's weights are saved."""
    if is_peft(network.model):
        return "peft"
    return "frozen" if network.frozen_encoder else "full"


def save_network(network: Network, folder: Path) -> None:
    """Write the trained weights as plain peft or plain transformers files.

    The label-attention head, which neither knows, goes into `head.safetensors`.
    """
    from safetensors.torch import save_file

    kind = adapter_kind(network)
    model: Any = network.model
    if kind == "peft":
        # "auto" would ask the Hub for the encoder's vocabulary, to learn what is known here:
        # the embeddings are as they were.
        model.save_pretrained(str(folder), save_embedding_layers=False)
        model.get_base_model().config.save_pretrained(str(folder))
    elif kind == "full" or network.head is None:
        model.save_pretrained(str(folder))
    if network.head is not None:
        state = {name: t.contiguous() for name, t in network.head.state_dict().items()}
        save_file(state, folder / HEAD_FILE)


def merged_model(network: Network) -> PreTrainedModel:
    """A copy of a stock model with its adapter folded into the weights.

    Raises `ArtifactError` for a label-attention head, which transformers does not know.
    """
    if network.head is not None:
        raise ArtifactError(
            "a label-attention head has no plain transformers equivalent; save it with "
            "save_pretrained(), or train with head='linear' to merge"
        )
    # A network says only that it holds a module, which may be peft's; merged it is not.
    return cast("PreTrainedModel", merged_network(network).model)


def merged_network(network: Network) -> Network:
    """A copy of a network with its adapter folded into the weights, saved as a full model."""
    model: Any = copy.deepcopy(network.model)
    if is_peft(model):
        model = model.merge_and_unload()
    model.requires_grad_(True)
    return Network(model, copy.deepcopy(network.head), frozen_encoder=False)
