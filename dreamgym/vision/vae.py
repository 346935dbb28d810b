"""V: the convolutional variational autoencoder (World Models, appendix A.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamgym.vision import doubling

__all__ = ["VAE", "sample_posterior"]

IMAGE_SIZE = 64


class VAE(nn.Module):
    """Convolutional VAE between 64x64 RGB images and a latent vector; 4,348,547 parameters at 32 latents.

    The encoder is four stride-2 convolutions (kernel 4; 32, 64, 128, 256 channels) and two linear maps to the mean
    and log variance of a diagonal Gaussian posterior. The decoder is a linear map to 1024 and four stride-2 transposed
    convolutions (kernels 5, 5, 6, 6; 128, 64, 32, 3 channels).

    Args:
        latent_size: number of latents, N_z in the paper.
    """

    def __init__(self, latent_size: int = 32) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 128, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(128, 256, 4, stride=2),
            nn.ReLU(),
        )
        self.mean = nn.Linear(1024, latent_size)
        self.log_variance = nn.Linear(1024, latent_size)
        self.expand = nn.Linear(latent_size, 1024)
        self.deconv1 = nn.ConvTranspose2d(1024, 128, 5, stride=2)
        self.decoder = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 5, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 6, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 3, 6, stride=2),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior.

        Args:
            images: float of shape (B, 3, 64, 64) in [0, 1].

        Returns:
            Two tensors of shape (B, latent_size).
        """
        features = self.encoder(images).flatten(1)  # (B, 256, 2, 2) -> (B, 1024)
        return self.mean(features), self.log_variance(features)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Pixel values before the sigmoid, (B, latent_size) -> (B, 3, 64, 64)."""
        hidden = self.expand(z)  # (B, 1024)
        if hidden.requires_grad and hidden.device.type == "cpu":
            return doubling.decode_logits(self.deconv1, self.decoder, hidden)
        # A transposed convolution over a 1x1 input is a matrix product; as one it is ten times as fast on a CPU.
        weight = self.deconv1.weight.flatten(1)  # (1024, 128*5*5)
        bias = self.deconv1.bias
        assert bias is not None
        hidden = (hidden @ weight).unflatten(1, (128, 5, 5)) + bias[:, None, None]
        logits: Tensor = self.decoder(hidden)
        return logits

    def decode(self, z: Tensor) -> Tensor:
        """Images in [0, 1], (B, latent_size) -> (B, 3, 64, 64)."""
        return torch.sigmoid(self.decode_logits(z))

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct images through a posterior sample.

        Args:
            images: float of shape (B, 3, 64, 64) in [0, 1].
            noise: standard normal, (B, latent_size).

        Returns:
            The reconstruction (B, 3, 64, 64), the posterior's mean and its log variance (B, latent_size).
        """
        mean, log_variance = self.encode(images)
        z = sample_posterior(mean, log_variance, noise)
        return self.decode(z), mean, log_variance


def sample_posterior(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z = mean + sigma * noise, all of shape (..., latent_size)."""
    return mean + torch.exp(0.5 * log_variance) * noise


def vae_loss(
    images: Tensor,
    reconstruction: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    *,
    reconstruction_weight: float = 1.0,
    free_nats: float = 0.5,
) -> tuple[Tensor, Tensor, Tensor]:
    """The paper's loss: squared error summed over pixels plus KL divergence with a floor of ``free_nats`` a latent.

    Returns:
        loss, squared error and KL divergence (nats, before the floor), each a mean over the batch (scalar).
    """
    squared_error = F.mse_loss(reconstruction, images, reduction="sum") / len(images)
    kl_each = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)  # (B,)
    floored = torch.clamp_min(kl_each, free_nats * mean.shape[1]).mean()
    return reconstruction_weight * squared_error + floored, squared_error, kl_each.mean()
