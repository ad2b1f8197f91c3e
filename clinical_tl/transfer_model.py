"""`TransferModel`: a pretrained encoder adapted to one clinical task."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clinical_tl.artifact import read_artifact, read_metrics, write_artifact
from clinical_tl.data import icd10
from clinical_tl.errors import ArtifactError, ConfigError, EncoderError, NoteError
from clinical_tl.hub import push_folder
from clinical_tl.models.adapter import Adapter
from clinical_tl.models.encoder import EncoderSource, find_encoder, load_config, max_positions
from clinical_tl.models.lora import LoRA
from clinical_tl.models.network import Network, base_model, build_network
from clinical_tl.models.saved_network import (
    HEAD_FILE,
    adapter_kind,
    load_network,
    merged_model,
    save_network,
)
from clinical_tl.prediction import DEFAULT_BATCH_TOKENS, predict_notes
from clinical_tl.schema import Note, Notes, Prediction, as_notes
from clinical_tl.tasks import TASKS
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.text.batches import build_items, collate, plan_batches
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.windows import Windowing

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Scores, Task

WINDOW = 512
OVERLAP = 64


class TransferModel:
    """An encoder, an adapter and a head for a task, with the tokenizer and windows they use.

    Build one with `from_pretrained`, train it with `clinical_tl.fit`, then `predict`,
    `evaluate`, `save_pretrained`; `load` brings it back.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        tokenizer: NoteTokenizer,
        windowing: Windowing,
        source: EncoderSource,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        self.network = network
        self.task = task
        self.tokenizer = tokenizer
        self.windowing = windowing
        self.source = source
        self.metrics = metrics or {}

    @classmethod
    def from_pretrained(
        cls,
        encoder: str | Path,
        task: Task,
        *,
        adapter: Adapter | None = None,
        revision: str | None = None,
        window: int | None = None,
        overlap: int | None = None,
        seed: int = 0,
        pretrained: bool = True,
    ) -> TransferModel:
        """A pretrained encoder made ready for a task, not yet trained.

        Args:
            encoder: a folder, a Hub id, or `"offline"` (extra `[offline]`).
            task: fitted on the training notes, e.g. `EntityRecognition.from_notes(train)`.
            adapter: `LoRA(...)` (the default), any peft config, `"full"` to train all
                weights, `"frozen"` to train the head alone.
            revision: of the Hub id.
            window: tokens a window, special ones included; by default 512, or what the
                encoder's positions allow if that is less.
            overlap: tokens that neighbouring windows share; by default 64, or an eighth of a
                window where that is less.
            seed: of the new weights (head, adapter).
            pretrained: `False` starts from random weights, the control of a transfer
                experiment.

        Raises:
            EncoderError: the encoder can't be found, verified or adapted.
            ConfigError: windows longer than the encoder's positions, or a wrong adapter.
        """
        source = find_encoder(encoder, revision=revision)
        tokenizer = NoteTokenizer.from_pretrained(source.path, revision=revision)
        windowing = _windowing(source, tokenizer, window, overlap)
        network = build_network(
            source, task.head_spec, adapter or LoRA(), seed=seed, pretrained=pretrained
        )
        model = cls(network, task, tokenizer, windowing, source)
        if network.head is not None and isinstance(task, DiagnosisCoding) and task.describe_labels:
            network.head.initialise(model.embed_texts(_descriptions(task)))
        return model

    @classmethod
    def load(cls, folder: str | Path, *, encoder: str | Path | None = None) -> TransferModel:
        """The model that `save_pretrained` wrote.

        `encoder` names another place for the same encoder (a local copy behind a firewall);
        its weights must have the hash of those the model was trained on.

        Raises `ArtifactError` for a folder that is damaged, incompatible, or whose encoder is
        not the one it was trained on; `EncoderError` if that can't be found.
        """
        folder = Path(folder)
        description = read_artifact(folder)
        saved = description["encoder"]
        needs_encoder = description["adapter"] == "peft" or (folder / HEAD_FILE).exists()
        try:
            kind = description["task"]["kind"]
            task = TASKS[kind].from_dict(description["task"])
            windowing = Windowing(**description["windowing"])
        except (KeyError, TypeError, ConfigError) as error:
            raise ArtifactError(
                f"{folder}: task.json does not describe a task this version knows "
                f"({', '.join(TASKS)}); save the model again"
            ) from error
        if needs_encoder and description["adapter"] != "full":
            source = find_encoder(encoder or saved["name"], revision=saved["revision"])
            if source.sha256 != saved["sha256"]:
                raise ArtifactError(
                    f"{folder} was trained on the encoder {saved['name']!r} with weights of "
                    f"SHA-256 {saved['sha256']}, but those of {source.name!r} have "
                    f"{source.sha256}; name the right encoder with load(..., encoder=...)"
                )
            source = replace(source, name=saved["name"])
        else:
            source = EncoderSource(saved["name"], str(folder), saved["revision"], saved["sha256"])
        network = load_network(source, task.head_spec, description["adapter"], folder)
        tokenizer = NoteTokenizer.from_pretrained(folder)
        model = cls(network, task, tokenizer, windowing, source, read_metrics(folder))
        model.network.eval()
        return model

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model as a plain folder (`clinical_tl.artifact` lists its files).

        The folder is complete or not there at all; of several processes the first writes it.
        Raises `ArtifactError` if it holds something else.
        """
        from accelerate import PartialState

        folder = Path(folder)
        processes = PartialState()
        if processes.is_main_process:
            self._write(folder)
        processes.wait_for_everyone()
        return folder

    def _write(self, folder: Path) -> None:
        from clinical_tl import __version__
        from clinical_tl.model_card import model_card

        def write_files(draft: Path) -> None:
            save_network(self.network, draft)
            self.tokenizer.save_pretrained(draft)

        description = {
            "package_version": __version__,
            "task": self.task.to_dict(),
            "encoder": self.source.to_dict(),
            "adapter": adapter_kind(self.network),
            "windowing": asdict(self.windowing),
        }
        write_artifact(
            folder,
            description,
            metrics=self.metrics,
            card=model_card(description, self.metrics),
            write_files=write_files,
        )

    def push_to_hub(self, repo_id: str, *, private: bool = True, token: str | None = None) -> str:
        """Save the model and upload it in one commit, private by default; returns its address.

        Needs the network. Raises `ArtifactError` for an adapter of a local encoder.
        """
        with tempfile.TemporaryDirectory() as draft:
            folder = self.save_pretrained(Path(draft) / "model")
            return push_folder(folder, repo_id, private=private, token=token)

    def merge(self, folder: str | Path) -> Path:
        """Write a plain transformers folder, the adapter folded into the weights.

        `transformers.pipeline` runs it; of a long note it reads what fits one window. Raises
        `ArtifactError` for a label-attention head.
        """
        folder = Path(folder)
        merged_model(self.network).save_pretrained(str(folder))
        self.tokenizer.save_pretrained(folder)
        return folder

    def predict(
        self,
        notes: Notes | Sequence[Note] | Sequence[str],
        *,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        precision: str = "no",
        progress: bool = True,
    ) -> list[Prediction]:
        """One `Prediction` a note or text, in input order; notes may have any length.

        `batch_tokens` bounds memory, `precision="bf16"` trades exactness for speed.
        """
        if precision not in ("no", "bf16"):
            raise ConfigError(f"precision {precision!r}: predict with 'no' or 'bf16'")
        autocast = (
            torch.autocast(self.network.device.type, dtype=torch.bfloat16)
            if precision == "bf16"
            else nullcontext()
        )
        return predict_notes(
            self.network,
            self.task,
            self.tokenizer,
            self.windowing,
            as_notes(notes),
            batch_tokens=batch_tokens,
            progress=progress,
            autocast=autocast,
        )

    def evaluate(
        self,
        notes: Notes | Sequence[Note],
        *,
        name: str = "test",
        **predicting: Any,  # noqa: ANN401
    ) -> Scores:
        """Predict annotated notes and score them; the summary is kept in `metrics[name]`."""
        records = as_notes(notes)
        if not records:
            raise NoteError("there are no notes to evaluate; give at least one annotated note")
        scores = self.task.evaluate(records, self.predict(records, **predicting))
        self.metrics[name] = scores.summary()
        return scores

    def summary(self) -> str:
        """One paragraph: encoder, task, windows, and how many parameters are trained."""
        total = sum(p.numel() for p in self.network.parameters())
        trained = self.trainable_parameters
        head = sum(
            p.numel() for n, p in self.network.trainable().items() if self.network.is_head(n)
        )
        return (
            f"{type(self.task).__name__} with {len(self.task.labels)} labels on "
            f"{self.source.name} ({adapter_kind(self.network)})\n"
            f"trainable parameters: {trained:,} of {total:,} ({100 * trained / total:.2f} %), "
            f"{head:,} of them in the head\n"
            f"windows: {self.windowing.length} tokens, overlapping by {self.windowing.overlap}"
        )

    @property
    def trainable_parameters(self) -> int:
        """How many numbers training changes."""
        return sum(p.numel() for p in self.network.trainable().values())

    def __repr__(self) -> str:
        return f"<TransferModel: {self.summary()}>"

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Mean token states of the encoder's last layer for short texts, shape (texts, d)."""
        tokens = self.tokenizer.encode(texts)
        n_special = self.tokenizer.n_special
        items = build_items(tokens, self.windowing, n_special=n_special, whole_notes=True)
        encoder = base_model(self.network.model)
        mode = encoder.training
        encoder.eval()
        rows: dict[int, torch.Tensor] = {}
        for batch in plan_batches(items, budget=DEFAULT_BATCH_TOKENS, n_special=n_special):
            inputs = collate([items[i] for i in batch], tokens, self.tokenizer)
            inputs = inputs.to(self.network.device)
            hidden = encoder(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask
            ).last_hidden_state
            for row, note in enumerate(inputs.notes):
                own = hidden[inputs.note_index == row][inputs.owned[inputs.note_index == row]]
                rows[note] = own.mean(dim=0) if len(own) else hidden.new_zeros(hidden.shape[-1])
        encoder.train(mode)
        return torch.stack([rows[i] for i in range(len(texts))])


def _windowing(
    source: EncoderSource, tokenizer: NoteTokenizer, window: int | None, overlap: int | None
) -> Windowing:
    limits = [n for n in (max_positions(load_config(source)), tokenizer.max_length) if n]
    limit = min(limits, default=None)
    if window is None:
        window = WINDOW if limit is None else min(WINDOW, limit)
    if limit is not None and window > limit:
        raise ConfigError(
            f"window={window}, but the encoder {source.name!r} reads {limit} tokens at most; "
            "longer notes are read in several windows"
        )
    if window <= tokenizer.n_special:
        raise EncoderError(f"the encoder {source.name!r} reads {window} tokens only; too few")
    return Windowing(window, min(OVERLAP, window // 8) if overlap is None else overlap)


def _descriptions(task: DiagnosisCoding) -> list[str]:
    if task.level == "chapter":
        return list(task.labels)
    return [icd10.description(code) or code for code in task.labels]
