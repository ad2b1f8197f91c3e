"""A recipe in two processes, as torchrun starts them, and what users do after a fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

from clinical_tl.data.notes import Notes
from clinical_tl.data.writing import write_notes
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.schema import Note
from tests.hub_server import hub_server
from tests.recipes.run_processes import REPOSITORY

ROOT = Path(__file__).parent.parent.parent


def test_a_recipe_a_second_fit_saving_and_a_push_in_two_processes(tiny_encoder, tmp_path):
    for side, (name, words) in enumerate(
        {"train": "fever cough", "dev": "chills rash", "test": "pain itch"}.items()
    ):
        notes = [
            Note(f"{name}{i}", f"Seen for {word} on day {i}.", f"p{side}-{i}", label="xy"[i % 2])
            for i, word in enumerate(words.split() * 4)
        ]
        write_notes(Notes(notes), tmp_path / f"{name}.jsonl")
    with hub_server() as hub:
        hub.upload("lab/tiny", tiny_encoder)
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": "hf_lab",
        }
        launch = [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"),
            *("--standalone", "-m", "tests.recipes.run_processes", str(tmp_path)),
        ]
        subprocess.run(launch, cwd=ROOT, check=True, timeout=3000, env=environment)
        commits = hub.repositories[REPOSITORY].commits
        address = f"{hub.address}/{REPOSITORY}/commit/"
    first, second = (json.loads((tmp_path / f"told-{i}.json").read_text()) for i in (0, 1))
    assert first == second
    assert first["processes"] == 2
    assert first["at"].startswith(address)
    # The repository's own first commit, and one push.
    assert len(commits) == 2
    loaded = TransferModel.load(tmp_path / "again", encoder=tiny_encoder)
    assert len(loaded.predict(["Seen for fever."], progress=False)) == 1
