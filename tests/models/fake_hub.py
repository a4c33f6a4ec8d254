"""A hub on loopback that speaks the routes of huggingface.co which the real client uses."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """One model repository: its files, or how asking for them fails."""

    files: dict[str, bytes] = field(default_factory=dict)
    revisions: tuple[str, ...] = ("main", COMMIT)
    status: int = 200
    error_code: str = ""
    delay_s: float = 0.0
    redirect_loop: bool = False
    cut_body: bool = False
    token: str = ""
    commit: str = COMMIT


class FakeHub:
    """Start with `with FakeHub({...}) as hub`; `hub.url` is the HF_ENDPOINT."""

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.repositories = repositories
        self.requests: list[tuple[str, str, str]] = []
        """(method, path, Authorization header) of every request."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, *args: object) -> None:
                del args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        """Speak as the hub does for /{org}/{name}/resolve/{revision}/{file}."""
        path = request.path.split("?")[0]
        token = request.headers.get("Authorization", "")
        self.requests.append((request.command, path, token))
        name, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        repository = self.repositories.get(name)
        if repository is None:
            self.fail(request, 401, "", "Repository not found")  # what the hub says to strangers
            return
        time.sleep(repository.delay_s)
        if repository.redirect_loop:
            self.reply(request, 302, {"Location": f"{self.url}{path}"}, b"", body)
        elif repository.token and token != f"Bearer {repository.token}":
            self.fail(request, 401, "GatedRepo", "Access to this model is restricted")
        elif repository.status != 200:
            self.fail(request, repository.status, repository.error_code, "refused")
        elif revision not in (*repository.revisions, repository.commit):
            self.fail(request, 404, "RevisionNotFound", "no such revision")
        elif file not in repository.files:
            self.fail(request, 404, "EntryNotFound", "no such file")
        else:
            content = repository.files[file]
            headers = {"ETag": f'"{abs(hash(content)):040x}"', "X-Repo-Commit": repository.commit}
            if repository.cut_body and body:
                headers["Content-Length"] = str(len(content))
                content = content[: len(content) // 2]
            self.reply(request, 200, headers, content, body)

    def fail(self, request: BaseHTTPRequestHandler, status: int, code: str, text: str) -> None:
        headers = {"X-Repo-Commit": COMMIT} if code == "EntryNotFound" else {}
        if code:
            headers |= {"X-Error-Code": code}
        headers["X-Error-Message"] = text
        self.reply(request, status, headers, b"", request.command == "GET")

    def reply(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        content: bytes,
        body: bool,
    ) -> None:
        try:
            request.send_response(status)
            headers.setdefault("Content-Length", str(len(content)))
            for key, value in headers.items():
                request.send_header(key, value)
            request.end_headers()
            if body:
                request.wfile.write(content)
            if body and int(headers["Content-Length"]) != len(content):
                request.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            request.close_connection = True


def config_bytes(**keys: object) -> bytes:
    """A small Mixtral-like config.json with `keys` on top."""
    base: dict[str, object] = {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "hidden_size": 1024,
        "intermediate_size": 2048,
        "num_hidden_layers": 4,
        "num_local_experts": 16,
        "num_experts_per_tok": 2,
        "torch_dtype": "bfloat16",
    }
    return json.dumps({**base, **keys}).encode()
