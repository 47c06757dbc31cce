"""Judges of the scorer `mlm`: vision-language models that answer prompts about a picture, and those prompts."""
