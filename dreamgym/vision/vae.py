"""V: the convolutional variational autoencoder (World Models, appendix A.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamgym.tensor_files import read_tensors
from dreamgym.training import load_weights
from dreamgym.vision import fast_decoder as doubling

__all__ = ["VAE", "fold", "load_vision", "sample_posterior"]

IMAGE_SIZE: Final = 64
FIRST_PICTURE: Final = (128, 5, 5)
"""Channels, height and width of the first picture that the decoder makes of a latent."""
_UNFOLDED: Final = ("expand", "deconv1")


class VAE(nn.Module):
    """Convolutional VAE between 64x64 RGB images and a latent vector; 4,348,547 parameters at 32 latents.

    The encoder is four stride-2 convolutions (kernel 4; 32, 64, 128, 256 channels) and two linear maps to the mean
    and log variance of a diagonal Gaussian posterior. The decoder is a linear map to 1024 and four stride-2 transposed
    convolutions (kernels 5, 5, 6, 6; 128, 64, 32, 3 channels).

    The linear map ``expand`` and the first transposed convolution ``deconv1``, whose input is one pixel, have nothing
    between them: together they are one linear map. Folded, V has that map, ``opening``, in their place: a thirtieth
    of the weights. V is trained unfolded, where steps go another way; a bundle has it folded.

    Args:
        latent_size: number of latents, N_z in the paper.
        folded: whether to have ``opening``.
    """

    def __init__(self, latent_size: int = 32, *, folded: bool = False) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.folded = folded
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
        channels, side, _ = FIRST_PICTURE
        if folded:
            self.opening = nn.Linear(latent_size, channels * side**2)  # outputs by channel, row and column
        else:
            self.expand = nn.Linear(latent_size, 1024)
            self.deconv1 = nn.ConvTranspose2d(1024, channels, side, stride=2)
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
        if self.folded:
            opened: Tensor = self.decoder(self.opening(z).unflatten(1, FIRST_PICTURE))
            return opened
        hidden = self.expand(z)  # (B, 1024)
        if hidden.requires_grad and hidden.device.type == "cpu":
            return doubling.decode_logits(self.deconv1, self.decoder, hidden)
        # A transposed convolution over a 1x1 input is a matrix product; as one it is ten times as fast on a CPU.
        weight = self.deconv1.weight.flatten(1)  # (1024, 128*5*5)
        bias = self.deconv1.bias
        assert bias is not None
        hidden = (hidden @ weight).unflatten(1, FIRST_PICTURE) + bias[:, None, None]
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


@torch.no_grad()
def fold(vision: VAE) -> VAE:
    """V folded, without gradients.

    Its other weights are the same tensors. V itself where it is folded already.
    """
    if vision.folded:
        return vision
    first, bias = vision.deconv1.weight.double().flatten(1), vision.deconv1.bias
    assert bias is not None
    opening = {
        "opening.weight": first.T @ vision.expand.weight.double(),
        "opening.bias": first.T @ vision.expand.bias.double() + bias.double().repeat_interleave(FIRST_PICTURE[1] ** 2),
    }
    others = {key: value for key, value in vision.state_dict().items() if key.split(".")[0] not in _UNFOLDED}
    with torch.device("meta"):
        folded = VAE(vision.latent_size, folded=True)
    folded.load_state_dict(others | {key: value.to(bias.dtype) for key, value in opening.items()}, assign=True)
    return folded.eval().requires_grad_(False)


def load_vision(path: Path, latent_size: int) -> VAE:
    """V from a file of weights.

    Of its training, or of a bundle, where it is folded.

    Raises:
        BundleNotFoundError: there is no such file.
        BundleError: the file cannot be read, its keys or shapes are not V's, or a number is not finite.
    """
    vision = VAE(latent_size, folded="opening.weight" in read_tensors(path))
    load_weights(vision, path)
    return vision


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
    error_power_weight: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The paper's loss: squared error summed over pixels plus KL divergence.

    The KL divergence of a frame counts for at least ``free_nats`` times the number of latents.

    A squared error hardly counts a thing of a few pixels, however bright. With ``error_power_weight`` w, a pixel's
    error e counts e^2 + w e^4, so that a pixel that is badly wrong counts many times.

    Returns:
        loss, squared error and KL divergence (nats, before its lower limit), each a mean over the batch (scalar).
    """
    squared_error = F.mse_loss(reconstruction, images, reduction="sum") / len(images)
    kl_each = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)  # (B,)
    floored = torch.clamp_min(kl_each, free_nats * mean.shape[1]).mean()
    error = squared_error
    if error_power_weight:
        error = error + error_power_weight * (reconstruction - images).pow(4).sum() / len(images)
    return reconstruction_weight * error + floored, squared_error, kl_each.mean()
