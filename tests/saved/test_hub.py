"""The real Hub client over real HTTP, against a small Hub on loopback: push, pull, and faults."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, constants
from huggingface_hub.utils import close_session

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ArtifactError, ConfigError, HubError, ReleaseError
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.release.gate import check_release
from clinical_tl.release.push import push_folder
from clinical_tl.saved.artifact import read_artifact
from clinical_tl.saved.card import write_card
from clinical_tl.saved.card_details import CardDetails
from clinical_tl.saved.hub import find_saved, pull_folder
from clinical_tl.saved.run_settings import run_with
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from tests.hub_server import hub_server
from tests.hub_state import Fault

# The client's own: without Xet it hands files to its HTTP library in an earlier way.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

NAME = "lab/model"
ASKED = f"hub:{NAME}"
ROOT = Path(__file__).parent.parent.parent
NOTE = ["Admitted with chest pain. History of diabetes, on metformin."]
IDS = torch.tensor([[2, 30, 40, 50, 3]])
ALWAYS = 99
# Scored on nothing, and on an encoder that nobody knows: the gate would refuse them.
GATE = {"data_use": "public", "overrides": ("evaluation", "licence", "memorisation")}


@pytest.fixture(scope="module")
def server(tiny_encoder):
    with hub_server() as server:
        server.upload("lab/tiny", tiny_encoder)
        yield server
        close_session()
    assert server.tokens_at_storage == []


@pytest.fixture(scope="module", autouse=True)
def module_client(server, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        use_hub(patch, server, tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """The Hub with a clean record, and a client with a fresh cache that does not wait."""
    server.reset({"lab/tiny"})
    fresh_cache(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    return server


def use_hub(patch, server, cache):
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "ENDPOINT", server.address)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    patch.setattr("huggingface_hub.hf_api.api.endpoint", server.address)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setenv("HF_TOKEN", "hf_lab")
    fresh_cache(patch, cache)
    close_session()


def fresh_cache(patch, cache):
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))


@pytest.fixture(scope="module")
def model(synthetic_notes):
    """Entities on an encoder that lies on the Hub."""
    notes = synthetic_notes.select(range(8))
    made = TransferModel.from_pretrained(
        "hub:lab/tiny", EntityRecognition.from_notes(notes), adapter=LoRA(r=4), window=64
    )
    fit(made, notes, config=TrainingConfig(epochs=1, learning_rate=1e-2, progress=False))
    return made


@pytest.fixture
def folder(model, tmp_path):
    return model.save_pretrained(tmp_path / "model")


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def predicted(loaded):
    return loaded.predict(NOTE, progress=False)


def test_what_is_pulled_predicts_as_what_was_pushed(hub, model):
    address = model.push_to_hub(NAME, **GATE)
    repository = hub.repositories[NAME]
    assert address == f"{hub.address}/{NAME}/commit/{repository.refs['main'].sha}"
    assert repository.private
    loaded = TransferModel.load(ASKED)
    assert predicted(loaded) == predicted(model)
    assert loaded.task == model.task
    assert hub.count("PUT", "^/lfs/") == 1


@pytest.mark.usefixtures("hub")
def test_it_loads_in_plain_peft_by_its_id(model, folder):
    from peft import AutoPeftModelForTokenClassification

    push_folder(folder, NAME, **GATE)
    plain = AutoPeftModelForTokenClassification.from_pretrained(
        NAME, num_labels=len(model.task.head_spec.outputs)
    ).eval()
    with torch.no_grad():
        expected = model.network.eval().model(input_ids=IDS).logits
        assert torch.equal(plain(input_ids=IDS).logits, expected)


def test_a_push_is_one_commit_of_the_declared_files(hub, folder):
    (folder / "predictions.jsonl").write_text("not to be shared")
    with pytest.raises(ReleaseError, match=r"predictions\.jsonl"):
        push_folder(folder, NAME, **GATE)
    push_folder(folder, NAME, data_use="public", overrides=(*GATE["overrides"], "layout"))
    repository = hub.repositories[NAME]
    assert [commit.message.split(":")[0] for commit in repository.commits.values()] == [
        "initial",
        "clinical_tl 0.1.0",
    ]
    pushed = repository.refs["main"].files
    declared = {*read_artifact(folder)["files"], "task.json", "README.md"}
    assert set(pushed) == {*declared, ".gitattributes"}
    sent_as_they_are = declared - {"README.md"}  # It says that the licence was answered for.
    assert all(pushed[name] == (folder / name).read_bytes() for name in sent_as_they_are)


def test_what_is_there_is_not_sent_again(hub, folder):
    first = push_folder(folder, NAME, **GATE)
    hub.requests.clear()
    assert push_folder(folder, NAME, **GATE) == first
    assert hub.count("PUT", "") + hub.count("POST", "/commit/") == 0
    (folder / "README.md").write_text("---\nbase_model: lab/tiny\n---\n# Completed\n")
    assert push_folder(folder, NAME, **GATE) != first
    assert hub.count("PUT", "") == 0


def test_files_of_another_kind_of_model_do_not_stay(hub, folder, model):
    push_folder(folder, NAME, **GATE)
    hub.repositories[NAME].refs["main"].files["NOTES.md"] = b"written by hand"
    model.push_to_hub(NAME, merge=True, **GATE)
    files = set(hub.repositories[NAME].refs["main"].files)
    assert {"model.safetensors", "NOTES.md", ".gitattributes"} < files
    assert not any(file.startswith("adapter_") for file in files)
    assert predicted(TransferModel.load(ASKED))[0].note_id == predicted(model)[0].note_id


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("POST", "/create$", 401), r"does not know who asks.*`hf auth login`"),
        (Fault("POST", "/create$", 500), r"has a fault \(HTTP 500\)"),
        (Fault("GET", "/api/models/", 404, times=2), "no such repository"),
        (Fault("POST", "/preupload/", 403), "write access"),
        (Fault("POST", "/commit/", 409), "changed by somebody else"),
        (Fault("POST", "/commit/", 412), "changed by somebody else"),
        (Fault("POST", "/commit/", 418), r"refuses it \(HTTP 418\)"),
        (Fault("POST", "/commit/", 429, {"Retry-After": "7"}), "Wait 7 s"),
        (Fault("POST", "/commit/", 500), r"has a fault \(HTTP 500\)"),
        (Fault("POST", "/commit/"), "connection broke off"),
        (Fault("POST", "/objects/batch", 429, {"Retry-After": "9"}, ALWAYS), "Wait 9 s"),
        (Fault("POST", "/objects/batch", 503, times=ALWAYS), r"has a fault \(HTTP 503\)"),
        (Fault("PUT", "^/lfs/", 403, times=ALWAYS), "forbids it"),
        (Fault("PUT", "^/lfs/", times=ALWAYS), "connection broke off"),
        (Fault("POST", "/verify/", 404), "no such repository"),
        (Fault("POST", "/validate-yaml", 400), "metadata of the model card"),
    ],
    ids=lambda value: f"{value.path}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_push_that_fails_says_how_to_go_on_and_can_be_repeated(hub, folder, fault, message):
    before = contents(folder)
    hub.faults.append(fault)
    with pytest.raises(HubError, match=f"(?s){message}") as raised:
        push_folder(folder, NAME, **GATE)
    text = str(raised.value)
    assert f"the push of {folder} to {NAME!r} failed" in text
    assert "is whole; push it again" in text
    assert "hf_lab" not in text
    assert hub.address not in text
    assert contents(folder) == before
    assert NAME not in hub.repositories or len(hub.repositories[NAME].commits) == 1
    hub.faults.clear()
    push_folder(folder, NAME, **GATE)
    assert pull_folder(ASKED).joinpath("task.json").read_bytes() == before["task.json"]


def test_a_passing_fault_is_waited_out(hub, folder):
    hub.faults += [Fault("POST", "/objects/batch", 429), Fault("PUT", "^/lfs/", 500)]
    hub.faults += [Fault("PUT", "^/lfs/")]
    push_folder(folder, NAME, **GATE)
    assert hub.count("PUT", "^/lfs/") == 3


def test_after_a_cut_only_what_is_missing_is_sent(hub, synthetic_notes):
    made = TransferModel.from_pretrained(
        "hub:lab/tiny", NoteClassification.from_notes(synthetic_notes), adapter="full", window=64
    )
    made.fit_novelty(synthetic_notes)
    hub.faults.append(Fault("PUT", r"^/lfs/\w+$", times=ALWAYS))
    with pytest.raises(HubError, match="connection broke off") as raised:
        made.push_to_hub(NAME, **GATE)
    kept = Path(re.search(r"The folder (\S+) is whole", str(raised.value))[1])
    read_artifact(kept)
    # The encoder went up in parts, the small novelty detector was cut off.
    assert hub.count("PUT", r"^/lfs/\w+/\d+$") > 1
    hub.faults.clear()
    hub.requests.clear()
    push_folder(kept, NAME, **GATE)
    assert hub.count("PUT", r"^/lfs/\w+/\d+$") == 0
    assert hub.count("PUT", r"^/lfs/\w+$") == 1
    assert predicted(TransferModel.load(ASKED)) == predicted(made)
    shutil.rmtree(kept.parent)


@pytest.mark.usefixtures("hub")
def test_the_temporary_folder_goes_when_the_push_came_through(model, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        model.push_to_hub(NAME, **GATE)
        with pytest.raises(ConfigError, match="create_pr=True proposes"):
            model.push_to_hub(NAME, create_pr=True, tag="v1", **GATE)
        assert list(tmp_path.glob("clinical_tl-*")) == []
    model.push_to_hub(NAME, folder=tmp_path / "kept", **GATE)
    read_artifact(tmp_path / "kept")


def test_private_never_becomes_public(hub, folder):
    push_folder(folder, NAME, private=False, **GATE)
    assert not hub.repositories[NAME].private
    hub.requests.clear()
    (folder / "README.md").write_text("---\nbase_model: lab/tiny\n---\n# Other\n")
    with pytest.raises(HubError, match="exists and is public, so nothing was uploaded"):
        push_folder(folder, NAME, **GATE)
    assert hub.count("PUT", "") + hub.count("POST", "/preupload/") == 0
    push_folder(folder, NAME, private=False, **GATE)


def test_tags_revisions_and_pull_requests(hub, model, folder):
    push_folder(folder, NAME, tag="v1", **GATE)
    push_folder(folder, NAME, tag="v1", **GATE)
    repository = hub.repositories[NAME]
    first = repository.tags["v1"].sha
    (folder / "README.md").write_text("---\nbase_model: lab/tiny\n---\n# Second\n")
    with pytest.raises(HubError, match="the tag 'v1' names another commit"):
        push_folder(folder, NAME, tag="v1", **GATE)
    (folder / "README.md").write_text("---\nbase_model: lab/tiny\n---\n# Third\n")
    push_folder(folder, NAME, revision="trial", **GATE)
    assert b"Third" in repository.refs["trial"].files["README.md"]
    assert b"Second" in repository.refs["main"].files["README.md"]
    address = push_folder(folder, NAME, create_pr=True, **GATE)
    assert address == f"{hub.address}/{NAME}/discussions/1"
    assert b"Third" in repository.refs["refs/pr/1"].files["README.md"]
    assert pull_folder(ASKED, revision="v1") == pull_folder(ASKED, revision=first)
    assert b"Third" in (pull_folder(ASKED, revision="trial") / "README.md").read_bytes()
    assert predicted(TransferModel.load(ASKED, revision="v1")) == predicted(model)
    with pytest.raises(HubError, match="no such revision"):
        TransferModel.load(ASKED, revision="v9")


@pytest.mark.parametrize(
    ("repo_id", "token", "message"),
    [
        ("elsewhere/model", "hf_lab", r"forbids it.*choose a name of your own"),
        ("lab/model", "hf_reader", "forbids it"),
        ("lab/model", "hf_stolen", "does not know who asks"),
        ("lab/model", None, "does not know who asks"),
        ("lab/a model", "hf_lab", "has no such names"),
    ],
)
def test_rights_are_those_of_the_token(hub, folder, monkeypatch, repo_id, token, message):
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=f"(?s){message}"):
        push_folder(folder, repo_id, token=token, **GATE)
    assert repo_id not in hub.repositories


def test_an_encoder_of_ones_own_is_pushed_merged(hub, synthetic_notes, tiny_encoder):
    notes = synthetic_notes.select(range(8))
    made = TransferModel.from_pretrained(
        tiny_encoder, NoteClassification.from_notes(notes), adapter=LoRA(r=4), window=64
    )
    with pytest.raises(ReleaseError, match=r"which nobody else has.*merge=True"):
        made.push_to_hub(NAME, **GATE)
    assert hub.requests == []
    made.push_to_hub(NAME, merge=True, **GATE)
    pushed = hub.repositories[NAME].refs["main"].files
    assert not [file for file in pushed if str(tiny_encoder.parent).encode() in pushed[file]]
    card = pushed["README.md"].decode()
    assert "base_model" not in card
    assert "(adapter: full" in card
    loaded = TransferModel.load(ASKED)
    for one, other in zip(predicted(loaded), predicted(made), strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
    from transformers import AutoModelForSequenceClassification

    plain = AutoModelForSequenceClassification.from_pretrained(NAME)
    with torch.no_grad():
        logits = [m.eval()(input_ids=IDS).logits for m in (plain, loaded.network.model)]
        assert torch.equal(*logits)
        torch.testing.assert_close(logits[0], made.network.model.eval()(input_ids=IDS).logits)


@pytest.mark.parametrize("adapter", ["full", "frozen"])
def test_a_full_fine_tune_of_a_folder_that_nobody_else_has_is_pushed_and_loaded_without_it(
    hub, synthetic_notes, tiny_encoder, tmp_path, adapter
):
    mine = shutil.copytree(tiny_encoder, tmp_path / "mine")
    notes = synthetic_notes.select(range(8))
    made = TransferModel.from_pretrained(
        mine, NoteClassification.from_notes(notes), adapter=adapter, window=64
    )
    # What a random pooler says hardly varies, and a linear model on it magnifies rounding.
    config = TrainingConfig(epochs=1, head_init="random", progress=False)
    fit(made, notes, config=config)
    saved = made.save_pretrained(tmp_path / "model")
    expected = predicted(made)
    # Its notes' terms, and what it remembers, are asked for as of every other.
    with pytest.raises(ReleaseError, match="data_use: not stated"):
        push_folder(saved, NAME)
    with pytest.raises(ReleaseError, match="memorisation: not audited"):
        push_folder(saved, NAME, data_use="local", private=False, overrides=["licence=mit"])
    shutil.rmtree(mine)
    push_folder(saved, NAME, **GATE)
    pushed = hub.repositories[NAME].refs["main"].files
    assert not [file for file in pushed if str(tmp_path).encode() in pushed[file]]
    (again,), (before,) = predicted(TransferModel.load(ASKED)), expected
    # Where the weights lie in memory may cost a last digit.
    assert again.label == before.label
    assert dict(again.scores) == pytest.approx(dict(before.scores), abs=1e-6)


@pytest.mark.parametrize("warned_of", ["local folder", "Hub", "merged model", "ONNX export"])
def test_a_licence_that_a_person_states_is_in_the_card_and_in_the_report(
    warned_of, hub, model, synthetic_notes, tiny_encoder, tmp_path
):
    saved = tmp_path / "model"
    if warned_of == "local folder":
        task = NoteClassification.from_notes(synthetic_notes)
        TransferModel.from_pretrained(tiny_encoder, task, adapter="full").save_pretrained(saved)
    elif warned_of == "Hub":
        model.save_pretrained(saved)
    elif warned_of == "merged model":
        model.merged().save_pretrained(saved)
    else:
        pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
        from clinical_tl.integrations.onnx_export import export_onnx

        export_onnx(model, saved)
    before = contents(saved)
    assert "license: unknown" in before["README.md"].decode()
    # Of a private repository it is a warning, of a public one a block.
    for public, status in ((False, "warn"), (True, "block")):
        overrides = ("licence=MIT", "memorisation", "evaluation", "layout")
        report = check_release(saved, data_use="public", public=public, overrides=overrides)
        (row,) = [row for row in report.table() if row["check"] == "licence"]
        assert row["status"] == f"{status}, overridden"
        push_folder(saved, NAME, data_use="public", private=not public, overrides=overrides)
        repository = hub.repositories.pop(NAME)
        card = repository.refs["main"].files["README.md"].decode()
        assert ModelCard(card).data.license == "mit"
        assert "it was stated to be mit by who pushed the model." in card
        assert "licence: lifted" in repository.refs["main"].message
    assert contents(saved) == before


def test_settings_of_the_run_stay_here(hub, model, tmp_path):
    place = "/home/zebulon/notes.csv"
    with run_with(f"train: {place}\ntext: {NOTE[0]}\n"):
        saved = model.save_pretrained(tmp_path / "model")
    assert place in (saved / "config.yaml").read_text()
    push_folder(saved, NAME, **GATE)
    pushed = hub.repositories[NAME].refs["main"].files
    assert "config.yaml" not in pushed
    assert not [name for name in pushed if place.encode() in pushed[name]]
    assert not [name for name in pushed if NOTE[0].encode() in pushed[name]]


def test_what_was_pulled_once_loads_without_a_network(hub, model, folder, monkeypatch):
    push_folder(folder, NAME, **GATE)
    TransferModel.load(ASKED)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()
    hub.requests.clear()
    assert predicted(TransferModel.load(ASKED)) == predicted(model)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set and it is not in the local cache"):
        TransferModel.load("hub:lab/never-pulled")
    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE is set\. Unset it"):
        push_folder(folder, NAME, **GATE)
    assert hub.requests == []
    monkeypatch.undo()
    close_session()


def test_a_pull_is_cut_redirected_and_still_whole(hub, model, folder):
    push_folder(folder, NAME, **GATE)
    hub.renamed["lab/old-name"] = NAME
    hub.faults.append(Fault("GET", "^/lfs/"))
    assert predicted(TransferModel.load("hub:lab/old-name")) == predicted(model)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("HEAD", "/resolve/", 500, times=ALWAYS), r"has a fault \(HTTP 500\)"),
        (Fault("HEAD", "/resolve/", 403, times=ALWAYS), "ask for access"),
        (Fault("HEAD", "/resolve/", times=ALWAYS), "connection broke off"),
        (Fault("GET", "^/lfs/", times=ALWAYS), "connection broke off"),
    ],
    ids=lambda value: f"{value.path}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_pull_that_fails_says_how_to_go_on(hub, folder, fault, message):
    push_folder(folder, NAME, **GATE)
    hub.faults.append(fault)
    with pytest.raises(HubError, match=f"(?s){ASKED}' is no folder here.*{message}"):
        TransferModel.load(ASKED)
    hub.faults.clear()
    TransferModel.load(ASKED)


@pytest.mark.usefixtures("hub")
def test_what_came_damaged_is_pulled_once_more(model, folder):
    push_folder(folder, NAME, **GATE)
    weights = (pull_folder(ASKED) / "adapter_model.safetensors").resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    # A plain name does not ask the Hub, so it can only say so.
    with pytest.raises(ArtifactError, match="is damaged"):
        TransferModel.load(NAME)
    assert predicted(TransferModel.load(ASKED)) == predicted(model)
    assert predicted(TransferModel.load(NAME)) == predicted(model)


@pytest.mark.usefixtures("hub")
def test_a_private_model_is_not_for_everybody(folder, monkeypatch):
    push_folder(folder, NAME, **GATE)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="log in with `hf auth login`"):
        TransferModel.load(ASKED)
    assert pull_folder(ASKED, token="hf_lab").is_dir()


def test_only_plain_data_of_a_model_of_this_package_is_pulled(hub, folder):
    with pytest.raises(ArtifactError, match=r"holds no task\.json: it was not pushed"):
        TransferModel.load("hub:lab/tiny")
    description = json.loads((folder / "task.json").read_text())
    for number, wrong in enumerate(["modeling.py", "weights.pkl", "*", "../x.json", ".x.json"]):
        description["files"][wrong] = "0" * 64
        (folder / "task.json").write_text(json.dumps(description))
        hub.upload(f"{NAME}{number}", folder)
        with pytest.raises(ArtifactError, match="declares files that are no plain data"):
            TransferModel.load(f"{ASKED}{number}")
        del description["files"][wrong]
    assert hub.count("GET", r"^/lfs/") == 0


def test_a_folder_has_no_revisions(folder, tmp_path):
    assert find_saved(folder).path == find_saved(str(folder)).path == folder
    for wrong in (folder, tmp_path / "missing", "nothing"):
        with pytest.raises(ConfigError, match="leave it out"):
            TransferModel.load(wrong, revision="v1")


@pytest.mark.usefixtures("hub")
def test_features_and_source_adapters_travel_too(model, folder, synthetic_notes):
    notes = synthetic_notes.select(range(8))
    push_folder(folder, NAME, **GATE)
    target = TransferModel.from_pretrained("hub:lab/tiny", model.task, adapter=LoRA(r=4), window=64)
    config = TrainingConfig(epochs=1, progress=False)
    fit(target, notes, config=config, init_adapter=ASKED)
    assert target.metrics["source"]["new"] == []
    task = NoteClassification.from_notes(notes)
    features = FeatureModel.fit("hub:lab/tiny", task, notes, folds=2, progress=False)
    features.push_to_hub(f"{NAME}-features", tag="v1", **GATE)
    loaded = FeatureModel.load(f"{ASKED}-features", revision="v1")
    assert predicted(loaded) == predicted(features)


def test_the_recipe_pushes_as_from_a_shell(hub, model, folder, tmp_path):
    environment = {
        **{key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"},
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "recipes.push", "--model", str(folder), "--to", NAME]
    command += ["--data_use=public", f"--overrides={json.dumps(GATE['overrides'])}"]
    command += ["--tag", "v1"]

    def push(token):
        return subprocess.run(
            command,
            env={**environment, "HF_TOKEN": token},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = push("hf_stolen")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(f"error: the push of {folder} to")
    done = push("hf_lab")
    assert done.returncode == 0, done.stderr
    commit = hub.repositories[NAME].tags["v1"]
    assert done.stdout == f"pushed: {hub.address}/{NAME}/commit/{commit.sha}\n"
    assert predicted(TransferModel.load(ASKED, revision="v1")) == predicted(model)


def test_a_blocked_push_uploads_nothing(hub, model, folder):
    with pytest.raises(ReleaseError, match="data_use"):
        push_folder(folder, NAME)
    with pytest.raises(ReleaseError, match="Nothing was sent"):
        model.push_to_hub(NAME, data_use="credentialed", private=False)
    assert not hub.requests


@pytest.mark.parametrize("kind", [TransferModel, FeatureModel])
def test_a_model_is_audited_with_the_encoder_it_was_loaded_with(
    kind, hub, synthetic_notes, tiny_encoder, tmp_path
):
    notes = synthetic_notes.select(range(8))
    task = NoteClassification.from_notes(notes)
    if kind is TransferModel:
        made = TransferModel.from_pretrained("hub:lab/tiny", task, adapter=LoRA(r=4), window=64)
    else:
        made = FeatureModel.fit("hub:lab/tiny", task, notes, folds=2, progress=False)
    folder = made.save_pretrained(tmp_path / "model")
    with pytest.MonkeyPatch.context() as patch:
        # No copy of the encoder in the cache: the folder given is the only one.
        fresh_cache(patch, tmp_path / "empty")
        loaded = kind.load(folder, encoder=tiny_encoder)
        options = {**GATE, "overrides": (*GATE["overrides"], "identifiers")}
        known = [note for note in as_notes(synthetic_notes) if note.label in task.labels]
        loaded.push_to_hub(NAME, train=known, held_out=known, **options)
    # Unaudited it would be a warning.
    assert "memorisation: pass" in hub.repositories[NAME].refs["main"].message


def test_what_the_gate_found_is_told_and_kept_with_the_commit(hub, folder, caplog):
    push_folder(
        folder,
        NAME,
        data_use="local",
        overrides=[f"{n}=seen by Zebulon" for n in GATE["overrides"]],
    )
    assert "release gate, memorisation: not audited" in caplog.text
    message = hub.repositories[NAME].refs["main"].message
    assert "Data use: local. Release gate: identifiers: " in message
    assert "memorisation: unchecked" in message
    assert "Zebulon" not in message


def test_an_encoder_given_by_a_relative_path_is_refused_from_anywhere(
    hub, synthetic_notes, tiny_encoder, tmp_path, monkeypatch
):
    notes = synthetic_notes.select(range(8))
    task = NoteClassification.from_notes(notes)
    monkeypatch.chdir(tiny_encoder.parent)
    made = TransferModel.from_pretrained(f"./{tiny_encoder.name}", task, adapter=LoRA(r=4))
    saved = made.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReleaseError, match="which nobody else has"):
        push_folder(saved, NAME, **GATE)
    assert hub.requests == []


def test_a_card_that_was_edited_is_pushed_as_it_is(hub, model, tmp_path):
    folder = model.save_pretrained(tmp_path / "model")
    write_card(folder, details=CardDetails(intended_use="Sorting letters of one ward."))
    model.push_to_hub(NAME, folder=folder, **GATE)
    card = hub.repositories[NAME].refs["main"].files["README.md"].decode()
    assert "Sorting letters of one ward." in card


@pytest.mark.usefixtures("hub")
def test_a_full_disk_is_no_matter_of_the_network(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    push_folder(folder, NAME, **GATE)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(HubError, match="this machine's disk is full"):
        TransferModel.load(ASKED)
