"""Encoder, adapter and head as one trainable module; transformers' and peft's quirks end here."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.models.adapter import Adapter, lora_config
from clinical_tl.models.encoder import EncoderSource, hub_name, load_config
from clinical_tl.models.label_attention import LabelAttention, NoteStates
from clinical_tl.models.lora import LoRA
from clinical_tl.models.masked_lm import masked_logits
from clinical_tl.models.pretrained import load_weights, see_both_sides
from clinical_tl.text.batches import WindowBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HeadKind = Literal["sequence", "token", "label_attention", "masked_lm"]


@dataclass(frozen=True)
class HeadSpec:
    """The head a task needs: its kind, the names of its outputs, and whether they exclude.

    `sequence`, `token` and `masked_lm` are the stock heads of transformers, `label_attention`
    is ours.
    `prior`, one probability an output, is where independent outputs start: with thousands of
    rare codes, a head that starts at one half spends its first epochs learning that codes
    are rare, and forgets what its initialisation knew.
    """

    kind: HeadKind
    outputs: tuple[str, ...]
    multi_label: bool = False
    prior: tuple[float, ...] | None = None


@dataclass(frozen=True)
class NetworkOutput:
    """What the network says of a batch of windows.

    `logits`: (windows, outputs) for a sequence head, (windows, length, outputs) for a token
    head, (notes, outputs) for label attention, which also gives the token states it read,
    (masked tokens, vocabulary) for a masked-language-model head.
    """

    logits: torch.Tensor
    states: NoteStates | None = None


class Network(nn.Module):
    """A transformers model (wrapped by peft where there is an adapter) and, if not stock, its head.

    `frozen_encoder` keeps the encoder in evaluation mode while the head trains: its features
    are then the same in every epoch.
    """

    def __init__(
        self, model: nn.Module, head: LabelAttention | None, *, frozen_encoder: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.frozen_encoder = frozen_encoder

    def forward(self, batch: WindowBatch, *, budget: int | None = None) -> NetworkOutput:
        """Run one batch; see `NetworkOutput` for the shapes.

        With a `budget` of tokens the encoder reads at most so many at a time (at least one
        window): what bounds memory where one note has more windows than fit. In training the
        parts' activations are computed again in the backward pass instead of being kept.
        """
        if batch.hidden_ids is not None:
            return NetworkOutput(masked_logits(self.model, base_model(self.model), batch))
        name = "logits" if self.head is None else "last_hidden_state"
        rows, width = batch.input_ids.shape
        step = rows if budget is None else max(budget // width, 1)

        def read(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = getattr(self.model(input_ids=ids, attention_mask=mask), name)
            return found

        forgets = torch.is_grad_enabled() and rows > step
        parts = [
            checkpoint(read, ids, mask, use_reentrant=False) if forgets else read(ids, mask)
            for ids, mask in zip(
                torch.split(batch.input_ids, step),
                torch.split(batch.attention_mask, step),
                strict=True,
            )
        ]
        output = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.head is None:
            return NetworkOutput(output)
        notes = gather_notes(output, batch)
        return NetworkOutput(self.head(notes), notes)

    def train(self, mode: bool = True) -> Network:
        """Training mode, except for an encoder that is frozen."""
        super().train(mode)
        if mode and self.frozen_encoder:
            base_model(self.model).eval()
        return self

    def pad_with(self, pad_id: int) -> None:
        """Tell a model without a padding token which one the batches have.

        A decoder's sequence head reads the last token that is none.
        """
        config: Any = base_model(self.model).config
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = pad_id

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def is_head(self, name: str) -> bool:
        """Whether a parameter belongs to the head (and gets the head's learning rate)."""
        return name.startswith("head.") or "modules_to_save" in name or name in self._plain_head()

    def _plain_head(self) -> set[str]:
        if self.head is not None:
            return set()
        inner, prefix = self.model, "model."
        if is_peft(self.model):
            wrapper: Any = self.model
            inner, prefix = wrapper.get_base_model(), "model.base_model.model."
        prefixes = tuple(f"{prefix}{name}." for name in head_modules(inner))
        return {name for name, _ in self.named_parameters() if name.startswith(prefixes)}


def build_network(
    source: EncoderSource,
    head: HeadSpec,
    adapter: Adapter,
    *,
    seed: int = 0,
    pretrained: bool = True,
) -> Network:
    """Load the encoder, put the head on it and the adapter in it; initialised by `seed`.

    `pretrained=False` takes the encoder's architecture with random weights (the control of a
    transfer experiment).

    Raises:
        EncoderError: there are no such weights, or no known place for adapters.
        ConfigError: an adapter that can't work on token positions (prompt learning).
    """
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        model = load_pretrained(source, head, pretrained=pretrained)
        label_attention = None
        if head.kind == "label_attention":
            label_attention = LabelAttention(hidden_size(model), len(head.outputs))
        if head.prior is not None:
            _start_at_prior(label_attention or model, head.prior)
        frozen = isinstance(adapter, str) and adapter == "frozen"
        wrapped = adapt_model(model, head, adapter, source)
    return Network(wrapped, label_attention, frozen_encoder=frozen)


def gather_notes(hidden: torch.Tensor, batch: WindowBatch) -> NoteStates:
    """Windows' states, shape (windows, length, d), as whole notes: each token once, in order."""
    counts = batch.owned.sum(dim=1)
    per_note = torch.zeros(batch.n_notes, dtype=counts.dtype, device=counts.device)
    per_note = per_note.index_add(0, batch.note_index, counts)
    tokens = hidden[batch.owned]
    longest = max(int(per_note.max()), 1)
    states = tokens.new_zeros(batch.n_notes, longest, hidden.shape[-1])
    mask = torch.arange(longest, device=counts.device)[None] < per_note[:, None]
    # Rows are in note order and mask is row-major, so tokens fall into their places.
    states[mask] = tokens
    return NoteStates(states, mask)


def is_peft(model: nn.Module) -> bool:
    """Whether peft wraps the model."""
    # peft also marks the model it wraps with a peft_config, which proves nothing.
    return hasattr(model, "get_base_model")


def base_model(model: nn.Module) -> nn.Module:
    """The encoder inside a transformers model, with or without peft around it."""
    inner: Any = model
    if is_peft(model):
        inner = inner.get_base_model()
    encoder: nn.Module = inner.base_model
    return encoder


def hidden_size(model: nn.Module) -> int:
    """Numbers in a token's state."""
    config: Any = base_model(model).config
    return int(config.hidden_size)


def head_modules(model: nn.Module) -> list[str]:
    """Names of the modules that make up a stock head.

    Read off the structure: every child with parameters that is not the encoder, and the
    encoder's pooler where it has one, which is trained with the head (many published
    encoders come without its weights).
    """
    encoder = base_model(model)
    names = [
        name
        for name, child in model.named_children()
        if child is not encoder and any(True for _ in child.parameters())
    ]
    if getattr(encoder, "pooler", None) is not None:
        prefix = next(name for name, child in model.named_children() if child is encoder)
        names.append(f"{prefix}.pooler")
    return names


def load_pretrained(
    source: EncoderSource,
    head: HeadSpec,
    *,
    pretrained: bool,
    exact: bool = False,
) -> PreTrainedModel:
    """The transformers model with the head that `head` names, in fp32.

    `exact` demands the head's weights too. Raises `EncoderError` if it can't be loaded whole.
    """
    from transformers import (
        AutoModel,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    auto: Any = {
        "sequence": AutoModelForSequenceClassification,
        "token": AutoModelForTokenClassification,
        "label_attention": AutoModel,
    }[head.kind]
    overrides: dict[str, Any] = {}
    if head.kind != "label_attention":
        overrides["id2label"] = dict(enumerate(head.outputs))
        overrides["label2id"] = {name: i for i, name in enumerate(head.outputs)}
    if head.kind == "sequence":
        overrides["problem_type"] = (
            "multi_label_classification" if head.multi_label else "single_label_classification"
        )
    config = load_config(source, **overrides)
    extra: dict[str, Any] = {}
    if head.kind == "label_attention" and config.model_type in _POOLED:
        extra["add_pooling_layer"] = False
    if not pretrained:
        # In the precision of the pretrained arm, whatever the config says of the weights' own.
        fresh: PreTrainedModel = auto.from_config(
            config, dtype=torch.float32, trust_remote_code=False, **extra
        )
        see_both_sides(fresh, source.name)
        return fresh
    return load_weights(auto, source, config, exact=exact, **extra).model


# Architectures whose bare model has a pooler that label attention would never use.
_POOLED = {"bert", "roberta", "xlm-roberta", "camembert", "longformer"}


def _start_at_prior(head: nn.Module, prior: Sequence[float]) -> None:
    """Set the biases of the last linear layer with one output a label to the log-odds."""
    last = [m for m in head.modules() if isinstance(m, nn.Linear) and len(prior) == m.out_features]
    if last and last[-1].bias is not None:
        with torch.no_grad():
            last[-1].bias.copy_(torch.logit(torch.tensor(prior), eps=1e-4))


def adapt_model(
    model: PreTrainedModel, head: HeadSpec, adapter: Adapter, source: EncoderSource
) -> nn.Module:
    """The model with what `adapter` says made trainable; wrapped by peft, or itself.

    Raises `ConfigError` for adapters that can't work on token positions, `EncoderError` where
    they have no known place.
    """
    if isinstance(adapter, str):
        if adapter not in {"full", "frozen"}:
            raise ConfigError(
                f"adapter {shown_value(adapter)}: choose LoRA(...), a peft config, 'full' or "
                "'frozen'"
            )
        if adapter == "frozen":
            freeze(model, head)
        return model
    import copy

    from peft import TaskType, get_peft_model

    config: Any = (
        lora_config(
            adapter,
            model,
            model.config.model_type,
            reads_first_token=head.kind == "sequence",
        )
        if isinstance(adapter, LoRA)
        else copy.deepcopy(adapter)
    )
    if config.is_prompt_learning:
        raise ConfigError(
            f"{type(config).__name__} puts virtual tokens before the text, which shifts every "
            "token position; use an adapter of the weights (LoRA, IA3, LoHa, …)"
        )
    config.task_type = {
        "sequence": TaskType.SEQ_CLS,
        "token": TaskType.TOKEN_CLS,
        "label_attention": TaskType.FEATURE_EXTRACTION,
        "masked_lm": None,
    }[head.kind]
    if head.kind in ("sequence", "token"):
        names = [name.rsplit(".", 1)[-1] for name in head_modules(model)]
        config.modules_to_save = sorted({*names, *(config.modules_to_save or ())})
    wrapped: nn.Module = get_peft_model(model, config)
    if head.kind == "masked_lm":
        # Its output layer is the encoder's word embeddings, which a copy would not be.
        train_head(model)
    # A path of this machine would be useless, and telling, in a shared adapter.
    config.base_model_name_or_path = hub_name(source)
    config.revision = source.revision
    return wrapped


def freeze(model: nn.Module, head: HeadSpec) -> None:
    """Train the stock head alone, or nothing of a model without one."""
    model.requires_grad_(False)
    if head.kind != "label_attention":
        train_head(model)


def train_head(model: nn.Module) -> None:
    """Make the stock head trainable, weights that it shares with the encoder left out."""
    prefixes = tuple(f"{module}." for module in head_modules(model))
    for name, parameter in model.named_parameters():
        if name.startswith(prefixes):
            parameter.requires_grad_(True)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the notice that the head is new: it always is, and the summary says so.

    Nor with peft's use of a transformers name that is on its way out, which no user can mend.
    """
    from transformers.utils import logging as transformers_logging

    hf_logging: Any = transformers_logging

    level = hf_logging.get_verbosity()
    hf_logging.set_verbosity(logging.ERROR)
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
