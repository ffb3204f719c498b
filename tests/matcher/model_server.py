"""A local server that speaks the language model's API, as far as the SDK uses it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "promptTokenCount": 400,
    "candidatesTokenCount": 30,
    "thoughtsTokenCount": 20,
    "cachedContentTokenCount": 100,
    "totalTokenCount": 450,
}


@dataclass(frozen=True)
class Said:
    """One HTTP answer, given after `wait` seconds."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0


def text(content: str, finish: str = "STOP") -> Said:
    parts = {"role": "model", "parts": [{"text": content}]}
    candidate = {"content": parts, "finishReason": finish, "index": 0}
    return Said({"candidates": [candidate], "usageMetadata": USAGE})


def verdict(word: str, confidence: float = 0.9) -> Said:
    return text(json.dumps({"verdict": word, "confidence": confidence, "reason": "as they say"}))


def error(status: int, headers: dict[str, str] | None = None, message: str = "no") -> Said:
    body = {"error": {"code": status, "message": message, "status": "ERROR"}}
    return Said(body, status, headers or {})


@dataclass
class ModelServer:
    """What was asked, and what is answered: the answers in order, the last one again and again."""

    answers: list[Said]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def next(self, key: str, body: dict[str, Any]) -> Said:
        self.keys.append(key)
        self.requests.append(body)
        self.times.append(time.monotonic())
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def prompts(self) -> list[str]:
        return [one["contents"][0]["parts"][0]["text"] for one in self.requests]


@contextmanager
def model_server(*answers: Said) -> Iterator[ModelServer]:
    served, lock = ModelServer(list(answers)), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                said = served.next(self.headers["x-goog-api-key"], body)
            time.sleep(said.wait)
            data = json.dumps(said.body).encode()
            try:
                self.send_response(said.status)
                for name, value in {"Content-Type": "application/json", **said.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True

        log_message: Callable[..., None] = lambda *_: None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
