"""The check of the encoder's place: others have it too, and it names no folder of a machine."""

from __future__ import annotations

import re

from clinical_tl.release.check import ReleaseCheck
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.saved.artifact import TASK_FILE
from clinical_tl.saved.encoder_licence import encoder_licence
from clinical_tl.storage.paths import as_path

NAME = "encoder"

_WHOLE = re.compile(r"model\b.*\.safetensors|model\.onnx")
_ADAPTER = "adapter_config.json"


def check_encoder(folder: ReleaseFolder) -> ReleaseCheck:
    """A model on an encoder that lies in a local folder never leaves: nobody else could load it.

    One that carries its encoder needs no other, but must not name the folder it had here either.
    """
    name = folder.encoder
    if folder.kind != "artifact" and (folder.path / _ADAPTER).is_file():
        return ReleaseCheck(
            NAME, "unchecked", f"an adapter without a {TASK_FILE} that says for which encoder"
        )
    if folder.kind != "artifact":
        return ReleaseCheck(NAME, "pass", "no other encoder is needed")
    if name is None:
        return ReleaseCheck(NAME, "unchecked", f"{TASK_FILE} does not say which encoder it is for")
    path = as_path(name)
    carried = any(_WHOLE.match(file) for file in folder.description.get("files", ()))
    is_local = path.is_dir() or name.startswith((".", "~"))
    tells_a_path = (
        path.is_absolute() or len(path.parts) > 2 or (len(path.parts) > 1 and path.exists())
    )
    if tells_a_path and carried:
        return ReleaseCheck(
            NAME,
            "block",
            f"{TASK_FILE} names the folder of this machine that the encoder lay in, although the "
            "model carries it; load the model and save it again, which leaves that out",
            liftable=False,
        )
    if tells_a_path or (is_local and not carried):
        return ReleaseCheck(
            NAME,
            "block",
            f"{TASK_FILE}: the model's encoder is a local folder, which nobody else has; train on "
            "the encoder's Hub id, name that with load(..., encoder=...), or push a model that "
            "carries its encoder: push_to_hub(..., merge=True)",
            liftable=False,
        )
    if carried:
        return ReleaseCheck(NAME, "pass", "carried")
    if encoder_licence(name) is not None:
        return ReleaseCheck(NAME, "pass", "one that others can have")
    return ReleaseCheck(
        NAME,
        "partial",
        "named as one of the Hub; whether others can have it there was not looked for",
    )
