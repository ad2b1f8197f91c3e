"""What the small Hub of the tests answers, request by request, as the real one does."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler

from tests.hub_state import PART, Commit, Hub, Repository, git_oid, is_large


class RefusedError(Exception):
    """A request that the Hub turns down."""

    def __init__(self, status: int, code: str = "", message: str = "", body: object = None):
        self.status, self.code, self.message, self.body = status, code, message, body


class Answers(BaseHTTPRequestHandler):
    """One method a route; `tests.hub_server` brings requests here."""

    query: dict[str, list[str]]
    body: bytes

    def json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.send(json.dumps(value).encode(), status, headers)

    def send(
        self, content: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Answer with bytes."""
        raise NotImplementedError

    def _namespaces(self, hub: Hub) -> set[str] | None:
        """Where the asker may write; None for nobody known."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in hub.tokens:
            raise RefusedError(401, message="Invalid credentials in Authorization header")
        return hub.tokens.get(token)

    def _repository(self, hub: Hub, repo_id: str, *, write: bool = False) -> Repository:
        mine = self._namespaces(hub)
        repository = hub.repositories.get(repo_id)
        if repository is None or (repository.private and repo_id.split("/")[0] not in (mine or ())):
            raise RefusedError(401 if mine is None else 404, "RepoNotFound", "Repository not found")
        if write and repo_id.split("/")[0] not in (mine or ()):
            raise RefusedError(401 if mine is None else 403, message="you may not write here")
        return repository

    def _commit(self, hub: Hub, repo_id: str, revision: str, **how: bool) -> Commit:
        found = self._repository(hub, repo_id, **how).find(revision)
        if found is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def create(self, hub: Hub) -> None:
        asked = json.loads(self.body)
        mine = self._namespaces(hub)
        if mine is None:
            raise RefusedError(401, message="Invalid username or password.")
        if asked["organization"] not in mine:
            raise RefusedError(403, message="You don't have the rights to create a model there")
        repo_id = f"{asked['organization']}/{asked['name']}"
        answer = {"url": f"{hub.address}/{repo_id}"}
        if repo_id in hub.repositories:
            raise RefusedError(409, message="You already created this model repo", body=answer)
        # Older versions of huggingface_hub ask by `private`.
        repository = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
        repository.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial")
        hub.repositories[repo_id] = repository
        self.json(answer)

    def check_card(self, _: Hub) -> None:
        block = json.loads(self.body)["content"].split("---\n")[1]
        # An adapter is nothing without its encoder.
        good = "base_model: " in block or "library_name: transformers" in block
        body = {"warnings": [], "errors": [] if good else [{"message": "no base_model"}]}
        if not good:
            raise RefusedError(400, message="metadata", body=body)
        self.json(body)

    def info(self, hub: Hub, repo_id: str, revision: str | None) -> None:
        repository = self._repository(hub, repo_id)
        commit = self._commit(hub, repo_id, revision or "main")
        files = [{"rfilename": name} for name in sorted(commit.files)]
        self.json(
            {"id": repo_id, "sha": commit.sha, "private": repository.private, "siblings": files}
        )

    def tree(self, hub: Hub, repo_id: str, revision: str, folder: str | None) -> None:
        if folder is not None:
            raise RefusedError(404, "EntryNotFound", "there are no folders here")
        rows = []
        for name, content in sorted(self._commit(hub, repo_id, revision).files.items()):
            row = {"type": "file", "path": name, "size": len(content), "oid": git_oid(content)}
            if is_large(name, len(content)):
                oid = hub.store(content)
                row["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
            rows.append(row)
        self.json(rows)

    def branch(self, hub: Hub, repo_id: str, name: str) -> None:
        repository = self._repository(hub, repo_id, write=True)
        if name in repository.refs:
            raise RefusedError(409, message="Reference already exists")
        repository.refs[name] = repository.refs["main"]
        self.json({})

    def tag(self, hub: Hub, repo_id: str, revision: str) -> None:
        commit = self._commit(hub, repo_id, revision, write=True)
        tags, name = hub.repositories[repo_id].tags, json.loads(self.body)["tag"]
        if name in tags:
            raise RefusedError(409, message="Tag already exists")
        tags[name] = commit
        self.json({})

    def preupload(self, hub: Hub, repo_id: str, revision: str) -> None:
        proposal = "create_pr" in self.query
        there = self._commit(hub, repo_id, revision, write=not proposal).files
        rows = []
        for file in json.loads(self.body)["files"]:
            large = is_large(file["path"], file["size"])
            row = {"path": file["path"], "uploadMode": "lfs" if large else "regular"}
            row["shouldIgnore"] = False
            if (content := there.get(file["path"])) is not None:
                row["oid"] = hashlib.sha256(content).hexdigest() if large else git_oid(content)
            rows.append(row)
        self.json({"files": rows})

    def batch(self, hub: Hub, repo_id: str) -> None:
        self._repository(hub, repo_id)
        rows = []
        for item in json.loads(self.body)["objects"]:
            row = dict(item)
            oid, size = item["oid"], item["size"]
            if oid not in hub.large:
                upload = {"href": f"{hub.storage}/lfs/{oid}"}
                if size > PART:
                    numbers = range(1, -(-size // PART) + 1)
                    header = {f"{n:05}": f"{hub.storage}/lfs/{oid}/{n}" for n in numbers}
                    upload["href"] = f"{hub.address}/api/complete/{oid}"
                    upload["header"] = {"chunk_size": str(PART), **header}
                verify = {"href": f"{hub.address}/api/verify/{oid}"}
                row["actions"] = {"upload": upload, "verify": verify}
            rows.append(row)
        self.json({"transfer": "basic", "objects": rows})

    def put(self, hub: Hub, oid: str, part: str | None) -> None:
        self._check_storage(hub)
        if part is not None:
            hub.parts[oid, int(part)] = self.body
        elif hub.store(self.body) != oid:
            raise RefusedError(400, message="BadDigest")
        self.send(b"", headers={"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})

    def complete(self, hub: Hub, oid: str) -> None:
        parts = json.loads(self.body)["parts"]
        if hub.store(b"".join(hub.parts[oid, part["partNumber"]] for part in parts)) != oid:
            raise RefusedError(400, message="BadDigest")
        self.json({})

    def verify(self, hub: Hub, oid: str) -> None:
        if len(hub.large.get(oid, b"")) != json.loads(self.body)["size"]:
            raise RefusedError(404, message="not uploaded")
        self.json({})

    def commit(self, hub: Hub, repo_id: str, revision: str) -> None:
        proposal = "create_pr" in self.query
        base = self._commit(hub, repo_id, revision, write=not proposal)
        repository = hub.repositories[repo_id]
        files, message = dict(base.files), ""
        for line in self.body.splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "header":
                message = f"{value['summary']}\n\n{value.get('description', '')}".strip()
                if value.get("parentCommit", base.sha) != base.sha:
                    raise RefusedError(412, message="A commit has happened since")
            elif row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                if value["oid"] not in hub.large:
                    raise RefusedError(400, message="LFS object not uploaded")
                files[value["path"]] = hub.large[value["oid"]]
            else:
                del files[value["path"]]
        ref = revision
        if proposal:
            number = sum(name.startswith("refs/pr/") for name in repository.refs) + 1
            ref = f"refs/pr/{number}"
            repository.refs[ref] = base
        made = repository.commit(ref, files, message)
        answer = {"commitUrl": f"{hub.address}/{repo_id}/commit/{made.sha}", "commitOid": made.sha}
        if proposal:
            answer["pullRequestUrl"] = f"{hub.address}/{repo_id}/discussions/{number}"
        self.json(answer)

    def resolve(self, hub: Hub, repo_id: str, revision: str, name: str) -> None:
        if repo_id in hub.renamed:
            target = f"/{hub.renamed[repo_id]}/resolve/{revision}/{name}"
            self.send(b"", 307, {"Location": target})
            return
        commit = self._commit(hub, repo_id, revision)
        headers = {"X-Repo-Commit": commit.sha}
        if name not in commit.files:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        content = commit.files[name]
        if not is_large(name, len(content)):
            self.send(content, headers={**headers, "ETag": f'"{git_oid(content)}"'})
            return
        oid = hub.store(content)
        headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
        self.send(b"", 302, {**headers, "Location": f"{hub.storage}/lfs/{oid}"})

    def download(self, hub: Hub, oid: str) -> None:
        self._check_storage(hub)
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        content = hub.large[oid]
        headers = {"ETag": f'"{oid}"'}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(content[start:], 206 if start else 200, headers)

    def _check_storage(self, hub: Hub) -> None:
        if self.headers.get("Authorization"):
            hub.tokens_at_storage.append(self.route)


_ID = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    (r"/api/repos/create", {"POST"}, Answers.create),
    (r"/api/validate-yaml", {"POST"}, Answers.check_card),
    (rf"/api/models/{_ID}/preupload/([^/]+)", {"POST"}, Answers.preupload),
    (rf"/api/models/{_ID}/commit/([^/]+)", {"POST"}, Answers.commit),
    (rf"/api/models/{_ID}/branch/([^/]+)", {"POST"}, Answers.branch),
    (rf"/api/models/{_ID}/tag/([^/]+)", {"POST"}, Answers.tag),
    (rf"/api/models/{_ID}/tree/([^/]+)(?:/(.+))?", {"GET"}, Answers.tree),
    (rf"/api/models/{_ID}(?:/revision/([^/]+))?", {"GET"}, Answers.info),
    (rf"/{_ID}\.git/info/lfs/objects/batch", {"POST"}, Answers.batch),
    (r"/lfs/(\w+)(?:/(\d+))?", {"PUT"}, Answers.put),
    (r"/lfs/(\w+)", {"GET", "HEAD"}, Answers.download),
    (r"/api/complete/(\w+)", {"POST"}, Answers.complete),
    (r"/api/verify/(\w+)", {"POST"}, Answers.verify),
    (rf"/{_ID}/resolve/([^/]+)/(.+)", {"GET", "HEAD"}, Answers.resolve),
]
