"""StyleGAN2 losses (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss of the discriminator; logits (N, 1) → scalar."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator; logits (N, 1) → scalar."""
    return softplus(-fake_logits).mean()


def r1_penalty(real_logits: Tensor, images: Tensor) -> Tensor:
    """Mean squared gradient norm of the discriminator at real images (Mescheder et al. 2018); scalar.

    `images` (N, C, H, W) must require gradients and have led to `real_logits` (N, 1).
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, ws: Tensor, direction: Tensor) -> Tensor:
    """‖Jᵀy‖ of the synthesis network for image directions y (StyleGAN2, section 3.2); (N,).

    images: (N, C, H, W) synthesized from ws (N, num_ws, style_dim), which must require gradients.
    direction: (N, C, H, W), standard normal; y is that divided by √(H·W).
    The norm is over style_dim, its square averaged over the style inputs.
    """
    direction = direction / (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
