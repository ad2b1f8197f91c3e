"""What an input looks like at first sight: its name, its first characters, the names within it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.json_values import parse_json_at
from clinical_tl.data.formats.problems import UnreadableError

SEEN_CHARACTERS = 2**20

_BINARY = (
    ("%PDF", "a PDF", "its text, e.g. by pdftotext"),
    ("\udcd0\udccf\x11\udce0", "an old Office file (.xls, .doc)", "it saved as .xlsx or .csv"),
    ("{\\rtf", "RTF", "it saved as plain text in UTF-8"),
    ("7z\udcbc\udcaf", "a .7z archive", "the folder it unpacks to"),
    ("Rar!", "a .rar archive", "the folder it unpacks to"),
    ("\udc89PNG", "a picture", "text"),
    ("SQLite format", "an SQLite database", "a table exported as CSV"),
    ("\udc93NUMPY", "a NumPy file", "a table or JSON lines"),
    ("\udc80", "a pickle, which is never read (it can run anything)", "JSON lines or Parquet"),
)
# What may stand before the outermost element of XML, and how it ends; a DOCTYPE may hold more.
_BEFORE_ROOT = {"<?": "?>", "<!--": "-->", "<!DOCTYPE": ">", "<!": ">"}


@dataclass(frozen=True)
class Sight:
    """What tells a format.

    Attributes:
        name: the file's name in lower case, without the ending of its packing.
        text: of a file, its first characters; what is not UTF-8 as lone surrogates.
        names: of a folder or an archive, the names of its files, within it.
        files: its files, for a format that must look into one of them.
    """

    name: str
    text: str = ""
    names: Sequence[str] = ()
    files: Sequence[File] = ()

    @classmethod
    def of(cls, file: File) -> Sight:
        """A file's sight; of one that can't be read, which its reader will say, the name alone."""
        try:
            with file.text() as stream:
                return cls(file.inner_name, stream.read(SEEN_CHARACTERS))
        except Exception:  # of gzip, lzma, zlib, codecs: each has kinds of its own
            return cls(file.inner_name)

    @cached_property
    def start(self) -> str:
        """The text from its first visible character on, where patterns are tried."""
        return self.text.lstrip("\ufeff \t\r\n")

    @cached_property
    def value(self) -> object:
        """The first JSON value: of lines the first, of a list its first item; `None` if none.

        A value that is longer than what is seen is none.
        """
        start = self.start
        if start[:1] == "[":
            start = start[1:].lstrip()
        try:
            value, _ = parse_json_at(start, 0)
        except (UnreadableError, ValueError, RecursionError):
            return None
        return value

    @property
    def record(self) -> Mapping[str, object]:
        """The first JSON object, as `value`; empty if there is none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def is_json(self) -> bool:
        """Whether it begins as JSON that holds objects or lists."""
        return re.match(r"\{\s*[\"}]|\[\s*[\[{\]\"]", self.start) is not None

    @property
    def root(self) -> str:
        """The name of an XML file's outermost element, without its namespace; `""` if none."""
        rest = self.start
        # One by one: a single pattern for all that may precede it takes ages where it fails.
        for _ in range(100):
            if not rest.startswith(("<?", "<!")):
                break
            end = next(end for start, end in _BEFORE_ROOT.items() if rest.startswith(start))
            if end == ">" and "[" in rest.partition(">")[0]:
                # What a DOCTYPE declares itself.
                rest, end = rest.partition("]")[2], ">"
            rest = rest.partition(end)[2].lstrip()
        found = re.match(r"<(?:[\w.-]{1,100}:)?([\w.-]{1,100})[\s>/]", rest)
        return found[1] if found else ""

    def described(self) -> tuple[str, str]:
        """What it looks like, in words, and what to do; both without any of its text."""
        for start, what, instead in _BINARY:
            if self.text.startswith(start):
                return what, f"give {instead}"
        if not self.text and not self.names:
            return "nothing (it is empty, or can't be read)", "name one with notes in it"
        if self.names:
            return _described_folder(self.names)
        if self.name.endswith((".tar", ".tgz")):
            return "a .tar archive", "unpack it (tar -xf) and give the folder"
        if self.text.startswith("PK"):
            return "an archive or an Office file", "give a .zip of files, or .xlsx, by its name"
        if self.root:
            kind = (
                "a web page" if self.root.lower() == "html" else f"XML with the root <{self.root}>"
            )
            return kind, "give another export of the same data, e.g. JSON lines or BRAT"
        if self.is_json:
            what = "JSON lines or a JSON list" if self.record else "JSON"
            return what, "say format='json_lines' if each object is a note"
        if "\0" in self.text[:1000]:
            return "no text (or UTF-16 without its mark)", "try encoding='utf-16-le'"
        return _described_text(self.text)


def _described_folder(names: Sequence[str]) -> tuple[str, str]:
    endings = sorted(
        {f".{name.rpartition('.')[2].lower()}" if "." in name else "" for name in names}
    )
    shown = ", ".join(f"*{ending}" for ending in endings[:6] if re.fullmatch(r"\.\w{1,10}", ending))
    instead = "say which format they are"
    if ".txt" in endings:
        instead += (
            " ('texts': a text a note; 'class_folders': in a folder a label; 'labelled_texts': "
            "beside a table that names them)"
        )
    return f"{len(names)} files ({shown or 'without endings'})", instead


def _described_text(text: str) -> tuple[str, str]:
    first = text.lstrip("\ufeff").partition("\n")[0]
    for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (",", "commas")):
        if first.count(mark) >= 1 and len(first) < 2000:
            return (
                f"text whose first line has {name} ({first.count(mark)})",
                f"say format='csv', delimiter={mark!r} if it is a table",
            )
    return "plain text", "give a folder of one text a note (format='texts'), or a table"
