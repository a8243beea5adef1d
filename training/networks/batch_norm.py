"""Batch normalisation with the statistics of the whole batch, however many processes share it."""

import torch
from torch import Tensor, nn

from .. import distributed


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, of which several processes make the same as one: CPU or GPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or distributed.count() == 1:
            return super().forward(x)
        mean = distributed.average(x.mean(dim=(0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = distributed.average(centred.square().mean(dim=(0, 2, 3)))
        self._follow(mean.detach(), variance.detach(), distributed.count() * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Move the running statistics; `values` of each channel went into them."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise TypeError("statistics of several processes need running ones with a momentum")
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (values / (values - 1)), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
