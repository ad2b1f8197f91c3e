"""The folder that is to leave: what kind it is, its files, and all text in them, with its place."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import ArtifactError, shown_path
from clinical_tl.release.patterns import find_identifiers
from clinical_tl.saved.artifact import ADAPTATION_FILE, CARD_FILE, METRICS_FILE, TASK_FILE
from clinical_tl.saved.run_settings import SETTINGS_FILE
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.sealed_json import read_object

TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILES = ("vocab.txt", "vocab.json", "merges.txt", "spm.model", "spiece.model")
"""The encoder's public vocabulary: words, years and web addresses that pretraining saw."""

# Runs of characters in a binary file that may be words, as `strings` finds them.
_PRINTABLE = re.compile(rb"[\x20-\x7e]{6,}")
# A pretrained vocabulary's own years, sums and addresses are single words without these.
_ODD_WORD = re.compile(r"\S\s+\S|@\w+\.|\d-\d|[A-Za-z]{2}[-#:]?\d{4}")
_VOCABULARY_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"\s*[:,]')
# Numbers that the libraries and this package write, and that may be as long as a record's.
_COUNTS = frozenset(
    {
        "trainable_parameters", "parameters", "tokens", "seed", "steps", "total_size", "size",
        "model_max_length", "max_length", "data_offsets", "shape", "numel",
    }
)  # fmt: skip
_SMALL = 999
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, eq=False, repr=False)
class Fragment(Discreet):
    """A piece of text in a file; `place` is a line or a JSON path that itself tells nothing."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"text"})

    place: str
    text: str
    key: str = ""


@dataclass(frozen=True)
class ReleaseFolder:
    """A folder to release: a task's artifact, an adapted encoder, or a plain model.

    `description` is the content of `task.json` or `adaptation.json`, empty where there is
    neither (a merged model) or it can't be read.
    """

    path: Path
    kind: Literal["artifact", "adapted_encoder", "plain"]
    description: dict[str, Any]
    metrics: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> ReleaseFolder:
        """Raises `ArtifactError` where there is no folder or it is empty."""
        path = as_path(path)
        if not path.is_dir() or not any(path.iterdir()):
            raise ArtifactError(
                f"{shown_path(path)} is no folder, or an empty one; give one that "
                "save_pretrained(), adapt_encoder() or merge() wrote"
            )
        metrics = _json(path / METRICS_FILE)
        if (path / TASK_FILE).is_file():
            return cls(path, "artifact", _json(path / TASK_FILE), metrics)
        if (path / ADAPTATION_FILE).is_file():
            return cls(path, "adapted_encoder", _json(path / ADAPTATION_FILE), metrics)
        return cls(path, "plain", {}, metrics)

    @property
    def files(self) -> list[Path]:
        """Every file and link that would leave, those of subfolders included, sorted.

        A run's settings stay here when a saved model is pushed.
        """
        return sorted(
            p
            for p in self.path.rglob("*")
            if (p.is_symlink() or not p.is_dir()) and p != self.settings
        )

    @property
    def settings(self) -> Path | None:
        """The file of the run's settings that a push leaves here, if there is one."""
        file = self.path / SETTINGS_FILE
        return file if self.kind == "artifact" and file.is_file() else None

    @property
    def encoder(self) -> str | None:
        """The name of the encoder it was trained from."""
        encoder = self.description.get("encoder")
        name = encoder.get("name") if isinstance(encoder, dict) else encoder
        return name if isinstance(name, str) else None

    def shown(self, file: Path) -> str:
        """A file's name within the folder, unless that has the look of an identifier."""
        name = file.relative_to(self.path).as_posix()
        if find_identifiers(name.replace("_", " ")) or find_identifiers(Path(name).stem):
            return f"a file whose name looks like an identifier ({file.suffix or 'no ending'})"
        return name

    def card(self) -> str:
        """The model card's text, empty where there is none."""
        file = self.path / CARD_FILE
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def fragments(file: Path) -> Iterator[Fragment]:
    """All text of a file, in its order.

    Of a vocabulary only what no pretraining puts there (`_odd_words`), of safetensors the
    header (tensors are numbers), of other binary files every run of six printable characters.
    """
    if file.name in VOCABULARY_FILES:
        yield from _odd_words(file)
        return
    if file.suffix == ".safetensors":
        yield from _walk(read_header(file), "header")
        return
    content = file.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text:
        for run in _PRINTABLE.finditer(content):
            yield Fragment(f"byte {run.start()}", run.group().decode("ascii"))
        return
    if file.suffix == ".json":
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if isinstance(value, dict) and file.name == TOKENIZER_FILE:
            yield from _odd_words(file)
            value = {name: part for name, part in value.items() if name != "model"}
        if value is not None:
            yield from _walk(value, "$")
            return
    for number, line in enumerate(text.splitlines(), start=1):
        yield Fragment(f"line {number}", line)


def _odd_words(file: Path) -> Iterator[Fragment]:
    """Entries of a vocabulary that look like nothing that pretraining would have kept whole."""
    text = file.read_bytes().decode("utf-8", errors="ignore")
    if file.suffix == ".json":
        words: Iterator[str] | list[str] = (m.group(1) for m in _VOCABULARY_WORD.finditer(text))
    elif file.suffix == ".txt" and not file.name.startswith("merges"):
        words = text.splitlines()
    else:
        words = []
    for number, word in enumerate(words, start=1):
        if _ODD_WORD.search(word):
            yield Fragment(f"entry {number}", word)


def _walk(value: object, path: str, key: str = "") -> Iterator[Fragment]:
    """Keys and strings of a JSON value; a key that may tell something is shown by its number."""
    if isinstance(value, dict):
        for number, (name, inner) in enumerate(value.items()):
            plain = _PLAIN_KEY.fullmatch(name) and not find_identifiers(name.replace("_", " "))
            place = f"{path}.{name}" if plain else f"{path}.<key {number}>"
            yield Fragment(f"{path}.<key {number}>", name, "<key>")
            yield from _walk(inner, place, name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk(inner, f"{path}[{number}]", key)
    elif isinstance(value, int) and abs(value) > _SMALL and key not in _COUNTS:
        # The number of what, tells whether it may be a record's.
        yield Fragment(path, f"{key} {value}", key)
    elif isinstance(value, str):
        # An estimator keeps its settings as JSON within the header.
        inner = _json_text(value)
        if inner is None:
            yield Fragment(path, value, key)
        else:
            yield from _walk(inner, path, key)


def _json_text(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read_header(file: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file, empty where it has none."""
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(_LONGEST_HEADER, file.stat().st_size - 8):
            return {}
        try:
            value = json.loads(stream.read(length))
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _json(file: Path) -> dict[str, Any]:
    try:
        return read_object(file, mend="")
    except ArtifactError:
        return {}
