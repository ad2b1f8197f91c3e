"""What the small Hub of the tests knows: repositories, LFS storage, tokens, faults on order."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

LARGE = 20_000
PART = 30_000


@dataclass
class Fault:
    """Requests that match get a status, or are cut off midway; `times` of them."""

    method: str
    path: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


@dataclass
class Commit:
    sha: str
    files: dict[str, bytes]
    message: str


@dataclass
class Repository:
    private: bool
    refs: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def find(self, revision: str) -> Commit | None:
        for place in (self.refs, self.tags, self.commits):
            if revision in place:
                return place[revision]
        return None

    def commit(self, ref: str, files: dict[str, bytes], message: str) -> Commit:
        parent = self.refs.get(ref)
        digest = hashlib.sha1(repr((parent and parent.sha, sorted(files), message)).encode())
        for name in sorted(files):
            digest.update(files[name])
        made = Commit(digest.hexdigest(), files, message)
        self.refs[ref] = self.commits[made.sha] = made
        return made


class Hub:
    """What the Hub knows; `address` is its endpoint. Tokens name who may write where."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.large: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.tokens = {"hf_lab": {"lab"}, "hf_reader": set()}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.tokens_at_storage: list[str] = []
        self.lock = threading.RLock()
        self.address = self.storage = ""

    def reset(self, kept: set[str]) -> None:
        """Forget everything but some repositories."""
        self.repositories = {name: self.repositories[name] for name in sorted(kept)}
        for record in (self.renamed, self.large, self.parts, self.faults, self.requests):
            record.clear()

    def upload(self, repo_id: str, folder: Path, *, private: bool = False) -> Commit:
        """Put a folder there without HTTP."""
        repository = self.repositories.setdefault(repo_id, Repository(private))
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        return repository.commit("main", files, "from a folder")

    def count(self, method: str, path: str) -> int:
        """How many requests matched."""
        return sum(m == method and re.search(path, p) is not None for m, p in self.requests)

    def fault_of(self, method: str, route: str) -> Fault | None:
        """Record a request; the fault that was ordered for it, if any."""
        with self.lock:
            self.requests.append((method, route))
            for fault in self.faults:
                if fault.method == method and fault.times and re.search(fault.path, route):
                    fault.times -= 1
                    return fault
        return None

    def store(self, content: bytes) -> str:
        oid = hashlib.sha256(content).hexdigest()
        self.large[oid] = content
        return oid


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(name: str, content_size: int) -> bool:
    return name.endswith(".safetensors") or content_size > LARGE
