"""Two processes train what one would."""

import pytest
import torch

from tests.support.spread import main
from tests.support.training import ROOT, log_of, run_python

SCRIPT = ROOT / "tests/support/spread.py"


def test_two_processes_do_what_one_does(tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = run_python(*torchrun, str(SCRIPT), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "slices" / "checkpoint.pt")["step"] == 7
    assert len(list(tmp_path.glob("* *"))) == 4  # both were interrupted, both times
    main(tmp_path)
    whole = log_of(tmp_path / "whole")
    assert whole[0]["loss"] - whole[-1]["loss"] > 0.1
    weights = torch.load(tmp_path / "whole" / "checkpoint.pt")["model"]
    for name in ("copies", "slices"):
        for one, other in zip(whole, log_of(tmp_path / name), strict=True):
            assert other == pytest.approx(one, abs=1e-5), name
        theirs = torch.load(tmp_path / name / "checkpoint.pt")["model"]
        for key, tensor in weights.items():
            torch.testing.assert_close(theirs[key], tensor, rtol=0, atol=1e-4)
