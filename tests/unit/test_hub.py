"""Models of the hub, from one on this machine."""

import os
import pickle
import subprocess
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer

from tests.support.folders import Bomb, llama_folder
from tests.support.hub import Hub
from tests.support.training import ROOT


def test_models_of_the_hub(tmp_path):
    """A fresh process each: the hub's client reads its settings once."""
    (tmp_path / "repo").mkdir()
    llama_folder(tmp_path / "repo")
    (tmp_path / "repo" / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "repo" / "consolidated.safetensors").write_bytes(b"a second copy")
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path / "repo")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = f"http://127.0.0.1:{server.server_port}"
    environment = os.environ | {"HF_ENDPOINT": where, "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}

    def ask(*names: str, **changes: str) -> list[str]:
        command = [sys.executable, str(ROOT / "tests/support/ask_hub.py"), *names]
        done = subprocess.run(
            command, env=environment | changes, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    found, missing = ask("me/tiny", "me/other")
    server.shutdown()
    server.server_close()
    assert found == "8"
    assert "OSError 'me/other' is neither a file or folder here nor" in missing
    assert {*Hub.asked} == {"config.json", "model.safetensors", "tokenizer.json"}
    found, missing = ask("me/tiny", "me/other", HF_HUB_OFFLINE="1")
    assert found == "8" and "set HF_ENDPOINT to a mirror" in missing
