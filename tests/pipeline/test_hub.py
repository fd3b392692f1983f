"""`yld export --as huggingface --push` fills a repository, by the real client over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.storage.own_folder import find
from tests.hub import Hub, Repo, serve
from tests.readable import Readable

REPO = "me/talking"
TOKEN = "hf_good"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub") / "corpus"
    Readable(root, 3, licence="CC BY 4.0").publish()
    return root


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """One that the client takes for its own, in this process too; no waits between tries."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    with serve() as made:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, made.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", made.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield made


def push(corpus: Path, out: Path, repo: str = REPO, code: int = 0) -> str:
    told = CliRunner().invoke(
        main, ["export", str(corpus), "--as", "huggingface", "--out", str(out), "--push", repo]
    )
    assert told.exit_code == code, told.output
    assert TOKEN not in told.output and "Traceback" not in told.output
    return told.output


def in_folder(out: Path) -> dict[str, bytes]:
    own = find(out)
    assert own is not None
    return {n: (out / n).read_bytes() for n in own.files if n != "export.json"}


def in_repo(hub: Hub) -> dict[str, bytes]:
    files = {n: content for n, (content, _) in hub.repos[REPO].files.items()}
    return {n: c for n, c in files.items() if n not in (".gitattributes", "yld.json")}


def test_every_file_arrives_and_is_equal(corpus, tmp_path, hub):
    assert "/datasets/me/talking" in push(corpus, tmp_path / "out")
    sent = in_folder(tmp_path / "out")
    assert in_repo(hub) == sent and len(hub.repos[REPO].commits) == 1
    assert {"README.md", "dataset.json", "manifests/samples/part-000000.parquet"} <= sent.keys()
    assert hub.repos[REPO].private
    large = {n for n, (_, is_large) in hub.repos[REPO].files.items() if is_large}
    assert {n for n in sent if n.endswith(".tar")} < large and len(hub.uploaded) == len(large)
    assert any(a.endswith("/whole") for a in hub.asked), "one in parts"
    machine = str(corpus.parent).encode()
    assert not any(machine in content for content in sent.values())


def test_the_same_again_sends_nothing(corpus, tmp_path, hub):
    push(corpus, tmp_path / "out")
    before = len(hub.uploaded)
    push(corpus, tmp_path / "out")
    assert len(hub.uploaded) == before and len(hub.repos[REPO].commits) == 1


def test_a_corpus_that_grew_takes_the_place_of_the_old_one(tmp_path, hub):
    root = tmp_path / "corpus"
    Readable(root, 1).publish()
    push(root, tmp_path / "out")
    old = in_repo(hub)
    Readable(root, 3).publish()
    push(root, tmp_path / "out")
    assert in_repo(hub) == in_folder(tmp_path / "out") != old
    assert len(hub.repos[REPO].commits) == 2


@pytest.mark.parametrize(
    "token, repo, code, said",
    [
        ("hf_wrong", REPO, 3, "does not know the token"),
        (TOKEN, "you/talking", 3, "may not write to you/talking"),
        ("", REPO, 2, "needs a token"),
        (TOKEN, "talking", 2, "OWNER/NAME"),
    ],
)
def test_who_may_not_is_told_and_nothing_is_made(
    corpus, tmp_path, hub, monkeypatch, token, repo, code, said
):
    monkeypatch.setenv("HF_TOKEN", token)
    output = push(corpus, tmp_path / "out", repo, code)
    assert said in output and "hf_wrong" not in output
    assert not hub.repos and not hub.uploaded


def test_a_repository_of_something_else_stays_as_it_is(corpus, tmp_path, hub):
    mine = {"README.md": (b"MINE", False), "shards/train/train-000000.tar": (b"MINE", True)}
    hub.repos[REPO] = Repo(True, dict(mine))
    output = push(corpus, tmp_path / "out", code=2)
    assert "is there already" in output and "README.md" in output
    assert hub.repos[REPO].files == mine and not hub.uploaded


def test_what_somebody_changed_there_is_not_written_over(corpus, tmp_path, hub):
    push(corpus, tmp_path / "out")
    hub.repos[REPO].files["README.md"] = (b"---\nlicense: mit\n---\nBETTER", False)
    hub.repos[REPO].files["notes.txt"] = (b"NOTES", False)
    assert "README.md" in push(corpus, tmp_path / "out", code=2)
    assert hub.repos[REPO].files["README.md"][0].endswith(b"BETTER")
    del hub.repos[REPO].files["README.md"]
    push(corpus, tmp_path / "out")
    assert in_repo(hub) == in_folder(tmp_path / "out") | {"notes.txt": b"NOTES"}


def test_a_connection_lost_once_is_tried_again(corpus, tmp_path, hub):
    lost: list[str] = []

    def drop(oid: str) -> bool:
        lost.append(oid)
        return len(lost) == 2

    hub.drop = drop
    push(corpus, tmp_path / "out")
    assert len(lost) > 2 and in_repo(hub) == in_folder(tmp_path / "out")


def test_a_connection_lost_for_good_is_told_and_the_same_command_goes_on(corpus, tmp_path, hub):
    hub.drop = lambda oid: len(hub.uploaded) >= 2
    output = push(corpus, tmp_path / "out", code=3)
    assert "the same command goes on" in output and "export itself is complete" in output
    assert len(hub.uploaded) == 2 and not hub.repos[REPO].commits
    hub.drop = lambda oid: False
    push(corpus, tmp_path / "out")
    assert in_repo(hub) == in_folder(tmp_path / "out")
    assert len(hub.uploaded) == len(set(hub.uploaded)), "nothing was sent twice"


def test_a_hub_that_is_not_there(corpus, tmp_path, hub):
    hub.shutdown()
    hub.server_close()
    assert "could not be reached" in push(corpus, tmp_path / "out", code=3)


def test_the_hubs_own_variables_lead_to_it(corpus, tmp_path):
    """As a user runs it: another process, HF_ENDPOINT and a token file."""
    pytest.importorskip("huggingface_hub")
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_text(TOKEN)
    with serve() as hub:
        env = {k: v for k, v in os.environ.items() if k != "HF_TOKEN"}
        env |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-m", "pipeline.cli", "export", str(corpus), "--json"]
        command += ["--as", "huggingface", "--out", str(tmp_path / "out"), "--push", REPO]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[0]["clips"] == 6 and TOKEN not in done.stderr + done.stdout
        assert in_repo(hub) == in_folder(tmp_path / "out")
