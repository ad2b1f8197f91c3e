"""Running a network over notes of any length: in length-sorted batches, results in input order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_tl.schema import Note, Prediction
from clinical_tl.tasks.task import (
    DecidesNotes,
    HidesInputs,
    ReadsExamples,
    examples_of,
    join_examples,
)
from clinical_tl.text.batches import build_items, collate, plan_batches
from clinical_tl.text.visible import can_be_read, has_text, tell_unread

if TYPE_CHECKING:
    from clinical_tl.models.network import Network
    from clinical_tl.tasks.task import Task
    from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote
    from clinical_tl.text.windows import Windowing

# Long enough that a person waits for it.
PROGRESS_FROM_BATCHES = 8
# What is hidden of held-out notes never changes, so that scores can be compared.
HELD_OUT_SEED = 0


@dataclass(frozen=True)
class ReadNotes:
    """What a network made of notes: for each example the pieces that its task collected.

    `loss` is the summed loss of the `decisions` that the notes' own annotation settles, where
    it was asked for.
    """

    examples: Sequence[Sequence[Note]]
    read: Sequence[Note]
    tokens: Sequence[TokenisedNote]
    pieces: Mapping[int, list[Any]]
    loss: float = 0.0
    decisions: int = 0


def predict_notes(
    network: Network,
    task: Task,
    tokenizer: NoteTokenizer,
    windowing: Windowing,
    notes: Sequence[Note],
    *,
    batch_tokens: int | None = None,
    progress: bool = True,
    autocast: AbstractContextManager[Any] | None = None,
    fold: bool = True,
) -> list[Prediction]:
    """One prediction a note, in the notes' order; arguments as of `run_network`."""
    found = run_network(
        network,
        task,
        tokenizer,
        windowing,
        notes,
        batch_tokens=batch_tokens,
        progress=progress,
        autocast=autocast,
        fold=fold,
    )
    return decode_notes(task, notes, found)


def decode_notes(task: Task, notes: Sequence[Note], found: ReadNotes) -> list[Prediction]:
    """What the task says of the notes, from what was read in them."""
    predictions = decode_read(task, found.read, found.tokens, found.pieces)
    if isinstance(task, ReadsExamples):
        tell_unread(note for note in notes if not has_text(note.text))
    return join_examples(task, notes, found.examples, predictions)


def decode_read(
    task: Task,
    notes: Sequence[Note],
    tokens: Sequence[TokenisedNote],
    pieces: Mapping[int, list[Any]],
) -> list[Prediction]:
    """The predictions for notes from what the task collected of each.

    Of a note with nothing to read the network would say what it says of its own special tokens,
    and surely: nothing is decided there (`DecidesNotes.unread`), which is said.
    """
    unread = {
        i
        for i, (note, own) in enumerate(zip(notes, tokens, strict=True))
        if isinstance(task, DecidesNotes) and not can_be_read(note.text, own)
    }
    tell_unread(notes[i] for i in sorted(unread))
    return [
        task.unread(note.note_id)
        if i in unread and isinstance(task, DecidesNotes)
        else task.decode(note, own, pieces[i])
        for i, (note, own) in enumerate(zip(notes, tokens, strict=True))
    ]


def run_network(
    network: Network,
    task: Task,
    tokenizer: NoteTokenizer,
    windowing: Windowing,
    notes: Sequence[Note],
    *,
    batch_tokens: int | None = None,
    progress: bool = True,
    autocast: AbstractContextManager[Any] | None = None,
    fold: bool = True,
    with_loss: bool = False,
) -> ReadNotes:
    """What the task collects of each note, before it is decoded.

    A note's prediction does not depend on its neighbours: padding is masked, and what a
    batch holds is decided by length alone. `batch_tokens` is chosen by the device where it is
    `None`. With `fold` LoRA weights are read folded into the encoder's, `with_loss` also asks for
    the loss on the notes' annotation. The network's mode is restored afterwards.
    """
    import torch
    from tqdm import tqdm

    from clinical_tl.models.device import batch_tokens_for
    from clinical_tl.models.folding import folded

    batch_tokens = batch_tokens or batch_tokens_for(network.device)

    examples = examples_of(task, notes, training=False)
    read = [example for own in examples for example in own]
    tokens = tokenizer.encode([note.text for note in read])
    hides = isinstance(task, HidesInputs)
    targets = task.targets(read, tokens) if hides or with_loss else []
    loss, decisions = 0.0, 0
    items = build_items(
        tokens, windowing, n_special=tokenizer.n_special, whole_notes=task.whole_notes
    )
    batches = plan_batches(items, budget=batch_tokens, n_special=tokenizer.n_special)
    pieces: dict[int, list[Any]] = defaultdict(list)
    mode = network.training
    reader = folded(network) if fold else network
    reader.eval()
    try:
        with (
            torch.inference_mode(),
            autocast or nullcontext(),
            tqdm(
                total=sum(len(batch) for batch in batches),
                desc="predicting",
                unit="note" if task.whole_notes else "window",
                disable=not progress or len(batches) < PROGRESS_FROM_BATCHES,
                leave=False,
            ) as bar,
        ):
            for batch in batches:
                inputs = collate([items[i] for i in batch], tokens, tokenizer, windowing)
                inputs = inputs.to(network.device)
                if isinstance(task, HidesInputs):
                    inputs = task.corrupt(inputs, targets, HELD_OUT_SEED)
                output = reader(inputs, budget=batch_tokens)
                if with_loss:
                    logits, gold = task.decisions(output, inputs, targets)
                    # What training never saw has no output to be wrong in.
                    known = gold >= 0 if gold.ndim == 1 else slice(None)
                    losses = task.losses(logits[known], gold.to(logits.device)[known])
                    loss += float(losses.double().sum())
                    decisions += losses.numel()
                for note, piece in task.collect(reader, output, inputs):
                    pieces[note].append(piece)
                bar.update(len(batch))
    finally:
        network.train(mode)
    return ReadNotes(examples, read, tokens, pieces, loss, decisions)
