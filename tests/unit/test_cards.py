"""The cards of the models that come with the book."""

import json

import pytest
import torch
from safetensors import safe_open

from llmbook.book import numerals
from llmbook.book.cards import DATA, write_card
from llmbook.pretrained import from_pretrained

MODELS = sorted(path.parent.name for path in DATA.rglob("*.safetensors"))
KEYS = ["name", "task", "strategy", "format", "data", "seed", "license", "made_by", "parameters"]
STRATEGIES = {None, "direct", "chain-of-thought", "least-to-most"}


def test_weights_are_in_folders_of_their_own():
    assert {path.name for path in DATA.rglob("*.safetensors")} == {"model.safetensors"}
    assert {"bookmodel", "clerk", "numerals", "scan-tiny"} <= {*MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_a_card_tells_what_the_model_is(name):
    card = json.loads((DATA / name / "card.json").read_text(encoding="utf-8"))
    assert [*card][: len(KEYS)] == KEYS
    assert card["name"] == name and card["strategy"] in STRATEGIES
    assert (card["task"] is not None) or card["strategy"] is None
    assert card["license"] == "Apache-2.0" and type(card["seed"]) is int
    assert card["made_by"].startswith("python -m llmbook.book.")
    made_in = card["made_by"].split(" --out ")[-1]
    assert made_in in ("llmbook/book/data", f"llmbook/book/data/{name}")
    with safe_open(DATA / name / "model.safetensors", framework="pt") as file:
        weights = [file.get_tensor(key) for key in file.keys()]  # noqa: SIM118 (it is no mapping)
    assert card["format"] == "safetensors, float16"
    assert {weight.dtype for weight in weights} == {torch.float16}
    model = numerals.load_model() if name == "numerals" else from_pretrained(DATA / name).model
    assert card["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_a_card_is_written(tmp_path):
    model = torch.nn.Linear(2, 3)
    write_card(tmp_path, model, name="line", data="none", made_by="hand", seed=5, right="all")
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert [*card] == [*KEYS, "right"] and card["parameters"] == 9 and card["seed"] == 5
    assert card["format"] == "safetensors, float32" and card["task"] is None
