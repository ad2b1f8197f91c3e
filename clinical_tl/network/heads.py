"""Heads: what a network puts on its encoder, from loading it to its place in a saved folder.

A head says which transformers class holds it, or brings a module of its own for the bare
encoder's states; how a batch is read; which parameters are its own; and what others may load.
A new kind of head is one class here. `SequenceHead` and `TokenHead` are transformers' own
where the architecture has them, and else the same thing made here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from clinical_tl.network.encoder import EncoderSource, load_config
from clinical_tl.network.label_attention import LabelAttention, NoteStates, gather_notes
from clinical_tl.network.masked_lm import masked_logits
from clinical_tl.network.pretrained import load_weights, see_both_sides
from clinical_tl.network.structure import base_model, head_modules, hidden_size, train_head
from clinical_tl.network.token_pooling import TokenPooling

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from clinical_tl.network.network import Network
    from clinical_tl.text.batches import WindowBatch

Read = Callable[[str], torch.Tensor]
"""Name of an output of the transformers model → what it says of a batch's windows."""

DROPOUT = 0.1
# Architectures whose bare model has a pooler that no head of ours would use.
_POOLED = {"bert", "roberta", "xlm-roberta", "camembert", "longformer"}


@dataclass(frozen=True)
class NetworkOutput:
    """What the network says of a batch of windows.

    `logits`: (windows, outputs) for a sequence head, (windows, length, outputs) for a token
    head, (notes, outputs) for label attention, which also gives the token states it read,
    (masked tokens, vocabulary) for a masked-language-model head.
    """

    logits: torch.Tensor
    states: NoteStates | None = None


@dataclass(frozen=True)
class Head(ABC):
    """The head a task needs: the names of its outputs, and whether they exclude one another.

    `prior`, one probability an output, is where outputs start: with thousands of rare codes, a
    head that starts at one half spends its first epochs learning that codes are rare, and forgets
    what its initialisation knew.
    """

    outputs: tuple[str, ...]
    multi_label: bool = False
    prior: tuple[float, ...] | None = None

    auto_class: ClassVar[str | None] = None
    """The class of transformers that loads the model with this head; `None`: no other can."""
    peft_task: ClassVar[str | None] = "FEATURE_EXTRACTION"
    """What peft calls the task of a model with it."""
    reads_first_token: ClassVar[bool] = False
    """Whether the first token's state alone is read, so that nothing else of a block matters."""

    def fitted(self, config: PretrainedConfig) -> Head:
        """The head that an architecture can have: this one, or one of ours that does the same."""
        del config
        return self

    def own(self) -> Head:
        """The head as one whose weights lie beside the transformers model's."""
        return self

    def load(self, source: EncoderSource, *, pretrained: bool, exact: bool) -> PreTrainedModel:
        """The transformers model below or with the head, in fp32; random weights if so asked.

        `exact` demands the head's weights too. Raises `EncoderError` if it can't be loaded whole.
        """
        from transformers import AutoModel

        config = load_config(source)
        extra = {"add_pooling_layer": False} if config.model_type in _POOLED else {}
        return _load(AutoModel, source, config, pretrained=pretrained, exact=exact, **extra)

    def module(self, model: nn.Module) -> nn.Module | None:
        """What is put on the model's states; `None` where the model has the head already."""
        del model
        return None

    def modules(self, model: nn.Module) -> list[str]:
        """Names of the modules of the transformers model that are the head's."""
        del model
        return []

    def copied(self, model: nn.Module) -> list[str]:
        """Of `modules`, by the last part of their names, those that peft trains a copy of."""
        return [name.rsplit(".", 1)[-1] for name in self.modules(model)]

    def unfreeze(self, model: nn.Module) -> None:
        """Train what of the head lies in the transformers model, and is not copied by peft."""
        del model

    def output_layer(self, network: Network) -> nn.Linear | None:
        """The layer whose outputs are the logits: what a linear model on its inputs can start.

        `None` where the head is no linear function of anything.
        """
        found = [
            module
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear)
            and module.out_features == len(self.outputs)
            and module.bias is not None
            and module.weight.requires_grad
            and network.is_head(f"{name}.weight")
        ]
        return found[-1] if found else None

    @abstractmethod
    def forward(self, network: Network, batch: WindowBatch, read: Read) -> NetworkOutput:
        """What the network says of a batch."""


class StockHead(Head):
    """A head that transformers has a class for."""

    def load(self, source: EncoderSource, *, pretrained: bool, exact: bool) -> PreTrainedModel:
        """The model with the head, its outputs named in the config."""
        import transformers

        config = load_config(source, **self._settings())
        auto = getattr(transformers, str(self.auto_class))
        return _load(auto, source, config, pretrained=pretrained, exact=exact)

    def modules(self, model: nn.Module) -> list[str]:
        """As the structure of the model says."""
        return head_modules(model)

    def unfreeze(self, model: nn.Module) -> None:
        """All of it."""
        train_head(model)

    def forward(self, network: Network, batch: WindowBatch, read: Read) -> NetworkOutput:
        """The model's own logits."""
        del network, batch
        return NetworkOutput(read("logits"))

    def _settings(self) -> dict[str, Any]:
        return {
            "id2label": dict(enumerate(self.outputs)),
            "label2id": {name: i for i, name in enumerate(self.outputs)},
        }


@dataclass(frozen=True)
class SequenceHead(StockHead):
    """One decision a window: logits (windows, outputs).

    `pooling` says what of a window is read: what transformers' own head reads (`"stock"`), or
    all of its tokens or the first one under a head that is made here.
    """

    pooling: TokenPooling = "stock"

    auto_class = "AutoModelForSequenceClassification"
    peft_task = "SEQ_CLS"
    reads_first_token = True

    def fitted(self, config: PretrainedConfig) -> Head:
        """Itself where it is wanted, and transformers has one for the architecture."""
        from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

        known = type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
        return self if known and self.pooling == "stock" else self.own()

    def own(self) -> Head:
        """The one that is made here."""
        return LinearSequenceHead(*_values(self))

    def _settings(self) -> dict[str, Any]:
        kind = "multi_label_classification" if self.multi_label else "single_label_classification"
        return {**super()._settings(), "problem_type": kind}


class TokenHead(StockHead):
    """One decision a token: logits (windows, length, outputs)."""

    auto_class = "AutoModelForTokenClassification"
    peft_task = "TOKEN_CLS"

    def fitted(self, config: PretrainedConfig) -> Head:
        """Itself where transformers has one for the architecture."""
        from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING

        return self if type(config) in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING else self.own()

    def own(self) -> Head:
        """The one that is made here."""
        return LinearTokenHead(*_values(self))


class LinearTokenHead(Head):
    """Dropout and a linear layer on each token's state, as transformers' own token heads."""

    def module(self, model: nn.Module) -> nn.Module:
        """Initialised as BERT's."""
        return _linear(model, len(self.outputs))

    def forward(self, network: Network, batch: WindowBatch, read: Read) -> NetworkOutput:
        """Logits (windows, length, outputs)."""
        del batch
        return NetworkOutput(network.head(read("last_hidden_state")))


@dataclass(frozen=True)
class LinearSequenceHead(LinearTokenHead):
    """Dropout and a linear layer on a window's tokens' states: their mean, maximum, or the first.

    Special tokens count, as they do in sentence-transformers. `"stock"`, where transformers has
    no head, is the mean.
    """

    pooling: TokenPooling = "mean"

    def forward(self, network: Network, batch: WindowBatch, read: Read) -> NetworkOutput:
        """Logits (windows, outputs)."""
        states = read("last_hidden_state")
        seen = batch.attention_mask[..., None].bool()
        if self.pooling == "cls":
            pooled = states[:, 0]
        elif self.pooling == "max":
            pooled = states.masked_fill(~seen, torch.finfo(states.dtype).min).amax(dim=1)
        else:
            pooled = (states * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
        return NetworkOutput(network.head(pooled))


class LabelAttentionHead(Head):
    """Label-wise attention over whole notes (`label_attention`): logits (notes, outputs)."""

    def module(self, model: nn.Module) -> nn.Module:
        """New, or to be started from the labels' descriptions."""
        return LabelAttention(hidden_size(model), len(self.outputs))

    def output_layer(self, network: Network) -> None:
        """None: what its classifiers read is the attention's, which is learnt with them."""
        del network

    def forward(self, network: Network, batch: WindowBatch, read: Read) -> NetworkOutput:
        """Logits, and the states that attention read."""
        notes = gather_notes(read("last_hidden_state"), batch)
        return NetworkOutput(network.head(notes), notes)


class MaskedLMHead(StockHead):
    """The architecture's masked-language-model head, at the hidden tokens of a batch."""

    auto_class = "AutoModelForMaskedLM"
    peft_task = None

    def output_layer(self, network: Network) -> None:
        """None: it is pretrained."""
        del network

    def copied(self, model: nn.Module) -> list[str]:
        """None: its output layer is the encoder's word embeddings, which a copy would not be."""
        del model
        return []

    def forward(self, network: Network, batch: WindowBatch, read: Read) -> NetworkOutput:
        """Logits (hidden tokens, vocabulary)."""
        del read
        encoder = base_model(network.model)
        return NetworkOutput(masked_logits(network.model, encoder, batch))


def load_bare(source: EncoderSource) -> PreTrainedModel:
    """The encoder alone, without head or pooler, in fp32.

    Raises `EncoderError` if it can't be loaded whole.
    """
    return LabelAttentionHead(()).load(source, pretrained=True, exact=False)


def start_at_prior(head: nn.Module, prior: Sequence[float], *, independent: bool) -> None:
    """Set the biases of the last linear layer with one output a label to what `prior` says.

    Log-odds of `independent` outputs, logarithms of those that exclude one another.
    """
    last = [m for m in head.modules() if isinstance(m, nn.Linear) and len(prior) == m.out_features]
    if last and last[-1].bias is not None:
        with torch.no_grad():
            shares = torch.tensor(prior)
            start = torch.logit(shares, eps=1e-4) if independent else shares.clamp(min=1e-4).log()
            last[-1].bias.copy_(start)


def _values(head: Head) -> list[Any]:
    return [getattr(head, field.name) for field in fields(head)]


def _linear(model: nn.Module, n_outputs: int) -> nn.Module:
    layer = nn.Linear(hidden_size(model), n_outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Dropout(DROPOUT), layer)


def _load(
    auto: Any,  # noqa: ANN401  (one of transformers' Auto classes, which share no base)
    source: EncoderSource,
    config: PretrainedConfig,
    *,
    pretrained: bool,
    exact: bool,
    **extra: Any,  # noqa: ANN401  (passed on)
) -> PreTrainedModel:
    if pretrained:
        return load_weights(auto, source, config, exact=exact, **extra).model
    # In the precision of the pretrained arm, whatever the config says of the weights' own.
    fresh: PreTrainedModel = auto.from_config(
        config, dtype=torch.float32, trust_remote_code=False, **extra
    )
    see_both_sides(fresh, source.name)
    return fresh
