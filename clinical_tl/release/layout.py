"""The check of the layout: declared files alone, nothing that runs, nothing outsized."""

from __future__ import annotations

import json
import re
from pathlib import Path

from clinical_tl.errors import ArtifactError
from clinical_tl.release.check import ReleaseCheck
from clinical_tl.release.folder import (
    TOKENIZER_FILE,
    VOCABULARY_FILES,
    ReleaseFolder,
    read_header,
)
from clinical_tl.saved.artifact import (
    ADAPTATION_FILE,
    CARD_FILE,
    METRICS_FILE,
    REPORT_FILE,
    TASK_FILE,
    read_artifact,
)
from clinical_tl.saved.run_settings import SETTINGS_FILE

NAME = "layout"
SHOWN = 8

WEIGHTS = re.compile(
    r"(?:adapter_model|head|novelty|feature_classifier|lexical_classifier|open_codes|"
    r"model(?:-\d{5}-of-\d{5})?)\.safetensors"
)
DECLARED = frozenset(
    {
        TASK_FILE, METRICS_FILE, REPORT_FILE, CARD_FILE, ADAPTATION_FILE, TOKENIZER_FILE,
        *VOCABULARY_FILES, "adapter_config.json", "config.json", "generation_config.json",
        "model.safetensors.index.json", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json",
    }
)  # fmt: skip
LARGEST = 5_000_000
"""Bytes of a file that holds neither weights nor a vocabulary."""
LARGEST_VOCABULARY = 50_000_000

_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5"}
_CODE = {".py", ".pyc", ".ipynb", ".sh", ".so", ".dll", ".js", ".exe", ".jar"}
# Adam's moments, as PyTorch and this package's checkpoints name them.
_MOMENTS = re.compile(r"(?:^|[./])(?:exp_avg(?:_sq)?|max_exp_avg_sq|momentum_buffer)$")


def check_layout(folder: ReleaseFolder) -> ReleaseCheck:
    """Only files that the package writes, of the right kind, unchanged since they were saved."""
    wrong: list[str] = []
    for file in folder.files:
        fault = _fault(file, folder)
        if fault is not None:
            wrong.append(f"{folder.shown(file)}: {fault}")
    if folder.kind == "artifact":
        try:
            read_artifact(folder.path)
        except ArtifactError:
            wrong.append(f"{TASK_FILE}: damaged, or a file differs from what was saved")
    if wrong:
        shown = wrong[:SHOWN] + ([f"… and {len(wrong) - SHOWN} more"] if wrong[SHOWN:] else [])
        return ReleaseCheck(NAME, "block", "; ".join(shown))
    found = f"{len(folder.files)} files, all declared"
    if folder.settings is not None:
        found += f"; {SETTINGS_FILE} stays here"
    if folder.kind != "artifact":
        return ReleaseCheck(
            NAME,
            "partial",
            f"{found}; whether they changed since they were saved was not looked for: there is no "
            f"{TASK_FILE} with their hashes",
        )
    return ReleaseCheck(NAME, "pass", found)


def _fault(file: Path, folder: ReleaseFolder) -> str | None:
    """What speaks against a file, or `None`."""
    if file.is_symlink() or not file.is_file():
        return "a link or no plain file"
    with file.open("rb") as stream:
        start = stream.read(4)
    # A pickle of protocol 2 or later, or a zip (torch.save); a name can say anything.
    if (
        file.suffix in _PICKLES
        or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5")
        or (start == b"PK\3\4")
    ):
        return "a pickle or archive, which can run code when it is loaded"
    if file.suffix in _CODE or start[:2] == b"#!" or start == b"\x7fELF":
        return "code"
    if file == folder.path / SETTINGS_FILE:
        return "the settings of a run, which name files of this machine; leave it out"
    declared = file.parent == folder.path and (
        file.name in DECLARED or WEIGHTS.fullmatch(file.name) is not None
    )
    if not declared:
        return "not a file of a saved model"
    size = file.stat().st_size
    if file.suffix == ".safetensors":
        header = read_header(file)
        if not header:
            return "no safetensors"
        if any(_MOMENTS.search(name) for name in header):
            return "an optimiser's moments"
        return None
    vocabulary = file.name == TOKENIZER_FILE or file.name in VOCABULARY_FILES
    if size > (LARGEST_VOCABULARY if vocabulary else LARGEST):
        return f"{size / 1e6:.0f} MB, more than such a file has"
    if file.suffix == ".json" and not vocabulary:
        return _json_fault(file)
    return None


def _json_fault(file: Path) -> str | None:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return "no valid JSON"
    if isinstance(value, dict) and ({"auto_map", "custom_pipelines"} & set(value)):
        return "names code to run when it is loaded (auto_map, custom_pipelines)"
    return None
