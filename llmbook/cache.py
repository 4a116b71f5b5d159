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

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["KVCache", "RaggedCache"]


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


class RaggedCache:
    """Keys and values of all layers of a model, for rows of unequal length.

    Row ``b`` fills the slots from 0 to ``lengths[b] - 1``; what lies behind is left over and is
    overwritten. So the slot of a token is its position, a row is shortened by lowering its
    length, and nothing is copied when a token is added. See [the cache][kv-cache].

    Args:
        shape: Layers, rows, key and value heads, slots, dimension of a head.
        dtype: Type of the keys and values.
        device: Where they lie.

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

    keys: Tensor  # (layers, rows, H_kv, slots, D)
    values: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int, int, int],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        # Zeros, since a hidden slot still enters the average, with weight 0: it must be finite.
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self._tokens = torch.zeros(shape[1], shape[3], dtype=torch.long, device=device)
        self._lengths = [0] * shape[1]
        self._active = shape[1]

    @property
    def lengths(self) -> list[int]:
        """Number of tokens in each row, those of retired rows left out."""
        return self._lengths[: self._active]

    def begin(self, positions: Tensor, end: int) -> None:
        """Make ready to append: say where the new tokens stand.

        Args:
            positions: Integers, shape ``(T,)`` if all rows are equally long, otherwise
                ``(B, T)``.
            end: ``S``, one more than the last of them.
        """
        room = self.keys.size(3)
        if end > room:
            # At least doubled, so that over a long text each position is moved about once.
            pad = (0, 0, 0, max(end, 2 * room) - room)
            self.keys = torch.nn.functional.pad(self.keys, pad)
            self.values = torch.nn.functional.pad(self.values, pad)
            self._tokens = torch.nn.functional.pad(self._tokens, pad[-2:])
        self._positions, self._end = positions, end
        self._rows = torch.arange(self._active, device=positions.device)[:, None]

    def follow(self, tokens: Tensor) -> Tensor:
        """Remember new tokens themselves, for a model with token shift; call it after ``begin``.

        Args:
            tokens: Their ids, shape ``(B, T)``.

        Returns:
            The id of the token before the first new one in each row, ``-1`` where there is none,
            shape ``(B,)``.
        """
        kept, starts = self._tokens[: self._active], self._positions[..., :1].expand(len(tokens), 1)
        last = kept.gather(1, (starts - 1).clamp(min=0))
        self._tokens[self._rows, self._positions] = tokens
        return last.masked_fill(starts == 0, -1)[:, 0]

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the keys and values of new positions of one layer.

        Args:
            layer: Which.
            key: Shape ``(B, H_kv, T, D)``.
            value: Shape ``(B, H_kv, T, D)``.

        Returns:
            The keys and values in the first ``S`` slots, each of shape ``(B, H_kv, S, D)``.
        """
        keys, values = self.keys[layer, : self._active], self.values[layer, : self._active]
        end, T = self._end, key.size(2)
        if self._positions.dim() == 1:
            keys[:, :, end - T : end] = key.detach()
            values[:, :, end - T : end] = value.detach()
        else:
            keys[self._rows, :, self._positions] = key.detach().transpose(1, 2)
            values[self._rows, :, self._positions] = value.detach().transpose(1, 2)
        return keys[:, :, :end], values[:, :, :end]

    def end(self, counts: Sequence[int]) -> None:
        """Count the new tokens of each row that are real."""
        for row, count in enumerate(counts):
            self._lengths[row] += count

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
            self._tokens = self._tokens[index]
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
            self._tokens[[row, last]] = self._tokens[[last, row]]
            lengths = self._lengths
            lengths[row], lengths[last] = lengths[last], lengths[row]
        self._active = last

    def revive(self) -> None:
        """Bring the retired rows back into use, behind the others, the last retired first."""
        self._active = len(self._lengths)
