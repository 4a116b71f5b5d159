r"""Batches of what the small models of the experiment read: short problems in a format.

A *row* is a text of which some pieces are in the loss and the others only read, as a prompt is. The
formats are those of a [`Recipe`][llmbook.book.experiment.recipe.Recipe]. A *counterfactual* row
replaces the answers that were given by random ones, which are read and not learned, and has what
follows from them learned: a model must look up what was answered, and cannot recite it. No row
holds a problem longer than those that may be learned from, nor an answer to one, be it made up,
unless the recipe says so.
"""

import random
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from llmbook.book.experiment import chain_rows, scan_rows
from llmbook.book.experiment.recipe import Recipe, Row, tokenizer
from llmbook.tasks import chains

__all__ = ["batches"]


def batches(recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of rows without end, the same for the same recipe.

    Rows of like length go together, so that little is padded, and each batch holds about
    ``tokens_per_step`` tokens.

    Args:
        recipe: The recipe.

    Yields:
        Token ids, shape ``(B, T + 1)``, and the loss mask, boolean of the same shape.
    """
    # A stream of its own, so that rows depend on nothing else that is drawn with this seed: a run
    # that goes on skips the batches it has read, which must come again as they were.
    generator = random.Random(f"rows {recipe.seed}")
    made = 0  # batches, each of them a step, so that ``made / recipe.steps`` is how far training is
    while True:
        # Rows are sorted within a pool: of one batch there would be none of like length to choose,
        # and of all rows the stream, which has no end, could not begin.
        encoded = []
        for _ in range(500):
            if recipe.task == "scan":
                forms = scan_rows.clauses if generator.random() < 0.4 else scan_rows.forms
                command = generator.choice(generator.choice(forms(recipe.longest)))
                pieces = scan_rows.row(recipe, command, generator)
            else:
                # One learns to look up in small stories: they grow in the first half.
                most = 3 + round((chains.PEOPLE - 3) * min(1, 2 * made / recipe.steps))
                # And to answer directly, from shallow questions: they grow deeper one by one.
                deepest = recipe.deepest
                if recipe.format == "direct":
                    deepest = min(deepest, 1 + made * 5 // recipe.steps)
                pieces = chain_rows.row(recipe, generator.randint(2, most), deepest, generator)
            encoded.append(_encode(recipe, pieces))
        # From short to long, so the row that comes next is the longest of its batch: its length
        # times the number of rows is what the batch will hold, padding included.
        encoded.sort(key=lambda pair: len(pair[0]))
        together: list[list[tuple[list[int], list[bool]]]] = [[]]
        for pair in encoded:
            if (len(together[-1]) + 1) * len(pair[0]) > recipe.tokens_per_step and together[-1]:
                together.append([])
            together[-1].append(pair)
        generator.shuffle(together)  # or each pool would be learned from short to long
        made += len(together)
        # Both are padded at the end by zeros, (B, T + 1): what is not real is not in the loss,
        # and no real token looks at it, so no mask is needed and 0 may be the id of any token.
        for pairs in together:
            yield (
                pad_sequence([torch.tensor(ids) for ids, _ in pairs], batch_first=True),
                pad_sequence([torch.tensor(mask) for _, mask in pairs], batch_first=True),
            )


def _encode(recipe: Recipe, pieces: Row) -> tuple[list[int], list[bool]]:
    """The ids of a row, and its loss mask."""
    # Piece by piece, so that no token lies half in the loss. The ids are those of the whole
    # text, which a model will be asked in: each piece begins with a blank or a mark, where a word
    # begins anyway.
    ids: list[int] = []
    loss_mask: list[bool] = []
    for piece in pieces:
        new = tokenizer(recipe.task, recipe.language).encode(piece.text)
        ids += new
        loss_mask += [piece.in_loss] * len(new)
    return ids, loss_mask
