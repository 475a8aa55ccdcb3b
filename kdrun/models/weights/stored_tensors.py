"""Tensors of a torch file: where their values are, and the types that cannot be used."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kdrun.models.weights.described import Described, Global, PickleError

_USABLE = re.compile(r"torch\.(b?float(16|32|64|8_\w+)|u?int(8|16|32|64)|bool|complex\d+)")
DTYPES: dict[str, torch.dtype] = {
    name: value
    for name, value in vars(torch).items()
    if isinstance(value, torch.dtype) and _USABLE.fullmatch(str(value))
}
"""torch's types by name, without packed and quantised ones, which it cannot convert or check."""

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


@dataclass(eq=False)
class Storage:
    """The values of one or more tensors in a file.

    Attributes:
        dtype: None for a quantised type.
        start: first value of the storage in the file.
        place: first byte in the file; None before the file's layout is known.
        bytes: number of bytes in the file.
    """

    dtype: torch.dtype | None
    start: int = 0
    place: int | None = None
    bytes: int = 0


@dataclass(eq=False)
class StoredTensor:
    """A dense tensor whose values are still in the file."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def declared_bytes(self) -> int:
        """Bytes of its values, as its shape says."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, mapped: Tensor) -> Tensor:
        """The tensor, as a view of the mapped file where its alignment allows.

        Raises:
            PickleError: it reaches beyond its storage.
        """
        storage, size = self.storage, self.dtype.itemsize
        if storage.place is None or storage.place + storage.bytes > len(mapped):
            raise PickleError("the values of a tensor are missing")
        count = storage.bytes // size
        reach = sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        if 0 not in self.shape and self.offset + reach >= count:
            raise PickleError("a tensor reaches beyond its values")
        values = mapped[storage.place : storage.place + count * size]
        if storage.place % size:
            values = values.clone()
        flat = values.view(self.dtype)
        return flat.as_strided(self.shape, self.stride, flat.storage_offset() + self.offset)


@dataclass(eq=False)
class OddTensor:
    """A tensor of a kind that no model's weights can be copied from; `kind` names it."""

    kind: str
    remedy: str
    shape: tuple[int, ...] = field(default=())


def storage_of(kind: Any, declared: Any) -> Storage:
    """The storage of a persistent id's class and number of values."""
    if not isinstance(kind, Global) or type(declared) is not int or declared < 0:
        raise PickleError("a storage has no type or size")
    if kind.name not in _STORAGES and not kind.name.startswith("Q"):
        raise PickleError(f"a storage is of the unknown type {kind.path}")
    return Storage(_STORAGES.get(kind.name))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Any:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`."""
    if not isinstance(storage, Storage):
        raise PickleError("a tensor has no storage")
    flipped = isinstance(rest[-1], dict) and rest[-1].get("neg") if rest else False
    if storage.dtype is None:
        return _QUANTISED
    if flipped:
        return OddTensor("a lazily negated tensor", "save tensor.resolve_neg()")
    return StoredTensor(storage, *_geometry(offset, size, stride), storage.dtype)


def _typed_tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    _gradient: Any,
    _hooks: Any,
    dtype: Any,
    *_: Any,
) -> Any:
    """`torch._utils._rebuild_tensor_v3`, of a storage without a type."""
    found = DTYPES.get(dtype.name) if isinstance(dtype, Global) else None
    if not isinstance(storage, Storage):
        raise PickleError("a tensor has no values")
    if found is None:
        name = dtype.name if isinstance(dtype, Global) else "unknown"
        return OddTensor(f"a tensor of the type {name[:40]}", "save it as float32")
    return StoredTensor(storage, *_geometry(offset, size, stride), found)


def _geometry(offset: Any, size: Any, stride: Any) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(one) is not int or one < 0 for one in numbers):
        raise PickleError("a tensor has no shape")
    return offset, tuple(size), tuple(stride)


def _same(data: Any, *_: Any) -> Any:
    """A parameter is its tensor."""
    return data


def _subclass(build: Any, _type: Any, args: Any, _state: Any) -> Any:
    """`torch._tensor._rebuild_from_type_v2`: a tensor with attributes, or of a subclass."""
    if not isinstance(build, Global) or not isinstance(args, tuple):
        raise PickleError("a tensor has no type")
    if build.path in TENSORS:
        return TENSORS[build.path](*args)
    return Described(build, args)


_QUANTISED = OddTensor(
    "a quantised tensor", "save the float model before quantisation, or tensor.dequantize()"
)


def _odd(kind: str, remedy: str) -> Callable[..., OddTensor]:
    return lambda *_: OddTensor(kind, remedy)


_DENSE = "save tensor.to_dense()"
TENSORS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _same,
    "torch._utils._rebuild_parameter_with_state": _same,
    "torch.nn.parameter.Parameter": _same,
    "torch.nn.parameter.Buffer": _same,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _same,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch._utils._rebuild_qtensor": lambda *_: _QUANTISED,
    "torch._utils._rebuild_sparse_tensor": _odd("a sparse tensor", _DENSE),
    "torch._utils._rebuild_nested_tensor": _odd("a nested tensor", "save a dense tensor"),
    "torch.nested._internal.nested_tensor._rebuild_njt": _odd(
        "a nested tensor", "save a dense tensor"
    ),
    "torch._utils._rebuild_meta_tensor_no_storage": _odd(
        "a tensor on the meta device, without values", "save the model from a real device"
    ),
    "torch._utils._rebuild_wrapper_subclass": _odd(
        "a tensor subclass such as DTensor", "gather it (full_tensor()) before saving"
    ),
    "torch.Size": lambda size=(): tuple(size),
}
"""This program's own functions in place of torch's, by the name in the pickle."""
