"""The Open-Qwen2VL architecture as a transformers model: vision tower, average-pool projector, Qwen2 decoder, packed forward."""
