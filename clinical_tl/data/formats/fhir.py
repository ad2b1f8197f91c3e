"""FHIR resources that carry a note: DocumentReference and DiagnosticReport.

They come as NDJSON from bulk exports, a resource a line, or in a Bundle. The text stands in an
attachment, in base64.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from email.message import Message
from functools import partial

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import BYTE_ORDER_MARK, File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import read_json_records
from clinical_tl.data.formats.nesting import look_up
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.errors import shown_id
from clinical_tl.schema import Note

_CARRYING = ("DocumentReference", "DiagnosticReport")
_TYPE = re.compile(rf"\"resourceType\"\s*:\s*\"(?:Bundle|{'|'.join(_CARRYING)})\"")
_OWN = ("id", "content", "presentedForm", "text", "subject")


def read_fhir(file: File, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every resource that carries one.

    The text is that of the one attachment of type `text/plain`; attachments of other types
    beside it, other resources, and such as were entered in error are counted. The patient is
    `subject.reference` (`Patient/1`). `columns={"label": "type.text"}` and the like reach the
    rest. Texts by their address (`url`), and notes that are HTML, RTF or PDF, are faults.
    """
    fields = partial(_fields, faults=faults)
    yield from read_json_records(file, faults, layout, fields, expand=_resources, own=_OWN)


def _resources(value: object) -> Iterator[object]:
    if not isinstance(value, Mapping) or value.get("resourceType") != "Bundle":
        yield value
        return
    entries = value.get("entry", [])
    if not isinstance(entries, list):
        raise UnreadableError("a Bundle whose entry is no list", "entries with a resource each")
    for entry in entries:
        yield entry.get("resource") if isinstance(entry, Mapping) else None


def _fields(resource: Mapping[str, object], faults: Faults) -> dict[str, object] | None:
    kind = resource.get("resourceType")
    if kind not in _CARRYING:
        faults.passed_over[f"resources of type {shown_id(kind, 'type')!r}"] += 1
        return None
    if "entered-in-error" in (resource.get("status"), resource.get("docStatus")):
        faults.passed_over["resources that were entered in error"] += 1
        return None
    return {
        "note_id": resource.get("id"),
        "patient_id": look_up(resource, "subject.reference")[1],
        "text": _text(resource, faults),
        "spans": None,
    }


def _text(resource: Mapping[str, object], faults: Faults) -> str:
    contents, forms = (resource.get(name) or [] for name in ("content", "presentedForm"))
    if not isinstance(contents, list) or not isinstance(forms, list):
        raise UnreadableError("attachments that are no list", "FHIR R4")
    given = [item.get("attachment") for item in contents if isinstance(item, Mapping)]
    attachments = [item for item in [*given, *forms] if isinstance(item, Mapping)]
    plain = [item for item in attachments if _type(item) == "text/plain" and item.get("data")]
    if len(plain) > 1:
        raise UnreadableError(f"{len(plain)} texts in one resource", "one attachment of text/plain")
    if not plain:
        raise _no_text(attachments)
    if len(attachments) > 1:
        faults.passed_over["attachments of other types beside a text"] += len(attachments) - 1
    charset = str(_content_type(plain[0]).get_content_charset("utf-8"))
    try:
        packed = "".join(str(plain[0]["data"]).split())
        return base64.b64decode(packed, validate=True).decode(charset).removeprefix(BYTE_ORDER_MARK)
    except (binascii.Error, LookupError, UnicodeError, ValueError) as error:
        raise UnreadableError(
            f"an attachment that can't be decoded ({type(error).__name__})",
            "base64 of a text in the charset of its contentType (UTF-8 if it names none)",
        ) from None


def _no_text(attachments: list[Mapping[str, object]]) -> UnreadableError:
    if not attachments:
        return UnreadableError("a resource without an attachment", "content.attachment.data")
    if not any(item.get("data") for item in attachments):
        return UnreadableError(
            "a note by its address (attachment.url)",
            "the text in attachment.data (ask the server for it: Binary)",
        )
    kinds = sorted({_type(item) for item in attachments})
    return UnreadableError(
        f"a note as {', '.join(shown_id(kind, 'type') for kind in kinds)}",
        "an attachment of text/plain (convert it first)",
    )


def _content_type(attachment: Mapping[str, object]) -> Message:
    message = Message()
    message["Content-Type"] = str(attachment.get("contentType") or "text/plain")
    return message


def _type(attachment: Mapping[str, object]) -> str:
    return _content_type(attachment).get_content_type()


def _looks(sight: Sight) -> bool:
    kind = sight.record.get("resourceType")
    known = (*_CARRYING, "Bundle")
    return kind in known or (sight.is_json and _TYPE.search(sight.text[:2_000]) is not None)


FHIR = Format("fhir", "FHIR's DocumentReference and DiagnosticReport", read_fhir, looks=_looks)
