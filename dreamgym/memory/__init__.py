"""M: predicting the next latent."""
