"""Goldens as porter reads them: shared variables and graphs at each golden's own size, and whole logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from porter import verify
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.files import package_data
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.tensorflow.graph_source import graph_source
from porter.graph.analysis.analysis import Analysis
from porter.graph.rewrite.prune import prune
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.parity.compare_runs import Subject, compare_runs
from porter.runners.context import Context
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.open_side import network_runner
from porter.verbs.seed import seed

GOLDENS = sorted(path.parent.name for path in package_data.folder("golden").glob("*/golden.npz"))
SIZES = (224, 192, 160, 128, 96)


def attributes(name: str) -> dict[str, list[int]]:
    """Return the shape of the graph's input and, if it has just one, the kernel of its average pool."""
    graph = recorded(name).load_graph()
    (shape,) = ([dim.size for dim in node.attr["shape"].shape.dim] for node in graph.node if node.op == "Placeholder")
    pools = [list(node.attr["ksize"].list.i) for node in graph.node if node.op == "AvgPool"]
    return {"input": shape} | ({"pool": pools[0]} if len(pools) == 1 else {})


@pytest.mark.parametrize("name", GOLDENS)
def test_a_graph_takes_its_goldens_size(name: str) -> None:
    size = recorded(name).input_size
    found = attributes(name)
    assert found["input"] == [-1, size, size, 3]
    if name.startswith("mobilenet_v1"):
        kernel = min(7, -(-size // 32))  # slim's _reduced_kernel_size_for_small_input on five halvings
        assert found["pool"] == [1, kernel, kernel, 1]


def test_goldens_of_one_architecture_share_variables_and_graph() -> None:
    shared = {recorded(name).shared for name in GOLDENS}
    assert {path.parent for path in package_data.folder("golden").rglob("graph.pb.gz")} == shared
    assert {path.parent for path in package_data.folder("golden").rglob("variables.json")} == shared
    large, other = recorded("nasnet_large"), recorded("nasnet_large@299")
    assert large.variables == other.variables
    aux = "aux_11/aux_logits/Conv/weights"  # covers the whole map, so its size follows from the input's
    assert (large.training_variables[aux][:2], other.training_variables[aux][:2]) == ((6, 6), (5, 5))


# Millions, as slim/nets/mobilenet_v1.md, slim/nets/mobilenet/README.md, mobilenet_v3.py (Small) and arXiv:1712.00559
# (PNASNet-5) publish them.
PUBLISHED = {
    **{f"mobilenet_v2_1.0_{size}": work for size, work in zip(SIZES, (300, 221, 154, 99, 56), strict=True)},
    **{f"mobilenet_v2_0.75_{size}": work for size, work in zip(SIZES, (209, 153, 107, 69, 39), strict=True)},
    **{f"mobilenet_v2_0.5_{size}": work for size, work in zip(SIZES, (97, 71, 50, 32, 18), strict=True)},
    **{f"mobilenet_v2_0.35_{size}": work for size, work in zip(SIZES, (59, 43, 30, 20, 11), strict=True)},
    **{"mobilenet_v2_1.4_224": 582, "mobilenet_v2_1.3_224": 509, "mobilenet_v1_1.0_224": 569},
    **{"mobilenet_v3_large_1.0_224": 217, "mobilenet_v3_large_0.75_224": 155, "mobilenet_v3_small_1.0_224": 56.5},
    **{"mobilenet_v3_small_0.75_224": 44, "mobilenet_v3_large_minimalistic_1.0_224": 209, "pnasnet_mobile": 588},
}


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_multiply_adds_are_the_published_ones(name: str, millions: float) -> None:
    work = recorded(name).multiply_adds
    assert work is not None
    assert abs(work / 1e6 - millions) < 1  # rounded up or down


@pytest.mark.parametrize("name", GOLDENS)
def test_multiply_adds_are_those_of_the_graphs_logits(name: str) -> None:
    golden = recorded(name)
    outputs = golden.recipe.get("outputs", [golden.recipe["logits_tensor"]])
    graph = prune(golden.load_graph(), outputs, golden.graph)
    assert golden.multiply_adds == Analysis(graph_source(golden.graph, graph)).multiply_adds


def test_a_checkpoint_is_verified_at_its_own_size_with_the_shared_graph(tmp_path: Path) -> None:
    name = "mobilenet_v1_0.25_160"
    assert recorded(name).shared.name == "mobilenet_v1_0.25_128"
    result = verify(name, checkpoint=seed(name, tmp_path / "m.ckpt").out)
    assert "160x160" in result.inputs
    assert result.ports["torch"], str(result.ports["torch"])


def test_a_golden_holds_whole_logits_and_so_finds_two_swapped_classes() -> None:
    """Of 1001 classes, 32 probes would miss most swaps."""
    arch, golden = find_arch("mobilenet_v1_0.25_128"), recorded("mobilenet_v1_0.25_128")
    table, seeds = Table.load(arch.table), seeded_checkpoint(golden)
    values = dict(translate(seeds, arch, "tf", "torch").as_checkpoint(seeds))
    for pair in table.pairs("tf", "torch"):
        if pair.head:
            swapped = np.arange(len(values[pair.target]))
            swapped[[500, 501]] = 501, 500
            values[pair.target] = values[pair.target][swapped]
    entries = {name: Entry(value.shape, value.dtype, lambda value=value: value) for name, value in values.items()}
    port = network_runner("torch", Checkpoint(Path("swapped"), "arrays", entries), Context(arch, table, 128))
    reference = GoldenRunner(golden, table)
    report = compare_runs({"torch": port}, reference, golden_images(128), Subject(arch, table))["torch"]
    assert report.first_divergence is not None
    assert report.first_divergence.endpoint == table.logits


def test_an_unknown_golden_says_how_to_record_it() -> None:
    with pytest.raises(PorterError, match=r"golden\.json does not exist: run python golden/record\.py nobody"):
        recorded("nobody")
