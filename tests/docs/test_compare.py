"""What counts as the same output, and what the shaken machine moves."""

from __future__ import annotations

import pytest
import torch

from tests.docs.blocks import fences
from tests.docs.compare import agree
from tests.docs.shaken import Shaken


@pytest.mark.parametrize(
    ("page", "printed", "tolerance", "same"),
    [
        ("loss 1.23", "loss 1.24", None, False),
        ("loss 1.230", "loss 1.231", None, True),  # 1.2304999 and 1.2305001
        ("loss 1.230", "loss 1.232", None, False),
        ("loss 1.230", "less 1.231", None, False),
        ("0.0000", "-0.0000", None, True),
        ("300 of 1,000", "301 of 1,000", None, False),
        ("took ... s", "took 3 s", None, True),
        ("loss 1.230", "loss 1.240", "2%", True),
        ("loss 1.230", "loss 1.270", "2%", False),
        ("0.05", "0.06", "2%", True),  # the last digit shown: 0.0549 and 0.0551
        ("0.05", "0.07", "2%", False),
        ("200 of 300", "201 of 300", "2%", True),
        ("10 of 300", "11 of 300", "2%", False),  # a count is shown to its last digit
        ("step 100: 3.4", "step 101: 3.4", "0.5", False),
        ("accuracy 93%", "accuracy 95%", "3", True),
        ("-0.51", "0.51", "10%", False),
        ("1,234 tokens", "1,230 tokens", "1%", True),
        ("1.2e-07", "1.3e-07", "1%", True),
        ("1.2e-07", "1.2e-06", "1%", False),
        ("[ 9.98, 1]", "[10.01,  1]", "1%", True),  # a column may grow
        ("a b 0.5", "ab 0.5", "1%", False),
        ("fc2 0.5", "fc3 0.5", "2%", False),  # a name is no number
        ("a 0.5", "b 0.5", "2%", False),
        ("0.5", "0.5\n0.5", "2%", False),
        ("0.5", "nan", "2%", False),
        ("took ... s", "took 3 s", "2%", False),
    ],
)
def test_the_tolerance_of_an_output(
    page: str, printed: str, tolerance: str | None, same: bool
) -> None:
    assert agree(page, printed, tolerance) is same
    assert agree(page, page, tolerance)


@pytest.mark.parametrize("tolerance", ["", "two", "-2%", "0%", "2 %", "2%%"])
def test_a_tolerance_that_is_none_is_refused(tolerance: str) -> None:
    with pytest.raises(ValueError, match="data-tol must be"):
        agree("1", "1", tolerance)


def test_the_tolerance_is_read_from_the_fence() -> None:
    block, output = fences('```python\n1\n```\n\n``` {.text .output data-tol="2%"}\n1\n```\n')
    assert block.output is output and output.tolerance == "2%"
    assert fences("``` {.text .output}\n1\n```\n")[0].tolerance is None


def product(seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(64, 64, generator=generator, dtype=dtype) for _ in range(2))
    if not seed:
        return left @ right
    with Shaken(seed):
        return left @ right


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_shaken_machine_rounds_otherwise(dtype: torch.dtype) -> None:
    plain, shaken = product(0, dtype), product(1, dtype)
    moved = ((shaken - plain) / plain).abs()
    assert 0 < moved.max() <= 2 * torch.finfo(dtype).eps
    assert (moved > 0).float().mean() > 0.3, "it moves a large part of the results"
    assert torch.equal(shaken, product(1, dtype)), "the same input is rounded in the same way"
    assert not torch.equal(shaken, product(2, dtype)), "another seed is another machine"


def test_the_shaken_machine_leaves_exact_sums_and_what_is_not_finite() -> None:
    largest = torch.finfo(torch.float32).max
    with Shaken(1):
        assert torch.ones(1000).sum() == 1000
        assert (torch.eye(3) @ torch.arange(9.0).view(3, 3)).equal(torch.arange(9.0).view(3, 3))
        assert torch.tensor([-torch.inf, 0]).softmax(0).tolist() == [0, 1]
        assert torch.tensor([torch.inf, 1]).sum() == torch.inf
        assert torch.tensor([torch.nan, 1]).sum().isnan()
        assert torch.tensor([largest, 0]).sum().isfinite()


def test_the_shaken_machine_reaches_gradients() -> None:
    def gradient() -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 8)
        layer(torch.randn(16, 8)).square().mean().backward()
        assert layer.weight.grad is not None
        return layer.weight.grad

    plain = gradient()
    with Shaken(1):
        shaken = gradient()
    assert not torch.equal(plain, shaken)
    torch.testing.assert_close(plain, shaken)
