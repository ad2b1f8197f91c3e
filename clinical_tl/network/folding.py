"""LoRA weights folded into a copy of the encoder's, for reading at the plain encoder's speed.

The copy shares every weight that no adapter changes. The adapter's own weights stay as they
are: what is trained on and saved is never the folded copy, whose sums are rounded once more.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import nn

if TYPE_CHECKING:
    from clinical_tl.network.network import Network

_Version = tuple[tuple[int, str, float], ...]
_KEPT: WeakKeyDictionary[Network, tuple[_Version, Network]] = WeakKeyDictionary()


def folded(network: Network) -> Network:
    """The network with its LoRA weights folded in; itself where it has none, or others.

    The last copy is kept as long as the network is, and made anew when a weight has changed.
    """
    layers = _lora_layers(network)
    if not layers:
        _KEPT.pop(network, None)
        return network
    version = tuple(map(_state, network.named_parameters()))
    kept = _KEPT.get(network)
    if kept is None or kept[0] != version:
        _KEPT.pop(network, None)
        kept = version, _fold(network, layers)
        _KEPT[network] = kept
    return kept[1]


def _state(named: tuple[str, nn.Parameter]) -> tuple[int, str, float]:
    """Of a weight: which one it is, where, and the sum of an adapter's, which training changes."""
    name, weight = named
    summed = "lora_" in name and not weight.is_meta
    total = float(weight.detach().double().sum()) if summed else 0.0
    return id(weight), str(weight.device), total


def _lora_layers(network: Network) -> list[Any]:
    """Plain LoRA layers on linear ones; none if any adapter of the model is of another kind."""
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    found: list[Any] = [m for m in network.modules() if isinstance(m, BaseTunerLayer)]
    plain = all(
        isinstance(layer, LoraLayer)
        and isinstance(layer.base_layer, nn.Linear)
        and not any(layer.use_dora.values())
        and not layer.merged
        for layer in found
    )
    return found if plain else []


def _fold(network: Network, layers: list[Any]) -> Network:
    changed = {id(p) for layer in layers for p in layer.base_layer.parameters()}
    shared = {id(t): t for t in (*network.parameters(), *network.buffers()) if id(t) not in changed}
    # What deepcopy finds in its memo it takes for copied already.
    twin: Network = copy.deepcopy(network, shared)
    model: Any = twin.model
    twin.model = model.merge_and_unload()
    return twin.eval()
