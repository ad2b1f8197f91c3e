"""What an encoder's name tells others: where it was adapted from, and under which licence it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

from clinical_tl.network.encoder import OFFLINE, OFFLINE_HUB_ID
from clinical_tl.saved.artifact import ADAPTATION_FILE

# As their owners state them on the Hub; all let derivatives be passed on.
ENCODER_LICENCES = {
    OFFLINE_HUB_ID: "apache-2.0",
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext": "mit",
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract": "mit",
    "michiyasunaga/BioLinkBERT-base": "apache-2.0",
    "michiyasunaga/BioLinkBERT-large": "apache-2.0",
    "thomas-sounack/BioClinical-ModernBERT-base": "mit",
    "thomas-sounack/BioClinical-ModernBERT-large": "mit",
    "emilyalsentzer/Bio_ClinicalBERT": "mit",
}
_LONGEST_DESCENT = 8


def encoder_licence(name: str) -> str | None:
    """The licence of an encoder by name; a folder that was adapted has that of its origin."""
    origin = _origin(name)
    return ENCODER_LICENCES.get(OFFLINE_HUB_ID if origin == OFFLINE else origin)


def shareable_name(name: str) -> str:
    """An encoder's name without the folders of a machine.

    An adapted encoder is called by its origin, of which the model is a fine-tune; another
    local one by `./<its folder>`, which nobody takes for a Hub id.
    """
    origin = _origin(name)
    path = Path(origin)
    is_local = path.is_absolute() or path.is_dir() or origin.startswith((".", "~"))
    return "./" + re.sub(r"[^\w.-]+", "-", path.name) if is_local else origin


def _origin(name: str) -> str:
    """What an adapted encoder was adapted from, else the name itself."""
    for _ in range(_LONGEST_DESCENT):
        report = Path(name) / ADAPTATION_FILE
        if not report.is_file():
            break
        try:
            name = str(json.loads(report.read_text(encoding="utf-8"))["encoder"])
        except (KeyError, TypeError, ValueError):
            break
    return name
