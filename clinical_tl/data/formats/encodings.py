"""Which encoding the bytes of a file may be, where they are not UTF-8."""

from __future__ import annotations

from collections.abc import Sequence

from clinical_tl.data.formats.files import File

SEEN_BYTES = 2**16
# What hospital systems write; between the Latin ones letters alone can't tell.
_TRIED = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("gb18030", "big5", "shift_jis", "euc_kr", "utf_16_le", "utf_16_be"),
)


def likely_encoding(files: Sequence[File]) -> str:
    """What to say after `encoding=`, by the first file that is not UTF-8; `""` if nothing fits."""
    from charset_normalizer import from_bytes

    for file in files:
        with file.bytes() as stream:
            seen = stream.read(SEEN_BYTES)
        try:
            seen.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start > len(seen) - 4:
                continue
        else:
            continue
        best = from_bytes(seen, cp_isolation=list(_TRIED), enable_fallback=False).best()
        found = "" if best is None else best.encoding
        if found in ("cp1250", "cp1252", "cp1254"):
            return "encoding='cp1252' (or 'cp1250' of Central, 'cp1254' of Turkish texts)"
        return f"encoding={found!r}" if found else ""
    return ""
