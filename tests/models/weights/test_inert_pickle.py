"""Pickles of harmless and of malicious objects: all are described, none is made."""

import argparse
import collections
import datetime
import decimal
import enum
import io
import os
import pathlib
import pickle
import runpy
import subprocess
import types
from contextlib import suppress

import numpy as np
import pytest
import torch

from kdrun.errors import WeightsError
from kdrun.models.weights.content import described_keys, tensor_mappings
from kdrun.models.weights.described import Described, PickleError
from kdrun.models.weights.given import load_given
from kdrun.models.weights.inert_pickle import read_pickle
from kdrun.models.weights.safe_load import read_weights_file

PLAIN = {
    "none": None,
    "numbers": [1, -2, 300, 70_000, 10**12, 10**40, 2.5, True, False],
    "words": ("a", "é", "x" * 300, ""),
    "bytes": [b"", b"ab", b"\xff" * 300],
    "sets": [set(), {1, 2}, frozenset({3})],
    "nested": {"a": [{"b": (1, (2, (3,)))}]},
    ("t", 1): {2: 3},
    "ordered": collections.OrderedDict(a=1, b=2),
    "counted": collections.Counter("aab"),
}


def net():
    return torch.nn.Sequential(torch.nn.Linear(2, 3))


def inert(content, protocol=2):
    return read_pickle(io.BytesIO(pickle.dumps(content, protocol)), {}, lambda found: None)[0]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_those_that_pickle_makes(protocol):
    assert inert(PLAIN, protocol) == pickle.loads(pickle.dumps(PLAIN, protocol))


def nested_keys(depth):
    """A pickle whose key is an object that holds another twice, and so on."""
    again = b"q\x00" + b"0cx\nX\n(h\x00h\x00tRq\x00" * depth
    return b"\x80\x02}" + b"cx\nX\n)R" + again + b"K\x01s."


@pytest.mark.parametrize("depth", [22, 3000])
def test_a_key_that_unfolds_to_gigabytes_is_named_by_its_type(tmp_path, depth):
    content, _ = read_pickle(io.BytesIO(nested_keys(depth)), {}, lambda found: None)
    assert tensor_mappings(content) == {}
    assert described_keys(content, {}) == "<Described>"


def test_a_key_of_any_length_is_shortened():
    assert described_keys({10**3000: 1}, {}) == "<int>"
    assert len(described_keys({"x" * 10**6: 1}, {})) < 300


def test_content_that_is_copied_again_and_again_is_refused():
    copies = b"(" + b"ccollections\nCounter\n(h\x07tR" * 2000
    with pytest.raises(PickleError, match="copies its content too often"):
        read_pickle(
            io.BytesIO(b"\x80\x02" + pairs_of(10_000) + b"q\x07" + copies + b"l."),
            {},
            lambda found: None,
        )


def pairs_of(count):
    """Instructions that make a dict of so many entries."""
    return pickle.dumps(dict.fromkeys(range(count), 1), 2)[2:-1]


@pytest.mark.parametrize("protocol", range(6))
def test_shared_and_circular_parts_stay_so(protocol):
    part = [1]
    part.append(part)
    found = inert({"a": part, "b": part}, protocol)
    assert found["a"] is found["b"]
    assert found["a"][1] is found["a"]


class Color(enum.Enum):
    RED = 1


class Attributes(dict):
    """A dict with attributes, as Lightning and OmegaConf have."""


HARMLESS = [
    argparse.Namespace(lr=0.1, names=["a"]),
    np.float32(0.5),
    np.float64(0.5),
    np.int64(3),
    np.dtype("float32"),
    np.arange(6.0).reshape(2, 3),
    pathlib.PurePosixPath("a/b"),
    torch.Size([1, 2]),
    torch.float16,
    torch.device("cpu"),
    Color.RED,
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    datetime.timedelta(seconds=3),
    collections.defaultdict(list, a=[1]),
    collections.deque([1, 2], maxlen=3),
    types.SimpleNamespace(a=1),
    decimal.Decimal("0.1"),
    Attributes(a=1),
    range(3),
    slice(1, 2),
    1j,
    bytearray(b"ab"),
]


@pytest.mark.parametrize("value", HARMLESS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("legacy", [False, True])
def test_harmless_objects_beside_weights_are_read_as_data(tmp_path, value, legacy):
    path, model = tmp_path / "checkpoint.pt", net()
    content = {"model": model.state_dict(), "args": {"value": value}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    other = net()
    load_given(other, path, source="checkpoint.pt")
    assert torch.equal(other[0].weight, model[0].weight)
    assert torch.equal(other[0].bias, model[0].bias)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_torch_s_files_is_read(tmp_path, protocol):
    path, model = tmp_path / "checkpoint.pt", net()
    content = {"model": model.state_dict(), "args": argparse.Namespace(path=pathlib.Path("a"))}
    torch.save(content, path, pickle_protocol=protocol)
    other = net()
    load_given(other, path, source="checkpoint.pt")
    assert torch.equal(other[0].weight, model[0].weight)


def test_an_unknown_object_is_described_with_its_parts():
    found = inert(argparse.Namespace(lr=0.1))
    assert isinstance(found, Described)
    assert found.of.path == "argparse.Namespace"
    assert found.state == {"lr": 0.1}
    assert inert(Attributes(a=1)).items == {"a": 1}
    assert inert(collections.deque([1, 2])).elements == [1, 2]


class Reduced:
    """Unpickles by calling a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class WithState:
    """Unpickles by its own `__setstate__`."""

    marker = None

    def __init__(self, marker):
        self.marker = marker

    def __getstate__(self):
        return {"marker": str(self.marker)}

    def __setstate__(self, state):
        pathlib.Path(state["marker"]).touch()


class WithNew:
    """Unpickles by its own `__new__`."""

    def __new__(cls, marker=None):
        if marker is not None and not marker.endswith("!"):
            pathlib.Path(marker).touch()
        return super().__new__(cls)

    def __init__(self, marker):
        self.marker = marker.rstrip("!")

    def __getnewargs__(self):
        return (self.marker,)


class Watched(dict):
    """Unpickles by its own `__setitem__`."""

    def __setitem__(self, key, value):
        pathlib.Path(key).touch()


class Grown(list):
    """Unpickles by its own `extend` and `append`."""

    def append(self, value):
        pathlib.Path(value).touch()

    def extend(self, values):
        for value in values:
            self.append(value)


def watched(marker):
    made = Watched()
    dict.__setitem__(made, marker, 1)
    return made


def grown(marker):
    made = Grown()
    list.append(made, marker)
    return made


def script(marker):
    path = pathlib.Path(marker).with_name("script.py")
    path.write_text(f"open({marker!r}, 'w')")
    return str(path)


def statement(marker):
    return f"open({marker!r}, 'w').close()"


MALICIOUS = {
    "os.system": lambda m: Reduced(os.system, f"touch {m}"),
    "os.mkdir": lambda m: Reduced(os.mkdir, m),
    "subprocess.Popen": lambda m: Reduced(subprocess.Popen, ["touch", m]),
    "subprocess.getoutput": lambda m: Reduced(subprocess.getoutput, f"touch {m}"),
    "eval": lambda m: Reduced(eval, f"open({m!r}, 'w')"),
    "exec": lambda m: Reduced(exec, statement(m)),
    "open": lambda m: Reduced(open, m, "w"),
    "runpy": lambda m: Reduced(runpy.run_path, script(m)),
    "import": lambda m: Reduced(__import__, "this"),
    "getattr": lambda m: Reduced(getattr, Reduced(__import__, "os"), "system"),
    "Path.touch": lambda m: Reduced(pathlib.Path.touch, pathlib.Path(m)),
    "map": lambda m: Reduced(list, Reduced(map, os.mkdir, [m])),
    "torch.hub": lambda m: Reduced(torch.hub.load, os.path.dirname(m), "x", "main", "local"),
    "torch.load": lambda m: Reduced(torch.load, m, None, None),
    "torch.save": lambda m: Reduced(torch.save, [], m),
    "numpy.save": lambda m: Reduced(np.save, m, [1]),
    "nested pickle": lambda m: Reduced(pickle.loads, pickle.dumps(Reduced(os.mkdir, m))),
    "setstate": WithState,
    "new": lambda m: WithNew(f"{m}!"),
    "setitem": watched,
    "append": grown,
    "inside a key": lambda m: {Reduced(os.mkdir, m): 1},
    "inside a state": lambda m: argparse.Namespace(a=Reduced(os.mkdir, m)),
    "setattr": lambda m: Reduced(setattr, pathlib.Path, "kdrun_was_here", m),
}


@pytest.mark.parametrize("name", MALICIOUS)
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_nothing_in_a_file_runs(tmp_path, name, legacy, beside):
    path, marker = tmp_path / "evil.pt", tmp_path / "marker"
    evil = MALICIOUS[name](str(marker))
    model = net()
    state = model.state_dict() if beside else {"0.weight": evil}
    content = {"model": state, "args": evil}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    marker.unlink(missing_ok=True)  # written by pickling some of them
    with suppress(WeightsError) if beside else pytest.raises(WeightsError):
        load_given(net(), path, source="evil.pt")
    for found in tmp_path.iterdir():
        assert found.name in {"evil.pt", "script.py"}
    assert not hasattr(pathlib.Path, "kdrun_was_here")


@pytest.mark.parametrize("name", ["os.system", "eval", "exec", "open", "runpy", "torch.hub"])
def test_a_file_that_would_run_code_elsewhere_is_refused_by_name(tmp_path, name):
    path = tmp_path / "evil.pt"
    model = net().state_dict()
    torch.save({"model": model, "x": MALICIOUS[name](str(tmp_path / "marker"))}, path)
    with pytest.raises(WeightsError, match=r"asks to run [\w.]+, and kdrun does not execute code"):
        read_weights_file(path)


@pytest.mark.parametrize(
    "pickled",
    [
        b"(S'touch marker'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch marker'\no.",
        b"cos\nsystem\n(S'touch marker'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch marker\x85R.",
        b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch marker\x85\x81.",
    ],
    ids=["INST", "OBJ", "REDUCE", "STACK_GLOBAL", "NEWOBJ"],
)
def test_every_way_of_calling_is_a_description(tmp_path, monkeypatch, pickled):
    monkeypatch.chdir(tmp_path)
    found, names = read_pickle(io.BytesIO(pickled), {}, lambda found: None)
    assert isinstance(found, Described)
    assert found.args == ("touch marker",)
    assert names == {"os.system"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "pickled",
    [
        b".",
        b"(.",
        b"0.",
        b"\x80\x02}K\x01s.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02h\x05.",
        b"\x80\x02}K\x01]s",
        b"\x80\x02}]K\x01s.",
        b"\x82\x01.",
        b"\x80\x05\x97.",
        b"\x80\x02ccollections\nOrderedDict\nK\x03\x85R.",
        b"\x80\x02c__builtin__\nbytearray\n",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00zip\xff\x86R.",
        pickle.dumps([1, 2, 3])[:-3],
    ],
)
def test_damaged_pickles_are_told_as_such(pickled):
    with pytest.raises(PickleError):
        read_pickle(io.BytesIO(pickled), {}, lambda found: None)


def test_depth_does_not_overflow_the_stack(tmp_path):
    deep = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    assert isinstance(read_pickle(io.BytesIO(deep), {}, lambda found: None)[0], list)
    keys = b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s."
    with pytest.raises(PickleError, match="nested tuples as keys"):
        read_pickle(io.BytesIO(keys), {}, lambda found: None)


def test_parts_that_repeat_a_million_times_take_no_time(tmp_path):
    path, part = tmp_path / "bomb.pt", [1]
    for _ in range(60):
        part = [part, part]
    model = net()
    torch.save({"bomb": part, "model": model.state_dict()}, path)
    load_given(net(), path, source="bomb.pt")
