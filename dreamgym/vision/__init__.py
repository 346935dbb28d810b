"""V: compressing frames into latents."""
