"""Export formats: write a student, and read it back."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from kdrun.errors import ConfigError
from kdrun.export.deployed import Deployed

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Format:
    """An export format: `write(model, example, path)`, and `read(path, fresh)` to run the file.

    `fresh` is an untrained copy, for formats that hold only weights.
    """

    suffix: str
    write: Callable[[Deployed, Tensor, Path], None]
    read: Callable[[Path, Deployed], Call]
    packages: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """File name in the export folder."""
        return f"student.{self.suffix}"


def write_safetensors(model: Deployed, example: Tensor, path: Path) -> None:
    """Write only the network's weights, tied ones once."""
    save_model(model.network, str(path))


def read_safetensors(path: Path, fresh: Deployed) -> Call:
    """Load the file's weights into the fresh network."""
    load_model(fresh.network, path)
    return fresh


def write_pt2(model: Deployed, example: Tensor, path: Path) -> None:
    """Write a torch.export program for any batch size."""
    program = torch.export.export(model, (example,), dynamic_shapes=_any_batch())
    torch.export.save(program, path)


def read_pt2(path: Path, fresh: Deployed) -> Call:
    """Load the program as a module."""
    module: nn.Module = torch.export.load(path).module()
    return module


def write_onnx(model: Deployed, example: Tensor, path: Path) -> None:
    """Write an ONNX graph from `images` to `logits`, weights included."""
    torch.onnx.export(
        model,
        (example,),
        path,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=_any_batch(),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def read_onnx(path: Path, fresh: Deployed) -> Call:
    """Open an onnxruntime session on the CPU."""
    import onnxruntime  # noqa: PLC0415 - optional dependency

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _any_batch() -> dict[str, Any]:
    return {"images": {0: torch.export.Dim("batch", min=1, max=65_536)}}


FORMATS = {
    "safetensors": Format("safetensors", write_safetensors, read_safetensors),
    "pt2": Format("pt2", write_pt2, read_pt2),
    "onnx": Format("onnx", write_onnx, read_onnx, ("onnx", "onnxscript", "onnxruntime")),
}


def chosen_formats(names: list[str]) -> dict[str, Format]:
    """Return the named formats.

    Raises:
        ConfigError: a required package is not installed.
    """
    for name in names:
        missing = [package for package in FORMATS[name].packages if find_spec(package) is None]
        if missing:
            raise ConfigError(
                f"--format {name}: needs {', '.join(missing)}: pip install 'kdrun[{name}]'"
            )
    return {name: FORMATS[name] for name in names}
