"""The dream: the batched core, and the environments and pictures made of it."""
