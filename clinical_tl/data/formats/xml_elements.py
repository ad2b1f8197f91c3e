"""The elements of an XML file, one by one, without what makes XML dangerous.

Declared entities are refused (they may unfold to gigabytes, or name files to be read), no DTD is
fetched, and a reference to an entity that isn't known is a fault, not a gap in the text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError

READ_BYTES = 2**20
DECLARED = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")

# XML 1.0 has no other control characters, and no half of a character.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def xml_elements(file: File, faults: Faults, name: str = "") -> Iterator[tuple[int, Element]]:
    """Yields (line from 1, element) for every element of a name, or the outermost one.

    Names come without their namespaces. What holds an element is not kept. XML that breaks off
    is a fault with its line; where it may have held more elements, the input is refused.

    Args:
        file: the file; its encoding is what the XML says, or a byte-order mark, or `encoding=`.
        faults: where it goes if the XML is broken.
        name: of the elements; empty for the outermost.
    """
    gathering = _Gathering(name)
    # Expat knows encodings of one byte a character, beside UTF-8 and UTF-16.
    parser = expat.ParserCreate(None if _is_wide(file.encoding) else file.encoding, "}")
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: gathering.start(
        tag, attributes, parser.CurrentLineNumber
    )
    parser.EndElementHandler = gathering.end
    parser.CharacterDataHandler = gathering.data
    parser.EntityDeclHandler = _refuse_entity
    parser.SkippedEntityHandler = _refuse_unknown
    fed, decoder = 0, None
    with file.bytes() as stream:
        while True:
            # Expat goes once more through what has no end yet, such as a long comment.
            chunk = stream.read(max(READ_BYTES, fed - parser.CurrentByteIndex))
            try:
                if not fed:
                    decoder = _decoder(file.encoding, chunk)
                text = chunk if decoder is None else decoder.decode(chunk, not chunk)
                fed += len(text)
                parser.Parse(text, not chunk)
            except (expat.ExpatError, UnreadableError, LookupError, UnicodeError) as error:
                yield from gathering.taken()
                _tell(error, Place(file.name, parser.CurrentLineNumber), faults, name)
                return
            yield from gathering.taken()
            if not chunk:
                return


def _is_wide(encoding: str | None) -> bool:
    """Whether Python must decode it. Raises `LookupError` for one that it doesn't know."""
    if encoding is None or codecs.lookup(encoding).name.startswith(("utf-8", "utf-16")):
        return False
    return len(bytes(range(256)).decode(encoding, "replace")) != 256


def _decoder(encoding: str | None, start: bytes) -> codecs.IncrementalDecoder | None:
    """What decodes a file that begins so, where expat can't."""
    declared = DECLARED.match(start)
    name = encoding or (declared and declared[1].decode())
    return codecs.getincrementaldecoder(name)() if name and _is_wide(name) else None


def _tell(error: Exception, place: Place, faults: Faults, name: str) -> None:
    if isinstance(error, UnreadableError):
        found, allowed = error.found, error.allowed
    elif isinstance(error, UnicodeError):
        found, allowed = (
            "bytes that are not of the file's encoding",
            "the one that the XML declares",
        )
    elif not isinstance(error, expat.ExpatError):
        found, allowed = "an encoding that nobody knows", "one that Python knows, or encoding='…'"
    else:
        place = place.at(error.lineno)
        found = f"broken XML at column {error.offset + 1}: {expat.ErrorString(error.code)}"
        allowed = "one whole XML document"
    if name:
        # Nobody knows what would have followed.
        faults.refuse(place, found, allowed)
        return
    faults.add(place, found, allowed)
    faults.rejected += 1


def _refuse_entity(*_: object) -> NoReturn:
    raise UnreadableError("XML that declares entities", "XML without <!ENTITY …>")


def _refuse_unknown(*_: object) -> NoReturn:
    raise UnreadableError(
        "a reference to an entity that the file doesn't have", "characters, or &#…; with numbers"
    )


class _Gathering:
    """Builds the elements of one name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._builder: TreeBuilder | None = None
        self._depth = 0
        self._line = 0
        self._done: list[tuple[int, Element]] = []

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        tag = _local(tag)
        if self._builder is None and self._name in ("", tag):
            self._builder, self._depth, self._line = TreeBuilder(), 0, line
        if self._builder is not None:
            own = {_local(name): value for name, value in attributes.items()}
            self._builder.start(tag, own)
            self._depth += 1

    def data(self, text: str) -> None:
        if self._builder is not None:
            self._builder.data(text)

    def end(self, tag: str) -> None:
        if self._builder is None:
            return
        self._builder.end(_local(tag))
        self._depth -= 1
        if not self._depth:
            self._done.append((self._line, self._builder.close()))
            self._builder = None

    def taken(self) -> Iterator[tuple[int, Element]]:
        """Yields what has come to its end since the last time."""
        done, self._done = self._done, []
        yield from done


def _local(name: str) -> str:
    return name.rpartition("}")[2]
