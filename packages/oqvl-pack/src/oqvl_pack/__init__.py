"""Provably tight sequence packing for multimodal training: numba kernels, packed shards, no torch."""
