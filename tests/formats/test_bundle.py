"""TensorFlow's V2 checkpoints: they read like TensorFlow's own reader, bit for bit; damage and malice are refused."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import tables
from helpers.checkpoints import Saver, every_dtype
from porter.errors import FormatError, PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint

WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)
SMALL = {"conv/biases": np.float32([-0.0, 1.5]), "conv/weights": WEIGHTS, "step": np.float32(7)}


def index_of(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def shard_of(prefix: Path, shard: int = 0, count: int = 1) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{count:05d}")


def assert_same_bits(got: np.ndarray, want: np.ndarray, name: str) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape), name
    assert got.tobytes() == want.tobytes(), name


def assert_as_tensorflow_reads_it(tf: Any, prefix: Path) -> Checkpoint:
    """Compare names, shapes, dtypes and bits with TensorFlow's reader; bfloat16 becomes float32."""
    judge = tf.train.load_checkpoint(str(prefix))
    checkpoint = open_checkpoint(prefix)
    shapes, dtypes = judge.get_variable_to_shape_map(), judge.get_variable_to_dtype_map()
    strings = {name for name, dtype in dtypes.items() if dtype == tf.string}
    assert set(checkpoint.asides) == strings
    assert set(checkpoint) == set(shapes) - strings
    for name, entry in checkpoint.entries.items():
        want = judge.get_tensor(name)
        if dtypes[name] == tf.bfloat16:
            want = (want.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        assert (list(entry.shape), entry.dtype) == (shapes[name], want.dtype), name
        assert_same_bits(checkpoint[name], np.asarray(want), name)
    return checkpoint


def test_every_dtype_is_read_to_the_bit(tf: Any, save: Saver) -> None:
    tensors = every_dtype(tf)
    checkpoint = assert_as_tensorflow_reads_it(tf, save(tensors))
    assert len(checkpoint) == 7 + 8 + 5
    for name in ("float16", "float32", "float64", "complex64", "complex128"):
        assert checkpoint[name].tobytes() == tensors[name].numpy().tobytes()


def test_every_bfloat16_widens_to_the_float32_of_its_value(tf: Any, save: Saver) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(tf.bfloat16.as_numpy_dtype)
    widened = open_checkpoint(save({"every": tf.constant(every)}))["every"]
    assert widened.dtype == np.float32
    assert (widened.view(np.uint32) >> 16 == every.view(np.uint16)).all()
    np.testing.assert_array_equal(widened, every.astype(np.float32))


def test_scalars_empty_and_large_tensors(tf: Any, save: Saver) -> None:
    large = np.random.default_rng(1).standard_normal((1200, 2503), np.float32)
    tensors = {
        "scalar": np.float32(-0.0),
        "step": np.int64(2**62),
        "flag": np.bool_(True),
        "empty": np.zeros(0, np.float32),
        "empty/axes": np.zeros((3, 0, 5), np.float64),
        "large": large,
        "large/axes": large[:9].reshape(1, 9, 1, 2503, 1),
        "z": np.ones((1, 1, 1), np.uint8),
    }
    checkpoint = assert_as_tensorflow_reads_it(tf, save(tensors))
    assert checkpoint["scalar"].tobytes() == np.float32(-0.0).tobytes()


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_a_trainers_saver(tf: Any, tmp_path: Path, resource: bool) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(5)
        with v1.variable_scope("conv", use_resource=resource):
            kernel = v1.get_variable("weights", (3, 3, 4, 8))
            mean = v1.get_variable("moving_mean", (8,), trainable=False)
        step = v1.train.get_or_create_global_step()
        optimizer = v1.train.RMSPropOptimizer(0.1, momentum=0.9)
        train = optimizer.minimize(tf.reduce_sum(kernel * kernel), global_step=step)
        average = tf.train.ExponentialMovingAverage(0.9, step)
        with tf.control_dependencies([train]):
            shadow = average.apply([kernel, mean])
        session.run(v1.variables_initializer([kernel, mean]))
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run(shadow)
        values = session.run({variable.op.name: variable for variable in v1.global_variables()})
        prefix = v1.train.Saver().save(session, str(tmp_path / "model.ckpt"), global_step=step)
    checkpoint = assert_as_tensorflow_reads_it(tf, Path(prefix))
    slots = ("", "/ExponentialMovingAverage", "/RMSProp", "/RMSProp_1")
    statistics = ("", "/ExponentialMovingAverage")
    assert set(checkpoint) == {
        "global_step", *(f"conv/weights{slot}" for slot in slots), *(f"conv/moving_mean{slot}" for slot in statistics)
    }  # fmt: skip
    assert checkpoint["global_step"] == 3
    for name, value in values.items():
        assert_same_bits(checkpoint[name], np.asarray(value), name)


def test_strings_are_asides(tf: Any, save: Saver) -> None:
    prefix = save({"names": tf.constant(["a", "bc"]), "note": tf.constant("x"), "weights": WEIGHTS})
    checkpoint = assert_as_tensorflow_reads_it(tf, prefix)
    assert checkpoint.asides == {"names": "string", "note": "string"}
    assert set(checkpoint) == {"weights"}


def sharded(tf: Any, save: Saver, folder: Path) -> tuple[Path, list[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(2)
    parts = [{f"layer_{part}/{side}": rng.standard_normal((part + 2, side)) for side in (3, 5)} for part in range(3)]
    prefixes = [str(save(tensors, f"parts/{part}")) for part, tensors in enumerate(parts)]
    merged = folder / "merged.ckpt"
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(merged))
    assert len(list(folder.glob("merged.ckpt.data-*"))) == 3
    return merged, parts


def test_several_data_files(tf: Any, save: Saver, tmp_path: Path) -> None:
    merged, parts = sharded(tf, save, tmp_path)
    checkpoint = assert_as_tensorflow_reads_it(tf, merged)
    assert set(checkpoint) == {name for part in parts for name in part}


def test_a_missing_data_file_costs_its_own_tensors_only(tf: Any, save: Saver, tmp_path: Path) -> None:
    merged, parts = sharded(tf, save, tmp_path)
    (missing,) = [
        path
        for path in tmp_path.glob("merged.ckpt.data-*")
        if next(iter(parts[1].values())).tobytes() in path.read_bytes()
    ]
    missing.unlink()
    checkpoint = open_checkpoint(merged)
    for name in parts[1]:
        with pytest.raises(FormatError, match="3 data file") as caught:
            checkpoint[name]
        assert missing.name in str(caught.value)
    for name, value in (parts[0] | parts[2]).items():
        assert_same_bits(checkpoint[name], value, name)


def test_an_index_of_several_blocks(tf: Any, save: Saver) -> None:
    scope = "/".join(["nasnet", "a_long_scope_that_every_variable_shares"] * 3)
    noise = random.Random(4)
    tensors = {f"{scope}/{count:05d}/{noise.randbytes(90).hex()}": np.float32([count, -count]) for count in range(2000)}
    prefix = save(tensors)
    blocks = tables.blocks_of(index_of(prefix).read_bytes())
    assert len(blocks) > 1
    assert all(tables.restart_count(block) > 1 for block in blocks)
    assert sum(map(len, blocks)) < sum(map(len, tensors)), "no prefix is shared"
    checkpoint = assert_as_tensorflow_reads_it(tf, prefix)
    assert set(checkpoint) == set(tensors)


@pytest.mark.parametrize("snappy", [False, True], ids=["plain", "snappy"])
@pytest.mark.parametrize(("entries", "restart_interval"), [(1 << 20, 16), (7, 3), (1, 1)])
def test_an_index_encoded_anew_is_read_alike(
    tf: Any, tmp_path: Path, snappy: bool, entries: int, restart_interval: int
) -> None:
    tensors = {f"shared/scope/layer_{count}/weights": np.float32([count, 0.5]) for count in range(60)}
    prefix = tmp_path / "model.ckpt"
    pairs = tables.write_bundle(prefix, tensors, snappy=snappy, entries=entries, restart_interval=restart_interval)
    checkpoint = assert_as_tensorflow_reads_it(tf, prefix)
    for name, value in tensors.items():
        assert_same_bits(checkpoint[name], value, name)
    if snappy and entries > len(pairs):
        assert index_of(prefix).stat().st_size < len(tables.table(pairs)) / 2


@pytest.mark.parametrize("snappy", [False, True], ids=["plain", "snappy"])
def test_tensorflows_own_index_compressed(tf: Any, save: Saver, snappy: bool) -> None:
    prefix = save(every_dtype(tf))
    (contents,) = tables.blocks_of(index_of(prefix).read_bytes())
    packed = bytes(tables.cramjam.snappy.compress_raw(contents)) if snappy else contents
    last = tables.Block(b"\xff", packed, tables.SNAPPY if snappy else tables.PLAIN)
    index_of(prefix).write_bytes(tables.stack([last]))
    assert len(assert_as_tensorflow_reads_it(tf, prefix)) == 20


def test_nothing_is_read_before_it_is_asked_for(save: Saver, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "model.ckpt"
    alone.parent.mkdir()
    shutil.copy(index_of(save(SMALL)), index_of(alone))
    checkpoint = open_checkpoint(alone)
    assert {name: entry.shape for name, entry in checkpoint.entries.items()} == {
        name: value.shape for name, value in SMALL.items()
    }
    with pytest.raises(FormatError, match=r"is missing.*copy") as caught:
        checkpoint["step"]
    assert str(shard_of(alone)) in str(caught.value)


def test_a_data_file_cut_anywhere_still_gives_what_lies_before(save: Saver) -> None:
    prefix = save(SMALL)
    shard = shard_of(prefix)
    whole = shard.read_bytes()
    ends = {name: whole.index(value.tobytes()) + value.nbytes for name, value in SMALL.items()}
    for size in range(len(whole)):
        shard.write_bytes(whole[:size])
        checkpoint = open_checkpoint(prefix)
        for name, end in ends.items():
            if end <= size:
                assert_same_bits(checkpoint[name], SMALL[name], name)
                continue
            with pytest.raises(FormatError, match=rf"cut off: {name} .*copy or download it again") as caught:
                checkpoint[name]
            assert str(shard) in str(caught.value)


def test_a_data_file_that_is_cut_while_it_is_open_is_refused(save: Saver) -> None:
    prefix = save(SMALL)
    checkpoint = open_checkpoint(prefix)
    os.truncate(shard_of(prefix), 0)
    for name in SMALL:
        with pytest.raises(FormatError, match=rf"cut off: {name} .*copy or download it again"):
            checkpoint[name]


@pytest.mark.parametrize("name", SMALL)
def test_a_flipped_bit_is_caught_in_its_own_tensor_only(save: Saver, name: str) -> None:
    prefix = save(SMALL)
    shard = shard_of(prefix)
    whole = shard.read_bytes()
    start, size = whole.index(SMALL[name].tobytes()), SMALL[name].nbytes
    for bit in range(8 * size):
        shard.write_bytes(flipped(whole, 8 * start + bit))
        checkpoint = open_checkpoint(prefix)
        with pytest.raises(FormatError, match=rf"{name} .*checksum; copy or download it again") as caught:
            checkpoint[name]
        assert str(shard) in str(caught.value)
        for other in SMALL.keys() - {name}:
            assert_same_bits(checkpoint[other], SMALL[other], other)


def flipped(raw: bytes, bit: int) -> bytes:
    damaged = bytearray(raw)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def assert_refused_or_the_same(prefix: Path, tensors: dict[str, np.ndarray]) -> bool:
    """Read everything and expect a PorterError or exactly these tensors. Return whether it was read."""
    try:
        found = dict(open_checkpoint(prefix))
    except PorterError:
        return False
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert_same_bits(found[name], value, name)
    return True


def test_every_flipped_bit_of_an_index_is_refused(save: Saver) -> None:
    prefix = save(SMALL)
    whole = index_of(prefix).read_bytes()
    harmless = 0
    for bit in range(8 * len(whole)):
        index_of(prefix).write_bytes(flipped(whole, bit))
        harmless += assert_refused_or_the_same(prefix, SMALL)
    assert harmless == 0


def test_an_index_cut_anywhere_is_refused(save: Saver) -> None:
    prefix = save(SMALL)
    whole = index_of(prefix).read_bytes()
    for size in range(len(whole)):
        index_of(prefix).write_bytes(whole[:size])
        assert not assert_refused_or_the_same(prefix, SMALL), size


def damaged_under_valid_checksums(whole: bytes) -> Iterator[bytes]:
    (contents,) = tables.blocks_of(whole)
    for bit in range(8 * len(contents)):
        yield tables.stack([tables.Block(b"\xff", flipped(contents, bit))])


def test_every_flipped_bit_under_valid_checksums_raises_nothing_else(save: Saver) -> None:
    prefix = save(SMALL)
    refused = 0
    for index in damaged_under_valid_checksums(index_of(prefix).read_bytes()):
        index_of(prefix).write_bytes(index)
        try:
            checkpoint = open_checkpoint(prefix)
        except FormatError:
            refused += 1
            continue
        for name, entry in checkpoint.entries.items():
            try:
                value = checkpoint[name]
            except FormatError:
                refused += 1
            else:
                assert (value.shape, value.dtype) == (entry.shape, entry.dtype)
    assert refused > 100


RAW = WEIGHTS.tobytes()
GOOD = tables.record(RAW, (2, 3))
ONE_RESTART = bytes(4) + b"\1\0\0\0"
NEGATIVE = tables.MINUS_ONE


def holding(*pairs: tuple[bytes, bytes], header: bytes = tables.header()) -> bytes:
    return tables.table([(b"", header), *pairs])


def one(entry: bytes) -> bytes:
    """Return an index of one tensor, w."""
    return holding((b"w", entry))


def sized(size: int, *sides: int) -> bytes:
    """Return an index whose tensor claims this many bytes; the later of two sizes counts."""
    return one(tables.record(RAW[:size], sides) + tables.number(5, size))


def placed(**where: int) -> bytes:
    return one(tables.record(RAW, (2, 3), **where))


def sharded_in(count: int) -> bytes:
    return holding((b"w", GOOD), header=tables.header(count))


def blocked(stored: bytes, compression: int = tables.PLAIN) -> bytes:
    return tables.stack([tables.Block(b"w", stored, compression)])


def pointing(*handle: int) -> bytes:
    contents = tables.block([(b"", tables.header()), (b"w", GOOD)])
    return tables.stack([tables.Block(b"w", contents)], b"".join(map(tables.varint, handle)))


def claiming(claim: int) -> bytes:
    return blocked(tables.varint(claim) + b"\0w", tables.SNAPPY)


BEYOND = "which no array can have"
BEHIND = "ends beyond the end of the file"
HOSTILE = {
    "a negative side": ("has the shape (-1, 3)", sized(24, NEGATIVE, 3)),
    "two negative sides": ("has the shape (-2, -3)", sized(24, NEGATIVE - 1, NEGATIVE - 2)),
    "a shape that overflows 64 bits": (BEYOND, sized(0, 2**32, 2**30)),
    "a shape that overflows to its size": (BEYOND, sized(24, 2**62 + 2, 3)),
    "a huge shape of a huge size": ("is cut off", sized(2**62, 2**60)),
    "a side beyond 64 bits": (BEYOND, sized(2**69, 2**67)),
    "an empty shape beyond an array": (BEYOND, sized(0, 0, 2**62, 2**62)),
    "an empty shape with a side beyond 64 bits": (BEYOND, sized(0, 0, 2**66)),
    "a hundred axes": (BEYOND, sized(4, *[1] * 100)),
    "a size that is not the shape's": ("takes 20 bytes, but float32 of shape (2, 3) takes 24", sized(20, 2, 3)),
    "no size": ("takes 0 bytes", sized(0, 2, 3)),
    "a negative size": (f"takes {NEGATIVE} bytes", sized(NEGATIVE, 2, 3)),
    "an offset behind the file": ("the bytes 0 to 1, before w, belong to no tensor", placed(offset=1)),
    "an offset far behind the file": (f"the bytes 0 to {2**40}, before w, belong to no", placed(offset=2**40)),
    "a negative offset": (f"the bytes 0 to {NEGATIVE}, before w, belong to no", placed(offset=NEGATIVE)),
    "an offset that wraps around": (f"the bytes 0 to {2**64 - 24}, before w, belong", placed(offset=2**64 - 24)),
    "two tensors of the same bytes": ("v and w share the bytes 0 to 24", holding((b"v", GOOD), (b"w", GOOD))),
    "an end behind the file": ("w ends at byte 48, the file at 24", sized(48, 12)),
    "a shard that is missing": ("lies in data file 1 of 1", placed(shard=1)),
    "a negative shard": (f"lies in data file {NEGATIVE} of 1", placed(shard=NEGATIVE)),
    "an unknown dtype": ("dtype number 99", placed(dtype=99)),
    "no dtype": ("dtype number 0", placed(dtype=0)),
    "a dtype that is bytes": ("bytes instead of a number", one(tables.message(1, b"\1") + GOOD)),
    "a shape that is a number": ("a number instead of a message", one(GOOD + tables.number(2, 1))),
    "an entry that is cut": ("field 6 ends beyond", one(GOOD[:-1])),
    "a group, which no checkpoint has": ("wire type 3", one(GOOD + b"\x0b")),
    "keys out of order": ("keys out of order", holding((b"w", GOOD), (b"v", GOOD))),
    "a key twice": ("keys out of order", holding((b"w", GOOD), (b"w", GOOD))),
    "a header twice": ("keys out of order", holding((b"", tables.header()), (b"w", GOOD))),
    "a name that is not UTF-8": ("'utf-8' codec", holding((b"w\xff", GOOD))),
    "no header": ("no header", tables.table([(b"w", GOOD)])),
    "nothing": ("no header", tables.table([])),
    "a header that is cut": ("field 3 ends beyond", holding(header=tables.header()[:-1])),
    "no shards": ("lies in data file 0 of 0", sharded_in(0)),
    "more shards than any": (f"expects {2**31 - 1:,} data files", sharded_in(2**31 - 1)),
    "a negative number of shards": (f"expects {NEGATIVE:,} data files", sharded_in(NEGATIVE)),
    "an empty block": ("too short for its 0 restart points", blocked(b"")),
    "a block without entries": ("no header", blocked(tables.block([]))),
    "more restart points than bytes": ("too short", blocked(bytes(4) + b"\xff" * 4)),
    "a prefix longer than the key before": ("an entry that ends beyond the block", blocked(b"\5\1\0w" + ONE_RESTART)),
    "a value behind its block": ("an entry that ends beyond the block", blocked(b"\0\1\x63w" + ONE_RESTART)),
    "an endless integer": ("does not end", blocked(b"\xff" * 16 + ONE_RESTART)),
    "an unknown compression": ("unknown compression 7", blocked(tables.block([(b"", tables.header())]), 7)),
    "a block behind the file": (BEHIND, pointing(2**40, 10)),
    "a block that ends beyond the end of the file": (BEHIND, pointing(0, 2**40)),
    "a block that wraps around": (BEHIND, pointing(NEGATIVE, 10)),
    "a block of a negative size": (BEHIND, pointing(0, NEGATIVE)),
    "half a block handle": ("does not end", pointing(0)),
    "Snappy that claims a tebibyte": (f"claims to unpack to {2**40} bytes", claiming(2**40)),
    "Snappy that claims 64 bits": (f"claims to unpack to {NEGATIVE} bytes", claiming(NEGATIVE)),
    "Snappy that claims more than it has": ("does not unpack", claiming(100)),
    "Snappy of nothing": ("does not end", blocked(b"", tables.SNAPPY)),
}


def endless_keys(longest: int = 1 << 16, count: int = 1 << 13) -> bytes:
    """Return an index of few bytes whose keys, each longer than the last by one, take half a gibibyte."""
    first = b"\0\0" + tables.varint(len(tables.header())) + tables.header()
    first += b"\0" + tables.varint(longest) + b"\0" + b"k" * longest
    longer = b"".join(tables.varint(longest + more) + b"\1\0k" for more in range(count))
    return blocked(first + longer + ONE_RESTART)


def test_keys_cannot_outgrow_their_file(tmp_path: Path) -> None:
    prefix = write_hostile(tmp_path, endless_keys())
    assert index_of(prefix).stat().st_size < 1 << 17
    with pytest.raises(FormatError, match="keys take more than") as caught:
        open_checkpoint(prefix)
    assert str(prefix) in str(caught.value)


def laid_out(folder: Path, *starts: int, more: int = 0) -> Path:
    """Write a bundle of float32 tensors that begin at these bytes; the last has one value, and more bytes follow."""
    whole = bytes(starts[-1] + 4 + more)
    ends = (*starts[1:], starts[-1] + 4)
    pairs = []
    for name, start, end in zip("abcdef", starts, ends, strict=False):
        size = (end - start) // 4 if end - start < 12 else 2
        pairs.append((name.encode(), tables.record(bytes(4 * size), [size], offset=start)))
    prefix = folder / "laid.ckpt"
    index_of(prefix).write_bytes(holding(*pairs))
    shard_of(prefix).write_bytes(whole)
    return prefix


def test_a_writers_padding_is_no_hole(tf: Any, tmp_path: Path) -> None:
    """BundleWriter can align its tensors: each then begins at the next multiple."""
    for starts in ((0, 8, 16), (0, 16, 32), (0, 64, 128), (0, 4096, 8192)):
        assert_as_tensorflow_reads_it(tf, laid_out(tmp_path, *starts))


@pytest.mark.parametrize("starts", [(4, 12), (0, 12, 24), (0, 16, 48), (0, 8, 1 << 20)], ids=str)
def test_bytes_of_no_tensor(tmp_path: Path, starts: tuple[int, ...]) -> None:
    prefix = laid_out(tmp_path, *starts)
    with pytest.raises(FormatError, match=r"laid.ckpt.index: in laid.ckpt.data-00000-of-00001, the bytes \d+ to \d+"):
        open_checkpoint(prefix)


def test_bytes_behind_the_last_tensor(tmp_path: Path) -> None:
    prefix = laid_out(tmp_path, 0, 8, more=4)
    with pytest.raises(
        FormatError, match=r"has 16 bytes, but its index names 12: it belongs to another index"
    ) as caught:
        open_checkpoint(prefix)
    assert str(shard_of(prefix)) in str(caught.value)


def write_hostile(folder: Path, index: bytes) -> Path:
    prefix = folder / "hostile.ckpt"
    index_of(prefix).write_bytes(index)
    shard_of(prefix).write_bytes(RAW)
    return prefix


def test_the_table_that_the_hostile_ones_vary_is_read(tf: Any, tmp_path: Path) -> None:
    for index in (one(GOOD), sized(24, 2, 3), placed(), sharded_in(1)):
        checkpoint = assert_as_tensorflow_reads_it(tf, write_hostile(tmp_path, index))
        assert_same_bits(checkpoint["w"], WEIGHTS, "w")


@pytest.mark.parametrize("case", HOSTILE)
def test_malice_under_valid_checksums_is_refused(tmp_path: Path, case: str) -> None:
    reason, index = HOSTILE[case]
    prefix = write_hostile(tmp_path, index)
    with pytest.raises(FormatError, match=re.escape(reason)) as caught:
        open_checkpoint(prefix)["w"]
    told = str(caught.value)
    assert str(prefix) in told
    assert "copy" in told or "porter does not read yet" in told
    assert "\n" not in told
