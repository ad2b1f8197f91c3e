"""`adapt_encoder`: go on pretraining an encoder on unlabelled notes, before any label is used.

Continued masked-language-model pretraining on the target's own text (Gururangan et al. 2020,
arXiv 2004.10964: domain- and task-adaptive pretraining). The result is an encoder folder that
every other stage takes in the place of the encoder it came from.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.ties import related_notes
from clinical_tl.data.traces import text_key
from clinical_tl.errors import ConfigError, NoteError, shown_path, shown_value
from clinical_tl.network.lora import LoRA
from clinical_tl.saved.artifact import ADAPTATION_FILE
from clinical_tl.saved.evaluations import count_patients, set_digest
from clinical_tl.saved.run_settings import write_settings
from clinical_tl.saved.training_notes import training_notes
from clinical_tl.schema import Note
from clinical_tl.storage.folder_lock import holding
from clinical_tl.storage.output import require_replaceable
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.processes import on_main_process
from clinical_tl.storage.replacement import discard, replacing_folder, sweep, whole_folder
from clinical_tl.tasks.masked_language import MaskedLanguage
from clinical_tl.text.visible import has_text
from clinical_tl.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch

    from clinical_tl.models.reader import Reader
    from clinical_tl.network.encoder import EncoderSource
    from clinical_tl.network.network import Network
    from clinical_tl.text.tokenizer import NoteTokenizer
    from clinical_tl.text.windows import Windowing
    from clinical_tl.training.log import TrainingResult

logger = logging.getLogger(__name__)

HELD_OUT_SHARE = 0.05
# Settings that say where and how a run goes on, not what comes out of it.
UNDECISIVE = frozenset({"output_dir", "resume", "progress", "trackers", "checkpoint_steps"})
DEFAULTS = TrainingConfig(epochs=1, batch_tokens=4096)


@dataclass(frozen=True)
class AdaptationResult:
    """An adapted encoder's folder, and how well it guesses hidden words of held-out notes.

    `before` is the encoder as it came; where it had no head for this (`new_head`), with a
    head trained on the same notes while the encoder was frozen. That head goes on learning with
    the encoder, so then `head_alone` has what it reaches in as many more passes without: what
    the encoder gained lies between that and `after`. Perplexities are per masked token;
    `seconds` and `tokens` are those of all training, the heads' included.
    """

    folder: str
    encoder: str
    perplexity_before: float
    perplexity_head_alone: float | None
    perplexity_after: float
    accuracy_before: float
    accuracy_head_alone: float | None
    accuracy_after: float
    new_head: bool
    train_notes: int
    held_out_notes: int
    tokens: int
    seconds: float


def adapt_encoder(
    encoder: str | Path,
    notes: NotesLike | Sequence[str],
    output: str | Path,
    *,
    held_out: NotesLike | Sequence[str] | None = None,
    method: Literal["mlm"] = "mlm",
    adapter: LoRA | Literal["full"] = LoRA(),
    config: TrainingConfig = DEFAULTS,
    head_epochs: int = 1,
    share: float = 0.15,
    revision: str | None = None,
    window: int | None = None,
    overlap: int | None = None,
) -> AdaptationResult:
    """Adapt an encoder to unlabelled notes and write it as a plain transformers folder.

    Notes of any length are read in windows; whole words are hidden. A LoRA adapter is folded
    into the weights before they are written. Where the encoder ships without a masked-
    language-model head, one is made from its word embeddings and first trained alone, for
    `head_epochs`, so that its noise does not reach the encoder; and once more beside the
    encoder's training, to tell what the head alone would have gained.

    Args:
        encoder: a folder, a Hub id, or `"offline"`.
        notes: the unlabelled notes (labels are not looked at).
        output: the encoder folder to write; checkpoints lie in `<output>.run` until the end,
            and the same call goes on from them. Once it is finished, the same call returns
            what it found. Of several processes the first writes.
        held_out: notes to measure on; by default a share of 5 % of `notes` (never a canary),
            drawn by the config's seed; neither a patient nor a text falls on both sides. With
            several epochs they also choose the best, which flatters the perplexity after it a
            little.
        method: masked language modelling is the one there is.
        adapter: `LoRA(...)`, or `"full"` to train all weights.
        config: the training settings; `output_dir` and `metric` are set here.
        head_epochs: passes that train a new head alone.
        share: of the words that are hidden.
        revision: of the Hub id.
        window: tokens a window, as in `TransferModel.from_pretrained`.
        overlap: tokens that neighbouring windows share.

    Raises:
        NoteError: there are no unlabelled notes, or too few to hold any out; held-out notes
            without text, or with texts or patients of `notes`.
        EncoderError: no such encoder, no mask token, or no head for its architecture.
        ConfigError: settings that can't work, or a checkpoint or an encoder of another run.
        OutputError: `output` can't be written, or another run is at work there.
    """
    from clinical_tl.network.encoder import find_encoder
    from clinical_tl.network.frozen_encoder import encoder_windowing
    from clinical_tl.text.tokenizer import NoteTokenizer

    if method != "mlm":
        raise ConfigError(
            f"method {shown_value(method)}: masked language modelling, 'mlm', is the one known"
        )
    if adapter != "full" and not isinstance(adapter, LoRA):
        raise ConfigError(
            f"adapter {shown_value(adapter)}: give LoRA(...), or 'full' to train all weights"
        )
    output = as_path(output)
    train, dev = _divide(as_notes(notes), held_out, config.seed)
    source = find_encoder(encoder, revision=revision)
    tokenizer = NoteTokenizer.from_pretrained(source.path)
    windowing = encoder_windowing(source, tokenizer, window, overlap)
    task = MaskedLanguage.for_tokenizer(tokenizer, share=share)
    reading = _Reading(task, tokenizer, windowing, train, dev, Path(f"{output}.run"), config)
    made_from = _made_from(reading, source, adapter, head_epochs)
    finished = on_main_process(lambda: _finished(output, reading.folder, made_from, config))
    if finished is not None:
        logger.info("%s is finished: nothing is trained", shown_path(output))
        return finished
    with ExitStack() as held:
        on_main_process(lambda: held.enter_context(holding(reading.folder)))
        network, figures, run = _train(reading, source, adapter, head_epochs)
        result = AdaptationResult(
            folder=str(output),
            encoder=source.name,
            train_notes=len(train),
            held_out_notes=len(dev),
            **figures,
        )
        report = {
            **training_notes(notes, train, private=config.dp is not None),
            "held_out_patients": count_patients(dev),
            **{name: getattr(run, name) for name in ("settings", "steps", "device", "precision")},
            "epochs_run": len(run.epochs),
            **asdict(result),
            **made_from,
        }
        del report["folder"]
        on_main_process(lambda: _write(output, network, tokenizer, report))
        on_main_process(lambda: discard(reading.folder))
    logger.info(
        "adapted %s: perplexity of held-out notes %.2f, before %.2f",
        source.name,
        result.perplexity_after,
        result.perplexity_before,
    )
    return result


@dataclass(frozen=True)
class _Reading:
    """What both trainings share."""

    task: MaskedLanguage
    tokenizer: NoteTokenizer
    windowing: Windowing
    train: list[Note]
    dev: list[Note]
    folder: Path
    config: TrainingConfig

    def by(self, network: Network) -> Reader:
        """What reads with a network."""
        from clinical_tl.models.reader import Reader

        return Reader(network, self.task, self.tokenizer, self.windowing)


def _made_from(
    reading: _Reading, source: EncoderSource, adapter: LoRA | Literal["full"], head_epochs: int
) -> dict[str, Any]:
    """What decides the adapted encoder, as JSON has it: by this a finished one is known."""
    training = {n: v for n, v in asdict(reading.config).items() if n not in UNDECISIVE}
    row = {
        "encoder_sha256": source.sha256,
        "adapter": adapter if isinstance(adapter, str) else asdict(adapter),
        "share": reading.task.share,
        "head_epochs": head_epochs,
        "windowing": asdict(reading.windowing),
        "training": training,
        "notes_sha256": set_digest(reading.train),
        "held_out_sha256": set_digest(reading.dev),
    }
    described: dict[str, Any] = json.loads(json.dumps(row))
    return described


def _finished(
    output: Path, leftovers: Path, made_from: dict[str, Any], config: TrainingConfig
) -> AdaptationResult | None:
    """What an earlier call of the same kind found, if it came to its end.

    Raises `ConfigError` where something else lies in `output`.
    """
    output = whole_folder(output)
    require_replaceable(output)
    sweep(output.parent)
    if not output.exists() or not any(output.iterdir()):
        return None
    try:
        row = json.loads((output / ADAPTATION_FILE).read_text(encoding="utf-8"))
        names = [f.name for f in fields(AdaptationResult) if f.name != "folder"]
        result = AdaptationResult(folder=str(output), **{name: row[name] for name in names})
        differing = [name for name in made_from if row[name] != made_from[name]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{shown_path(output)} is not empty; choose another folder, or remove it"
        ) from None
    if differing:
        raise ConfigError(
            f"{shown_path(output)} is not empty: it holds an encoder that was adapted with other "
            f"{', '.join(differing)}; choose another folder, or remove it"
        )
    if not config.resume:
        raise ConfigError(
            f"{shown_path(output)} is not empty: this adaptation is finished; remove it to start "
            "over (resume=False), or keep it"
        )
    if leftovers.exists():
        discard(leftovers)
    return result


def _train(
    reading: _Reading, source: EncoderSource, adapter: LoRA | Literal["full"], head_epochs: int
) -> tuple[Network, dict[str, Any], TrainingResult]:
    """The trained network, the figures of `AdaptationResult`, and the encoder's own training."""
    import torch

    from clinical_tl.network.device import choose_device
    from clinical_tl.network.masked_lm import load_masked_lm, start_at_frequencies
    from clinical_tl.network.network import Network, adapt_model, quiet_transformers

    spec, seed = reading.task.head_spec, reading.config.seed
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        loaded = load_masked_lm(source)
    model = loaded.model
    results = []
    network = Network(model, spec, frozen_encoder=True).to(choose_device())
    if not loaded.pretrained_head:
        logger.warning(
            "%s ships without a masked-language-model head: one is made from its word embeddings "
            "and trained alone for %d epochs first; 'before' is with that head",
            source.name,
            head_epochs,
        )
        start_at_frequencies(model, _token_counts(reading, model.config.vocab_size))
        model.requires_grad_(False)
        spec.unfreeze(model)
        results.append(_run(network, reading, source, "head", epochs=head_epochs))
    before = _scores(network, reading)
    alone: dict[str, float] = {}
    if not loaded.pretrained_head:
        start = {name: p.detach().clone() for name, p in network.trainable().items()}
        results.append(_run(network, reading, source, "head alone"))
        alone = _scores(network, reading)
        with torch.no_grad():
            for name, parameter in network.trainable().items():
                parameter.copy_(start[name])
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        model.requires_grad_(True)
        network = Network(adapt_model(model, spec, adapter, source), spec)
    results.append(_run(network, reading, source, "encoder"))
    after = _scores(network, reading)
    figures = {
        "perplexity_before": before["perplexity"],
        "perplexity_head_alone": alone.get("perplexity"),
        "perplexity_after": after["perplexity"],
        "accuracy_before": before["accuracy"],
        "accuracy_head_alone": alone.get("accuracy"),
        "accuracy_after": after["accuracy"],
        "new_head": not loaded.pretrained_head,
        "tokens": sum(result.tokens for result in results),
        "seconds": sum(result.seconds for result in results),
    }
    return network, figures, results[-1]


def _run(
    network: Network,
    reading: _Reading,
    source: EncoderSource,
    name: str,
    *,
    epochs: int | None = None,
) -> TrainingResult:
    """One training, by the config or with `epochs` of its own; then no best one is chosen."""
    from clinical_tl.training.loop import TrainingRun

    chooses = epochs is None and reading.config.epochs != 1
    epochs = reading.config.epochs if epochs is None else epochs
    config = replace(reading.config, epochs=epochs, metric=None, output_dir=reading.folder / name)
    return TrainingRun(
        reading.by(network),
        config,
        reading.train,
        reading.dev if chooses else None,
        start={"encoder": source.sha256},
    ).run()


def _scores(network: Network, reading: _Reading) -> dict[str, float]:
    predictions = list(reading.by(network).predict(reading.dev, progress=reading.config.progress))
    return reading.task.evaluate(reading.dev, predictions).summary()


def _token_counts(reading: _Reading, size: int) -> torch.Tensor:
    import torch

    counts = np.zeros(size, dtype=np.int64)
    for tokens in reading.tokenizer.encode([note.text for note in reading.train]):
        counts += np.bincount(tokens.ids, minlength=size)
    return torch.from_numpy(counts)


def _divide(
    notes: list[Note],
    held_out: NotesLike | Sequence[str] | None,
    seed: int,
) -> tuple[list[Note], list[Note]]:
    """Training and held-out notes; notes of one patient, or of one text, stay together."""
    if not notes:
        raise NoteError("there are no unlabelled notes to adapt to; give at least two")
    if held_out is not None:
        return notes, _apart(as_notes(held_out), notes)
    units = related_notes(notes)
    n_units = int(units.max()) + 1
    if n_units < 2:
        raise NoteError(
            f"the {len(notes)} notes are one patient's or one text; give notes of at least two, "
            "or name held_out notes"
        )
    # A canary that was held out would show no exposure, whatever the encoder remembers.
    planted = {units[i] for i, note in enumerate(notes) if note.metadata.get("canary") is True}
    written = {units[i] for i, note in enumerate(notes) if has_text(note.text)}
    if len(written) < 2:
        raise NoteError(
            f"{len(written)} of the {n_units} patients or texts have any text; two are needed, one "
            "to adapt to and one to hold out"
        )
    eligible = sorted(written - planted)
    if not eligible:
        raise NoteError("all notes are canaries; give notes to hold out too")
    n = min(max(1, round(HELD_OUT_SHARE * len(written))), len(eligible))
    chosen = set(np.random.default_rng(seed).choice(eligible, n, replace=False).tolist())
    sides: tuple[list[Note], list[Note]] = ([], [])
    for note, unit in zip(notes, units.tolist(), strict=True):
        sides[unit in chosen].append(note)
    return sides


def _apart(held_out: list[Note], train: list[Note]) -> list[Note]:
    """The held-out notes, if they can tell anything."""
    if not any(has_text(note.text) for note in held_out):
        raise NoteError(
            f"none of the {len(held_out)} held-out notes has a text to measure on; give some, or "
            "held_out=None for a share of the notes"
        )
    known = {text_key(note.text) for note in train}
    shared = sum(text_key(note.text) in known for note in held_out)
    patients = {note.patient_id for note in train} - {None}
    whose = sum(note.patient_id in patients for note in held_out)
    if shared or whose:
        raise NoteError(
            f"{shared} of the {len(held_out)} held-out notes have a text of the notes to adapt to, "
            f"and {whose} are of their patients, which would make the perplexity too low; leave "
            "them out of one of the two"
        )
    return held_out


def _write(
    output: Path,
    network: Network,
    tokenizer: NoteTokenizer,
    report: dict[str, Any],
) -> None:
    """The folder is complete or not there at all."""
    from clinical_tl.network.structure import is_peft

    model: Any = network.model
    if is_peft(model):
        model = model.merge_and_unload()
    with replacing_folder(output) as draft:
        model.save_pretrained(str(draft))
        tokenizer.save_pretrained(draft)
        text = json.dumps(report, indent=2, sort_keys=True) + "\n"
        (draft / ADAPTATION_FILE).write_text(text, encoding="utf-8")
        write_settings(draft)
