"""The package as spaCy components: `nlp.add_pipe("clinical_tl", config={"model": folder})`.

A model's or a set of rules' predictions are set on documents:

- mentions in `doc.spans[key]`, those that overlap others included, and in `doc.ents` where there
  is room: of those that overlap the longest, then the first, then the surest; `span._.<key>` has
  each one's `score`, `attributes`, `concepts`, and the characters (`start`, `end`) as predicted;
- the scores of labels and codes in `doc.cats`;
- what was decided in `doc._.<key>`: the `component`, `label`, `codes`, `evidence` (code → start,
  end, score), and how many mentions were `misaligned`, `dropped` or `not_in_ents`.

`key` is a setting, `clinical_tl` or `clinical_tl_rules` by default. Mentions have character
offsets, spaCy's spans are runs of tokens: what does not begin and end with a token is counted
and treated as `alignment_mode` says. The model is loaded when it is first needed.
Values are plain (lists, numbers, strings), so documents are serialised with them.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.util import raise_error

from clinical_tl.errors import ArtifactError, ConfigError, shown_path
from clinical_tl.integrations.spacy_annotations import (
    ComponentSettings,
    add_extension,
    set_prediction,
)
from clinical_tl.models.loading import load
from clinical_tl.models.onnx_model import OnnxModel
from clinical_tl.schema import Note, Prediction
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replacing_file

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from clinical_tl.integrations.spacy_annotations import ComponentSettings

Predict = Callable[[Sequence[Note]], list[Prediction]]

MODEL_FOLDER = "model"
RULES_FILE = "rules.jsonl"


def load_source(settings: ComponentSettings) -> Predict:
    """What predicts notes, by the settings.

    Raises `ConfigError` where there is no source, or for a relation model, and whatever
    loading it raises.
    """
    if not settings.source:
        factory, field = ("clinical_tl", "model")
        if settings.kind == "rules":
            factory, field = ("clinical_tl_rules", "rules")
        raise ConfigError(
            f"the component has no {field}; give one: nlp.add_pipe({factory!r}, "
            f"config={{{field!r}: '…'}})"
        )
    if settings.kind == "rules":
        from clinical_tl.rules.matcher import RuleMatcher
        from clinical_tl.rules.rule_set import RuleSet

        return RuleMatcher(RuleSet.load(settings.source), context=settings.context).predict
    from clinical_tl.models.feature_model import FeatureModel

    model = load(settings.source, encoder=settings.encoder, device=settings.device)
    if model.task.needs:
        raise ConfigError(
            f"{settings.source}: a model for {model.task.title} reads a note's "
            f"{' and '.join(model.task.needs)} too, which documents don't carry with their ids; "
            "call its predict() on notes"
        )
    if isinstance(model, FeatureModel):
        return lambda notes: model.predict(notes, progress=False)
    budget = settings.batch_tokens
    return lambda notes: model.predict(notes, batch_tokens=budget, progress=False)


def save_source(settings: ComponentSettings, folder: Path) -> None:
    """Write the model or the rules that the settings name into a folder, under a fixed name."""
    if settings.kind == "rules":
        from clinical_tl.rules.rule_set import RuleSet

        RuleSet.load(settings.source).save(folder / RULES_FILE)
    else:
        model = load(settings.source, encoder=settings.encoder)
        if isinstance(model, OnnxModel):
            raise ConfigError(
                f"{shown_path(settings.source)}: an exported model can't be saved again; save the "
                "pipeline with the model that it was exported from"
            )
        model.save_pretrained(folder / MODEL_FOLDER)


ErrorHandler = Callable[[str, Any, "list[Doc]", Exception], Any]

SETTINGS_FILE = "settings.json"

log = logging.getLogger(__name__)


class ClinicalComponent:
    """A model or rules in a spaCy pipeline; made by `nlp.add_pipe`.

    `counts` adds up, over all documents of this process, the `mentions`, and how many of them
    were `misaligned`, `dropped` or `not_in_ents`; with `nlp.pipe(n_process=…)` add up what each
    document says (`doc._.<key>`).
    """

    def __init__(self, name: str, settings: ComponentSettings) -> None:
        self.name = name
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._predict: Predict | None = None
        self._error_handler: ErrorHandler = raise_error
        self._told = 0
        add_extension(settings.key)

    def __getstate__(self) -> dict[str, Any]:
        """Without the loaded model: each process of `nlp.pipe(n_process=…)` loads its own."""
        return {**self.__dict__, "_predict": None}

    @property
    def misaligned(self) -> int:
        """Mentions so far that did not begin and end with a token."""
        return self.counts["misaligned"]

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one document."""
        try:
            self._annotate([doc])
        except Exception as error:
            self._error_handler(self.name, self, [doc], error)
        if not self._told:
            self._tell()
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate documents in batches of `batch_size`, in order."""
        remaining = iter(stream)
        while docs := list(islice(remaining, batch_size)):
            try:
                self._annotate(docs)
            except Exception as error:
                yield from self._sound(docs, error)
            else:
                yield from docs
        self._tell()

    def set_error_handler(self, error_handler: ErrorHandler) -> None:
        """What is done with documents that fail; by default the error is raised."""
        self._error_handler = error_handler

    def get_error_handler(self) -> ErrorHandler:
        """What `set_error_handler` set."""
        return self._error_handler

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Any]] | None = None,
        *,
        nlp: Language | None = None,
    ) -> None:
        """Load the model now (it is not trained here); raises what `load_source` raises."""
        del get_examples, nlp
        self._predict = load_source(self.settings)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the settings and, with `save_model` (or `save_rules`), what they name.

        The encoder of an adapter is not written: it is found by its name again.
        """
        del exclude
        folder = as_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        if self.settings.save_source:
            save_source(self.settings, folder)
        with replacing_file(folder / SETTINGS_FILE) as draft:
            draft.write_bytes(self.to_bytes())

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> ClinicalComponent:
        """Read what `to_disk` wrote; a model or rules saved there take the place of the source."""
        del exclude
        folder = as_path(path)
        try:
            self.from_bytes((folder / SETTINGS_FILE).read_bytes())
        except OSError as error:
            raise ArtifactError(
                f"{shown_path(folder)} holds no {SETTINGS_FILE}; give a folder written by "
                "nlp.to_disk()"
            ) from error
        saved = folder / (MODEL_FOLDER if self.settings.kind == "model" else RULES_FILE)
        if saved.exists():
            self.settings = replace(self.settings, source=str(saved))
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The settings alone: the model is named in them and not part of the bytes."""
        del exclude
        return json.dumps(asdict(self.settings), sort_keys=True).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> ClinicalComponent:
        """Take the settings that `to_bytes` gave; the model is loaded anew when needed."""
        del exclude
        try:
            settings = ComponentSettings(**json.loads(data))
        except (TypeError, ValueError) as error:
            raise ArtifactError(
                f"the settings of the component {self.name!r} are damaged, or of another version; "
                "save the pipeline again"
            ) from error
        add_extension(settings.key)
        self.settings = settings
        self._predict = None
        return self

    def _annotate(self, docs: Sequence[Doc]) -> None:
        if self._predict is None:
            self.initialize()
        if self._predict is not None and docs:
            notes = [Note(str(i), doc.text) for i, doc in enumerate(docs)]
            predictions = self._predict(notes)
            for doc in docs:
                self._check_key(doc)
            for doc, prediction in zip(docs, predictions, strict=True):
                self.counts += set_prediction(doc, prediction, self.settings)
                doc._.get(self.settings.key)["component"] = self.name

    def _sound(self, docs: list[Doc], error: Exception) -> Iterator[Doc]:
        """The documents of a failed batch that do not fail alone; the handler gets the others."""
        if len(docs) == 1 or self._predict is None or self._error_handler is raise_error:
            self._error_handler(self.name, self, docs, error)
            return
        for doc in docs:
            try:
                self._annotate([doc])
            except Exception as own_error:
                self._error_handler(self.name, self, [doc], own_error)
            else:
                yield doc

    def _check_key(self, doc: Doc) -> None:
        found = doc._.get(self.settings.key)
        if found and found.get("component", self.name) != self.name:
            raise ConfigError(
                f"the component {found['component']!r} has written doc._.{self.settings.key}, and "
                f"{self.name!r} would replace what it found; give one of them another key: "
                "add_pipe(..., config={'key': '…'})"
            )

    def _tell(self) -> None:
        if self.counts["misaligned"] > self._told:
            self._told = self.counts["misaligned"]
            log.warning(
                "%s: %d of %d mentions so far do not begin and end with a token; %d were dropped, "
                "the others set by alignment_mode=%r",
                self.name,
                self._told,
                self.counts["mentions"],
                self.counts["dropped"],
                self.settings.alignment_mode,
            )


@Language.factory(
    "clinical_tl",
    assigns=["doc.ents", "doc.spans", "doc.cats"],
    default_config={
        "model": "",
        "encoder": None,
        "key": "clinical_tl",
        "alignment_mode": "expand",
        "set_ents": True,
        "overwrite_ents": False,
        "device": None,
        "batch_tokens": None,
        "save_model": False,
    },
)
def make_component(
    nlp: Language,
    name: str,
    model: str,
    encoder: str | None,
    key: str,
    alignment_mode: str,
    set_ents: bool,
    overwrite_ents: bool,
    device: str | None,
    batch_tokens: int | None,
    save_model: bool,
) -> ClinicalComponent:
    """A trained model as a component.

    Args:
        nlp: the pipeline.
        name: the component's name.
        model: what `save_pretrained` wrote (`TransferModel` or `FeatureModel`), or a Hub id.
        encoder: another place for the model's encoder.
        key: under which predictions are found: `doc.spans[key]`, `doc._.<key>`, `span._.<key>`.
        alignment_mode: of a mention that does not begin and end with a token: `strict` drops
            it, `contract` keeps the tokens wholly inside it (and drops it where there are
            none), `expand` takes all tokens that it touches.
        set_ents: whether mentions become entities, where there is room.
        overwrite_ents: whether they displace entities that stand there already.
        device: where the model computes; by default a GPU where there is one.
        batch_tokens: bounds memory; by default chosen by the device.
        save_model: whether `nlp.to_disk` writes the model too.
    """
    del nlp
    return ClinicalComponent(
        name,
        ComponentSettings(
            "model",
            model,
            key,
            alignment_mode,  # type: ignore[arg-type]  # checked by the settings
            set_ents,
            overwrite_ents,
            save_model,
            encoder=encoder,
            device=device,
            batch_tokens=batch_tokens,
        ),
    )


@Language.factory(
    "clinical_tl_rules",
    assigns=["doc.ents", "doc.spans"],
    default_config={
        "rules": "",
        "context": True,
        "key": "clinical_tl_rules",
        "alignment_mode": "expand",
        "set_ents": True,
        "overwrite_ents": False,
        "save_rules": False,
    },
)
def make_rules_component(
    nlp: Language,
    name: str,
    rules: str,
    context: bool,
    key: str,
    alignment_mode: str,
    set_ents: bool,
    overwrite_ents: bool,
    save_rules: bool,
) -> ClinicalComponent:
    """Rules as a component: `rules` is a file that `RuleSet.save` wrote.

    `context` gives mentions attributes (negation and so on); the rest as for `clinical_tl`.
    """
    del nlp
    return ClinicalComponent(
        name,
        ComponentSettings(
            "rules",
            rules,
            key,
            alignment_mode,  # type: ignore[arg-type]  # checked by the settings
            set_ents,
            overwrite_ents,
            save_rules,
            context=context,
        ),
    )
