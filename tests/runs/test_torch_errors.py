"""Errors of torch as a user meets them."""

import pytest
import torch

from kdrun.errors import ConfigError, NumericError
from kdrun.runs.torch_errors import translate


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the manual."),
        torch.OutOfMemoryError("MPS backend out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] data. can't allocate memory: you tried"),
    ],
)
def test_memory_that_runs_out_is_mended_by_smaller_batches(error):
    translated = translate(error, "student mlp")
    assert type(translated) is NumericError
    first = str(error).splitlines()[0]
    assert str(translated) == f"student mlp: {first} Try a smaller train.batch_size"


def test_an_operation_that_is_not_deterministic_is_mended_by_the_setting():
    error = RuntimeError("cumsum_cuda does not have a deterministic implementation, but you set")
    translated = translate(error, "student mlp")
    assert type(translated) is ConfigError
    assert str(translated) == f"train.deterministic: student mlp: {error}"


def test_what_torch_itself_says_of_the_cpus_memory_is_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert type(translate(raised.value, "student mlp")) is NumericError


def test_other_errors_are_bugs():
    assert translate(RuntimeError("shape '[2, 3]' is invalid for input"), "student mlp") is None
