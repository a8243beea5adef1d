"""Ranger: RAdam (Liu et al., arXiv:1908.03265), steadied by Lookahead (Zhang et al., arXiv:1907.08610)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

K = 6  # fast steps to a slow one
ALPHA = 0.5  # of the way that a slow step goes


class Ranger(torch.optim.RAdam):
    """RAdam takes `K` steps; then the weights go back, `ALPHA` of the way, to where they were before these.

    The slow weights are part of the state dict.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One fast step, and every `K`-th time a slow one."""
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self._begin(parameter)
        loss = super().step(closure)
        for parameter in parameters:
            state = self.state[parameter]
            if int(state["step"]) % K == 0:
                parameter.copy_(state["slow"].lerp_(parameter, ALPHA))
        return loss

    def _begin(self, parameter: Tensor) -> None:
        """The state that RAdam would make at its first step, and the slow weights."""
        self.state[parameter] = {
            "step": torch.tensor(0.0),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
            "slow": parameter.detach().clone(),
        }
