"""Files that are no PyTorch weights are named as what they are."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from kdrun.errors import WeightsError
from kdrun.models.weights.other_formats import describe_folder, other_format
from kdrun.models.weights.safe_load import read_weights_file


def torch_bytes():
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    return buffer.getvalue()


def tar_bytes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("model.pth")
        info.size = len(torch_bytes())
        archive.addfile(info, io.BytesIO(torch_bytes()))
    return buffer.getvalue()


def zip_bytes(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def npz_bytes():
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def npy_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


# The first fields of an ONNX graph: version of the format, and the exporter's name.
ONNX = b"\x08\x0a\x12\x07pytorch\x1a\x062.14.1:\xbc\x01\n\x00"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
CASES = {
    "page": (b"<!DOCTYPE html>\n<html><head>Not found</head></html>", "a web page", "download"),
    "page 2": (b"\n  <html>404 not found</html>", "a web page", "download"),
    "lfs": (LFS, "a Git LFS pointer", "git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s1--ab.pth\n", "a git-annex pointer", "git annex get"),
    "gz": (gzip.compress(torch_bytes()), "compressed by gzip", "gunzip"),
    "bz2": (bz2.compress(torch_bytes()), "compressed by bzip2", "bunzip2"),
    "xz": (lzma.compress(torch_bytes()), "compressed by xz", "unxz"),
    "tar": (tar_bytes(), "a tar archive", "tar -xf"),
    "zip": (zip_bytes("a/model.pth", "b.txt"), "a zip archive (a/model.pth, b.txt)", "unzip"),
    "npz": (npz_bytes(), "an archive of NumPy arrays", "convert"),
    "npy": (npy_bytes(), "a NumPy array", "convert"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "convert"),
    "keras": (zip_bytes("config.json", "model.weights.h5"), "a Keras model", "convert"),
    "index": (bytes(60) + bytes.fromhex("57fb808b247547db"), "a TensorFlow checkpoint", "convert"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(50), "a TensorFlow Lite model", "convert"),
    "gguf": (b"GGUF" + bytes(50), "a GGUF file", "convert"),
    "json": (b'{"weight_map": {"a": "model-1.safetensors"}}', "a JSON file", "in one file"),
    "onnx": (ONNX + bytes(50), "an ONNX graph", "student.safetensors"),
    "pickle": (pickle.dumps({"weight": [1.0, 2.0]}), "a plain pickle", "state dict"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pth.tar", ""])
def test_other_files_are_named_with_what_to_give_instead(tmp_path, name, suffix):
    content, what, instead = CASES[name]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    if name == "pickle" and suffix == ".safetensors":
        return  # read by its suffix, which says more than the first byte
    with pytest.raises(WeightsError) as caught:
        read_weights_file(path)
    message = str(caught.value)
    assert f"{path} ({len(content)} bytes) is {what}" in message
    assert instead in message
    assert "\n" not in message


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 10)).eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["trace", "script"])
def test_torchscript_is_named_with_the_way_to_its_state_dict(tmp_path, kind):
    path = tmp_path / "model.pt"
    model = small()
    scripted = torch.jit.trace(model, torch.zeros(1, 3, 8, 8)) if kind == "trace" else (
        torch.jit.script(model)
    )  # fmt: skip
    scripted.save(path)
    with pytest.raises(WeightsError, match="is a TorchScript model") as caught:
        read_weights_file(path)
    assert "torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)" in str(caught.value)


def test_an_exported_program_is_named(tmp_path):
    path = tmp_path / "student.pt2"
    torch.export.save(torch.export.export(small(), (torch.zeros(2, 3, 8, 8),)), path)
    with pytest.raises(WeightsError, match=r"is an exported program .*student\.safetensors"):
        read_weights_file(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth.tar", ".ckpt", ".bin", ".h5", ".onnx"])
def test_torch_files_of_any_suffix_are_torch_files(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    for legacy in (False, True):
        torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=not legacy)
        assert other_format(path) is None
        assert set(read_weights_file(path).content) == {"a"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".metadata", "a distributed checkpoint: join it by python -m torch.distributed"),
        ("saved_model.pb", "a TensorFlow model"),
        ("model.safetensors.index.json", "a checkpoint in several files"),
        ("student.safetensors", "weights files: give the path of one, such as"),
        ("notes.txt", ""),
    ],
)
def test_folders_are_named_as_what_they_are(tmp_path, name, words):
    (tmp_path / name).write_text(json.dumps({}))
    assert describe_folder(tmp_path).startswith(words)
    assert bool(describe_folder(tmp_path)) == bool(words)
