"""`yld models`: what is here, what is damaged, what may be downloaded."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from manifests.weights import download as model_download
from manifests.weights import registry as model_registry
from pipeline.cli import main
from pipeline.commands import models as commands_models

NAME = "blaze_face_short_range.tflite"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("YLD_MODEL_MIRROR", raising=False)
    monkeypatch.delenv("YLD_NON_COMMERCIAL", raising=False)
    monkeypatch.setattr(model_download, "WAIT_S", 0.0)
    return lambda *words: CliRunner().invoke(main, ["models", *words])


@pytest.fixture
def small(monkeypatch):
    """A registry of two files with contents known here; the addresses answer to nobody."""
    import hashlib

    files = [
        model_registry.ModelFile(
            name,
            "http://127.0.0.1:9/x",
            "Apache-2.0" if free else "research only",
            "tests",
            "nothing else",
            4,
            hashlib.sha256(b"good").hexdigest(),
            non_commercial=not free,
        )
        for name, free in (("free.onnx", True), ("bound.onnx", False))
    ]
    table = {f.name: f for f in files}
    monkeypatch.setattr(commands_models, "REGISTRY", table)
    return table


def test_list_says_what_is_here_and_on_what_terms(run, small, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "free.onnx").write_bytes(b"good")
    rows = {r["name"]: r for r in json.loads(run("list", "--json").stdout)}
    assert rows["free.onnx"]["state"] == "here" and rows["bound.onnx"]["state"] == "absent"
    assert rows["bound.onnx"]["use"] == "non-commercial"
    assert rows["bound.onnx"]["licence"] == "research only"
    assert "research only" in run("list").output


def test_fetch_takes_from_a_mirror_and_says_what_is_wanting(run, small, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "bound.onnx").write_bytes(b"good")
    done = run("fetch", "bound.onnx", "--model-dir", str(mirror))
    assert done.exit_code == 0
    assert (tmp_path / "cache" / "bound.onnx").read_bytes() == b"good"
    assert run("where", "bound.onnx").stdout.strip() == str(tmp_path / "cache" / "bound.onnx")
    refused = run("fetch", "nothing.onnx")
    assert refused.exit_code == 2 and "free.onnx" in refused.output


def test_a_non_commercial_download_needs_the_flag(run, small, tmp_path):
    refused = run("fetch", "bound.onnx")
    assert refused.exit_code == 1
    assert "--non-commercial" in refused.output and "nothing else" in refused.output
    tried = run("fetch", "bound.onnx", "--non-commercial")
    assert tried.exit_code == 1 and "--non-commercial" not in tried.output
    for word in ("127.0.0.1:9", str(tmp_path / "cache"), "nothing else"):
        assert word in tried.output


def test_verify_finds_damage(run, small, tmp_path):
    (tmp_path / "cache").mkdir()
    empty = run("verify")
    assert empty.exit_code == 0 and "yld models fetch NAME" in empty.output
    assert str(tmp_path / "cache") in empty.output
    assert json.loads(run("verify", "--json").stdout) == []
    assert run("verify", "free.onnx").exit_code == 1
    (tmp_path / "cache" / "free.onnx").write_bytes(b"goof")
    damaged = run("verify")
    assert damaged.exit_code == 1 and "SHA-256" in damaged.output
    assert "delete what is damaged" in damaged.output
    assert run("where", "free.onnx").exit_code == 1
    (tmp_path / "cache" / "free.onnx").write_bytes(b"good")
    assert run("verify", "free.onnx").exit_code == 0


def test_the_real_list_names_every_file(run):
    names = [r["name"] for r in json.loads(run("list", "--json").stdout)]
    assert NAME in names and names == list(model_registry.REGISTRY)
