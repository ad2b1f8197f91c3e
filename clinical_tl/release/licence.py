"""The check of the encoder's licence: known, and free to pass on what was made from it."""

from __future__ import annotations

from clinical_tl.release.check import ReleaseCheck
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.saved.encoder_licence import encoder_licence

NAME = "licence"


def check_licence(folder: ReleaseFolder, *, public: bool) -> ReleaseCheck:
    """A licence that is not known blocks a public repository and warns for a private one."""
    encoder = folder.encoder
    licence = None if encoder is None else encoder_licence(encoder)
    if licence is not None:
        return ReleaseCheck(NAME, "pass", f"encoder under {licence}, which allows passing it on")
    return ReleaseCheck(
        NAME,
        "block" if public else "warn",
        "the encoder's licence is not known here; look it up, and if it allows passing on what "
        "was made from the encoder, say so with the override 'licence=<its name>'",
    )
