"""The README's Python runs as it stands, in order, in one folder."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.usefixtures("offline_encoder")
def test_the_python_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) >= 2
    shared: dict[str, object] = {}
    for number, block in enumerate(BLOCKS):
        # The README's encoder for plain peft is a Hub id; here it must come from the disk.
        local = block.replace(
            '"sentence-transformers/all-MiniLM-L6-v2"',
            "__import__('clinical_tl.network.encoder', fromlist=['x']).offline_encoder_path()",
        )
        exec(compile(local, f"README block {number}", "exec"), shared)
    assert "trainable parameters" in capsys.readouterr().out


def test_the_two_commands_and_every_folder_are_named():
    text = README.read_text(encoding="utf-8")
    assert text.index("make demo") < text.index("make test")
    for folder in ("clinical_tl", "recipes", "tests", "notebooks"):
        assert f"{folder}/" in text


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./]+)\)", README.read_text()))))
def test_links_lead_somewhere(path):
    assert (README.parent / path).exists()
