"""The key–value cache: what attention has computed once, it need not compute again.

A decoder writes one token at a time. The keys and values of the earlier tokens do not change
when another is added, so each layer keeps them: a step then costs one row of attention instead
of the whole square. The keys and values that cross-attention reads from the source are the same
at every step, and are kept from the first one on. Source: Shazeer, "Fast Transformer Decoding"
(2019, section 2.4).
"""

import torch
from torch import Tensor

__all__ = ["KVCache"]


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
