"""Files that may come from anyone: every fault is one line, and no code runs."""

import hashlib
import io
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdrun.errors import WeightsError
from kdrun.models.weights.safe_load import file_sha256
from kdrun.models.weights.state_dict import load_state


def torch_bytes(content, *, legacy=False):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def refusal(path):
    """The one line that loading this file is refused with."""
    with pytest.raises(WeightsError) as caught:
        load_state(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path.absolute()) in message
    return message


STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_of_both_formats_are_read(tmp_path, legacy):
    path = tmp_path / "model.pt"
    path.write_bytes(torch_bytes(STATE, legacy=legacy))
    assert torch.equal(load_state(path)["weight"], STATE["weight"])


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_safetensors_are_read_whatever_their_suffix(tmp_path, name):
    save_file(STATE, tmp_path / name)
    assert torch.equal(load_state(tmp_path / name)["weight"], STATE["weight"])


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert file_sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


GOOD = torch_bytes({"weight": torch.randn(1000)})
GOOD_LEGACY = torch_bytes({"weight": torch.randn(1000)}, legacy=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello world!",
        b"epoch,loss\n1,2\n",
        b"\x80\x02garbage",
        bytes(range(256)) * 20,
        GOOD[: len(GOOD) // 2],
        GOOD[:-1],
        GOOD_LEGACY[: len(GOOD_LEGACY) // 2],
        b"PK\x03\x04" + bytes(100),
        (1 << 62).to_bytes(8, "little") + b"{" + bytes(50),
    ],
    ids=[
        "empty",
        "words",
        "csv",
        "pickle start",
        "all bytes",
        "half",
        "one byte short",
        "half legacy",
        "zip start",
        "huge safetensors header",
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files_are_not_readable_checkpoints(tmp_path, content, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith("not a readable checkpoint: ")
    assert f"({len(content)} bytes)" in message
    assert message.endswith("fetch or save it again")


class Touch:
    """Unpickles by creating a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_does_not_run(tmp_path, legacy):
    path, marker = tmp_path / "evil.pt", tmp_path / "marker"
    path.write_bytes(torch_bytes({"weight": Touch(marker)}, legacy=legacy))
    assert "does not execute code from checkpoints: re-save it as a plain" in refusal(path)
    assert not marker.exists()


def test_code_in_a_plain_pickle_does_not_run(tmp_path):
    path, marker = tmp_path / "evil.pkl", tmp_path / "marker"
    path.write_bytes(pickle.dumps(Touch(marker)))
    refusal(path)
    assert not marker.exists()


def test_whole_modules_are_refused_by_name(tmp_path):
    path = tmp_path / "module.pt"
    path.write_bytes(torch_bytes(nn.Linear(2, 2)))
    assert "asks to run torch.nn.modules.linear.Linear" in refusal(path)


def test_missing_files_and_folders_are_named_with_a_near_miss(tmp_path):
    save_file(STATE, tmp_path / "teacher.safetensors")
    assert "did you mean 'teacher.safetensors'?" in refusal(tmp_path / "teachr.safetensors")
    assert "no weights file at" in refusal(tmp_path / "elsewhere" / "x.pt")
    assert "is a folder: give the path of a weights file in it" in refusal(tmp_path)
    with pytest.raises(WeightsError, match="no weights file at"):
        file_sha256(tmp_path / "absent.pt")


def test_files_without_read_permission_are_named(tmp_path, monkeypatch):
    save_file(STATE, tmp_path / "model.safetensors")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "may not be read: change its permissions" in refusal(tmp_path / "model.safetensors")


def test_relative_paths_are_reported_as_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=f"no weights file at {tmp_path}/absent.pt"):
        load_state(type(tmp_path)("absent.pt"))


def rewritten(content, replace):
    """A torch file with its pickle changed and everything else kept."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for entry in source.infolist():
            data = source.read(entry)
            archive.writestr(entry, replace(data) if entry.filename.endswith("data.pkl") else data)
    return target.getvalue()


# In the pickle of a tensor: storage offset 0, shape (7,) as a small and as a large integer.
SMALL_SHAPE, HUGE_SHAPE = b"K\x00K\x07\x85", b"K\x00\x8a\x06\x00\x00\x00\x00\x00\x40\x85"


def test_a_shape_beyond_the_file_is_refused_and_not_allocated(tmp_path):
    path = tmp_path / "huge.pt"
    good = torch_bytes({"weight": torch.zeros(7)})
    data = rewritten(good, lambda pickled: pickled.replace(SMALL_SHAPE, HUGE_SHAPE))
    assert data != rewritten(good, lambda pickled: pickled)
    path.write_bytes(data)
    assert "not a readable checkpoint" in refusal(path)


def test_a_view_that_repeats_a_few_bytes_for_ever_is_refused(tmp_path):
    path = tmp_path / "view.pt"
    path.write_bytes(torch_bytes({"weight": torch.zeros(1).expand(1 << 40)}))
    assert f"declares {4 << 40} bytes for weight" in refusal(path)


def test_tensors_without_values_are_refused(tmp_path):
    path = tmp_path / "meta.pt"
    path.write_bytes(torch_bytes({"weight": torch.zeros(3, device="meta")}))
    assert "weight is a tensor on the meta device, without values" in refusal(path)


def test_a_packed_archive_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    assert "it would unpack to 10000000 bytes" in refusal(path)
