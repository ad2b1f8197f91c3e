"""A network's weights on disk, as plain peft or plain transformers files."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from clinical_tl.errors import ArtifactError, EncoderError, shown_path
from clinical_tl.network.adapter import block_suffixes
from clinical_tl.network.encoder import EncoderSource, hub_name, load_config
from clinical_tl.network.heads import Head
from clinical_tl.network.network import Network, quiet_transformers
from clinical_tl.network.pretrained import require_finite, tensor_shapes
from clinical_tl.network.structure import is_peft

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD_FILE = "head.safetensors"
ADAPTER_FILE = "adapter_model.safetensors"


def load_network(source: EncoderSource, head: Head, kind: str, folder: Path) -> Network:
    """The network that `save_network` wrote; `kind` is what `adapter_kind` said then.

    Raises `ArtifactError` where the saved weights don't fit the head or the encoder.
    """
    from safetensors.torch import load_file

    with torch.random.fork_rng(), quiet_transformers():
        try:
            beside = (folder / HEAD_FILE).exists()
            whole = kind == "full" or (kind == "frozen" and not beside)
            saved = replace(source, path=str(folder), revision=None) if whole else source
            spec = head.own() if beside else head.fitted(load_config(saved))
            pretrained = spec.load(saved, pretrained=True, exact=whole)
            model: nn.Module = pretrained
            if kind == "peft":
                model = _load_adapter(pretrained, folder, hub_name(source))
            module = spec.module(model)
            if module is not None:
                module.load_state_dict(load_file(folder / HEAD_FILE))
            require_finite(model, f"{shown_path(folder)}: the saved model", ArtifactError)
            if module is not None:
                require_finite(module, f"{shown_path(folder)}: the head", ArtifactError)
        except (ArtifactError, MemoryError):
            raise
        except EncoderError as error:
            raise ArtifactError(f"{shown_path(folder)}: {error}") from error
        except Exception as error:
            # peft, transformers and safetensors raise whatever a changed file makes them meet.
            raise ArtifactError(
                f"{shown_path(folder)}: the weights can't be loaded into a {type(head).__name__} "
                f"with {len(head.outputs)} outputs ({type(error).__name__}); the folder is damaged "
                "or was made with another encoder: save the model again or name its encoder"
            ) from error
    if kind == "frozen":
        model.requires_grad_(False)
        spec.unfreeze(model)
    return Network(model, spec, module, frozen_encoder=kind == "frozen")


def _load_adapter(model: PreTrainedModel, folder: Path, encoder: str) -> nn.Module:
    """The model in peft's wrapping with the adapter in `folder`, every tensor of it.

    peft itself leaves tensors that it does not find as they are: an untrained adapter.
    """
    from peft import (
        PeftConfig,
        get_peft_model,
        get_peft_model_state_dict,
        set_peft_model_state_dict,
    )
    from safetensors.torch import load_file

    file = folder / ADAPTER_FILE
    if not file.is_file():
        raise ArtifactError(
            f"{shown_path(folder)} holds no {ADAPTER_FILE} (pickled adapters are never read); "
            "save the model "
            "again with save_pretrained()"
        )
    saved = tensor_shapes([file])
    config: Any = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    patterns = getattr(config, "rank_pattern", None) or {}
    rank = max([getattr(config, "r", 0) or 0, *patterns.values()])
    ranks = [shape[0] for name, shape in saved.items() if ".lora_A." in f"{name}."]
    if ranks and rank > max(ranks):
        raise ArtifactError(
            f"{shown_path(folder)}: adapter_config.json has the rank {rank:,}, its weights "
            f"{max(ranks)}; the "
            "files are of two adapters: save the model again"
        )
    config.inference_mode = False
    # Named anew by the caller: the encoder may lie elsewhere today.
    config.base_model_name_or_path = None
    wrapped: Any = get_peft_model(model, config)
    wanted = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    missing, surplus = sorted(wanted.keys() - saved.keys()), sorted(saved.keys() - wanted.keys())
    if missing or surplus:
        raise ArtifactError(
            f"{shown_path(folder)}: {len(missing)} of {len(wanted)} tensors of the adapter are "
            "missing "
            f"(the first: {missing[:10]}) and {len(surplus)} have no place (the first: "
            f"{surplus[:10]}); what is missing would be untrained. The file is damaged, or was "
            "written by another version of peft: save the model again, with one version"
        )
    set_peft_model_state_dict(wrapped, load_file(file))
    wrapped.peft_config["default"].base_model_name_or_path = encoder
    loaded: nn.Module = wrapped
    return loaded


def adapter_kind(network: Network) -> str:
    """`"peft"`, `"full"` or `"frozen"`: how the network's weights are saved."""
    if is_peft(network.model):
        return "peft"
    return "frozen" if network.frozen_encoder else "full"


def carries_encoder(network: Network) -> bool:
    """Whether `save_network` writes all weights, the encoder's with them."""
    kind = adapter_kind(network)
    return kind == "full" or (kind == "frozen" and network.head is None)


def adapter_settings(network: Network) -> dict[str, Any]:
    """How the network was adapted: `kind`, and for an adapter peft's own settings of it.

    `targets` are the layers that got one, by their names within a block.
    """
    kind = adapter_kind(network)
    if kind != "peft":
        return {"kind": kind}
    model: Any = network.model
    config = model.peft_config["default"]
    known = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "dora": "use_dora",
             "rslora": "use_rslora"}  # fmt: skip
    return {
        "kind": str(getattr(config.peft_type, "value", config.peft_type)),
        **{name: getattr(config, at) for name, at in known.items() if hasattr(config, at)},
        "targets": block_suffixes(getattr(model, "targeted_module_names", ())),
    }


def save_network(network: Network, folder: Path) -> None:
    """Write the trained weights as plain peft or plain transformers files.

    A head of our own, which neither knows, goes into `head.safetensors`.
    """
    from safetensors.torch import save_file

    kind = adapter_kind(network)
    model: Any = network.model
    if kind == "peft":
        # "auto" would ask the Hub for the encoder's vocabulary, to learn what is known here:
        # the embeddings are as they were.
        model.save_pretrained(str(folder), save_embedding_layers=False)
        model.get_base_model().config.save_pretrained(str(folder))
    elif carries_encoder(network):
        model.save_pretrained(str(folder))
    if network.head is not None:
        state = {name: t.contiguous() for name, t in network.head.state_dict().items()}
        save_file(state, folder / HEAD_FILE)


def merged_model(network: Network) -> PreTrainedModel:
    """A copy of a stock model with its adapter folded into the weights.

    Raises `ArtifactError` for a head of our own, which transformers does not know.
    """
    if network.head is not None:
        raise ArtifactError(
            f"a {type(network.spec).__name__} has no plain transformers equivalent; save it with "
            "save_pretrained(), or train with a stock head to merge (pooling='stock' of note "
            "classification, head='linear' of coding)"
        )
    # A network says only that it holds a module, which may be peft's; merged it is not.
    return cast("PreTrainedModel", merged_network(network).model)


def merged_network(network: Network) -> Network:
    """A copy of a network with its adapter folded into the weights, saved as a full model."""
    model: Any = copy.deepcopy(network.model)
    if is_peft(model):
        model = model.merge_and_unload()
    model.requires_grad_(True)
    return Network(model, network.spec, copy.deepcopy(network.head))
