"""A small FSDP2 trainer for packed multimodal sequences with exact resume."""
