"""Enough of the hub for one model, its files in a folder."""

import hashlib
import json
from http.server import SimpleHTTPRequestHandler
from pathlib import Path


class Hub(SimpleHTTPRequestHandler):
    """Enough of the hub for one model, its files in a folder."""

    asked: list[str]

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        folder = Path(self.directory)
        files = sorted(each.name for each in folder.iterdir())
        headers = {}
        if path.startswith("/api/models/me/tiny/revision/"):
            siblings = [{"rfilename": name} for name in files]
            data = json.dumps({"id": "me/tiny", "sha": "0" * 40, "siblings": siblings}).encode()
        elif path.startswith("/api/models/me/tiny/tree/"):
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": (folder / name).stat().st_size,
                    "oid": hashlib.sha1(name.encode()).hexdigest(),
                }
                for name in files
            ]
            data = json.dumps(tree).encode()
        elif path.startswith("/me/tiny/resolve/"):
            name = path.rsplit("/", 1)[1]
            type(self).asked.append(name)
            data = (folder / name).read_bytes()
            etag = hashlib.sha1(name.encode()).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": "0" * 40}
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass
