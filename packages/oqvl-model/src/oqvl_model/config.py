"""The configurations of the commands `init`, `convert`, `show` and `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from oqvl_shards.config import Paths, StageConfig

TemplateName = Literal["chatml", "open-qwen2vl"]
"""Name of a chat template; see `chat_template.py`."""

_Rgb = tuple[float, float, float]


class VisionInit(StageConfig):
    """Where the vision tower comes from."""

    kind: Literal["siglip", "timm"] = Field(
        default="siglip", description="siglip, or timm for a stage of a timm network; a directory says its own kind"
    )
    directory: Path | None = Field(
        default=None,
        description="model directory (SigLIP, SigLIP2 of fixed resolution, CLIP, DINOv2) to take sizes and weights "
        "from; unset: a SigLIP with fresh weights",
    )
    image_size: int = Field(default=384, gt=0, description="side of the square input image in pixels")
    hidden_size: int = Field(default=1152, gt=0, description="siglip without directory: width")
    intermediate_size: int = Field(default=4304, gt=0, description="siglip without directory: width of the MLP")
    num_layers: int = Field(
        default=27, gt=0, description="siglip without directory: number of blocks of the whole encoder"
    )
    num_attention_heads: int = Field(
        default=16, gt=0, description="siglip without directory: number of attention heads"
    )
    patch_size: int = Field(default=14, gt=0, description="siglip without directory: side of a patch in pixels")
    trim_blocks: int = Field(default=1, ge=0, description="transformers: number of final blocks to leave out")
    hidden_act: Literal["gelu", "gelu_pytorch_tanh"] = Field(
        default="gelu", description="siglip: activation function; the original weights were trained with the exact gelu"
    )
    architecture: str = Field(default="tf_efficientnet_lite0", description="timm: name of the network")
    weights: Path | None = Field(
        default=None,
        description="timm: file with the network's state dict (.pth or .safetensors); unset: fresh weights",
    )
    feature_stride: int = Field(default=16, gt=0, description="timm: input pixels per feature along one axis")
    image_mean: _Rgb = Field(default=(0.5, 0.5, 0.5), description="timm: mean of RGB values in [0, 1]")
    image_std: _Rgb = Field(default=(0.5, 0.5, 0.5), description="timm: standard deviation of RGB values in [0, 1]")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.kind == "timm" and self.directory is not None:
            raise ValueError("kind=timm takes a network's state dict from weights, but directory is set: unset it")
        if self.kind == "siglip" and self.directory is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not a multiple of num_attention_heads={self.num_attention_heads}"
            )
        return self


class TextInit(StageConfig):
    """Where the decoder comes from."""

    directory: Path | None = Field(
        default=None,
        description="model directory of a decoder (Qwen2, Qwen3, Llama, SmolLM3, Gemma, Mistral) to take sizes and "
        "weights from; unset: a Qwen2 with fresh weights",
    )
    hidden_size: int = Field(default=1536, gt=0, description="without directory: width")
    intermediate_size: int = Field(default=8960, gt=0, description="without directory: width of the MLP")
    num_layers: int = Field(default=28, gt=0, description="without directory: number of decoder layers")
    num_attention_heads: int = Field(default=12, gt=0, description="without directory: number of query heads")
    num_key_value_heads: int = Field(
        default=2, gt=0, description="without directory: number of key heads, and of value heads"
    )
    max_position_embeddings: int = Field(
        default=32768, gt=0, description="without directory: longest document in tokens"
    )
    rope_theta: float = Field(default=1e6, gt=0, description="without directory: base of the rotary embedding")
    tie_embeddings: bool = Field(
        default=True, description="without directory: whether the head shares the embedding's weights"
    )
    vocab_multiple: int = Field(
        default=64, gt=0, description="the number of embedding rows, in tokens, is rounded up to a multiple of this"
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.directory is not None:
            return self
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads={self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads={self.num_key_value_heads}: every key head must serve equally many query heads"
            )
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size={self.hidden_size} is not a multiple of {2 * self.num_attention_heads}: each of the "
                f"{self.num_attention_heads} attention heads needs an even width for the rotary embedding"
            )
        return self


class InitConfig(StageConfig):
    """Configuration of `oqvl-model init`."""

    output: Path = Field(description="model directory to write", json_schema_extra={"lineage": False})
    name: str = Field(default="model", min_length=1, description="name of the model, for people to read")
    tokenizer: Path = Field(
        description="tokenizer.json; missing special tokens are added, and without any it is copied byte for byte"
    )
    vision: VisionInit = Field(default_factory=VisionInit, description="the vision tower")
    text: TextInit = Field(default_factory=TextInit, description="the decoder")
    visual_tokens_per_image: int = Field(default=144, gt=0, description="visual tokens per image, a square number")
    projector_hidden_size: int | None = Field(
        default=None, gt=0, description="width between the projector's two layers; unset: the decoder's width"
    )
    image_token: str = Field(default="<image>", description="special token that stands in for every visual token")
    end_token: str = Field(default="<|im_end|>", description="special token that ends a caption or a turn")
    pad_token: str = Field(default="<|pad|>", description="special token that pads a batch")
    bos_token: str = Field(default="<s>", description="special token that begins a document; empty: none")
    start_token: str = Field(default="<|im_start|>", description="special token that begins a chat turn")
    system_prompt: str = Field(
        default="You are a helpful assistant.",
        description="text of the system turn; empty: no system turn",
        json_schema_extra={"prose": True},
    )
    chat_template: TemplateName = Field(
        default="chatml",
        description="chatml, or open-qwen2vl for the template of the released weights",
        json_schema_extra={"lineage": False},
    )
    projector_init: Literal["normal", "linear"] = Field(
        default="normal",
        description="fresh weights of the projector; normal: standard deviation of 0.02 and biases of 0; linear: "
        "torch's default of nn.Linear, uniform weights and biases, as in Open-Qwen2VL",
        json_schema_extra={"lineage": False},
    )
    seed: int = Field(default=7, ge=0, description="seed of fresh weights")


class ConvertConfig(StageConfig):
    """Configuration of `oqvl-model convert`."""

    source: Path = Field(description="directory of the model to convert")
    output: Path = Field(description="model directory to write", json_schema_extra={"lineage": False})
    name: str = Field(default="model", min_length=1, description="name of the model, for people to read")
    layout: Literal["auto", "open-qwen2vl", "llava", "llava-qwen", "trainer"] = Field(
        default="auto",
        description="layout of the source; open-qwen2vl: config.json and checkpoints/latest-checkpoint.pt, also of "
        "other Prismatic VLMs; llava: LlavaForConditionalGeneration of transformers; llava-qwen: LlavaQwenForCausalLM "
        "of LLaVA's code; trainer: a checkpoint step-... of oqvl-train; auto: the one that the files show",
    )
    text_directory: Path | None = Field(
        default=None,
        description="directory with config.json and tokenizer.json of the decoder (Qwen2.5-1.5B-Instruct for the "
        "released weights); unset: the source's own; its weights are not read",
    )
    vision_directory: Path | None = Field(
        default=None,
        description="directory with SigLIP's weights, of timm or transformers, if the source has no tower",
    )
    base: Path | None = Field(
        default=None,
        description="trainer: model directory that the run started from, for the frozen parts and the processor",
    )
    image_size: int | None = Field(
        default=None, gt=0, description="side of the square input image in pixels; unset: what the source states"
    )
    num_heads: int | None = Field(
        default=None, gt=0, description="attention heads of the tower; unset: what the source states"
    )
    visual_tokens_per_image: int | None = Field(
        default=None, gt=0, description="visual tokens per image, a square number; unset: what the source states"
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="dtype of the written weights; float32 keeps every source exactly"
    )
    chat_template: Literal["auto", "chatml", "open-qwen2vl"] = Field(
        default="auto",
        description="template of chat prompts; auto: open-qwen2vl for that layout, chatml for the others",
    )


class ShowConfig(StageConfig):
    """Configuration of `oqvl-model show`."""

    checkpoint: Path = Field(description="model directory")
    document_tokens: int = Field(
        default=172,
        gt=0,
        description="length in tokens, visual tokens included, of the document that operations are counted for",
    )


class GenerateConfig(StageConfig):
    """Configuration of `oqvl-model generate`."""

    checkpoint: Path = Field(description="model directory")
    images: Paths = Field(default=(), description="image files (jpg, png, webp), in the order of their <image> marks")
    prompt: str = Field(
        default="<image>\n",
        description="text of the prompt; each <image> mark stands for one image",
        json_schema_extra={"prose": True},
    )
    chat: bool = Field(default=False, description="whether the prompt is a user turn of a chat")
    max_new_tokens: int = Field(default=64, gt=0, description="maximum length of the answer in tokens")
    visual_tokens_per_image: int | None = Field(
        default=None, gt=0, description="visual tokens per image; unset: the checkpoint's number"
    )
    device: str = Field(
        default="auto",
        description="cpu, cuda, or auto for CUDA if it is available",
        json_schema_extra={"lineage": False},
    )

    @model_validator(mode="after")
    def _marks_match_images(self) -> Self:
        num_marks = self.prompt.count("<image>")
        if num_marks != len(self.images):
            raise ValueError(f"prompt has {num_marks} <image> marks, but images has {len(self.images)} files")
        return self
