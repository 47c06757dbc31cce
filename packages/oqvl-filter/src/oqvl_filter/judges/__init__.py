"""Vision language models that answer a prompt about a picture, and the prompts they are asked."""
