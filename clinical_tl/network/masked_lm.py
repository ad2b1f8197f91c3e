"""Masked-language-model heads: loading or making one, and reading it at masked tokens only.

Logits over a whole vocabulary are the dearest part of a step; they are computed for the
masked tokens alone, by whatever head the architecture has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from clinical_tl.errors import EncoderError, shown_path
from clinical_tl.network.encoder import EncoderSource, load_config
from clinical_tl.network.pretrained import load_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from clinical_tl.text.batches import WindowBatch


@dataclass(frozen=True)
class MaskedLM:
    """A transformers masked language model, and whether its head came with the encoder.

    A head that did not come is new but for its output layer, which is the encoder's own
    (tied) word embeddings.
    """

    model: PreTrainedModel
    pretrained_head: bool


def load_masked_lm(source: EncoderSource) -> MaskedLM:
    """The encoder with its masked-language-model head, in fp32.

    Raises `EncoderError` for an architecture without such a head.
    """
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoModelForMaskedLM

    config = load_config(source)
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
        raise EncoderError(
            f"the encoder {shown_path(source.name)!r} ({config.model_type!r}) has no "
            "masked-language-model "
            "head in transformers; adapt an encoder of the BERT, RoBERTa, DeBERTa-v2, ELECTRA, "
            "DistilBERT, ModernBERT or Longformer family"
        )
    loaded = load_weights(AutoModelForMaskedLM, source, config)
    model, missing = loaded.model, loaded.new
    # transformers leaves some of them (Longformer's) as the memory happened to be.
    with torch.no_grad():
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if name in missing and name.endswith("bias"):
                parameter.zero_()
    weights = [name for name in missing if name.endswith("weight") and "decoder" not in name]
    return MaskedLM(model, pretrained_head=not weights)


@torch.no_grad()
def start_at_frequencies(model: PreTrainedModel, counts: torch.Tensor) -> None:
    """Give a new head's output biases the log-frequencies of the tokens, `counts` (vocabulary,).

    A head that starts from equal odds spends its first hundreds of steps learning them.
    """
    untyped: Any = model
    output = untyped.get_output_embeddings()
    if output is not None and output.bias is not None:
        smoothed = counts.double() + 1
        output.bias.copy_((smoothed / smoothed.sum()).log().to(output.bias))


def masked_logits(model: nn.Module, encoder: nn.Module, batch: WindowBatch) -> torch.Tensor:
    """Logits at the masked tokens of a batch, in row order, shape (masked tokens, vocabulary)."""
    if batch.hidden_ids is None:
        raise ValueError("a batch without masked tokens can't be given to a masked LM")
    output = encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    chosen = output.last_hidden_state[batch.hidden_ids >= 0][None]
    if not chosen.shape[1]:
        nothing: torch.Tensor = chosen.new_zeros(0, _vocabulary(model))
        return nothing
    with _answering(encoder, replace(output, last_hidden_state=chosen)):
        # The head works token by token: it takes the masked ones for a text of their own.
        logits: torch.Tensor = model(input_ids=batch.input_ids.new_zeros(chosen.shape[:2])).logits
    return logits[0]


def _vocabulary(model: nn.Module) -> int:
    """Outputs of the head."""
    inner: Any = model
    return int(inner.config.vocab_size)


@contextmanager
def _answering(encoder: nn.Module, output: object) -> Iterator[None]:
    """Within, the encoder answers with `output`, whatever it is asked."""
    target: Any = encoder
    target.forward = lambda *_, **__: output
    try:
        yield
    finally:
        del target.forward
