"""ALiBi: a bias on the scores, by the distance between query and key.

Notation: ``T`` target length (queries), ``S`` source length (keys), ``H`` heads.
"""

import torch
from torch import Tensor

from llmbook._checks import check_at_least_one, check_source_length

__all__ = ["alibi_bias", "alibi_slopes"]


def alibi_slopes(num_heads: int) -> Tensor:
    r"""How steeply each head discounts distance: $m_h = 2^{-8h/H}$ for $h = 1, \dots, H$.

    That is the rule for a power of two. For any other number the paper's authors take the
    slopes of the next lower power of two, and fill up with every other slope of the next
    higher one. See [ALiBi][alibi]. Source: Press et al. (2022, section 3), and their code.

    Args:
        num_heads: Number of heads ``H``.

    Returns:
        Slopes, shape ``(H,)``.

    Raises:
        ValueError: If ``num_heads`` is below 1.

    Examples:
        ```python
        from llmbook.positions import alibi_slopes

        print(alibi_slopes(4))
        ```

        ``` {.text .output}
        tensor([0.2500, 0.0625, 0.0156, 0.0039])
        ```
    """
    check_at_least_one("num_heads", num_heads)

    def geometric(n: int) -> list[float]:
        return [2.0 ** (-8.0 * h / n) for h in range(1, n + 1)]

    power = 1 << (num_heads.bit_length() - 1)  # largest power of two <= num_heads
    slopes = geometric(power) + geometric(2 * power)[::2][: num_heads - power]
    return torch.tensor(slopes)


def alibi_bias(num_heads: int, target_length: int, source_length: int | None = None) -> Tensor:
    """Bias on the scores that grows with distance: attention with linear biases (ALiBi).

    Pass it as ``mask`` to [`scaled_dot_product_attention`]
    [llmbook.attention.scaled_dot_product_attention], with ``is_causal=True``. See
    [ALiBi][alibi]. Source: Press et al. (2022, section 3).

    Args:
        num_heads: Number of heads ``H``.
        target_length: Number of queries, ``T``.
        source_length: Number of keys, ``S``; ``T`` when left out. The queries are the last
            positions of the source.

    Returns:
        Shape ``(H, T, S)``; minus slope times distance.

    Raises:
        ValueError: If a size is below 1, or ``source_length < target_length``.
    """
    if source_length is None:
        source_length = target_length
    check_source_length(target_length, source_length)
    query_position = torch.arange(source_length - target_length, source_length)[:, None]
    key_position = torch.arange(source_length)
    distance = (query_position - key_position).abs()  # (T, S)
    return -alibi_slopes(num_heads)[:, None, None] * distance
