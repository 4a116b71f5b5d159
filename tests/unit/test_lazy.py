"""Packages that load a module when a name in it is asked for offer what they say they do."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ["llmbook.lm", "llmbook.positions"]


def seen_by_type_checkers(package: str) -> dict[str, str]:
    """Names that a package imports for them alone, with the modules they come from."""
    tree = ast.parse(Path(str(import_module(package).__file__)).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {name.name: str(node.module) for node in imports for name in node.names}


@pytest.mark.parametrize("package", PACKAGES)
def test_programs_get_what_type_checkers_see(package):
    room, names = import_module(package), seen_by_type_checkers(package)
    assert names and names.keys() <= set(room.__all__) <= set(dir(room))
    for name, module in names.items():
        assert getattr(room, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        room.nothing  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_none_of_these_modules(package):
    modules = sorted(set(seen_by_type_checkers(package).values()))
    code = f"import sys, {package}; print([name for name in {modules} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_solving_loads_no_format_of_others_and_no_network():
    code = (
        "import sys\n"
        "from llmbook.cli import app\n"
        "app(['solve', 'look'], standalone_mode=False)\n"
        "unused = {'jinja2', 'httpx2', 'openai', 'transformers', 'llmbook.pretrained.gguf',\n"
        "          'llmbook.pretrained.configs', 'llmbook.pretrained.saving',\n"
        "          'llmbook.pretrained.fetch', 'llmbook.positions.alibi'}\n"
        "assert not unused & sys.modules.keys(), unused & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
