"""AmoebaNet (Real et al. 2019, arXiv:1802.01548), its figures 5 and 6, as data for NASNet's machinery.

Numbers, cells, and all that the paper leaves open, are those of tensorflow/tpu: models/official/amoeba_net. Its cells
have NASNet's form, with other operations. D's are not in the paper: it is the code's evol_net_x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from porter.errors import PorterError
from porter.nets.nasnet.design import Branch, Config, Step, Wiring, auxiliary_step

STEM_FILTERS = 32
"""stem_reduction_size in imagenet_hparams of amoeba_net_model.py: output channels of the first convolution."""
REDUCTIONS = 2
"""num_reduction_layers there. The stem has as many reductions more."""

FACTORED = {"convolution_1x7_7x1": 7, "convolution_1x3_3x1": 3}
"""The length of the two convolutions of an operation: 1 x length, then length x 1."""
BOTTLENECKS = (*FACTORED, "convolution_3x3", *(f"convolution_dilated_3x3_rate_{rate}" for rate in (2, 4, 6)))
"""The operations that a bottleneck surrounds."""


class Cells(NamedTuple):
    """The two cells of one specification."""

    normal: Wiring
    reduction: Wiring


def cell_of(
    kind: Literal["normal", "reduction"], operations: Sequence[str], states: Sequence[int], used: Sequence[int]
) -> Wiring:
    """Return a cell of model_specs.py: an operation and a state for each branch, and 1 for each state used inside.

    The cell concatenates the others.
    """
    branches = [Branch(_renamed(operation), state) for operation, state in zip(operations, states, strict=True)]
    pairs = tuple(zip(branches[::2], branches[1::2], strict=True))
    output = tuple(state for state, inside in enumerate(used) if not inside)
    return Wiring(kind, 1 if kind == "normal" else 2, pairs, output)


_POOLS = {"avg": "average", "max": "maximum", "min": "minimum"}


def _renamed(operation: str) -> str:
    """Return porter's name of an operation of model_specs.py."""
    first, _, size = operation.partition("_pool_")
    if size:
        return f"{_POOLS[first]}_{size}"
    if operation == "none":
        return "identity"
    return operation.removesuffix("_2") if operation.startswith("separable") else f"convolution_{operation}"


# get_normal_cell and get_reduction_cell in model_specs.py.
_D = Cells(
    cell_of(
        "normal",
        "1x1 max_pool_3x3 none 1x7_7x1 1x1 1x7_7x1 max_pool_3x3 none avg_pool_3x3 1x1".split(),
        (1, 1, 1, 0, 0, 0, 2, 2, 1, 5),
        (0, 1, 1, 0, 0, 1, 0),
    ),
    cell_of(
        "reduction",
        "max_pool_2x2 max_pool_3x3 none 3x3 1x7_7x1 max_pool_3x3 none max_pool_2x2 avg_pool_3x3 1x1".split(),
        (0, 0, 2, 1, 2, 2, 3, 1, 2, 3),
        (1, 1, 1, 1, 0, 0, 0),
    ),
)
_A = Cells(
    cell_of(
        "normal",
        (
            "avg_pool_3x3 max_pool_3x3 separable_3x3_2 none none avg_pool_3x3 separable_3x3_2 separable_5x5_2 "
            "avg_pool_3x3 separable_3x3_2"
        ).split(),
        (0, 0, 1, 1, 0, 1, 0, 2, 5, 0),
        (1, 0, 1, 0, 0, 1, 0),
    ),
    cell_of(
        "reduction",
        (
            "separable_3x3_2 avg_pool_3x3 max_pool_3x3 separable_7x7_2 max_pool_3x3 max_pool_3x3 separable_3x3_2 "
            "1x7_7x1 avg_pool_3x3 separable_7x7_2"
        ).split(),
        (1, 0, 0, 2, 1, 0, 4, 0, 1, 0),
        (1, 1, 0, 0, 0, 0, 0),
    ),
)


SPECIFICATIONS = {"a": _A, "d": _D}


def inner_filters(operation: str, filters: int) -> int:
    """Return the filters inside a bottleneck: _apply_operation in network_utils.py."""
    return int(3 * filters / 8) if operation == "convolution_1x3_3x1" else int(filters / 4)


def config(num_cells: int, reduction_size: int, batch_norm_epsilon: float = 1e-3) -> Config:
    """Return the numbers of a network with ``num_cells`` normal cells and ``reduction_size`` filters.

    The others are those of imagenet_hparams. Drop path's schedule lasts for 100 epochs of 32 images a step. Raises
    PorterError for filters that factorized reduction cannot halve in every cell, and for so few that the first cell's
    bottlenecks would be empty.
    """
    if num_cells < 1 or reduction_size < 16 or reduction_size % 4:
        raise PorterError(
            "AmoebaNet has at least 1 cell, and its filters are a multiple of 4 from 16 on, got "
            f"{num_cells} cells and {reduction_size} filters: choose other numbers"
        )
    return Config(
        stem="imagenet",
        num_cells=num_cells,
        num_conv_filters=reduction_size,
        stem_multiplier=STEM_FILTERS / 32,
        skip_reduction_layer_input=False,
        dense_dropout_keep_prob=0.5,
        drop_path_keep_prob=0.7,
        total_training_steps=4_003_646,
        batch_norm_epsilon=batch_norm_epsilon,
        aux_scaling=0.4,
    )


def plan(config: Config, specification: str) -> list[Step]:
    """Return the cells in running order: two reductions as a stem, then the normal cells with two reductions between.

    Before the first normal cell of each further third there is a reduction, and the filters double: _imagenet_stem and
    _build_network_base in model_builder.py. Drop path keeps every cell's paths with the same probability.
    """
    normal, reduction = SPECIFICATIONS[specification]
    filters, rate, keep = config.num_conv_filters, config.filter_scaling_rate, config.drop_path_keep_prob
    steps = [Step("stem", i, 0, reduction, int(filters * rate ** (i - REDUCTIONS))) for i in range(REDUCTIONS)]
    # calc_reduction_layers in network_utils.py, in its own arithmetic.
    before = [int(i / (REDUCTIONS + 1) * config.num_cells) for i in range(1, REDUCTIONS + 1)]
    stage = 0
    for number in range(config.num_cells):
        if number in before:
            stage += 1
            steps.append(Step("reduction", before.index(number), stage, reduction, int(filters * rate**stage)))
        steps.append(Step("normal", number, stage, normal, int(filters * rate**stage)))
    return [step._replace(keep_prob=keep) for step in steps]


def cell_name(step: Step) -> str:
    """Return the original's scope of a cell."""
    return {"stem": "cell_stem", "normal": "cell", "reduction": "reduction_cell"}[step.role] + f"_{step.number}"


def cell_id(step: Step) -> str:
    """Return the number or word for a cell in Keras' names."""
    return {"stem": f"stem_{step.number + 1}", "normal": str(step.number)}.get(step.role, f"reduce_{step.number + 1}")


# ---- what follows from the number of cells and filters, for porter/catalog/models.py


class Placed(NamedTuple):
    """A cell with the channels of its inputs. Where ``halves``, the previous output is twice as large as the last.

    The first cell has no previous output: ``previous`` is None.
    """

    step: Step
    channels: int
    previous: int | None
    halves: bool

    @property
    def projects(self) -> bool:
        """Whether the cell projects the previous output to its filters by a 1x1 convolution."""
        return self.previous not in (None, self.step.filters) and not self.halves

    @property
    def states(self) -> list[int]:
        """The channels of the cell's states."""
        wiring, filters = self.step.wiring, self.step.filters
        return [filters, self.channels if self.previous is None else filters, *[filters] * len(wiring.combinations)]

    @property
    def outputs(self) -> int:
        """The channels of the cell's output."""
        return len(self.step.wiring.output) * self.step.filters

    def branches(self) -> Iterator[tuple[str, str, int, int, int]]:
        """Yield each branch: its place in the cell, its operation, the channels that it reads, its stride, its number.

        The number counts the combinations from 1, as Keras' names do.
        """
        for number, pair in enumerate(self.step.wiring.combinations):
            for side, branch in zip(("left", "right"), pair, strict=True):
                stride = self.step.wiring.stride_of(branch)
                yield f"comb_iter_{number}/{side}", branch.operation, self.states[branch.state], stride, number + 1


def placed(specification: str, num_cells: int, reduction_size: int) -> list[Placed]:
    """Return the cells in running order, with the channels of their inputs."""
    found = list[Placed]()
    outputs: list[tuple[int | None, int]] = [(None, 0), (STEM_FILTERS, 0)]  # channels and halvings
    for step in plan(config(num_cells, reduction_size), specification):
        (previous, earlier), (channels, halvings) = outputs[-2:]
        cell = Placed(step, channels or 0, previous, previous is not None and earlier < halvings)
        found.append(cell)
        outputs.append((cell.outputs, halvings + (step.wiring.stride == 2)))
    return found


def axes(specification: str, num_cells: int, reduction_size: int) -> dict[str, dict[str, list[Any]]]:
    """Return the axes of the table that list cells."""
    cells = placed(specification, num_cells, reduction_size)
    first = [place.split("/") for place, *_ in _fitted(cells[0])]
    aux = [auxiliary_step([cell.step for cell in cells]).number] if num_cells > 1 else []
    return {
        "aux": {"scope": [f"aux_{number}" for number in aux]},
        "normal": _named(cell for cell in cells if cell.step.role == "normal"),
        "reduction": _named(cell for cell in cells if cell.step.role != "normal"),
        "projecting": _named((cell for cell in cells if cell.projects), kind=True),
        "halving": _named((cell for cell in cells if cell.halves), kind=True),
        "fitted": {
            "place": ["/".join(each) for each in first],
            "branch": ["_".join(each) for each in first],
            "b": [number for *_, number in _fitted(cells[0])],
            "side": [side for _, side in first],
        },
        "output": {"i": list(range(2, len(cells) + 2)), **_named(cells, kind=True)},
    }


def _named(cells: Iterable[Placed], kind: bool = False) -> dict[str, list[Any]]:
    """Return the columns of an axis of cells, with their ``kind`` if asked."""
    steps = [cell.step for cell in cells]
    kinds = {"kind": [step.wiring.kind for step in steps]} if kind else {}
    return {"cell": [cell_name(step) for step in steps], **kinds, "keras": [cell_id(step) for step in steps]}


def _fitted(cell: Placed) -> list[tuple[str, str, int, int, int]]:
    """Return the pools of a cell whose states have other channels than the cell: a 1x1 convolution follows them."""
    pools = ("average", "maximum", "minimum")
    return [each for each in cell.branches() if each[1].startswith(pools) and each[2] != cell.step.filters]


def chain(recorded: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the recorded network's cells, and those of a network with other ``options``, each with one wired alike."""
    known = placed(**recorded)
    alike = {_form(cell): cell_name(cell.step) for cell in reversed(known)}
    return [cell_name(cell.step) for cell in known], [
        (cell_name(cell.step), alike[_form(cell)]) for cell in placed(**options)
    ]


def _form(cell: Placed) -> tuple[object, ...]:
    """Return what cells that are wired alike have in common."""
    return cell.step.wiring.kind, cell.halves, cell.projects, cell.previous is None


def sizes(specification: str, num_cells: int, reduction_size: int) -> dict[str, tuple[int, int]]:
    """Return the input and output channels of every layer, by the original's name.

    A batch norm has as many of both. The classifiers' output channels, the classes, are left 0.
    """
    cells, numbers = placed(specification, num_cells, reduction_size), config(num_cells, reduction_size)
    found = {"stem/conv0": (3, STEM_FILTERS), "stem/conv0_bn": (STEM_FILTERS, STEM_FILTERS)}
    for cell in cells:
        found |= {f"{cell_name(cell.step)}/{layer}": channels for layer, channels in _sizes_in(cell).items()}
    first, second = numbers.aux_filters
    if num_cells > 1:
        source = auxiliary_step([cell.step for cell in cells])
        read = next(cell.outputs for cell in cells if cell.step == source)
        scope = f"aux_{source.number}/aux_logits"
        found |= {f"{scope}/proj": (read, first), f"{scope}/aux_bn0": (first, first), f"{scope}/FC": (second, 0)}
        found |= {f"{scope}/Conv": (first, second), f"{scope}/aux_bn1": (second, second)}
    return found | {"final_layer/FC": (cells[-1].outputs, 0)}


def _sizes_in(cell: Placed) -> dict[str, tuple[int, int]]:
    """Return the channels of a cell's layers, by their names in its scope."""
    filters = cell.step.filters
    own, half = (filters, filters), filters // 2
    found = {"1x1": (cell.channels, filters), "beginning_bn": own}
    if cell.halves:
        found |= {"path1_conv": (cell.previous or 0, half), "path2_conv": (cell.previous or 0, filters - half)}
        found["final_path_bn"] = own
    elif cell.projects:
        found |= {"prev_1x1": (cell.previous or 0, filters), "prev_bn": own}
    for place, operation, channels, stride, _ in cell.branches():
        name, _, size = operation.partition("_")
        if name == "separable":
            found |= {f"{place}/separable_{size}_1": (channels, filters), f"{place}/separable_{size}_2": own}
            found |= {f"{place}/bn_sep_{size}_{half}": own for half in (1, 2)}
        elif name == "convolution" and size != "1x1":
            found |= {f"{place}/{layer}": each for layer, each in _bottleneck(size, channels, filters).items()}
        elif size == "1x1" or channels != filters or (name == "identity" and stride > 1):
            found |= {f"{place}/1x1": (channels, filters), f"{place}/bn_1": own}
    return found


def _bottleneck(size: str, channels: int, filters: int) -> dict[str, tuple[int, int]]:
    """Return the channels of the layers of one of the larger convolutions."""
    inner = inner_filters(f"convolution_{size}", filters)
    own = (inner, inner)
    around = {"pre_1x1": (channels, inner), "pre_bn": own, "bn": own}
    around |= {"post_1x1": (inner, filters), "post_bn": (filters, filters)}
    if "_rate_" in size:
        return {**around, "dilated_3x3": own}
    first, _, second = size.partition("_")
    return {**around, first: own, **({second: own, f"bn_{size}": own} if second else {})}
