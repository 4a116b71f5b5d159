"""Chinese numerals: a small task that has to be translated, not copied.

一万零三百零五 is 10305. Each numeral names its digits and, after each, the place where it belongs;
places that are named by no digit are zero. To write the number one has to look up, for every
place, whether the numeral mentions it: a task for attention, with an answer that can be checked.

The vocabulary is shared by source and target: three special tokens, the characters of the
numerals, and the ten digits. ``python -m llmbook.book.numerals --out FOLDER`` trains the model that
[`load_model`][llmbook.book.numerals.load_model] loads, in about half a minute on one core.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llmbook._files import read_json, replacing, write_json
from llmbook.book.cards import DATA, write_card
from llmbook.training import TrainingConfig, next_token_loss, train
from llmbook.transformer import Transformer, TransformerConfig

__all__ = [
    "CONFIG",
    "VOCABULARY",
    "batch",
    "from_chinese",
    "load_losses",
    "load_model",
    "sample_numbers",
    "text",
    "to_chinese",
]

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_LIMIT = 10**8

VOCABULARY = ("<pad>", "<bos>", "<eos>", *_DIGITS, *_PLACES[1:], "万", *"0123456789")
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
CONFIG = TransformerConfig(
    source_vocab_size=len(VOCABULARY),
    target_vocab_size=len(VOCABULARY),
    d_model=64,
    num_heads=4,
    d_ff=128,
    num_encoder_layers=2,
    num_decoder_layers=2,
    dropout=0.0,
    norm_first=True,
    pad_id=PAD_ID,
    bos_id=BOS_ID,
    eos_id=EOS_ID,
)
_FOLDER = DATA / "numerals"
_ID = {token: i for i, token in enumerate(VOCABULARY)}


def to_chinese(number: int) -> str:
    """Write a number as one says it in Chinese.

    Zeros between two digits are read once, as 零; zeros at the end are not read; 10 to 19 begin
    with 十, not 一十.

    Args:
        number: From 0 to 99,999,999.

    Returns:
        The numeral, such as ``"一万零三百零五"`` for 10305.

    Raises:
        ValueError: If the number is outside that range.
    """
    if not 0 <= number < _LIMIT:
        raise ValueError(f"number must lie between 0 and {_LIMIT - 1}, got {number}")
    if number == 0:
        return _DIGITS[0]
    high, low = divmod(number, 10_000)
    if high == 0:
        numeral = _below_ten_thousand(low)
    else:
        gap = "零" if 0 < low < 1000 else ""
        numeral = f"{_below_ten_thousand(high)}万{gap}{_below_ten_thousand(low)}"
    return numeral.removeprefix("一") if numeral.startswith("一十") else numeral


def _below_ten_thousand(number: int) -> str:
    numeral, gap = "", False
    for place in (3, 2, 1, 0):
        digit = number // 10**place % 10
        if digit == 0:
            gap = numeral != ""  # read as one 零, if another digit follows
        else:
            numeral += ("零" if gap else "") + _DIGITS[digit] + _PLACES[place]
            gap = False
    return numeral


def from_chinese(numeral: str) -> int:
    """Read a numeral as [`to_chinese`][llmbook.book.numerals.to_chinese] writes it.

    Args:
        numeral: The numeral.

    Returns:
        The number.

    Raises:
        ValueError: If it is no numeral, or not in the usual form.
    """
    number = section = digit = 0
    for character in numeral:
        if character == "万":
            number, section, digit = (section + digit) * 10_000, 0, 0
        elif character in _PLACES[1:]:
            # A bare 十 at the beginning is 一十.
            section += (digit or 1) * 10 ** _PLACES.index(character)
            digit = 0
        elif character in _DIGITS:
            digit = _DIGITS.index(character)
        else:
            raise ValueError(f"numeral must hold only numeral characters, got {character!r}")
    number += section + digit
    if to_chinese(number) != numeral:
        raise ValueError(f"numeral must be in the usual form, got {numeral!r}")
    return number


def sample_numbers(count: int, generator: torch.Generator) -> list[int]:
    """Random numbers, of every length from one to eight digits equally often.

    Args:
        count: How many.
        generator: Where the randomness comes from.

    Returns:
        Numbers from 0 to 99,999,999.
    """
    lengths = torch.randint(1, 9, (count,), generator=generator)
    parts = torch.rand(count, generator=generator, dtype=torch.float64)
    return [
        int(part * 10**length)
        for part, length in zip(parts.tolist(), lengths.tolist(), strict=True)
    ]


def batch(numbers: Iterable[int]) -> tuple[Tensor, Tensor]:
    """Numerals and numbers as token ids.

    Args:
        numbers: Numbers from 0 to 99,999,999.

    Returns:
        Source, shape ``(B, S)``: the numerals, each ended by ``<eos>``. Target, shape
        ``(B, T + 1)``: ``<bos>``, the digits, ``<eos>``. Both padded with ``<pad>``.

    Raises:
        ValueError: If a number is outside that range, or there is none.
    """
    numbers = list(numbers)
    if not numbers:
        raise ValueError("numbers must hold at least one number, got none")
    source = [[*to_chinese(number), "<eos>"] for number in numbers]
    target = [["<bos>", *str(number), "<eos>"] for number in numbers]
    return _padded(source), _padded(target)


def _padded(rows: list[list[str]]) -> Tensor:
    ids = [torch.tensor([_ID[token] for token in row]) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD_ID)


def text(ids: Iterable[int]) -> str:
    """The characters of token ids, up to the end, special tokens left out.

    Args:
        ids: Token ids.

    Returns:
        The text.
    """
    characters = []
    for i in ids:
        if i == EOS_ID:
            break
        if i > EOS_ID:
            characters.append(VOCABULARY[i])
    return "".join(characters)


def load_model() -> Transformer:
    """The trained model that comes with the book.

    Returns:
        The model, ready to read numerals; see [a model trained end to end][training].
    """
    model = Transformer(CONFIG)
    model.load_state_dict(load_file(_FOLDER / "model.safetensors"))
    return model.eval()


def load_losses() -> list[float]:
    """The losses of the run that trained [`load_model`][llmbook.book.numerals.load_model]'s model.

    Returns:
        The loss of every step, in nats a token.
    """
    losses: list[float] = read_json(_FOLDER / "record.json")["losses"]
    return losses


def _make(folder: Path) -> None:
    """Train the model, and write it with the losses of the run."""
    torch.set_num_threads(1)  # so small a model gains nothing from a second one
    torch.manual_seed(0)
    model, generator = Transformer(CONFIG), torch.Generator().manual_seed(0)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield batch(sample_numbers(64, generator))

    def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        source, target = batch
        return next_token_loss(model(source, target[:, :-1]), target, pad_id=PAD_ID)

    losses = train(model, batches(), loss_of, TrainingConfig())
    print(f"loss {losses[0]:.2f} -> {sum(losses[-100:]) / 100:.4f}")
    weights = {name: weight.half() for name, weight in model.state_dict().items()}
    with replacing(folder / "model.safetensors") as part:
        save_file(weights, part)
    write_json(folder / "record.json", {"losses": [round(loss, 6) for loss in losses]}, indent=None)
    write_card(
        folder,
        model.half(),
        name="numerals",
        task="numerals",
        data="llmbook.book.numerals: made by rules, nothing else",
        made_by="python -m llmbook.book.numerals --out llmbook/book/data/numerals",
    )


if __name__ == "__main__":
    from llmbook._console import output_folder

    _make(
        output_folder(
            "llmbook.book.numerals", "Train the model that reads numerals: half a minute."
        )
    )
