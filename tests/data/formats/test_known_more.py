"""What holds of every format: it is told by its look, and survives whatever is done to a file."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ClinicalTLError
from tests.data.samples import SECRET, put

READ = [name for name, known in FORMATS.items() if known.read is not None]
# Whose inputs other formats look like, too: these are said.
SAID = {"chemprot", "class_folders", "texts"}
ODD = rb'|\0|\xff|\n|\r\n|"|<|&x;|]|}|{|,|-1|999999999999|null|#|T1 X 3 1 y'.split(b"|")
BYTES = st.sampled_from([*ODD, b"\t", b"\0", b"\xff", b"\n", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80"])
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), BYTES), min_size=1, max_size=3)


def options_of(name):
    return {"format": name} if name in SAID else {}


@pytest.mark.parametrize("name", READ)
def test_a_sound_input_is_known_and_read(name, tmp_path):
    source = put(name, tmp_path)
    notes = read_notes(source, **options_of(name))
    assert len(notes) >= 1
    assert all(note.text for note in notes)
    assert list(read_notes(source, format=name)) == list(notes)


@pytest.mark.parametrize("name", READ)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES)
def test_whatever_is_done_to_a_file_ends_in_notes_or_in_an_error_without_text(
    name, tmp_path_factory, changes
):
    folder = tmp_path_factory.mktemp("damaged")
    source = put(name, folder)
    files = sorted(path for path in source.rglob("*") if path.is_file()) or [source]
    for where, cut, put_in in changes:
        path = files[int(where * (len(files) - 1))]
        content = path.read_bytes()
        at = int(where * len(content))
        path.write_bytes(content[:at] + put_in + content[at + cut :])
    for on_error in ("raise", "skip"):
        try:
            read_notes(
                source, format=name, on_error=on_error, rejects=folder / "rejects", make_ids=False
            )
        except ClinicalTLError as error:
            assert SECRET not in str(error)
            # The last resort, of a cause that nobody thought of.
            assert "a record that can't be read" not in str(error)
        if (folder / "rejects").exists():
            assert SECRET not in (folder / "rejects").read_text(encoding="utf-8")
