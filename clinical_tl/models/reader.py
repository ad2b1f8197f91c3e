"""The one place where notes become batches and what a network says of them becomes predictions.

A `Reader` holds what always travels together. Notes are read a chunk at a time, each chunk in
batches of like length, and come out in the order they went in: memory is bounded by the chunk,
whatever the corpus. Training, every kind of model, adaptation and the audit hold one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from clinical_tl.schema import Note, Prediction
from clinical_tl.tasks.abilities import (
    DecidesNotes,
    HidesInputs,
    ReadsExamples,
    examples_of,
    join_examples,
)
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task import Task
from clinical_tl.text.batches import WindowedNotes
from clinical_tl.text.visible import can_be_read, has_text, tell_unread

if TYPE_CHECKING:
    import torch

    from clinical_tl.estimators.lexical_classifier import LexicalClassifier
    from clinical_tl.network.heads import NetworkOutput
    from clinical_tl.network.network import Network
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import NoteTokenizer
    from clinical_tl.text.windows import Windowing

CHUNK = 2048
"""Notes in memory at once, with their tokens and what the network said of them."""
# Seconds after which a person waits, and wants to know for how long.
PROGRESS_AFTER = 1.0
# What is hidden of held-out notes never changes, so that scores can be compared.
HELD_OUT_SEED = 0


@dataclass(frozen=True)
class EncodedNotes:
    """Notes as a network reads them: the examples of each, all in turn, and their windows."""

    examples: Sequence[Sequence[Note]]
    read: Sequence[Note]
    windowed: WindowedNotes


@dataclass(frozen=True)
class ReadNotes:
    """What a network made of notes: for each example the pieces that its task collected.

    `loss` is the summed loss of the `decisions` that the notes' own annotation settles, where
    it was asked for.
    """

    encoded: EncodedNotes
    pieces: Mapping[int, list[Any]]
    loss: float = 0.0
    decisions: int = 0


@dataclass(frozen=True)
class Reader:
    """A network, its task, and the tokenizer and windows that it reads with."""

    network: Network
    task: Task
    tokenizer: NoteTokenizer
    windowing: Windowing
    lexical: LexicalClassifier | None = None
    """What the notes' words add to the logits, in prediction."""

    def encode(self, notes: Sequence[Note], *, training: bool = False) -> EncodedNotes:
        """The notes' examples, tokens and windows; in training perhaps a sample of examples."""
        examples = examples_of(self.task, notes, training=training)
        read = [example for own in examples for example in own]
        tokens = self.tokenizer.encode([note.text for note in read])
        windowed = WindowedNotes.of(
            tokens, self.tokenizer, self.windowing, whole_notes=self.task.whole_notes
        )
        return EncodedNotes(examples, read, windowed)

    def predict(
        self,
        notes: Iterable[Note],
        *,
        batch_tokens: int | None = None,
        progress: bool = True,
        autocast: AbstractContextManager[Any] | None = None,
        fold: bool = True,
    ) -> Iterator[Prediction]:
        """One prediction a note, in the notes' order; they may be a stream. Settings as of `read`.

        A note's prediction does not depend on its neighbours: padding is masked, and what a
        batch holds is decided by length alone.
        """
        for (prediction,) in predict_together(
            [self],
            notes,
            batch_tokens=batch_tokens,
            progress=progress,
            autocast=autocast,
            fold=fold,
        ):
            yield prediction

    def read(
        self,
        notes: Sequence[Note],
        *,
        batch_tokens: int | None = None,
        progress: bool = True,
        autocast: AbstractContextManager[Any] | None = None,
        fold: bool = True,
        with_loss: bool = False,
        encoded: EncodedNotes | None = None,
    ) -> ReadNotes:
        """What the task collects of each of some notes, all at once, before it is decoded.

        `encoded` is what `encode` made of these notes, where they are read more than once.

        `batch_tokens` is chosen by the device where it is `None`. With `fold` LoRA weights are
        read folded into the encoder's, `with_loss` also asks for the loss on the notes'
        annotation. The network's mode is restored afterwards.
        """
        with _bar(len(notes), disable=not progress) as bar:
            (found,) = read_together(
                [self],
                notes,
                bar,
                batch_tokens=batch_tokens,
                autocast=autocast,
                fold=fold,
                with_loss=with_loss,
                encoded=encoded,
            )
        return found

    def word_logits(self, notes: Sequence[Note]) -> torch.Tensor | None:
        """What the words of the examples add to their logits, shape (examples, outputs)."""
        if self.lexical is None:
            return None
        import torch

        from clinical_tl.models.lexical_part import lexical_logits

        texts = [note.text for note in notes]
        found = lexical_logits(self.lexical, texts, len(self.task.labels))
        return torch.from_numpy(found).to(self.network.device)

    def decisions(
        self, notes: Sequence[Note]
    ) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
        """What the notes' annotation settles, a batch of whole notes at a time.

        The positions of the batch's examples, the logits (n, outputs) of what is decided in
        them, and its gold. The network is read in evaluation mode, as it is.
        """
        import torch

        from clinical_tl.network.device import batch_tokens_for

        network = self.network
        device, mode = network.device, network.training
        encoded = self.encode(notes)
        tokens = encoded.windowed.tokens
        windowed = WindowedNotes.of(tokens, self.tokenizer, self.windowing, whole_notes=True)
        targets = self.task.targets(encoded.read, tokens)
        budget = batch_tokens_for(device)
        network.eval()
        try:
            for positions in windowed.plan(budget):
                inputs = windowed.batch(positions).to(device)
                with torch.inference_mode():
                    output = network(inputs, budget=budget)
                    logits, gold = self.task.decisions(output, inputs, targets)
                yield list(inputs.notes), logits.float().cpu(), gold.cpu()
        finally:
            network.train(mode)

    def decode(self, notes: Sequence[Note], found: ReadNotes) -> list[Prediction]:
        """What the task says of the notes, from what was read in them."""
        predictions, unread = self._decode(notes, found)
        tell_unread(unread)
        return predictions

    def losses(self, notes: Sequence[Note]) -> npt.NDArray[np.float64]:
        """The mean loss of what is decided in each note, shape (notes,); NaN where nothing is.

        Decisions on labels not seen in training are left out, and class weights, which would make
        notes of rare labels look forgotten.
        """
        plain = self
        if isinstance(self.task, NoteTask):
            plain = replace(self, task=self.task.weighted(None))
        means = []
        for note in notes:
            found = plain.read([note], progress=False, fold=False, with_loss=True)
            means.append(found.loss / found.decisions if found.decisions else np.nan)
        return np.array(means, dtype=np.float64)

    def _decode(
        self, notes: Sequence[Note], found: ReadNotes
    ) -> tuple[list[Prediction], list[Note]]:
        """The predictions, and the notes with nothing to read.

        Of such a note the network would say what it says of its own special tokens, and surely:
        nothing is decided there (`DecidesNotes.unread`).
        """
        task, encoded = self.task, found.encoded
        tokens = encoded.windowed.tokens
        blank = [
            isinstance(task, DecidesNotes) and not can_be_read(example.text, own)
            for example, own in zip(encoded.read, tokens, strict=True)
        ]
        predictions = [
            task.unread(example.note_id)
            if blank[i] and isinstance(task, DecidesNotes)
            else task.decode(example, own, found.pieces[i])
            for i, (example, own) in enumerate(zip(encoded.read, tokens, strict=True))
        ]
        unread = [
            example for example, is_blank in zip(encoded.read, blank, strict=True) if is_blank
        ]
        if isinstance(task, ReadsExamples):
            # A note without an example has none to be blank.
            unread += [note for note in notes if not has_text(note.text)]
        return join_examples(task, notes, encoded.examples, predictions), unread


def predict_together(
    readers: Sequence[Reader],
    notes: Iterable[Note],
    *,
    batch_tokens: int | None = None,
    progress: bool = True,
    autocast: AbstractContextManager[Any] | None = None,
    fold: bool = True,
) -> Iterator[tuple[Prediction, ...]]:
    """For each note in turn one prediction a reader; all read the same batches.

    They must have the same tokenizer and windows, and tasks that read notes as they are.
    """
    # What is hidden of a note depends on its place among all of them.
    whole = any(isinstance(reader.task, HidesInputs) for reader in readers)
    unread: list[Note] = []
    stream = iter(notes)
    total = len(notes) if isinstance(notes, Sized) else None
    with _bar(total, disable=not progress) as bar:
        while chunk := list(stream if whole else islice(stream, CHUNK)):
            found = read_together(
                readers, chunk, bar, batch_tokens=batch_tokens, autocast=autocast, fold=fold
            )
            predictions = []
            for reader, own in zip(readers, found, strict=True):
                said, blank = reader._decode(chunk, own)  # noqa: SLF001  (its own)
                predictions.append(said)
                unread += blank
            yield from zip(*predictions, strict=True)
    tell_unread(unread)


def read_together(
    readers: Sequence[Reader],
    notes: Sequence[Note],
    bar: tqdm[Any],
    *,
    batch_tokens: int | None = None,
    autocast: AbstractContextManager[Any] | None = None,
    fold: bool = True,
    with_loss: bool = False,
    encoded: EncodedNotes | None = None,
) -> list[ReadNotes]:
    """For each reader what it makes of the notes; settings as of `Reader.read`.

    Frozen blocks that several readers' encoders share run once a batch.
    """
    import torch

    from clinical_tl.network.device import batch_tokens_for
    from clinical_tl.network.folding import folded
    from clinical_tl.network.shared_encoder import shared_blocks_run_once
    from clinical_tl.network.structure import base_model

    first = readers[0]
    device = first.network.device
    budget = batch_tokens or batch_tokens_for(device)
    encoded = encoded or first.encode(notes)
    windowed = encoded.windowed
    if any(reader.task.whole_notes for reader in readers) and not first.task.whole_notes:
        # Where one task decides whole notes, all can read them whole.
        windowed = WindowedNotes.of(
            windowed.tokens, first.tokenizer, first.windowing, whole_notes=True
        )
        encoded = replace(encoded, windowed=windowed)
    asks = [with_loss or isinstance(reader.task, HidesInputs) for reader in readers]
    targets = [
        reader.task.targets(encoded.read, windowed.tokens) if needed else []
        for reader, needed in zip(readers, asks, strict=True)
    ]
    pieces: list[dict[int, list[Any]]] = [defaultdict(list) for _ in readers]
    loss, decisions = [0.0] * len(readers), [0] * len(readers)
    modes = [reader.network.training for reader in readers]
    words = [reader.word_logits(encoded.read) for reader in readers]
    networks = [folded(reader.network) if fold else reader.network for reader in readers]
    encoders = [base_model(n.model) for n in networks] if len(readers) > 1 else []
    for network in networks:
        network.eval()
    read = told = 0
    try:
        with torch.inference_mode(), autocast or nullcontext():
            for positions in windowed.plan(budget):
                inputs = windowed.batch(positions).to(device)
                with shared_blocks_run_once(encoders):
                    for i, (reader, network) in enumerate(zip(readers, networks, strict=True)):
                        task, shown = reader.task, inputs
                        if isinstance(task, HidesInputs):
                            shown = task.corrupt(inputs, targets[i], HELD_OUT_SEED)
                        output = with_offsets(network(shown, budget=budget), shown, words[i])
                        if with_loss:
                            logits, gold = task.decisions(output, shown, targets[i])
                            # What training never saw has no output to be wrong in.
                            known = gold >= 0 if gold.ndim == 1 else slice(None)
                            losses = task.losses(logits[known], gold.to(logits.device)[known])
                            loss[i] += float(losses.double().sum())
                            decisions[i] += losses.numel()
                        for note, piece in task.collect(network, output, shown):
                            pieces[i][note].append(piece)
                read += len(positions)
                bar.update(read * len(notes) // len(windowed.items) - told)
                told = read * len(notes) // len(windowed.items)
    finally:
        for reader, mode in zip(readers, modes, strict=True):
            reader.network.train(mode)
    return [
        ReadNotes(encoded, *of_reader) for of_reader in zip(pieces, loss, decisions, strict=True)
    ]


def with_offsets(
    output: NetworkOutput, batch: WindowBatch, offsets: torch.Tensor | None
) -> NetworkOutput:
    """The output with the notes' offsets, shape (examples, outputs), added to its logits.

    Every window of a note gets the note's, which pooling leaves as they are.
    """
    if offsets is None:
        return output
    rows = offsets[list(batch.notes)]
    if output.states is None:
        rows = rows[batch.note_index]
    return replace(output, logits=output.logits + rows)


def _bar(total: int | None, *, disable: bool) -> tqdm[Any]:
    return tqdm(
        total=total,
        desc="predicting",
        unit="note",
        disable=disable,
        leave=False,
        delay=PROGRESS_AFTER,
    )
