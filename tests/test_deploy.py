"""What lies in `deploy/`, the docs as a site and the notebook: checked without any cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SBATCH = ROOT / "deploy/slurm.sbatch"
CHANGES = 3

QUANTITY = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[KMGT]i?)?$"}
RESOURCES = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = {
    "type": "object",
    "required": ["name", "image"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string"},
        "env": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "envFrom": {"type": "array", "items": {"type": "object"}},
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"requests": RESOURCES, "limits": RESOURCES},
        },
        "volumeMounts": {
            "type": "array",
            "items": {"type": "object", "required": ["name", "mountPath"]},
        },
    },
}
TEMPLATE = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["containers"],
            "additionalProperties": False,
            "properties": {
                "containers": {"type": "array", "minItems": 1, "items": CONTAINER},
                "securityContext": {"type": "object"},
                "volumes": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            },
        }
    },
}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}
RAY_JOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "spec": {
            "type": "object",
            "required": ["entrypoint", "rayClusterSpec"],
            "additionalProperties": False,
            "properties": {
                "entrypoint": {"type": "string"},
                "runtimeEnvYAML": {"type": "string"},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": COUNT,
                "rayClusterSpec": {
                    "type": "object",
                    "required": ["headGroupSpec"],
                    "additionalProperties": False,
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "headGroupSpec": {
                            "type": "object",
                            "required": ["rayStartParams", "template"],
                            "additionalProperties": False,
                            "properties": {"rayStartParams": STRINGS, "template": TEMPLATE},
                        },
                        "workerGroupSpecs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["groupName", "rayStartParams", "template"],
                                "additionalProperties": False,
                                "properties": {
                                    "groupName": {"type": "string"},
                                    "replicas": COUNT,
                                    "minReplicas": COUNT,
                                    "maxReplicas": COUNT,
                                    "rayStartParams": STRINGS,
                                    "template": TEMPLATE,
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The fields of KubeRay's RayJob (ray.io/v1) that are used; any other name is refused."""


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy/kuberay.yaml").read_text())


def test_the_ray_job_has_the_fields_of_its_kind(job):
    jsonschema.validate(job, RAY_JOB)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
    volumes = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    mounted = {m["name"] for c in volumes["containers"] for m in c["volumeMounts"]}
    assert mounted == {v["name"] for v in volumes["volumes"]}


def test_a_misspelt_field_of_the_ray_job_is_seen(job):
    job["spec"]["rayClusterSpec"]["workerGroupSpec"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, RAY_JOB)


def test_three_lines_must_be_changed(job):
    text = (ROOT / "deploy/kuberay.yaml").read_text()
    assert len(re.findall(r"# change \d", text)) == CHANGES
    block = SBATCH.read_text().split("# change these three")[1].split("\n\n")[0]
    assert len(re.findall(r"^[A-Z]+=", block, re.MULTILINE)) == CHANGES
    environment = yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]
    assert {f"${name}" for name in environment} == set(
        re.findall(r"\$[A-Z]+", job["spec"]["entrypoint"])
    )


def test_the_batch_script_parses_and_its_directives_stand_before_any_command():
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)
    lines = SBATCH.read_text().splitlines()
    commands = [i for i, line in enumerate(lines) if line and not line.startswith("#")]
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert directives and max(directives) < min(commands)
    for i in directives:
        assert re.fullmatch(r"#SBATCH --[a-z-]+=\S+", lines[i]), lines[i]


def test_the_batch_script_starts_ray_on_all_nodes_and_then_builds(tmp_path):
    """With commands in the place of Slurm's and Ray's that write down how they were called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "yld/.venv/bin").mkdir(parents=True)
    log = tmp_path / "calls"
    for name in ("ray", "yld"):
        tool = tmp_path / "yld/.venv/bin" / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> "{log}"\n')
    with (tmp_path / "yld/.venv/bin/ray").open("a") as ray:  # the others join after the head
        ray.write('[ "$1" = status ] || exit 0\necho " 1 node_head"\n')
        ray.write(f'grep -q "start --address" "{log}" && printf " 1 node_2\\n 1 node_3\\n"\n')
        ray.write("exit 0\n")
    (tmp_path / "bin/scontrol").write_text("#!/bin/sh\nprintf 'n1\\nn2\\nn3\\n'\n")
    (tmp_path / "bin/srun").write_text(
        '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'
    )
    for tool in [*(tmp_path / "bin").iterdir(), *(tmp_path / "yld/.venv/bin").iterdir()]:
        tool.chmod(0o755)
    script = tmp_path / "job.sh"
    script.write_text(SBATCH.read_text().replace("/shared/", f"{tmp_path}/"))
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_JOB_ID": "7",
        "SLURM_CPUS_PER_TASK": "16",
    }
    subprocess.run(["bash", str(script)], check=True, env=environment, timeout=120)
    calls = log.read_text().splitlines()
    head = "ray start --head --port=20007 --num-cpus=16 --block"
    joins = "ray start --address=n1:20007 --num-cpus=16 --block"
    built = f"yld build {tmp_path}/links.txt --out {tmp_path}/my-corpus --address n1:20007"
    assert {head, joins} < set(calls) and calls[-1] == built
    others = next(c for c in SBATCH.read_text().split("srun ") if "--exclude" in c)
    assert "--ntasks-per-node=1" in others  # else Slurm starts as many as the job has nodes


def dockerfile() -> list[tuple[str, str]]:
    text = (ROOT / "deploy/Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    parts = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in parts]


def test_the_image_sets_up_from_the_pins_as_a_user_without_root():
    steps = dockerfile()
    names = [name for name, _ in steps]
    assert set(names) <= {
        *("ARG", "FROM", "RUN", "USER", "WORKDIR", "COPY", "ENV", "ENTRYPOINT", "CMD")
    }
    user = names.index("USER")
    assert steps[user][1] not in ("root", "0") and names.count("USER") == 1
    setup = next(i for i, (_, rest) in enumerate(steps) if "tools/setup_environment.py" in rest)
    assert user < setup and names.index("COPY") < setup
    for name, rest in steps:
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ".venv" in ignored and "requirements.txt" not in ignored


def site(docs: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`mkdocs build --strict` over a copy of the docs."""
    shutil.copytree(docs, folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


def test_the_site_has_no_dead_link_and_would_show_one(tmp_path):
    (tmp_path / "a").mkdir()
    done = site(ROOT / "docs", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    (tmp_path / "a/docs/index.md").write_text("# x\n[gone](nowhere.md) [gone](clock.md#nowhere)\n")
    (tmp_path / "b").mkdir()
    done = site(tmp_path / "a/docs", tmp_path / "b")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr and "#nowhere" in done.stderr


@pytest.mark.timeout(600)
def test_the_notebook_runs(monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "docs/notebooks/build_look_read.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "keep it without outputs"
    nbclient.NotebookClient(notebook, timeout=400, kernel_name="python3").execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert any("no problems" in o.get("text", "") for o in outputs)
    assert any("measured" in o.get("text", "") for o in outputs)
