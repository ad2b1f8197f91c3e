"""A linear model that tags the units of notes by what a frozen encoder knows of each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.base import clone
from tqdm import tqdm

from clinical_tl.data.ties import related_notes
from clinical_tl.errors import ConfigError, NoteError, TaskError, shown_value
from clinical_tl.estimators.feature_classifier import FeatureClassifier, StrengthScore
from clinical_tl.network.embeddings import JOINED, UnitEmbeddings, embed_units
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.text.tag_layers import TagLayers
from clinical_tl.text.tokenizer import TokenisedNote
from clinical_tl.text.units import Units, find_units

logger = logging.getLogger(__name__)

UNIT_STRENGTHS = (1e-3, 3e-3, 1e-2, 1e-1, 1.0)
"""Of units there are thousands, and steps of ten are too far apart: with ten abstracts of BC5CDR F1
is 0.46 at 0.001 and 0.52 at 0.003. The best hardly depends on how many there are: on NCBI-disease
0.003 with 30, and with all 592 abstracts."""
FIT_BYTES = 2**31
"""Of units whose features take more memory a random part is learned from: of a quarter of a
million with the offline encoder, of half as many with one of twice its width."""
TUNING_UNITS = 5_000
"""Choosing the strength needs fewer units than fitting does."""
FEWEST_OF_A_TAG = 20
"""Of a tag at least so many are among them, if there are."""
READ_CHARACTERS = 100_000
"""Notes of so many are read at a time: what is known of their units takes some hundred MB."""
UNSEEN = 1e-9
"""What a tag or label that training never saw gets: possible, never likely."""


def check_of_notes(pooling: str, cache: str | Path | None) -> None:
    """Refuse a pooling, and say that a cache is without effect, where words are what is read."""
    if pooling != "mean":
        raise ConfigError(
            f"pooling={shown_value(pooling)} is of whole notes, mentions are decided word by word; "
            "allowed: 'mean'"
        )
    if cache is not None:
        logger.warning("cache: vectors of whole notes are kept, those of words are not")


def fit_tagger(
    classifier: FeatureClassifier,
    task: UnitTask,
    encoder: FrozenEncoder,
    notes: Sequence[Note],
    *,
    layer: int | None,
    progress: bool,
) -> FeatureClassifier:
    """Fit on the notes' units; where there are many, the strength is chosen on a sample of them.

    Raises `TaskError` where tags can't hold too many of the mentions, and `NoteError` for notes
    without a visible character.
    """
    tokens = encoder.tokenizer.encode([note.text for note in notes])
    task.check_targets(notes, tokens)
    tags, taught, owner = unit_tags(task, notes, tokens)
    groups = related_notes(notes)[owner]
    limit = FIT_BYTES // (4 * encoder.dimension * (JOINED if layer is None else 1))
    if len(tags) > limit:
        some = _sampled(tags, groups, limit, classifier.seed)
        tags, taught, groups = tags[some], taught[some], groups[some]
        logger.warning(
            "%s on frozen features learns from %d units of the %d notes, drawn at random: all of "
            "them would take more than %.0f GB of memory",
            task.title,
            len(tags),
            len(notes),
            FIT_BYTES / 1e9,
        )
    # What silver notes leave open is not embedded.
    features = embed_units(
        encoder, notes, layer=layer, size=task.units, rows=taught, progress=progress
    ).matrix
    settled, found = settled_on_sample(classifier, features, tags, groups)
    whole = settled.fit(features, tags, groups.tolist())
    if settled is not classifier:
        whole.cross_validation_ = found
    return whole


def settled_on_sample(
    classifier: FeatureClassifier, features: np.ndarray, tags: np.ndarray, groups: np.ndarray
) -> tuple[FeatureClassifier, tuple[StrengthScore, ...]]:
    """The classifier with the one strength for all rows that is best on a sample of them.

    And what was found for each strength there. The classifier itself where the rows are few, or
    it has one strength.
    """
    if len(classifier.strengths) == 1 or len(tags) <= TUNING_UNITS:
        return classifier, ()
    some = _sampled(tags, groups, TUNING_UNITS, classifier.seed)
    strength, found = classifier.choose_strength(features[some], tags[some], groups[some].tolist())
    return clone(classifier).set_params(strengths=[strength]), found


def _sampled(tags: np.ndarray, groups: np.ndarray, size: int, seed: int) -> np.ndarray:
    """So many rows at random, and some of each tag and of a second group, if there are."""
    order = np.random.default_rng(seed).permutation(len(tags))
    chosen = np.zeros(len(tags), dtype=bool)
    chosen[order[:size]] = True
    columns = (tags == tag for tag in np.unique(tags)) if tags.ndim == 1 else tags.astype(bool).T
    for of_tag in columns:
        wanted = FEWEST_OF_A_TAG - int((of_tag & chosen).sum())
        if wanted > 0:
            others = order[(of_tag & ~chosen)[order]]
            chosen[others[:wanted]] = True
    elsewhere = np.flatnonzero(groups != groups[order[0]])
    if len(elsewhere) and not chosen[elsewhere].any():
        chosen[elsewhere[0]] = True
    return np.flatnonzero(chosen)


def unit_tags(
    task: UnitTask, notes: Sequence[Note], tokens: Sequence[TokenisedNote]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tags (`TagLayers.learnt`), which of the notes' units have them, and of which notes those are.

    What silver notes leave open teaches nothing.

    Raises `NoteError` for notes without units, and `TaskError` where all is left open.
    """
    tags, taught, owner, before = [], [], [], 0
    for i, (note, target) in enumerate(zip(notes, task.targets(notes, tokens), strict=True)):
        own = target[find_units(note.text, tokens[i], task.units).tokens]
        known = np.flatnonzero((own >= 0).any(axis=1))
        tags.append(own[known])
        taught.append(before + known)
        owner.append(np.full(len(known), i))
        before += len(own)
    if not before:
        raise NoteError(
            f"{task.title}: the {len(notes)} notes have no visible character; nothing to learn from"
        )
    if not sum(map(len, taught)):
        raise TaskError(
            f"{task.title}: all that is in the {len(notes)} notes is left open, as of silver notes "
            "whose teacher was unsure; give notes with something that is decided"
        )
    learnt = task.tag_set.learnt(np.concatenate(tags))
    return learnt, np.concatenate(taught), np.concatenate(owner)


def said_mentions(
    task: UnitTask,
    encoder: FrozenEncoder,
    classifier: FeatureClassifier,
    notes: Sequence[Note],
    *,
    layer: int | None,
    progress: bool,
) -> Iterator[tuple[Span, ...]]:
    """The mentions of each note, none of them blank, before any threshold."""
    with tqdm(total=len(notes), desc="reading", unit="note", disable=not progress) as bar:
        for some in _parts(notes):
            units = embed_units(encoder, some, layer=layer, size=task.units, progress=False)
            every = np.full((len(units), len(task.tag_set)), UNSEEN)
            every[:, classifier.classes_] = np.maximum(
                classifier.predict_proba(units.matrix), UNSEEN
            )
            yield from decoded_mentions(task.tag_set, units, every)
            bar.update(len(some))


def decoded_mentions(
    tag_set: TagLayers, units: UnitEmbeddings, probabilities: np.ndarray
) -> Iterator[tuple[Span, ...]]:
    """Each note's mentions, by the likeliest valid tags of its units.

    `probabilities` are above 0, of shape (units, outputs). Every note up to the last has units.
    """
    log_probabilities = np.log(probabilities)
    bounds = np.searchsorted(units.note, np.arange(units.note[-1] + 2))
    for low, high in pairwise(bounds.tolist()):
        starts, ends = units.starts[low:high], units.ends[low:high]
        yield tag_set.decode(
            Units(np.arange(high - low), starts, ends, (starts, ends)),
            log_probabilities[low:high],
            probabilities[low:high],
        )


def _parts(notes: Sequence[Note]) -> Iterator[list[Note]]:
    """The notes in order, some `READ_CHARACTERS` at a time."""
    part: list[Note] = []
    length = 0
    for note in notes:
        part.append(note)
        length += len(note.text)
        if length >= READ_CHARACTERS:
            yield part
            part, length = [], 0
    if part:
        yield part
