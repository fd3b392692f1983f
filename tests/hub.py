"""A Hub on loopback: what huggingface_hub asks of huggingface.co to make a data set repository and
fill it, by git LFS (tokens, repositories, preupload, LFS batches and uploads, commits, trees)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LFS = re.compile(r".*\.(tar|parquet|mp4)$")
PART_BYTES = 20_000
"""Objects larger than this are asked for in parts."""
ATTRIBUTES = b"*.tar filter=lfs diff=lfs merge=lfs -text\n"


@dataclass
class Repo:
    """Files by path: content, and whether it is a large object."""

    private: bool
    files: dict[str, tuple[bytes, bool]] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """`tokens`: which user may write where; `drop` says of an upload whether its connection is lost
    halfway."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens = {"hf_good": "me"}
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.asked: list[str] = []
        self.uploaded: list[str] = []
        self.drop = lambda oid: False
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        with self.server.lock:
            self.server.asked.append(f"{self.command} {path}")
        for method, pattern, answer in ROUTES:
            found = re.fullmatch(pattern, path)
            if method == self.command and found:
                answer(self, *found.groups())
                return
        self._say(404, {"error": f"no such route: {path}"})

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _say(self, status: int, told: Any = None, content: bytes | None = None, **head: str):
        content = json.dumps(told).encode() if content is None else content
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name.replace("_", "-"), value)
        if isinstance(told, dict) and "error" in told:
            self.send_header("X-Error-Message", told["error"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _user(self, owner: str | None = None) -> str | None:
        """Who asks; None after an answer, where that may not."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self.server.tokens.get(token)
        if user is None:
            self._say(401, {"error": f"Invalid credentials: {token}"})
        elif owner not in (None, user):
            self._say(403, {"error": "You don't have the rights"})
            user = None
        return user

    def _repo(self, name: str) -> Repo | None:
        if self._user(name.partition("/")[0]) is None:
            return None
        repo = self.server.repos.get(name)
        if repo is None:
            self._say(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        return repo

    def whoami(self) -> None:
        if (user := self._user()) is not None:
            self._say(200, {"type": "user", "name": user, "orgs": [], "auth": {}})

    def create(self) -> None:
        asked = json.loads(self._body())
        owner = asked["organization"]
        name = f"{owner}/{asked['name']}"
        if self._user(owner) is None:
            return
        url = f"{self.server.address}/datasets/{name}"
        if name in self.server.repos:
            self._say(409, {"error": "You already created this dataset repo", "url": url})
            return
        assert asked["type"] == "dataset"
        repo = Repo(asked.get("visibility") == "private")
        repo.files[".gitattributes"] = (ATTRIBUTES, False)
        self.server.repos[name] = repo
        self._say(200, {"url": url, "name": name, "id": "1"})

    def info(self, name: str) -> None:
        if (repo := self._repo(name)) is not None:
            told = {"id": name, "sha": repo.sha, "private": repo.private, "tags": []}
            self._say(200, told | {"siblings": [{"rfilename": n} for n in repo.files]})

    def tree(self, name: str) -> None:
        if (repo := self._repo(name)) is None:
            return
        rows: list[dict[str, Any]] = []
        for path, (content, is_large) in sorted(repo.files.items()):
            sha256 = hashlib.sha256(content).hexdigest()
            pointer = f"oid sha256:{sha256}\n".encode()
            row: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
            row["oid"] = blob(pointer if is_large else content)
            if is_large:
                row["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
            rows.append(row)
        self._say(200, rows)

    def validate(self) -> None:
        head = json.loads(self._body())["content"].split("---")[1]
        self._say(200, {"errors": [], "warnings": []} if "license" in head else {"errors": []})

    def preupload(self, name: str) -> None:
        asked = json.loads(self._body())
        if (repo := self._repo(name)) is None:
            return
        files = []
        for file in asked["files"]:
            there = repo.files.get(file["path"])
            mode = "lfs" if LFS.fullmatch(file["path"]) else "regular"
            row = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            if there is not None and not there[1]:
                row["oid"] = blob(there[0])
            files.append(row)
        self._say(200, {"files": files})

    def batch(self, name: str) -> None:
        asked = json.loads(self._body())
        if self._repo(name) is None:
            return
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        self._say(200, {"transfer": "basic", "objects": [self._place(o) for o in asked["objects"]]})

    def _place(self, row: dict[str, Any]) -> dict[str, Any]:
        oid, size = row["oid"], row["size"]
        told: dict[str, Any] = {"oid": oid, "size": size}
        if oid in self.server.objects:
            return told
        href = f"{self.server.address}/lfs/{oid}"
        upload: dict[str, Any] = {"href": href}
        if size > PART_BYTES:
            upload["href"] = f"{href}/whole"
            upload["header"] = {"chunk_size": str(PART_BYTES)} | {
                str(n + 1): f"{href}/{n + 1}" for n in range(-(-size // PART_BYTES))
            }
        return told | {"actions": {"upload": upload, "verify": {"href": f"{href}/verify"}}}

    def put(self, oid: str, part: str | None = None) -> None:
        length = int(self.headers["Content-Length"])
        if self.server.drop(oid):
            self.rfile.read(length // 2)
            self.close_connection = True
            self.connection.close()
            return
        content = self.rfile.read(length)
        if part is None:
            self._keep(oid, content)
        else:
            self.server.parts.setdefault(oid, {})[int(part)] = content
        self._say(200, {}, ETag=f'"{part or oid}"')

    def whole(self, oid: str) -> None:
        told = json.loads(self._body())["parts"]
        parts = self.server.parts[oid]
        self._keep(oid, b"".join(parts[row["partNumber"]] for row in told))
        self._say(200, {})

    def _keep(self, oid: str, content: bytes) -> None:
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.objects[oid] = content
        self.server.uploaded.append(oid)

    def verify(self, oid: str) -> None:
        told = json.loads(self._body())
        fits = len(self.server.objects[oid]) == told["size"]
        self._say(200 if fits else 400, {})

    def commit(self, name: str) -> None:
        rows = [json.loads(line) for line in self._body().splitlines()]
        if (repo := self._repo(name)) is None:
            return
        head = rows[0]["value"]
        if head.get("parentCommit") not in (None, repo.sha):
            self._say(412, {"error": "A commit has happened since."})
            return
        for row in rows[1:]:
            path = row["value"]["path"]
            if row["key"] == "file":
                repo.files[path] = (base64.b64decode(row["value"]["content"]), False)
            elif row["key"] == "lfsFile":
                repo.files[path] = (self.server.objects[row["value"]["oid"]], True)
            elif row["key"] == "deletedFile":
                del repo.files[path]
        repo.commits.append(head["summary"])
        url = f"{self.server.address}/datasets/{name}/commit/{repo.sha}"
        self._say(200, {"commitUrl": url, "commitOid": repo.sha})

    def resolve(self, name: str, path: str) -> None:
        if (repo := self._repo(name)) is None:
            return
        if path not in repo.files:
            self._say(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
            return
        content, _ = repo.files[path]
        head = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": repo.sha}
        self._say(200, content=content, **head)


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("GET", f"/api/datasets/{NAME}", Handler.info),
    ("GET", f"/api/datasets/{NAME}/revision/.*", Handler.info),
    ("GET", f"/api/datasets/{NAME}/tree/.*", Handler.tree),
    ("POST", f"/api/datasets/{NAME}/preupload/main", Handler.preupload),
    ("POST", f"/datasets/{NAME}.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", r"/lfs/(\w{64})", Handler.put),
    ("PUT", r"/lfs/(\w{64})/(\d+)", Handler.put),
    ("POST", r"/lfs/(\w{64})/whole", Handler.whole),
    ("POST", r"/lfs/(\w{64})/verify", Handler.verify),
    ("POST", f"/api/datasets/{NAME}/commit/main", Handler.commit),
    ("GET", f"/datasets/{NAME}/resolve/[^/]+/(.*)", Handler.resolve),
    ("HEAD", f"/datasets/{NAME}/resolve/[^/]+/(.*)", Handler.resolve),
)


def blob(content: bytes) -> str:
    """Git's name of it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
