"""What each of several processes does: a whole recipe, then everything that comes after a fit."""

import json
import sys
from pathlib import Path

import clinical_tl as ctl
from clinical_tl.storage.processes import process_state
from recipes import note_classification

ENCODER, REPOSITORY = "hub:lab/tiny", "lab/processes"


def main(folder: Path) -> None:
    files = {name: str(folder / f"{name}.jsonl") for name in ("train", "dev", "test")}
    config = ctl.TrainingConfig(epochs=1, batch_tokens=256, progress=False)
    scores = note_classification.main(
        **files, encoder=ENCODER, training=config, output=str(folder / "recipe")
    )
    splits = {name: ctl.read_notes(file) for name, file in files.items()}
    model = ctl.TransferModel.load(folder / "recipe" / "model")
    ctl.fit(model, splits["train"], splits["dev"], config)
    ctl.fit(model, splits["train"], splits["dev"], config)
    again = model.evaluate(splits["test"], progress=False).summary()
    model.save_pretrained(folder / "again")
    address = model.push_to_hub(
        REPOSITORY, data_use="public", overrides=("evaluation", "licence", "memorisation")
    )
    state = process_state()
    told = {"processes": state.num_processes, "scores": scores, "again": again, "at": address}
    (folder / f"told-{state.process_index}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
