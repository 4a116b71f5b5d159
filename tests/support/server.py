"""A server that speaks OpenAI's protocol, and fails as it is told to."""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Sent(NamedTuple):
    """An answer as a server sends it, whatever it is."""

    body: object  # a text as it stands, anything else as JSON
    status: int = 200
    kind: str = "application/json"


def chatting(content, finish_reason="stop", **fields) -> Sent:
    """The answer to a chat that holds just this."""
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
    return Sent({"choices": [choice | fields.pop("choice", {})], **fields})


class Server(ThreadingHTTPServer):
    """Speaks OpenAI's protocol; `fault` says what goes wrong with the n-th attempt at a prompt."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fault):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault, self.lock = fault, threading.Lock()
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.requests, self.keys, self.busy, self.most = [], set(), 0, 0

    def handle_error(self, request, client_address):
        pass  # a client that has had enough is no news here

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        with server.lock:
            server.seen[prompt] += 1
            server.busy += 1
            server.most = max(server.most, server.busy)
            server.requests.append(body)
            server.keys.add(self.headers["Authorization"])
            attempt = server.seen[prompt]
        try:
            fault = server.fault(prompt, attempt)
        finally:
            with server.lock:  # before the client can know, who may then send the next
                server.busy -= 1
        self._answer(prompt, fault)

    def _answer(self, prompt, fault):
        if fault == "stall":
            self.connection.recv(1)  # nothing comes until the client gives up
        if fault in ("stall", "reset"):
            self.close_connection = True
            return
        if isinstance(fault, Sent):
            body = fault.body if isinstance(fault.body, str) else json.dumps(fault.body)
            self._send(fault.status, {"Content-Type": fault.kind}, body.encode())
            return
        status, headers, message = 200, {}, ""
        if type(fault) is tuple:
            status, headers, message = fault
        text = f" {int(prompt.split()[1]) + 1}" if prompt.startswith("Q: ") else prompt.swapcase()
        plain = self.path.endswith("v1/completions")
        choice = {"text": text} if plain else {"message": {"content": text}}
        choice["finish_reason"] = "content_filter" if fault == "withheld" else "stop"
        choices = [choice] * {"none": 0, "two": 2}.get(str(fault), 1)
        answer = {"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
        data = json.dumps(answer if status == 200 else {"error": {"message": message}}).encode()
        if fault == "half":
            data = data[: len(data) // 2]
        if fault is None:
            with self.server.lock:
                self.server.answered[prompt] += 1
        self._send(status, headers, data, cut=fault == "cut")

    def _send(self, status, headers, data, cut=False):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if cut:
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serving(fault=lambda prompt, attempt: None):
    server = Server(fault)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
