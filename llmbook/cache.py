"""The key–value cache: what attention has computed once, it need not compute again.

A decoder writes one token at a time. The keys and values of the earlier tokens do not change
when another is added, so each layer keeps them: a step then costs one row of attention instead
of the whole square. The keys and values that cross-attention reads from the source are the same
at every step, and are kept from the first one on. Source: Shazeer, "Fast Transformer Decoding"
(2019, section 2.4).

[`KVCache`][llmbook.cache.KVCache] says no more than that. [`RaggedCache`]
[llmbook.cache.RaggedCache] holds a whole model's, in memory set aside once, for rows of unequal
length.

Notation: ``B`` batch, ``H_kv`` key and value heads, ``T`` new positions, ``S`` all positions,
``D`` dimension of a head.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from llmbook._checks import check_counts

__all__ = ["KVCache", "RaggedCache", "Step"]


class KVCache:
    """Keys and values of one attention layer, kept from step to step.

    Pass the same cache to the layer at each step. See [decoding][decoding].

    Examples:
        ```python
        import torch
        from llmbook.attention import MultiHeadAttention
        from llmbook.cache import KVCache

        torch.manual_seed(0)
        attention, x = MultiHeadAttention(d_model=8, num_heads=2), torch.randn(1, 3, 8)
        cache = KVCache()
        steps = [attention(x[:, t : t + 1], is_causal=True, cache=cache) for t in range(3)]
        whole = attention(x, is_causal=True)
        print(len(cache), torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-6))
        ```

        ``` {.text .output}
        3 True
        ```
    """

    # Hides all but the past of each query, where that is not simply the lower triangle of a mask;
    # added to the scores, shape (B or 1, 1, T, S), no row of it is empty.
    past_mask: Tensor | None = None

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def __len__(self) -> int:
        """Number of positions kept."""
        return 0 if self.key is None else self.key.size(-2)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new positions.

        Args:
            key: Shape ``(B, H_kv, T, D)``.
            value: Shape ``(B, H_kv, T, D)``.

        Returns:
            All keys and all values so far, each of shape ``(B, H_kv, S, D)``.

        Raises:
            ValueError: If batch, heads or dimension differ from those kept.
        """
        if self.key is not None and self.value is not None:
            for name, new, kept in (("key", key, self.key), ("value", value, self.value)):
                if (*new.shape[:-2], new.size(-1)) != (*kept.shape[:-2], kept.size(-1)):
                    raise ValueError(
                        f"{name} must agree with the cache {tuple(kept.shape)} in all but its "
                        f"length, got shape {tuple(new.shape)}"
                    )
            key = torch.cat((self.key, key), dim=-2)
            value = torch.cat((self.value, value), dim=-2)
        self.key, self.value = key, value
        return key, value

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order; a row may be kept more than once.

        Beam search needs it: a beam that is continued twice takes its past along twice.

        Args:
            rows: Indices of rows, integers, shape ``(B',)``.
        """
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key[rows], self.value[rows]


class Step(NamedTuple):
    """What a model needs to read new tokens: where they stand, and what to keep of them."""

    offset: int | list[int]  # position of the first one; one for each row where they differ
    layers: Sequence[KVCache | None]  # takes the keys and values of each layer, gives them all
    before: Tensor | None = None  # id of the token before the first of each row, -1: none; (B,)


class RaggedCache:
    """Keys and values of all layers of a model, for rows of unequal length.

    The slot of a token is its position. So nothing is moved when a token is added, a row is
    shortened by lowering its length, and padding is simply overwritten:

    |       | slots 0 to 5  | length |
    |-------|---------------|--------|
    | row 0 | `t t t t x -` | 4      |
    | row 1 | `t t - - - -` | 2      |
    | row 2 | `t t t x x -` | 3      |

    Here ``t`` is a token, and ``x`` is left over and will be overwritten. What each call then makes
    of the lengths:

    | call, one after the other                 | lengths   |
    |-------------------------------------------|-----------|
    | a step that reads one token of each row   | [5, 3, 4] |
    | `truncate([4, 3, 1])`                     | [4, 3, 1] |
    | `retire(0)`: the last row takes its place | [1, 3]    |
    | `revive()`, behind the others             | [1, 3, 4] |
    | `select([2, 2])`: two copies of it        | [4, 4]    |

    A model reads in a [`step`][llmbook.cache.RaggedCache.step]; all else may be called between two
    steps, in any order. See [the cache][kv-cache].

    Args:
        shape: Layers, rows, key and value heads, slots, dimension of a head.
        dtype: Type of the keys and values.
        device: Where they lie.
        keep_tokens: Keep the tokens too, for a model that asks which one came before.

    Examples:
        ```python
        import torch
        from llmbook.gpt import GPT, GPTConfig

        torch.manual_seed(0)
        model = GPT(GPTConfig(vocab_size=20, d_model=16, num_layers=2, num_heads=2)).eval()
        cache, padded = model.new_cache(batch_size=2), torch.tensor([[3, 1, 4, 1], [5, 9, 0, 0]])
        model(padded, cache=cache, counts=[4, 2])
        print(cache.lengths)
        logits = model(torch.tensor([[2], [6]]), cache=cache)
        whole = model(torch.tensor([[5, 9, 6]]))
        print(cache.lengths, torch.allclose(logits[1, -1], whole[0, -1], atol=1e-6))
        ```

        ``` {.text .output}
        [4, 2]
        [5, 3] True
        ```
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int, int],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        keep_tokens: bool = False,
    ) -> None:
        _, rows, _, slots, _ = shape
        # Zeros, since a hidden slot still enters the average, with weight 0: it must be finite.
        self.keys = torch.zeros(shape, dtype=dtype, device=device)  # (layers, rows, H_kv, slots, D)
        self.values = torch.zeros_like(self.keys)
        self._tokens: Tensor | None = None
        if keep_tokens:
            self._tokens = torch.zeros(rows, slots, dtype=torch.long, device=device)
        self._lengths = [0] * rows
        self._active = rows  # rows in use; those behind them are retired

    @property
    def lengths(self) -> list[int]:
        """Number of tokens in each row, those of retired rows left out."""
        return self._lengths[: self._active]

    @property
    def keeps_tokens(self) -> bool:
        """Whether it knows which token came before the next one."""
        return self._tokens is not None

    @contextmanager
    def step(
        self,
        tokens: Tensor,
        counts: Sequence[int] | None = None,
        *,
        max_length: int | None = None,
    ) -> Iterator[Step]:
        """Read new tokens: they count when the ``with`` block ends, and not at all if it fails.

        Args:
            tokens: Their ids, shape ``(B, T)``, shorter rows padded at the end.
            counts: How many of each row are real; ``T`` when left out.
            max_length: Where the real ones must end at the latest, if anywhere.

        Yields:
            Where the tokens stand, and for each layer a cache that is to be passed to it.

        Raises:
            ValueError: If there is not one row of tokens for each row in use, or not one count
                from 1 to ``T``, or they end beyond ``max_length``.
        """
        starts = self.lengths
        # First of all, so that what is refused has made no room.
        counts = check_counts(counts, tokens, starts, max_length)
        (B, T), S = tokens.shape, max(starts) + tokens.size(1)
        self._make_room(S)  # first, as it makes new tensors: the layers below hold views of them
        # Rows that are equally long write a block, which slices reach without indices.
        where: _Where = slice(B), slice(starts[0], S)
        is_ragged = min(starts) < max(starts)
        past_mask = None
        # Rows of unequal length need a mask even for T = 1, as the last slots of a short one are no
        # tokens of it. For several queries after a past, each layer would otherwise make its own.
        if is_ragged or (starts[0] > 0 and T > 1):  # else nothing is hidden, or a plain triangle
            begins = torch.tensor(starts if is_ragged else starts[:1])[:, None]
            positions = begins + torch.arange(T)  # (B, T), or (1, T) of all rows
            # Nothing behind my own position: that hides the future, padding and leftovers alike.
            # (S,) > (B or 1, 1, T, 1). Every query sees itself, so no row of the mask is empty.
            hidden = torch.arange(S) > positions[:, None, :, None]  # (B or 1, 1, T, S)
            past_mask = torch.zeros(hidden.shape, dtype=self.keys.dtype)
            past_mask = past_mask.masked_fill_(hidden, float("-inf")).to(self.keys.device)
            if is_ragged:  # (B, 1) and (B, T): row b writes its token t into slot starts[b] + t
                where = torch.arange(B)[:, None].to(tokens.device), positions.to(tokens.device)
        before = None
        if self._tokens is not None:
            last = torch.tensor(starts, device=tokens.device)[:, None] - 1  # (B, 1)
            before = self._tokens[:B].gather(1, last.clamp(min=0))  # (B, 1)
            # An empty row read slot 0, where a token of an earlier text may be left over.
            before = before.masked_fill(last < 0, -1)[:, 0]  # (B,)
            self._tokens[where] = tokens
        # Rows in use only: each layer gets a view, (B, H_kv, slots, D), and writes through it.
        layers = [
            _Layer(keys, values, where, S, past_mask)
            for keys, values in zip(self.keys[:, :B], self.values[:, :B], strict=True)
        ]
        yield Step(starts if is_ragged else starts[0], layers, before)
        # An error in the ``with`` block is raised at the ``yield``, so this is not reached: what
        # was written lies beyond the lengths, as padding does, and will be overwritten.
        for row, count in enumerate(counts):
            self._lengths[row] += count

    def _make_room(self, slots: int) -> None:
        """Have at least so many slots."""
        room = self.keys.size(3)
        if slots > room:
            # At least doubled, so that over a long text each position is moved about once.
            more = max(slots, 2 * room) - room
            self.keys = F.pad(self.keys, (0, 0, 0, more))
            self.values = F.pad(self.values, (0, 0, 0, more))
            if self._tokens is not None:
                self._tokens = F.pad(self._tokens, (0, more))

    def truncate(self, lengths: Sequence[int]) -> None:
        """Forget what lies beyond a length in each row.

        Args:
            lengths: The new lengths, none above the old one.

        Raises:
            ValueError: If there is not one for each row, or one of them is too long.
        """
        if len(lengths) != self._active or any(
            not 0 <= new <= old for new, old in zip(lengths, self.lengths, strict=True)
        ):
            raise ValueError(
                f"lengths must lie between 0 and those of the rows ({self.lengths}), "
                f"got {list(lengths)}"
            )
        self._lengths[: self._active] = lengths

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be kept more than once, a retired one too.

        Args:
            rows: Indices of rows.
        """
        if list(rows) != [*range(len(self._lengths))]:
            index = torch.tensor(rows, device=self.keys.device)
            self.keys, self.values = self.keys[:, index], self.values[:, index]
            self._tokens = None if self._tokens is None else self._tokens[index]
            self._lengths = [self._lengths[row] for row in rows]
        self.revive()

    def retire(self, row: int) -> None:
        """Put a row behind those in use, where it costs nothing and is kept.

        The last row in use comes into its place.

        Args:
            row: Index of a row in use.
        """
        last = self._active - 1
        if row != last:
            for kept in (self.keys, self.values):
                kept[:, [row, last]] = kept[:, [last, row]]
            if self._tokens is not None:
                self._tokens[[row, last]] = self._tokens[[last, row]]
            lengths = self._lengths
            lengths[row], lengths[last] = lengths[last], lengths[row]
        self._active = last

    def revive(self) -> None:
        """Bring the retired rows back into use, behind the others, the last retired first."""
        self._active = len(self._lengths)


# Rows and slots of the new tokens: slices, or indices of shapes (B, 1) and (B, T) where rows are of
# unequal length.
_Where = tuple[slice, slice] | tuple[Tensor, Tensor]


class _Layer(KVCache):
    """One layer of a [`RaggedCache`][llmbook.cache.RaggedCache], for the length of a step."""

    def __init__(
        self, keys: Tensor, values: Tensor, where: _Where, end: int, past_mask: Tensor | None
    ) -> None:
        super().__init__()
        self._keys, self._values = keys, values  # all slots, each of shape (B, H_kv, slots, D)
        self._where, self._end = where, end
        self.past_mask = past_mask

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write into the slots; returns the keys and values in the first ``S`` of them."""
        rows, slots = self._where
        # Detached: memory that is written again at every step cannot be part of a graph. So no
        # gradient flows through keys and values that were read with this cache.
        for kept, new in ((self._keys, key.detach()), (self._values, value.detach())):
            if isinstance(slots, slice):
                kept[:, :, slots] = new
            else:  # indices around a slice come out in front of it: (B, T, H_kv, D)
                kept[rows, :, slots] = new.transpose(1, 2)
        # Views up to the longest row; what shorter rows hold at their end, ``past_mask`` hides.
        return self._keys[:, :, : self._end], self._values[:, :, : self._end]
