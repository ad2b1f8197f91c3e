"""A network as ONNX graphs: writing them, and standing in for the network with them.

`model.onnx` reads windows (`input_ids`, `attention_mask`: windows × length) and gives a stock
head's logits, or token states under label attention. `head.onnx` reads whole notes (`states`:
notes × tokens × d, `mask`: notes × tokens) and gives the labels' logits, with the attention of
the label columns in `labels`. All these sizes are dynamic.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from clinical_tl.errors import EncoderError, MissingExtraError
from clinical_tl.network.heads import Head, LabelAttentionHead, StockHead
from clinical_tl.network.label_attention import NoteStates
from clinical_tl.network.network import Network
from clinical_tl.network.structure import base_model, hidden_size, is_peft

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODEL_FILE = "model.onnx"
GRAPH_HEAD_FILE = "head.onnx"

_EXTRA = "onnx"
_PURPOSE = "running or writing ONNX models"
# Larger protobuf messages than 2 GB can't be: the weights then go into files beside the graph.
_LARGEST_MESSAGE = 1_900_000_000
# A size of 1 would be taken for a constant.
_EXAMPLE = (2, 16)


def write_graphs(network: Network, folder: Path) -> None:
    """Write the network, its adapter folded into the weights, as ONNX graphs in fp32.

    Raises `MissingExtraError` without the extra `[onnx]`, `EncoderError` for an architecture
    whose computation depends on the data in ways that a graph can't hold (Longformer).
    """
    _require("onnx", "onnxscript")
    model: Any = copy.deepcopy(network.model).cpu()
    if is_peft(model):
        model = model.merge_and_unload()
    config: Any = base_model(network.model).config
    with torch.no_grad(), _quiet():
        note_head = isinstance(network.spec, LabelAttentionHead)
        windows = _Windows(model, None if note_head else network.spec, network.head).eval()
        ids = torch.full(_EXAMPLE, 5)
        _export(
            windows,
            {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
            {"input_ids": (0, 1), "attention_mask": (0, 1)},
            ["states" if note_head else "logits"],
            folder / MODEL_FILE,
            config.model_type,
        )
        if not note_head:
            return
        head = _NoteHead(copy.deepcopy(network.head).cpu()).eval()
        _export(
            head,
            {
                "states": torch.zeros(*_EXAMPLE, hidden_size(network.model)),
                "mask": torch.ones(_EXAMPLE, dtype=torch.bool),
                "labels": torch.zeros(2, dtype=torch.long),
            },
            {"states": (0, 1), "mask": (0, 1), "labels": (0,)},
            ["logits", "attention"],
            folder / GRAPH_HEAD_FILE,
            "label attention",
        )


def quantise(folder: Path) -> None:
    """Replace the weights of `model.onnx` by 8-bit integers; `head.onnx` stays as it is.

    Activations are quantised as they come, with one scale a batch: what a note gets then
    depends a little on its neighbours. Raises `MissingExtraError` without the extra `[onnx]`.
    """
    _require("onnx", "onnxruntime")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    file = folder / MODEL_FILE
    draft = folder / "quantised.onnx"
    beside = file.with_name(file.name + ".data")
    with _quiet():
        quantize_dynamic(
            file,
            draft,
            weight_type=QuantType.QInt8,
            use_external_data_format=beside.exists(),
        )
    beside.unlink(missing_ok=True)
    draft.replace(file)


def load_graphs(folder: Path, head: Head, *, threads: int | None = None) -> Network:
    """A network that runs the graphs in `folder` on the CPU, on so many threads (`None`: all).

    `head` is the task's; one of windows is in the graph.

    Raises `MissingExtraError` without the extra `[onnx]`, `EncoderError` for a file that ONNX
    Runtime can't load.
    """
    model = _GraphModel(_session(folder / MODEL_FILE, threads))
    if not (folder / GRAPH_HEAD_FILE).exists():
        # Whatever head of windows it was, the graph gives its logits.
        return Network(model, StockHead(head.outputs, head.multi_label)).eval()
    # What a network asks of its head, done by the graph.
    module = _GraphHead(_session(folder / GRAPH_HEAD_FILE, threads))
    return Network(model, head, module).eval()


class _Windows(nn.Module):
    """What a head of windows says of the model's states, or the states for one of notes."""

    def __init__(self, model: nn.Module, spec: Head | None, head: nn.Module | None) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.head = head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        if self.spec is None:
            states: torch.Tensor = output.last_hidden_state
            return states
        batch: Any = SimpleNamespace(attention_mask=attention_mask)
        network: Any = self
        return self.spec.forward(network, batch, lambda name: getattr(output, name)).logits


class _NoteHead(nn.Module):
    """Logits (notes, labels), and the attention of some labels (notes, m, tokens)."""

    def __init__(self, head: Any) -> None:  # noqa: ANN401  (label attention)
        super().__init__()
        self.head = head

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        keys = torch.tanh(self.head.projection(states))
        scores = keys @ self.head.queries.weight[labels].T
        scores = scores.masked_fill(~mask[..., None], torch.finfo(scores.dtype).min)
        return self.head(NoteStates(states, mask)), scores.softmax(dim=1).transpose(1, 2)


class _GraphModel(nn.Module):
    """`model.onnx` where a network has its transformers model."""

    def __init__(self, session: InferenceSession) -> None:
        super().__init__()
        self.session = session
        self.output = session.get_outputs()[0].name
        # A network is where its parameters are: on the CPU.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        fed = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        (result,) = self.session.run([self.output], fed)
        name = "logits" if self.output == "logits" else "last_hidden_state"
        return SimpleNamespace(**{name: torch.from_numpy(result)})


class _GraphHead(nn.Module):
    """`head.onnx` where a network has its label attention."""

    def __init__(self, session: InferenceSession) -> None:
        super().__init__()
        self.session = session

    def forward(self, notes: NoteStates) -> torch.Tensor:
        return self._run("logits", notes, torch.zeros(1, dtype=torch.long))

    def attention(self, notes: NoteStates, note: int, labels: torch.Tensor) -> torch.Tensor:
        length = int(notes.mask[note].sum())
        own = NoteStates(
            notes.states[note : note + 1, :length], notes.mask[note : note + 1, :length]
        )
        return self._run("attention", own, labels)[0]

    def _run(self, output: str, notes: NoteStates, labels: torch.Tensor) -> torch.Tensor:
        from onnxruntime import RunOptions

        options = RunOptions()
        options.only_execute_path_to_fetches = True
        fed = {
            "states": notes.states.numpy(),
            "mask": notes.mask.numpy(),
            "labels": labels.numpy(),
        }
        (result,) = self.session.run([output], fed, options)
        return torch.from_numpy(result)


def _export(
    module: nn.Module,
    example: dict[str, torch.Tensor],
    dynamic: dict[str, tuple[int, ...]],
    outputs: list[str],
    file: Path,
    what: str,
) -> None:
    n_bytes = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    shapes = {name: dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for name, axes in dynamic.items()}
    export: Callable[..., Any] = torch.onnx.export
    try:
        export(
            module,
            kwargs=example,
            f=file,
            input_names=list(example),
            output_names=outputs,
            dynamic_shapes=shapes,
            dynamo=True,
            external_data=n_bytes > _LARGEST_MESSAGE,
            verbose=False,
        )
    # The exporter's errors have the base classes of many libraries; its messages quote code.
    except Exception as error:
        raise EncoderError(
            f"{what} can't be exported to ONNX ({type(error).__name__}): its computation depends "
            "on the data. Use save_pretrained() or merge(), or train another encoder (BERT, "
            "RoBERTa, ELECTRA, DistilBERT, DeBERTa-v2 and ModernBERT are known to work)"
        ) from error


def _session(file: Path, threads: int | None) -> InferenceSession:
    _require("onnxruntime")
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return InferenceSession(file, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's errors have no base class of their own.
    except Exception as error:
        raise EncoderError(
            f"{file} can't be loaded by ONNX Runtime ({type(error).__name__}); export the model "
            "again, or update onnxruntime"
        ) from error


def _require(*packages: str) -> None:
    import importlib

    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtraError(package, _EXTRA, _PURPOSE) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notices and the code they print, which no user can mend."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
