"""A folder to a data set repository of the Hugging Face Hub, by huggingface_hub.

The token is found by the Hub's own ways (`HF_TOKEN`, `hf auth login`) and told to nobody. Files go
up one by one and become visible together, in one commit; what arrived before a connection was lost
is not sent again. `yld.json` in the repository says which files are ours: no other is written over
or removed.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from manifests.files import sha256_of
from pipeline.run.steps import MEGABYTE, Steps

MARK = "yld.json"
THEIRS = frozenset({".gitattributes", MARK})
"""What the Hub itself puts into a new repository, and our mark."""
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
REGULAR_BYTES = 16 * MEGABYTE
"""Up to so many a file may be kept in git itself, where its name is a SHA-1."""


class HubError(RuntimeError):
    """The Hub did not take it; the message says what to do."""


class Hub:
    """One repository. Raises ValueError for no package, no token and no name of a repository, and
    HubError where the Hub knows no such token: all before anything is written."""

    def __init__(self, repo: str) -> None:
        try:
            from huggingface_hub import HfApi, get_token
        except ImportError:
            raise ValueError(
                "--push needs huggingface_hub (`uv pip install huggingface_hub`)"
            ) from None
        if not REPO.fullmatch(repo):
            raise ValueError(f"{repo!r} is no repository of the Hub; --push OWNER/NAME")
        self.repo, self._api, self._token = repo, HfApi(), get_token()
        if not self._token:
            raise ValueError("--push needs a token of the Hub: `hf auth login`, or HF_TOKEN")
        self._how: dict[str, Any] = {"repo_id": repo, "repo_type": "dataset"}
        with self._told():
            self._api.whoami()

    def upload(self, folder: Path, names: Sequence[str]) -> str:
        """Files of `folder` by relative name; the address of the repository. A new one is private.

        Raises ValueError where the repository holds what is not ours, HubError where the Hub
        refuses or cannot be reached.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        facts = {name: _facts(folder / name) for name in names}
        with self._told(f"the export itself is complete in {folder}; "):
            self._create()
            head = self._api.repo_info(**self._how).sha
            there = self._there()
            gone = self._refuse_others(facts, there)
            new = [n for n in names if not _same(facts[n], there.get(n))]
            adds = [CommitOperationAdd(name, folder / name) for name in new]
            self._send(adds, [facts[name]["size"] for name in new])
            if new or gone or MARK not in there:
                mark = json.dumps({"made_by": "yld", "files": facts}, indent=1, sort_keys=True)
                self._api.create_commit(
                    **self._how,
                    operations=[
                        *adds,
                        CommitOperationAdd(MARK, mark.encode() + b"\n"),
                        *(CommitOperationDelete(name) for name in gone),
                    ],
                    commit_message="A corpus made by yld",
                    parent_commit=head,
                )
        return f"{self._api.endpoint}/datasets/{self.repo}"

    def _create(self) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            self._api.create_repo(**self._how, private=True)
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 402, 403):  # may write into one, but make none
                try:
                    self._api.repo_info(**self._how)
                except HfHubHTTPError:
                    raise error from None
            elif status != 409:  # there already
                raise

    def _there(self) -> dict[str, Any]:
        tree = self._api.list_repo_tree(**self._how, recursive=True)
        return {item.path: item for item in tree if hasattr(item, "blob_id")}

    def _refuse_others(self, facts: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
        """Files that an earlier upload put there and that are ours no more."""
        others = [name for name in there if name not in THEIRS]
        ours = self._mark() if MARK in there else {}
        changed = [n for n in others if not _same(facts.get(n), there[n])]
        strange = [n for n in changed if not _same(ours.get(n), there[n])]
        strange = [n for n in strange if n in facts or n in ours or not ours]
        if strange:
            raise ValueError(
                f"{self.repo} is there already, and yld did not put {_some(strange)} into it, or "
                "somebody changed it since; nothing was uploaded. Give another repository, or "
                "remove these from it first"
            )
        return [n for n in changed if n in ours and n not in facts]

    def _mark(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = self._api.hf_hub_download(**self._how, filename=MARK, local_dir=folder)
            try:
                files = json.loads(Path(path).read_text(encoding="utf-8"))["files"]
            except (ValueError, KeyError, TypeError):
                return {}
        return files if isinstance(files, dict) else {}

    def _send(self, adds: Sequence[Any], sizes: Sequence[int]) -> None:
        """Large files, which a commit names afterwards; small ones go with it."""
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()  # the line of `Steps` is one
        with Steps("upload", sum(sizes), "MB", MEGABYTE) as steps:
            for operation, size in zip(adds, sizes, strict=True):
                steps.at(operation.path_in_repo)
                self._api.preupload_lfs_files(
                    self.repo, [operation], repo_type="dataset", free_memory=False
                )
                steps.done(size)

    @contextmanager
    def _told(self, before: str = "") -> Iterator[None]:
        """The Hub's errors in a sentence."""
        from huggingface_hub.errors import HfHubHTTPError, HTTPError

        try:
            yield
        except (HTTPError, OSError, RuntimeError) as error:
            refused = next((e for e in _chain(error) if isinstance(e, HfHubHTTPError)), None)
            status = None if refused is None else refused.response.status_code
            said = f"{before}{_advice(status, self.repo)} ({self._without_token(error)})"
            raise HubError(said) from None

    def _without_token(self, error: BaseException) -> str:
        last = list(_chain(error))[-1]
        text = " ".join(str(last).split()) or type(last).__name__
        return text.replace(self._token or "\0", "TOKEN")[:200]


def _advice(status: int | None, repo: str) -> str:
    if status == 401:
        return "the Hub does not know the token: `hf auth login`, or HF_TOKEN"
    if status == 403:
        return f"the token may not write to {repo}: ask for one that may"
    if status == 412:
        return f"{repo} was changed by somebody meanwhile: run the same command again"
    if status is not None and status < 500:
        return f"the Hub does not take {repo}"
    return (
        f"the Hub could not be reached, or not to the end, with {repo}: the same command goes on "
        "with what is not there yet"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__


def _facts(path: Path) -> dict[str, Any]:
    """A file as the Hub names it: by SHA-256, and by git's SHA-1 where it may be kept there."""
    size = path.stat().st_size
    told: dict[str, Any] = {"size": size, "sha256": sha256_of(path)}
    if size <= REGULAR_BYTES:
        content = b"blob %d\0" % size + path.read_bytes()
        told["git"] = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return told


def _same(ours: Mapping[str, Any] | None, theirs: Any) -> bool:
    if ours is None or theirs is None:
        return False
    if theirs.lfs is not None:
        return bool(theirs.lfs.sha256 == ours["sha256"])
    return bool(theirs.blob_id == ours.get("git"))


def _some(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(sorted(names)[:3]) + (f" and {more} more" if more > 0 else "")
