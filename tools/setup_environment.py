"""Make `.venv` with pinned versions from wheels alone. Runs on any Python, to refuse it by name.

Standard library only: this is what runs before anything is installed.
"""

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
UV_VERSION = "0.13.8"
SUPPORTED = ((3, 11), (3, 12), (3, 13))


def refuse_other_pythons():
    if sys.version_info[:2] in SUPPORTED:
        return
    found = "%d.%d" % sys.version_info[:2]
    others = [n for n in ("python3.13", "python3.12", "python3.11") if shutil.which(n)]
    remedy = "make setup PYTHON=%s" % (others[0] if others else "python3.12")
    sys.exit(
        "yld runs on Python 3.11, 3.12 and 3.13; %s is Python %s.\nTry: %s"
        % (sys.executable, found, remedy)
    )


def stamp_value():
    total = hashlib.sha256(sys.version.encode())
    for name in (
        "requirements.txt",
        "pyproject.toml",
        os.path.join("tools", os.path.basename(__file__)),
    ):
        with open(os.path.join(ROOT, name), "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def run(*command):
    result = subprocess.run(command, cwd=ROOT)
    if result.returncode:
        sys.exit("set-up stopped: `%s` failed (see above)" % " ".join(command))


def main():
    refuse_other_pythons()
    stamp = os.path.join(VENV, ".yld-setup")
    wanted = stamp_value()
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == wanted:
                return
    python = os.path.join(VENV, "bin", "python")
    print("Setting up .venv (about 7 GB, mostly torch).", flush=True)
    if not os.path.exists(python):
        import venv

        venv.create(VENV, with_pip=True)
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "uv==" + UV_VERSION,
    )
    print(
        "1 of 3: the installer is here; it tells what it downloads and how large it is, then "
        "compiles what came, which takes minutes without a word.",
        flush=True,
    )
    uv = os.path.join(VENV, "bin", "uv")
    run(
        uv,
        "pip",
        "install",
        # Not quiet: at a terminal uv draws each download, with how much of it is left.
        # Ray starts many processes; where Python may not write bytecode (containers often
        # forbid it), each would compile all of torch again.
        "--compile-bytecode",
        "--python",
        python,
        "--only-binary",
        ":all:",
        "-r",
        "requirements.txt",
    )
    print("2 of 3: all packages are here; yld itself and what needs a build come last.", flush=True)
    run(
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--no-deps",
        "--no-build-isolation",
        "-e",
        ".",
    )
    # What Croissant's reader needs and has no wheel; pure Python, so no compiler is needed. By
    # pip, for uv would heed pyproject.toml, which leaves it out of all that comes as wheels.
    result = subprocess.run(
        [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-build-isolation",
            "ply==3.11",
            "jsonpath-rw==1.4.0",
        ],
        cwd=ROOT,
        capture_output=True,
    )
    if result.returncode:
        print("jsonpath-rw was not built here: the tests that read Croissant are skipped.")
    if any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        # An extra: without it only the metrics that need it are missing.
        result = subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, "pesq==0.0.4", "pyworld==0.3.5"],
            cwd=ROOT,
            capture_output=True,
        )
        if result.returncode:
            print(
                "The extra `native-metrics` (pesq, pyworld) did not compile here; all else works."
            )
    else:
        print(
            "No compiler: the extra `native-metrics` (pesq, pyworld) is left out; all else works."
        )
    with open(stamp, "w") as file:
        file.write(wanted)
    print("Done: .venv/bin/yld is ready.")


if __name__ == "__main__":
    main()
