"""Rerun: both sides' values for a few images, from which the cause of the first divergence is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from porter.parity.compare import Outputs
from porter.parity.diagnose import SKIPPED, Sample, diagnose
from porter.runners.runner import Runner


@dataclass(frozen=True)
class Rerun:
    """Both sides' outputs for a few images, in one precision.

    ``got`` and ``want`` are the compared values: probes where one side is a golden. ``whole_got`` and ``whole_want``
    are the sides' own outputs.
    """

    candidate: Runner
    reference: Runner
    got: Outputs
    want: Outputs
    whole_got: Outputs
    whole_want: Outputs
    exact: bool

    def cause(self, endpoint: str, logits: str) -> str | None:
        """Return the likely cause of a divergence that begins at ``endpoint``, None where no pattern shows."""
        if (skipped := self._skipped(endpoint)) is not None:
            return skipped
        before = self._before(endpoint)
        return diagnose(
            self._sample(endpoint),
            before=self._shape(before) if before else None,
            logits=endpoint == logits,
            others=self._others(endpoint),
            peaks=self._peaks(endpoint),
        )

    @property
    def _shared(self) -> list[str]:
        """The endpoints of both sides, in graph order."""
        return [name for name in self.want if name in self.got]

    def _before(self, endpoint: str) -> str | None:
        at = self._shared.index(endpoint)
        return self._shared[at - 1] if at else None

    def _skipped(self, endpoint: str) -> str | None:
        """Return the cause where the candidate lacks the endpoint before this one."""
        order = list(self.want)
        upstream = order[: order.index(endpoint)]
        gone = [name for name in upstream if name not in self.got]
        if not gone or gone[-1] != upstream[-1] or self.candidate.partial:
            return None
        return SKIPPED.format(names=", ".join(gone[-3:]), are="is" if len(gone) == 1 else "are")

    def _shape(self, endpoint: str) -> tuple[int, ...]:
        """Return the shape of a whole activation, which a golden does not have."""
        whole = self.whole_got if self.reference.probes else self.whole_want
        return np.asarray(whole[endpoint]).shape[1:]

    def _sample(self, endpoint: str) -> Sample:
        shape = self._shape(endpoint)
        count = int(np.prod(shape))
        probes = self.reference.probes or self.candidate.probes
        indices = probes.indices(endpoint, count) if probes else np.arange(count)
        got, want = (
            np.asarray(side[endpoint], np.float64).reshape(len(side[endpoint]), -1) for side in (self.got, self.want)
        )
        return Sample(got, want, shape, indices, self.exact)

    def _others(self, endpoint: str) -> Mapping[str, np.ndarray]:
        """Return the reference's other endpoints of the same shape; none where only probes are known."""
        if self.reference.probes or self.candidate.probes:
            return {}
        shape = self._shape(endpoint)
        return {name: v for name, v in self.want.items() if name != endpoint and v.shape[1:] == shape}

    def _peaks(self, endpoint: str) -> tuple[float, float] | None:
        """Return the candidate's largest value up to ``endpoint``, and the cap that the golden's probes show."""
        if not self.reference.probes:
            return None
        upto = self._shared[: self._shared.index(endpoint) + 1]
        cap = max(float(self.want[name].max()) for name in upto)
        # Many values at the cap show that an activation clips there.
        if sum(int((self.want[name] == cap).sum()) for name in upto) < 2:
            return None
        return max(float(self.whole_got[name].max()) for name in upto), cap
