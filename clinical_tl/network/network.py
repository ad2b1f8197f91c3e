"""Encoder, adapter and head as one trainable module; transformers' and peft's quirks end here."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from clinical_tl.network.adapter import Adapter, check_adapter, lora_config
from clinical_tl.network.encoder import EncoderSource, hub_name, load_config
from clinical_tl.network.heads import Head, NetworkOutput, start_at_prior
from clinical_tl.network.lora import LoRA
from clinical_tl.network.structure import base_model, is_peft
from clinical_tl.text.batches import WindowBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Network(nn.Module):
    """A transformers model (wrapped by peft where there is an adapter) and its head.

    `head` is the head's own module, `None` where it is the transformers model's. With
    `frozen_encoder` the encoder stays in evaluation mode while the head trains: its features
    are then the same in every epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: Head,
        head: nn.Module | None = None,
        *,
        frozen_encoder: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.head: Any = head
        self.frozen_encoder = frozen_encoder

    def forward(self, batch: WindowBatch, *, budget: int | None = None) -> NetworkOutput:
        """Run one batch; see `NetworkOutput` for the shapes.

        With a `budget` of tokens the encoder reads at most so many at a time (at least one
        window): what bounds memory where one note has more windows than fit. In training the
        parts' activations are computed again in the backward pass instead of being kept.
        """
        rows, width = batch.input_ids.shape
        step = rows if budget is None else max(budget // width, 1)
        forgets = torch.is_grad_enabled() and rows > step

        def read(name: str) -> torch.Tensor:
            def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
                found: torch.Tensor = getattr(self.model(input_ids=ids, attention_mask=mask), name)
                return found

            parts = [
                checkpoint(run, ids, mask, use_reentrant=False) if forgets else run(ids, mask)
                for ids, mask in zip(
                    torch.split(batch.input_ids, step),
                    torch.split(batch.attention_mask, step),
                    strict=True,
                )
            ]
            return parts[0] if len(parts) == 1 else torch.cat(parts)

        return self.spec.forward(self, batch, read)

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
    def auto_class(self) -> str | None:
        """The class of transformers that loads the saved model with its head, if one can."""
        return self.spec.auto_class

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
        inner, prefix = self.model, "model."
        if is_peft(self.model):
            wrapper: Any = self.model
            inner, prefix = wrapper.get_base_model(), "model.base_model.model."
        prefixes = tuple(f"{prefix}{name}." for name in self.spec.modules(inner))
        return {name for name, _ in self.named_parameters() if name.startswith(prefixes)}


def build_network(
    source: EncoderSource,
    head: Head,
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
        head = head.fitted(load_config(source))
        model = head.load(source, pretrained=pretrained, exact=False)
        module = head.module(model)
        if head.prior is not None:
            start_at_prior(module or model, head.prior, independent=head.multi_label)
        frozen = isinstance(adapter, str) and adapter == "frozen"
        wrapped = adapt_model(model, head, adapter, source)
    return Network(wrapped, head, module, frozen_encoder=frozen)


def adapt_model(
    model: PreTrainedModel, head: Head, adapter: Adapter, source: EncoderSource
) -> nn.Module:
    """The model with what `adapter` says made trainable; wrapped by peft, or itself.

    Raises `ConfigError` for adapters that can't work on token positions, `EncoderError` where
    they have no known place.
    """
    check_adapter(adapter)
    if isinstance(adapter, str):
        if adapter == "frozen":
            model.requires_grad_(False)
            head.unfreeze(model)
        return model
    import copy

    from peft import get_peft_model

    config: Any = (
        lora_config(
            adapter,
            model,
            model.config.model_type,
            reads_first_token=head.reads_first_token,
        )
        if isinstance(adapter, LoRA)
        else copy.deepcopy(adapter)
    )
    config.task_type = head.peft_task
    copied = head.copied(model)
    if copied:
        config.modules_to_save = sorted({*copied, *(config.modules_to_save or ())})
    wrapped: nn.Module = get_peft_model(model, config)
    if not copied:
        head.unfreeze(model)
    # A path of this machine would be useless, and telling, in a shared adapter.
    config.base_model_name_or_path = hub_name(source)
    config.revision = source.revision
    return wrapped


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
