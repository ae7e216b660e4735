import collections
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from weights_conversion import checkpoints, safe_pickle, torch_files
from weights_conversion.pickled_modules import read_module

pytestmark = pytest.mark.any_backend

ROOT = pathlib.Path(__file__).parents[2]
FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "old"])


def write_legacy(path, content, keys=()):
    """Write a file of PyTorch's legacy format without storages."""
    system = {"protocol_version": 1001, "little_endian": True}
    parts = (0x1950A86A20F9469CFC6C, 1001, system, content, list(keys))
    data = b"".join(
        part if isinstance(part, bytes) else pickle.dumps(part, protocol=2)
        for part in parts
    )
    path.write_bytes(data)


def write_zip(path, content, storages=()):
    with zipfile.ZipFile(path, "w") as archive:
        if not isinstance(content, bytes):
            content = pickle.dumps(content, protocol=2)
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        for key, data in dict(storages).items():
            archive.writestr(f"archive/data/{key}", data)


def write(path, content, is_zip):
    (write_zip if is_zip else write_legacy)(path, content)


def save(torch, value, path, is_zip):
    torch.save(value, path, _use_new_zipfile_serialization=is_zip)


class Call:
    """Object that is pickled as a function call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class CallInState(Call):
    """Object that is pickled with a function call in its state."""

    def __reduce__(self):
        return collections.OrderedDict, (), {"_metadata": Call(*self.call)}


def exploits(flag):
    """Return malicious function calls by the name of the function."""
    command = f"touch {flag}"
    code = f"open({str(flag)!r}, 'w')"
    return {
        "posix.system": (os.system, command),
        "builtins.eval": (eval, code),
        "builtins.exec": (exec, code),
        "builtins.getattr": (getattr, pathlib.Path(flag), "touch"),
        "subprocess.Popen": (subprocess.Popen, ["touch", str(flag)]),
        "builtins.open": (open, str(flag), "w"),
    }


def names():
    return sorted(exploits("x"))


def nested(evil):
    """Return checkpoints with a malicious call, by its place."""
    return {
        "on its own": evil,
        "as a tensor": {"state_dict": {"fc.weight": evil}},
        "beside the tensors": {"state_dict": {}, "meta": [(1, evil)]},
        "as a key of a set": {"state_dict": {"fc": [Call(set, [evil])]}},
        "as a state": {"state_dict": CallInState(*evil.call)},
    }


@FORMATS
@pytest.mark.parametrize("place", sorted(nested(Call(len, []))))
@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("protocol", [2, 4])
def test_no_code_from_a_file_is_executed(
    tmp_path, name, place, is_zip, protocol
):
    flag, path = tmp_path / "flag", tmp_path / "evil.pth"
    evil = Call(*exploits(flag)[name])
    content = pickle.dumps(nested(evil)[place], protocol)
    # The exploit works with Python's own unpickler.
    if name == "posix.system" and place == "on its own":
        pickle.loads(content)
        assert flag.exists()
        flag.unlink()
    write(path, content, is_zip)
    for read in (
        checkpoints.read_checkpoint,
        lambda p: read_module(p, "dall_e.encoder.Encoder", []),
    ):
        # The name of the module depends on the protocol.
        function = name.split(".")[1]
        message = rf"evil.pth references `\w+\.(?i:{function})`"
        with pytest.raises(ValueError, match=message):
            read(path)
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pth"]


@FORMATS
@pytest.mark.parametrize(
    "name",
    [
        # Attributes of allowed functions, or similar names.
        "torch._utils\n_rebuild_tensor_v2.__globals__",
        "torch\nload",
        "torch.storage\n_load_from_bytes",
        "numpy\nload",
        "numpy._core.multiarray\n_reconstruct.__class__",
        "collections\nnamedtuple",
        "_codecs\ndecode",
        "functools\npartial",
        "copyreg\n_reconstructor",
        "os\nsystem",
        "weights_conversion.safe_pickle\nModule",
    ],
)
def test_only_names_on_the_allowlist_are_resolved(tmp_path, name, is_zip):
    path = tmp_path / "evil.pth"
    module, function = name.split("\n")
    write(path, b"\x80\x02c" + name.encode() + b"\n)R.", is_zip)
    with pytest.raises(ValueError, match=f"references `{module}.{function}`"):
        checkpoints.read_checkpoint(path)
    # The same with the opcode of newer protocols, which allows dotted names.
    texts = b"".join(
        b"\x8c" + bytes([len(text)]) + text.encode()
        for text in (module, function)
    )
    write(path, b"\x80\x04" + texts + b"\x93.", is_zip)
    with pytest.raises(ValueError, match=f"references `{module}.{function}`"):
        checkpoints.read_checkpoint(path)


def test_no_code_from_a_legacy_header_is_executed(tmp_path):
    flag, path = tmp_path / "flag", tmp_path / "evil.pth"
    evil = pickle.dumps(Call(os.system, f"touch {flag}"), protocol=2)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    version = pickle.dumps(1001, protocol=2)
    for content in (evil, magic + evil, magic + version + evil):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"evil\.pth"):
            checkpoints.read_checkpoint(path)
    keys = pickle.dumps({"a": 1}, protocol=2) + evil
    write_legacy(path, keys)
    with pytest.raises(ValueError, match="system"):
        checkpoints.read_checkpoint(path)
    assert not flag.exists()


@FORMATS
@pytest.mark.parametrize(
    "target", ["torch._utils\n_rebuild_tensor_v2", "dall_e.utils\nConv2d"]
)
@pytest.mark.parametrize(
    "state", [b"}U\x04nameU\x04evils", b"N}U\x04nameK\x01s\x86"]
)
def test_a_pickle_cannot_modify_placeholders(tmp_path, target, state, is_zip):
    path = tmp_path / "evil.pth"
    before = dict(vars(safe_pickle.Module))
    write(path, b"\x80\x02c" + target.encode() + b"\n" + state + b"b.", is_zip)
    with pytest.raises(ValueError, match=r"evil\.pth"):
        read_module(path, "dall_e.utils.Conv2d", [])
    assert dict(vars(safe_pickle.Module)) == before


@FORMATS
def test_reads_tensors_saved_by_pytorch(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(6, 5, generator=generator)
    shared = torch.nn.Linear(3, 2)
    state = collections.OrderedDict(
        whole=whole,
        transposed=whole.T,
        part=whole[2:, 1:4],
        again=whole[:, 0],
        scalar=torch.tensor(3.5, dtype=torch.float64),
        empty=torch.zeros(0, 4),
        weight=shared.weight,
        integers=torch.arange(-4, 4, dtype=torch.int64),
        bytes=torch.arange(9, dtype=torch.uint8),
        truths=torch.tensor([True, False]),
        halves=whole.half(),
    )
    save(torch, state, tmp_path / "a.pth", is_zip)
    tensors = checkpoints.read_checkpoint(tmp_path / "a.pth")
    assert list(tensors) == list(state)
    for name, tensor in state.items():
        expected = tensor.detach().numpy()
        assert tensors[name].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[name], expected)
        assert not (tensor.numel() and tensors[name].flags.writeable)
    bfloats = whole.bfloat16()
    save(torch, {"b": bfloats, "t": bfloats.T}, tmp_path / "b.pth", is_zip)
    tensors = checkpoints.read_checkpoint(tmp_path / "b.pth")
    np.testing.assert_array_equal(tensors["b"], bfloats.float().numpy())
    np.testing.assert_array_equal(tensors["t"], bfloats.float().numpy().T)


@FORMATS
@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_reads_the_other_entries_of_a_checkpoint(tmp_path, key, is_zip):
    torch = pytest.importorskip("torch")
    meta = {
        "config": "model = dict(type='EncoderDecoder')\n",
        "iter": 80000,
        "CLASSES": ("road", "car"),
        "PALETTE": [[1, 2, 3], [4, 5, 6]],
        "loss": np.float64(0.25),
        "means": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(3, dtype=">i4"),
        "none": np.zeros((0, 2), "int64"),
        "seed": None,
        "size": torch.Size([2, 3]),
        "device": torch.device("cuda", 1),
        "dtype": torch.float16,
        "seen": {1, 2},
        "raw": b"\x00\xff",
    }
    layer = torch.nn.BatchNorm2d(2)
    optimizer = {"state": {0: {"step": torch.tensor(7.0)}}}
    content = {key: layer.state_dict(), "meta": meta, "optimizer": optimizer}
    save(torch, content, tmp_path / "a.pth", is_zip)
    path = tmp_path / "a.pth"
    tensors, entries = checkpoints.read_checkpoint_with_meta(path)
    assert list(tensors) == list(layer.state_dict())
    assert set(entries) == {"meta", "optimizer"}
    assert entries["optimizer"]["state"][0]["step"] == 7
    received = entries["meta"]
    expected = meta | {"device": "cuda:1", "dtype": "torch.float16"}
    assert list(received) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(received[name], value)
    assert type(received["loss"]) is float
    assert received["size"] == (2, 3) and received["seen"] == {1, 2}


def test_a_list_may_contain_itself(tmp_path):
    cycle = []
    cycle.append(cycle)
    write_zip(tmp_path / "a.pth", cycle)
    received = torch_files.load(tmp_path / "a.pth")
    assert received[0] is received
    bomb = ["x"]
    for _ in range(60):
        bomb = [bomb, bomb]
    write_zip(tmp_path / "b.pth", bomb)
    assert len(torch_files.load(tmp_path / "b.pth")) == 2


@FORMATS
@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"p2147483647\n"])
def test_a_huge_memo_index_is_an_error(tmp_path, put, is_zip):
    write(tmp_path / "a.pth", b"\x80\x02}" + put + b".", is_zip)
    with pytest.raises(ValueError, match="memo index 2147483647"):
        checkpoints.read_checkpoint(tmp_path / "a.pth")


@FORMATS
def test_truncated_files_are_errors(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    path = tmp_path / "whole.pth"
    state = {"a": torch.ones(300), "b": torch.ones(3, dtype=torch.int64)}
    save(torch, {"state_dict": state, "meta": {"x": "y"}}, path, is_zip)
    whole = path.read_bytes()
    sizes = sorted({*range(1, len(whole), 37), *range(1, 12), len(whole) - 1})
    for size in sizes:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"whole\.pth") as caught:
            checkpoints.read_checkpoint(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    assert len(checkpoints.read_checkpoint(path)) == 2


@FORMATS
def test_corrupt_files_are_errors_or_tensors(tmp_path, is_zip):
    """A corrupt byte of the pickle may only raise this kind of error."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "corrupt.pth"
    save(torch, {"a": torch.ones(3), "b": torch.ones(2, 2)}, path, is_zip)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(600):
        corrupt = bytearray(whole)
        corrupt[generator.integers(min(len(whole), 700))] = generator.integers(
            256
        )
        path.write_bytes(corrupt)
        try:
            checkpoints.read_checkpoint(path)
        except ValueError as error:
            assert "corrupt.pth" in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "must not be empty"),
        (b"no checkpoint", "Received: b'no checkpoint'"),
        (b"\n<!DOCTYPE html><html>Not found</html>", "Received: a web page"),
        (b"\x80\x02}q\x00.", "must be a file written by"),
        (b"PK\x03\x04 and no more", "it is truncated"),
        (pickle.dumps([1, 2]), "must be a file written by"),
    ],
)
def test_files_of_other_formats_are_errors(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        checkpoints.read_checkpoint(path)
    with pytest.raises(ValueError, match=message):
        read_module(path, "dall_e.encoder.Encoder", [])


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="must be a file"):
        checkpoints.read_checkpoint(tmp_path)


def test_other_zip_archives_are_errors(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    with pytest.raises(ValueError, match="a zip archive, but not one writ"):
        checkpoints.read_checkpoint(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, protocol=2))
    with pytest.raises(ValueError, match="must not be compressed"):
        checkpoints.read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("a/byteorder", "big")
    with pytest.raises(ValueError, match="big-endian"):
        checkpoints.read_checkpoint(path)


@FORMATS
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1.0], "Received: list"),
        ({}, "without tensors"),
        ({"state_dict": {"epoch": 3}}, r"Received: \['epoch'\] without"),
        ({"epoch": 3, "name": "x"}, r"\['epoch', 'name'\] without tensors"),
    ],
)
def test_files_without_a_state_dict_are_errors(
    tmp_path, content, message, is_zip
):
    write(tmp_path / "a.pth", content, is_zip)
    with pytest.raises(ValueError, match=message):
        checkpoints.read_checkpoint(tmp_path / "a.pth")


def tensor_pickle(offset, shape, strides, count=4):
    """Return the pickle of a view of a storage "0" of four float32."""

    def number(value):
        return b"J" + struct.pack("<i", value)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu"
        + number(count)
        + b"tQ"
    )
    return (
        b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + number(offset)
        + numbers(shape)
        + numbers(strides)
        + b"\x89}tRs."
    )


@pytest.mark.parametrize(
    ("geometry", "is_valid"),
    [
        ((0, (2, 2), (2, 1)), True),
        ((1, (3,), (1,)), True),
        ((2, (3,), (1,)), False),
        ((-1, (3,), (1,)), False),
        ((0, (2,), (-1,)), False),
        ((0, (-2,), (1,)), False),
        ((0, (2, 2), (2,)), False),
        ((0, (2, 2), (2**30, 1)), False),
        ((0, (2**30, 2**30, 2**30), (0, 0, 0)), False),
        ((0, (4,), (1,), 5), False),
        ((0, (4,), (1,), -1), False),
        ((0, (4,), (1,), 2**31 - 1), False),
    ],
)
def test_tensors_stay_within_their_storage(tmp_path, geometry, is_valid):
    path = tmp_path / "a.pth"
    data = np.arange(4, dtype="<f4").tobytes()
    write_zip(path, tensor_pickle(*geometry), {"0": data})
    if is_valid:
        (tensor,) = checkpoints.read_checkpoint(path).values()
        expected = np.arange(4.0)[geometry[0] :].reshape(geometry[1])
        np.testing.assert_array_equal(tensor, expected)
    else:
        with pytest.raises(ValueError, match=r"a\.pth"):
            checkpoints.read_checkpoint(path)


def test_a_missing_storage_is_an_error(tmp_path):
    write_zip(tmp_path / "a.pth", tensor_pickle(0, (2,), (1,)))
    with pytest.raises(ValueError, match="must contain archive/data/0"):
        checkpoints.read_checkpoint(tmp_path / "a.pth")


_MEASURE = """
import json, re, sys
from weights_conversion import checkpoints

def peak():
    # Unlike `resource.getrusage`, without memory of the parent process.
    status = open("/proc/self/status").read()
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status)[1])

before = peak()
tensors = checkpoints.read_checkpoint(sys.argv[1])
total = sum(float(tensor.sum()) for tensor in tensors.values())
modules = sorted({"torch", "keras"} & set(sys.modules))
print(json.dumps([peak() - before, total, modules]))
"""


@FORMATS
@pytest.mark.skipif(
    not pathlib.Path("/proc/self/status").exists(), reason="needs Linux"
)
def test_reading_needs_little_memory_and_no_framework(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    state = {str(i): torch.full((2**20,), float(i)) for i in range(32)}
    save(torch, state, tmp_path / "a.pth", is_zip)
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, tmp_path / "a.pth"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    growth, total, modules = json.loads(result.stdout)
    assert total == 2**20 * sum(range(32))
    assert modules == []
    assert growth < 1.3 * (tmp_path / "a.pth").stat().st_size
