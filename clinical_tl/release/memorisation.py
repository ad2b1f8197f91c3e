"""The audit of memorisation: can one tell who was in training, and what was planted there?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ArtifactError, EncoderError, TaskError, shown_path
from clinical_tl.metrics.auroc import auroc
from clinical_tl.metrics.intervals import Interval, bootstrap_interval
from clinical_tl.models.loading import load
from clinical_tl.models.onnx_model import OnnxModel
from clinical_tl.network.encoder import find_encoder
from clinical_tl.release.canaries import canary_exposure, planted_canaries
from clinical_tl.release.check import DataUse, ReleaseCheck, Status
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.masked_model import MaskedModel
from clinical_tl.saved.saved_task import saved_task
from clinical_tl.schema import Note

NAME = "memorisation"

MEMBERSHIP_BOUND = 0.6
"""AUC of the attack above which a folder is blocked; 0.5 is a coin's."""
EXPOSURE_BOUND = 7.0
"""Bits; a canary that was not kept reaches them once in 128."""
FEWEST_NOTES = 20
MOST_NOTES = 300
RESAMPLES = 500


@dataclass(frozen=True)
class MembershipAudit:
    """How well a loss tells training notes from held-out ones: AUC with its 95 % interval.

    `calibrated`: the loss was compared with the unadapted encoder's. `left_out` counts notes
    without annotation, or without a label that the model knows.
    """

    auc: Interval
    train_notes: int
    held_out_notes: int
    left_out: int
    calibrated: bool


def membership_audit(
    folder: ReleaseFolder,
    train: Sequence[Note],
    held_out: Sequence[Note],
    *,
    encoder: str | Path | None = None,
    seed: int = 0,
) -> MembershipAudit | None:
    """Guess by its loss whether a note was trained on; `None` for too few notes of either kind.

    The lower a note's loss, the likelier it was (Yeom et al. 2018, arXiv 1709.01604, section
    4.2). An adapted encoder's loss is taken relative to that of the encoder it came from, where
    that has a head of its own: notes that are easy for all are no members (Watson et al. 2022,
    arXiv 2111.08440). Held-out notes have to be of the training notes' kind: what tells the two
    sides apart counts as memory. At most 300 notes a side, drawn by the seed; patients are
    resampled whole. `encoder` is where the encoder lies that the model was trained from, if not
    where it was then.

    Raises `ArtifactError` or `EncoderError` where the model can't be loaded, `TaskError` where
    it has no loss of a note.
    """
    calibrated = False
    sides = [
        [n for n in side if n.metadata.get("canary") is not True] for side in (train, held_out)
    ]
    if folder.kind == "artifact":
        fields = saved_task(folder.path, folder.description)[0].fields
        sides = [
            [note for note in side if all(getattr(note, name) is not None for name in fields)]
            for side in sides
        ]
    sides = [_sample(side, seed) for side in sides]
    if min(len(side) for side in sides) < FEWEST_NOTES:
        return None
    notes = sides[0] + sides[1]
    if folder.kind == "artifact":
        model = load(folder.path, encoder=encoder)
        if isinstance(model, OnnxModel):
            raise ArtifactError(
                f"{shown_path(folder.path)}: an exported model has no losses to audit; audit the "
                "folder that it was exported from"
            )
        losses = model.losses(notes)
    else:
        losses = MaskedModel.load(folder.path).note_losses(notes, seed=seed)
        origin = _origin(folder, encoder)
        if origin is not None:
            losses, calibrated = losses - origin.note_losses(notes, seed=seed), True
    member = np.arange(len(notes)) < len(sides[0])
    known = np.isfinite(losses)
    if min(int((member & known).sum()), int((~member & known).sum())) < FEWEST_NOTES:
        return None
    auc = _auc(member[known], losses[known], [n for n, k in zip(notes, known, strict=True) if k])
    return MembershipAudit(
        auc,
        int((member & known).sum()),
        int((~member & known).sum()),
        int((~known).sum()),
        calibrated,
    )


def check_memorisation(
    folder: ReleaseFolder,
    data_use: DataUse | None,
    *,
    public: bool,
    train: Sequence[Note] | None,
    held_out: Sequence[Note] | None,
    encoder: str | Path | None = None,
) -> ReleaseCheck:
    """Membership inference and canaries' exposure, blocked above their bounds.

    Notes that are public have no membership to hide: for them nothing here but a detector that
    holds embeddings blocks, and being above a bound warns. Other notes' models have to be
    audited before they go into a public repository. A folder whose novelty detector holds
    single notes' embeddings is always blocked.
    """
    from clinical_tl.estimators.novelty import NoveltyDetector

    if NoveltyDetector.is_saved(folder.path):
        try:
            holds = NoveltyDetector.load(folder.path).holds_notes
        except ArtifactError:
            holds = True
        if holds:
            return ReleaseCheck(
                NAME,
                "block",
                "the novelty detector holds embeddings of single notes, from which text can be "
                "recovered; fit it with method='mahalanobis', or save without it",
                liftable=False,
            )
    open_notes = data_use == "public"
    unaudited: Status = "block" if public and not open_notes else "unchecked"
    if train is None or held_out is None:
        return ReleaseCheck(
            NAME, unaudited, "not audited: give the training notes and held-out notes"
        )
    try:
        audit = membership_audit(folder, train, held_out, encoder=encoder)
        exposure, canaries = _exposure(folder, train)
    except (ArtifactError, EncoderError, TaskError) as error:
        return ReleaseCheck(
            NAME,
            unaudited,
            "not audited: the model can't be loaded, or has no loss of a note "
            f"({type(error).__name__})",
        )
    if audit is None:
        return ReleaseCheck(
            NAME, unaudited, f"not audited: needs {FEWEST_NOTES} notes on either side"
        )
    low, high, auc = audit.auc.low, audit.auc.high, audit.auc.estimate
    reason = (
        f"membership AUC {auc:.2f} (95 % interval {low:.2f} to {high:.2f}, bound "
        f"{MEMBERSHIP_BOUND}; {audit.train_notes} training, {audit.held_out_notes} held-out "
        f"notes, {audit.left_out} left out{', calibrated' if audit.calibrated else ''}); {canaries}"
    )
    above = auc > MEMBERSHIP_BOUND or (exposure is not None and exposure > EXPOSURE_BOUND)
    if above:
        return ReleaseCheck(NAME, "warn" if open_notes else "block", reason)
    if high > MEMBERSHIP_BOUND and not open_notes:
        return ReleaseCheck(NAME, "warn", reason)
    no_canaries = folder.kind == "adapted_encoder" and exposure is None
    return ReleaseCheck(NAME, "partial" if no_canaries else "pass", reason)


def _exposure(folder: ReleaseFolder, train: Sequence[Note]) -> tuple[float | None, str]:
    """The highest exposure, and what to say of it."""
    if folder.kind != "adapted_encoder":
        return None, "canaries are for adapted encoders, which learn text"
    planted = planted_canaries(train)
    if not planted:
        return None, "not looked for: canaries, as none were planted (canary_notes)"
    highest = canary_exposure(MaskedModel.load(folder.path), planted).highest
    says = f"highest exposure of {len(planted)} canaries {highest:.1f} bits, bound {EXPOSURE_BOUND}"
    return highest, says


def _origin(folder: ReleaseFolder, encoder: str | Path | None) -> MaskedModel | None:
    """The encoder before it was adapted, where that very one is here and its head was trained."""
    origin = encoder or folder.encoder
    if origin is None or folder.description.get("new_head", True):
        return None
    try:
        if find_encoder(origin).sha256 != folder.description.get("encoder_sha256"):
            return None
        return MaskedModel.load(origin)
    except EncoderError:
        return None


def _sample(notes: Sequence[Note], seed: int) -> list[Note]:
    if len(notes) <= MOST_NOTES:
        return list(notes)
    chosen = np.random.default_rng(seed).choice(len(notes), MOST_NOTES, replace=False)
    return [notes[i] for i in np.sort(chosen).tolist()]


def _auc(
    member: npt.NDArray[np.bool_], losses: npt.NDArray[np.float64], notes: Sequence[Note]
) -> Interval:
    return bootstrap_interval(
        lambda chosen: auroc(member[chosen], -losses[chosen]),
        len(notes),
        groups=[note.patient_id for note in notes],
        resamples=RESAMPLES,
    )
