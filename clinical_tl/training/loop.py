"""The training loop: one effective batch after the other, the same on any number of processes.

An optimiser step sees one planned batch. It is dealt into `gradient_accumulation × processes`
shares; a share's loss is divided by the weight of the whole batch and gradients are summed,
so the step does not depend on how the batch was dealt. Each share seeds its own random
numbers from (seed, step, share): dropout is the same on whatever process it runs, and after
a kill there is no generator to restore.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from clinical_tl.display.silence import without_warnings
from clinical_tl.errors import (
    ArtifactError,
    ConfigError,
    TrainingError,
    refusing,
    shown_ids,
    shown_path,
    shown_value,
)
from clinical_tl.estimators.chance import luck
from clinical_tl.network.bf16_attention import bf16_attention
from clinical_tl.network.device import autocast, resolve_precision
from clinical_tl.network.dropout import dropout
from clinical_tl.network.feature_cache import FeatureCache
from clinical_tl.schema import Note, Prediction
from clinical_tl.storage.folder_lock import holding
from clinical_tl.storage.output import require_folder
from clinical_tl.storage.paths import as_path
from clinical_tl.tasks.abilities import HidesInputs, LosesGold, dev_metrics
from clinical_tl.text.batches import split_batch
from clinical_tl.training.accelerator import build_accelerator, deterministic_kernels
from clinical_tl.training.checkpoint import Checkpoint, discard_checkpoints, newest_checkpoint
from clinical_tl.training.config import FREE
from clinical_tl.training.fingerprint import fingerprint
from clinical_tl.training.interruption import Interruption
from clinical_tl.training.log import EpochResult, TrainingLog, TrainingResult, training_result
from clinical_tl.training.optimiser import (
    build_optimiser,
    optimiser_state,
    peak_rates,
    restore_optimiser,
    set_rates,
    sum_gradients,
)
from clinical_tl.training.privacy import private_training
from clinical_tl.training.progress import Progress
from clinical_tl.training.regularisers import l2_sp, starting_point
from clinical_tl.training.schedule import BATCH_TOKENS, plan_schedule, warn_of_short_run
from clinical_tl.training.seeds import mix_seeds

if TYPE_CHECKING:
    from clinical_tl.models.reader import EncodedNotes, Reader
    from clinical_tl.network.network import Network
    from clinical_tl.tasks.task import Task
    from clinical_tl.training.config import TrainingConfig

logger = logging.getLogger(__name__)

_NOT_PROGRESS = frozenset({"fingerprint", "scaler"})


class TrainingRun:
    """One run of `fit`: the state of a network in training and the steps that change it.

    After `run` the network has the weights of the last epoch, or of an earlier one that was better
    on the dev set by more than luck.
    `start` says what the network's weights are now, for a checkpoint to be known as this run's.
    """

    def __init__(
        self,
        reader: Reader,
        config: TrainingConfig,
        train: Sequence[Note],
        dev: Sequence[Note] | None,
        *,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self.reader, self.config, self.dev = reader, config, dev
        self.network, self.task = network, task = reader.network, reader.task
        self.folder = None if config.output_dir is None else as_path(config.output_dir)
        self.metric = config.metric or task.monitor
        check_metric(task, self.metric, dev)
        encoded = reader.encode(train, training=True)
        self.train, self.windowed = encoded.read, encoded.windowed
        self.items = self.windowed.items
        if isinstance(task, LosesGold):
            task.check_targets(self.train, self.windowed.tokens)
        self.targets = task.targets(self.train, self.windowed.tokens)
        self.weights = [self._weight(position) for position in range(len(self.items))]
        if not any(self.weights):
            raise TrainingError(
                f"nothing is decided in any of the {len(train)} training notes: they are blank, or "
                "their annotation is left open; give notes with something to learn from"
            )
        if config.l2_sp and not _has_encoder_weights(network):
            raise ConfigError(
                f"l2_sp={config.l2_sp}: no weight of the encoder is trained, so none can be held "
                "near its start; use l2_sp=0, or an adapter"
            )
        self.precision = resolve_precision(config.precision, network.device)
        if self.folder is not None:
            require_folder(self.folder)
        self.accelerator = build_accelerator(config, self.folder, self.precision)
        processes = self.accelerator.num_processes
        # Alone, a model is trained where its owner put it.
        self.device = self.accelerator.device if processes > 1 else network.device
        self.shares = config.gradient_accumulation * processes
        self.private = private_training(
            config, network, task, encoded.examples, self.items, processes
        )
        self.schedule = plan_schedule(
            config,
            tokens=sum(len(window) for item in self.items for window in item.windows),
            shares=self.shares,
            steps_at=lambda budget: len(self._plan(0, budget)),
        )
        settings = {"precision": self.precision, "shares": self.shares, **(start or {})}
        self.fingerprint = fingerprint(config, reader, train, dev, settings)
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        self.dev_encoded: EncodedNotes | None = None
        self.best_predictions: list[Prediction] | None = None
        """What the best epoch said of the dev notes, where a later reading would say the same."""
        self.last_predictions: list[Prediction] | None = None

    def run(
        self, initialise: Callable[[], None] | None = None, *, start_counts: bool = False
    ) -> TrainingResult:
        """Train to the end, going on from a checkpoint where there is one.

        `initialise` gives the network other weights to start from; it is called once nothing can
        be refused any more. Where `start_counts` these are a model already, epoch 0, which later
        epochs have to beat. What fails leaves weights of the middle of a training: `fit` puts
        those from before back.

        Raises:
            TrainingError: the loss or a weight is no longer a number; checkpoints stay on disk.
            ConfigError: a checkpoint of other settings or other notes is in `output_dir`.
        """
        config, network = self.config, self.network.to(self.device)
        with ExitStack() as held, torch.random.fork_rng(), deterministic_kernels():
            if self.folder is not None and self.accelerator.is_main_process:
                held.enter_context(holding(self.folder))
            held.callback(self._finish_trackers)
            held.enter_context(
                dropout(network, hidden=config.dropout, attention=config.attention_dropout)
            )
            if self.precision == "bf16" and self.device.type == "cpu":
                held.enter_context(bf16_attention(network))
            held.callback(network.eval)
            # States of hidden words change from step to step.
            constant = network.frozen_encoder and not isinstance(self.task, HidesInputs)
            self.features = FeatureCache(network) if constant else None
            checkpoint = self._checkpoint_of_this_run()
            if initialise is not None:
                initialise()
            # Of a run that goes on, too: it was built anew, or `fit` put the weights back.
            self.start = starting_point(network) if config.l2_sp else {}
            optimiser = build_optimiser(network, config)
            if checkpoint is not None:
                self._restore(checkpoint, optimiser)
            # Its state is where the parameters are, which Accelerate need not be.
            self.optimiser = self.accelerator.prepare(optimiser, device_placement=[False])
            self.log = TrainingLog(
                self.folder if self.accelerator.is_main_process else None,
                from_step=self.progress.step,
                from_epoch=self.progress.epoch,
            )
            if checkpoint is None and start_counts and self.dev:
                scores, dev_loss, _ = self._dev_scores()
                self._keep_best(scores.get(self.metric), dev_loss)
            if not self.progress.finished:
                network.train()
                alone = self.accelerator.num_processes == 1
                with Interruption(self.folder, self._any_process, alone=alone) as self.interruption:
                    self._epochs()
            self._use_best()
        return self._result()

    def _finish_trackers(self) -> None:
        # Not `end_training`, which would also end the processes' group: saving needs it.
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _epochs(self) -> None:
        plans = [self._plan(epoch) for epoch in range(self.schedule.epochs)]
        steps = list(itertools.accumulate(map(len, plans)))
        self.total_steps = steps[-1]
        least = self.config.min_steps
        if self.total_steps < least:
            # Epochs of other orders have a few steps less than the one that was planned by, or
            # fewer were asked for.
            least = self.total_steps if self.config.epochs is None else 0
        self.patient_from = next(epoch for epoch, n in enumerate(steps, 1) if n >= least)
        warn_of_short_run(self.total_steps, self.config)
        progress = self.progress
        with tqdm(
            total=self.total_steps,
            initial=progress.step,
            desc="training",
            unit="step",
            disable=not (self.config.progress and self.accelerator.is_main_process),
        ) as bar:
            while progress.epoch < self.schedule.epochs and not progress.stopped_early:
                self._epoch(plans[progress.epoch], bar)
            if not progress.stopped_early:
                self._prefer_the_end()
            progress.finished = True
            self._checkpoint()

    def _plan(self, epoch: int, step_tokens: int | None = None) -> list[list[int]]:
        if self.private is not None:
            return self.private.plan(epoch)
        budget = self.schedule.step_tokens if step_tokens is None else step_tokens
        plan = self.windowed.plan_mixed if self.task.whole_notes else self.windowed.plan
        batches = plan(budget, seed=mix_seeds(self.config.seed, epoch))
        # A batch in which nothing is decided has no mean loss, and nothing to learn from.
        return [batch for batch in batches if any(self.weights[position] for position in batch)]

    @property
    def _device_tokens(self) -> int:
        return self.config.batch_tokens or BATCH_TOKENS

    def _parts(self, share: Sequence[int]) -> list[list[int]]:
        """A share in parts of like length that each fit on the device, to pad little."""
        return self.windowed.plan(self._device_tokens, of=share)

    def _epoch(self, plan: Sequence[Sequence[int]], bar: tqdm[Any]) -> None:
        progress = self.progress
        started = time.perf_counter()
        for batch in plan[progress.batch :]:
            self._step(batch, bar)
            progress.batch += 1
            every = self.config.checkpoint_steps
            stops = self.interruption.asked()
            if stops or (every and progress.step % every == 0):
                progress.seconds += time.perf_counter() - started
                started = time.perf_counter()
                self._checkpoint()
            if stops:
                self.interruption.stop(progress.step, self.total_steps)
        read = self.schedule.is_read(progress.epoch + 1)
        scores: dict[str, float] = {}
        dev_loss, predictions = None, None
        if read:
            with self.interruption.leaving(self._checkpoint, progress.step, self.total_steps):
                scores, dev_loss, predictions = self._dev_scores()
        progress.seconds += time.perf_counter() - started
        loss = progress.mean_loss
        result = EpochResult(progress.epoch + 1, loss, scores, progress.seconds, dev_loss)
        progress.epochs = (*progress.epochs, asdict(result))
        progress.epoch += 1
        progress.batch, progress.loss_sum, progress.loss_weight = 0, 0.0, 0.0
        alone = self.accelerator.num_processes == 1
        self.last_predictions = predictions if alone and self.precision == "no" else None
        if read and self._keep_best(scores.get(self.metric), dev_loss):
            self.best_predictions = self.last_predictions
        value = scores.get(self.metric)
        if value is not None:
            bar.set_postfix({"loss": loss, f"dev {self.metric}": value})
        self.log.write(progress.step, epoch=result.epoch, train_loss=loss, dev=scores)
        self.accelerator.log(
            {"train/epoch_loss": loss, **{f"dev/{name}": v for name, v in scores.items()}},
            step=progress.step,
        )
        if read:
            self._checkpoint()

    def _step(self, batch: Sequence[int], bar: tqdm[Any]) -> None:
        progress, config = self.progress, self.config
        share_of_peak = set_rates(self.optimiser, progress.step, self.total_steps, config.warmup)
        weight = self._batch_weight(batch)
        processes = self.accelerator.num_processes
        if self.private is not None:
            loss = self.private.set_gradients(batch, progress.step, self._note_backward)
        else:
            loss = self._batch_backward(batch, weight)
        if config.l2_sp:
            # Added once a step and not once a share; every process adds the same.
            penalty = config.l2_sp * l2_sp(self.network, self.start) / processes
            self.accelerator.backward(penalty)
        if processes > 1:
            sum_gradients(self.accelerator, list(self.network.trainable().values()))
            loss = self.accelerator.reduce(loss, reduction="sum")
        value = float(loss)
        if not math.isfinite(value):
            self._stop_at_nan(batch, value)
        if self.private is None:
            self.accelerator.clip_grad_norm_(
                self.network.trainable().values(), config.max_grad_norm
            )
        self.optimiser.step()
        self.optimiser.zero_grad()
        progress.step += 1
        if self.private is not None:
            # Losses and lengths of the notes drawn carry no noise: nothing may keep them.
            bar.update()
            self.log.write(progress.step, rate=share_of_peak)
            return
        progress.loss_sum += value * weight
        progress.loss_weight += weight
        progress.tokens += sum(len(w) for position in batch for w in self.items[position].windows)
        bar.update()
        bar.set_postfix({"epoch": progress.epoch + 1, "loss": f"{value:.4f}"}, refresh=False)
        self.log.write(progress.step, loss=value, rate=share_of_peak, tokens=progress.tokens)
        self.accelerator.log({"train/loss": value}, step=progress.step)

    def _batch_backward(self, batch: Sequence[int], weight: float) -> torch.Tensor:
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        loss = torch.zeros((), device=self.device)
        for number, share in enumerate(split_batch(self.items, batch, self.shares)):
            if number % processes != rank:
                continue
            for part_number, part in enumerate(self._parts(share)):
                loss += self._backward(part, weight or 1.0, number, part_number)
        return loss

    def _note_backward(self, own: Sequence[int], number: int) -> torch.Tensor:
        """The mean loss of one note's examples or units, whatever other notes have."""
        decided = len(own) if self.task.whole_notes else sum(self.weights[p] for p in own)
        loss = torch.zeros((), device=self.device)
        for part_number, part in enumerate(self._parts(own)):
            loss += self._backward(part, decided or 1.0, number, part_number)
        return loss

    def _backward(self, part: Sequence[int], weight: float, *numbers: int) -> torch.Tensor:
        config, task = self.config, self.task
        torch.manual_seed(mix_seeds(config.seed, self.progress.step, *numbers))
        inputs = self.windowed.batch(part).to(self.device)
        if isinstance(task, HidesInputs):
            # Not by share: windows of one note hide the same words wherever they are dealt.
            inputs = task.corrupt(inputs, self.targets, mix_seeds(config.seed, self.progress.step))
        # Kept states are of the whole batch; nothing of their making is held for a backward pass.
        cached, budget = self.features is not None, self._device_tokens
        serving = self.features.serving(inputs) if self.features is not None else nullcontext()

        def decide() -> tuple[torch.Tensor, torch.Tensor]:
            output = self.network(inputs, budget=None if cached else budget)
            return task.decisions(output, inputs, self.targets)

        with autocast(self.precision, self.device), serving:
            logits, gold = decide()
            losses = task.losses(logits, gold, label_smoothing=config.label_smoothing)
            if config.r_drop:
                again, _ = decide()
                other = task.losses(again, gold, label_smoothing=config.label_smoothing)
                losses = (losses + other) / 2 + config.r_drop * task.divergence(logits, again)
            loss = losses.sum() / weight
        # A part of a batch in which nothing is decided depends on no weight.
        if loss.requires_grad:
            self.accelerator.backward(loss)
        return loss.detach()

    def _batch_weight(self, batch: Sequence[int]) -> float:
        """What is decided in a batch; of a task that hides inputs, what this step hides."""
        if not isinstance(self.task, HidesInputs):
            return sum(self.weights[position] for position in batch)
        seed = mix_seeds(self.config.seed, self.progress.step)
        return sum(
            self.task.hidden(self.targets, item.note, w.own_start, w.own_stop, seed)
            for item in map(self.items.__getitem__, batch)
            for w in item.windows
        )

    def _weight(self, position: int) -> float:
        item = self.items[position]
        target = self.targets[item.note]
        if self.task.whole_notes:
            return self.task.weight(target, 0, len(self.windowed.tokens[item.note]))
        return sum(self.task.weight(target, w.own_start, w.own_stop) for w in item.windows)

    def _dev_scores(self) -> tuple[dict[str, float], float | None, list[Prediction] | None]:
        """The dev metrics, with thresholds tuned there, the mean loss, and the predictions."""
        if not self.dev:
            return {}, None, None
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        own = self.dev[rank::processes]
        if self.dev_encoded is None:
            self.dev_encoded = self.reader.encode(own)
        found = self.reader.read(
            own,
            progress=self.config.progress and self.accelerator.is_main_process,
            autocast=autocast(self.precision, self.device),
            with_loss=True,
            encoded=self.dev_encoded,
        )
        predictions = self.reader.decode(own, found)
        loss, decisions = found.loss, found.decisions
        if processes > 1:
            from accelerate.utils import gather_object

            gathered = gather_object([(predictions, loss, decisions)])
            # By place, as they were dealt: two notes may share an id.
            placed: dict[int, Prediction] = {}
            for number, (theirs, _, _) in enumerate(gathered):
                placed |= dict(zip(range(number, len(self.dev), processes), theirs, strict=True))
            predictions = [placed[i] for i in range(len(self.dev))]
            loss, decisions = (sum(row[i] for row in gathered) for i in (1, 2))
        with without_warnings():
            # What is to be said of dev notes is said once, of the model that is kept.
            tuned = self.task.tuned(self.dev, predictions)
            summary = tuned.evaluate(self.dev, tuned.decided(self.dev, predictions)).summary()
        scores = {name: float(value) for name, value in summary.items()}
        return scores, loss / decisions if decisions else None, predictions

    def _keep_best(self, value: float | None, loss: float | None) -> bool:
        """Keep the weights of a better epoch; of equals that of the lower loss, or the later.

        Returns whether it is one.
        """
        progress = self.progress
        if progress.best_value is not None and value is not None:
            old = math.inf if progress.best_loss is None else progress.best_loss
            new = math.inf if loss is None else loss
            if not (value, -new) >= (progress.best_value, -old):
                patience = self.config.patience
                waited = progress.epoch - max(progress.best_epoch, self.patient_from)
                progress.stopped_early = patience is not None and waited >= patience
                return False
        progress.best_epoch, progress.best_value, progress.best_loss = progress.epoch, value, loss
        self.best = self._weights()
        return True

    def _prefer_the_end(self) -> None:
        """Keep the last epoch, unless an earlier one was better by more than luck.

        There the rate has come down to nothing, and weights have settled. The best of many epochs
        on a few dev notes is mostly the luckiest.
        """
        progress = self.progress
        if self.dev is None or progress.best_epoch == progress.epoch:
            return
        last = EpochResult(**progress.epochs[-1])
        value, best = last.dev.get(self.metric), progress.best_value
        # Those that were read, and the start.
        choices = 1 + sum(self.schedule.is_read(epoch + 1) for epoch in range(progress.epoch))
        if value is None or best is None or best - value > luck(len(self.dev), choices):
            return
        progress.best_epoch, progress.best_value = progress.epoch, value
        progress.best_loss = last.dev_loss
        self.best, self.best_predictions = self._weights(), self.last_predictions

    def _any_process(self, told: bool) -> bool:
        """Whether any process was told to stop: all must leave at the same step."""
        if self.accelerator.num_processes == 1:
            return told
        count = torch.tensor(float(told), device=self.device)
        return bool(self.accelerator.reduce(count, reduction="sum") > 0)

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().cpu().clone() for name, p in self.network.trainable().items()}

    def _use_best(self) -> None:
        with torch.no_grad():
            for name, parameter in self.network.trainable().items():
                if name in self.best:
                    parameter.copy_(self.best[name])
                # No loss follows the last step, which would show it.
                if not parameter.isfinite().all():
                    raise TrainingError(
                        f"the weights are no numbers any more after step {self.progress.step} of "
                        f"{self.total_steps}. Lower learning_rate or max_grad_norm, raise warmup, "
                        f"or use precision='no' (now {self.precision!r})"
                    )

    def _checkpoint(self) -> None:
        if self.folder is None or not self.accelerator.is_main_process:
            return
        names: dict[torch.Tensor, str] = {p: name for name, p in self.network.trainable().items()}
        inner = self.optimiser.optimizer
        scaler = self.accelerator.scaler
        state = {
            **asdict(self.progress),
            "fingerprint": self.fingerprint,
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        Checkpoint(state, self._weights(), optimiser_state(inner, names), self.best).save(
            self.folder
        )

    def _checkpoint_of_this_run(self) -> Checkpoint | None:
        """The newest checkpoint in the folder, if there is one; it must be this run's."""
        if self.folder is None:
            return None
        if not self.config.resume:
            discard_checkpoints(self.folder)
        checkpoint = newest_checkpoint(self.folder)
        if checkpoint is None:
            return None
        with self._fitting():
            saved, now = checkpoint.state["fingerprint"], self.fingerprint
            differing = sorted(name for name in now if saved.get(name) != now[name])
            if saved != now:
                raise ConfigError(
                    f"{shown_path(self.folder)} holds a checkpoint made with other "
                    f"{', '.join(differing)}; use another output_dir, or resume=False to start over"
                )
            shapes = {name: p.shape for name, p in self.network.trainable().items()}
            for weights in filter(None, (checkpoint.weights, checkpoint.best)):
                # A copy would stretch a tensor that is too small.
                if {name: weight.shape for name, weight in weights.items()} != shapes:
                    raise ValueError
        return checkpoint

    def _restore(self, checkpoint: Checkpoint, optimiser: torch.optim.Optimizer) -> None:
        parameters, scaler = self.network.trainable(), self.accelerator.scaler
        with self._fitting():
            state = {n: v for n, v in checkpoint.state.items() if n not in _NOT_PROGRESS}
            progress = Progress(**{**state, "epochs": tuple(state["epochs"])})
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(checkpoint.weights[name])
            restore_optimiser(optimiser, parameters, checkpoint.optimizer)
            if checkpoint.state["scaler"] is not None and scaler is not None:
                scaler.load_state_dict(checkpoint.state["scaler"])
        self.best, self.progress = checkpoint.best, progress
        logger.info("resuming at step %d from %s", progress.step, shown_path(self.folder))

    def _fitting(self) -> AbstractContextManager[None]:
        return refusing(
            ArtifactError,
            f"the checkpoint in {shown_path(self.folder)} does not fit this model, or is damaged",
            "train with resume=False to start over, or name another output_dir",
        )

    def _stop_at_nan(self, batch: Sequence[int], value: float) -> None:
        step = self.progress.step + 1
        ids = shown_ids(sorted({self.train[self.items[p].note].note_id for p in batch}))
        raise TrainingError(
            f"the loss became {value} at step {step} of {self.total_steps} (epoch "
            f"{self.progress.epoch + 1}), in a batch with the notes {ids}. Lower learning_rate "
            f"or max_grad_norm, raise warmup, or use precision='no' (now {self.precision!r})"
        )

    def _result(self) -> TrainingResult:
        return training_result(
            self.progress,
            metric=self.metric if self.dev else None,
            device=self.device.type,
            precision=self.precision,
            privacy=None if self.private is None else self.private.report,
            settings=self._settings(),
        )

    def _settings(self) -> dict[str, Any]:
        """What decided the run, with what the config leaves open as it was chosen."""
        config, schedule = self.config, self.schedule
        given = {name: v for name, v in asdict(config).items() if name not in FREE}
        encoder_rate, head_rate = peak_rates(self.network, config)
        return {
            **given,
            "epochs": schedule.epochs,
            "batch_tokens": None if self.private is not None else schedule.step_tokens,
            "learning_rate": encoder_rate if _has_encoder_weights(self.network) else None,
            "head_learning_rate": head_rate,
            "precision": self.precision,
            "metric": self.metric,
        }


def check_metric(task: Task, metric: str, dev: Sequence[Note] | None) -> None:
    """Before an epoch is spent on it."""
    if not dev:
        return
    known = dev_metrics(task, dev)
    if metric not in known and not task.gold_labels(dev):
        raise ConfigError(
            f"the {len(dev)} dev notes have no label at all, so there is no {metric} of them; give "
            "dev notes with labels, or none (dev=None)"
        )
    if metric not in known:
        raise ConfigError(
            f"metric {shown_value(metric)} is none that these dev notes can give in every epoch; "
            f"allowed: {sorted(known)}"
        )


def _has_encoder_weights(network: Network) -> bool:
    return any(not network.is_head(name) for name in network.trainable())
