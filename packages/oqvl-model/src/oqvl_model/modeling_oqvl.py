"""Open-Qwen2VL as a transformers model.

    pixel_values [N, 3, H, W] -> vision tower -> average pool -> Linear, GELU, Linear -> [N, V, width]
    input_ids [B, T] -> embedding, its image placeholders replaced by the above in order -> Qwen2 -> logits

Two ways to call it. Ordinary: a padded batch with `attention_mask`, or `generate`, as for any transformers model.
Packed: one row of documents with `cu_seqlens`, where attention stays inside documents (see `attention.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel, Qwen2ForCausalLM
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast

from oqvl_model.attention import DOCUMENT_ATTENTION
from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.projector import AveragePool, Projector
from oqvl_model.vision import build_tower
from oqvl_shards.errors import DataError, UsageError


@dataclass
class OqvlOutput(CausalLMOutputWithPast):
    """Output of `OqvlForConditionalGeneration`.

    Args:
        loss: Mean cross entropy over targets when `labels` are given.
        logits: [B, kept positions, vocabulary].
        past_key_values: The cache, when one is used.
    """


class OqvlForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A vision tower, a projector and a Qwen2 decoder; the tower is frozen until somebody thaws it."""

    config: OqvlConfig  # pyrefly: ignore[bad-override-mutable-attribute]
    config_class = OqvlConfig
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _tied_weights_keys = {"text.lm_head.weight": "text.model.embed_tokens.weight"}  # noqa: RUF012
    _no_split_modules = ["Qwen2DecoderLayer", "SiglipEncoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(self, config: OqvlConfig) -> None:
        super().__init__(config)
        if config.text_config._attn_implementation in (None, "sdpa"):
            config.text_config._attn_implementation = DOCUMENT_ATTENTION
        self.vision = build_tower(config).requires_grad_(False)
        self.projector = Projector(config)
        self.text = Qwen2ForCausalLM(config.text_config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        # The pooling matrix is no weight: it is rebuilt after loading, which leaves unsaved buffers undefined.
        if isinstance(module, AveragePool) and module.matrix_VP is not None:
            init.copy_(module.matrix_VP, module.make_matrix())

    def get_input_embeddings(self) -> nn.Module:
        """Return the decoder's token embedding."""
        return self.text.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's token embedding."""
        self.text.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the decoder's head."""
        return self.text.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the decoder's head."""
        self.text.set_output_embeddings(new_embeddings)

    def set_visual_tokens(self, num_tokens: int) -> None:
        """Change the number of visual tokens an image becomes; no weight changes.

        Raises:
            ConfigError: When it is no square number, or more than the tower's map has features.
        """
        pool = AveragePool(self.config.grid_size, num_tokens)
        self.projector.pool = pool.to(self.projector.linear_1.weight.device)
        self.config.visual_tokens_per_image = num_tokens

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Return the embeddings [N, V, width] of normalised pixels [N, 3, H, W]."""
        return self.project(self.encode_images(pixel_values))

    def project(self, vision_features: Tensor) -> Tensor:
        """Return the embeddings [N, V, width] of the tower's features [N, P, D]."""
        return self.projector(vision_features.to(self.projector.linear_1.weight.dtype))

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Return the tower's features [N, P, D] of normalised pixels [N, 3, H, W]; no graph when frozen."""
        is_frozen = not any(parameter.requires_grad for parameter in self.vision.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_frozen):
            if pixel_values.shape[0]:
                return self.vision(pixel_values)
            if is_frozen:
                return pixel_values.new_empty(0, self.config.grid_size**2, self.config.vision_config.hidden_size)
            # A black image whose features are dropped: the tower's parameters get gradients of zero, not none.
            return self.vision(pixel_values.new_zeros(1, *pixel_values.shape[1:]))[:0]

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        cu_seqlens: Tensor | None = None,
        max_seqlen: int | None = None,
        vision_features: Tensor | None = None,
        **kwargs: Any,
    ) -> OqvlOutput:
        """Run the model on an ordinary batch, or on packs.

        Args:
            input_ids: int64 [B, T]; every visual token is a placeholder `config.image_token_id`.
            pixel_values: [N, 3, H, W], the images in the order of their placeholders. With N = 0 the projector is still
                part of the graph, so that every process of a training run reduces the same parameters.
            attention_mask: [B, T], 0 at padding; never with `cu_seqlens`.
            position_ids: int64 [B, T]; restarting with every document of a pack.
            past_key_values: A cache; never with `cu_seqlens`.
            inputs_embeds: [B, T, width] in place of `input_ids`; no image is then put in.
            labels: int64 [B, T], -100 where no loss is wanted; shifted inside.
            use_cache: Whether to return a cache.
            logits_to_keep: The last so many positions, or an index of positions; 0 keeps all.
            cu_seqlens: int32 [documents + 1]: the batch is one row (B = 1) of packed documents.
            max_seqlen: Tokens of the longest document; needed with `cu_seqlens`.
            vision_features: [N, P, D] what `encode_images` returned, in place of `pixel_values`.
            **kwargs: Passed on to the decoder.

        Raises:
            UsageError: When a mask, a cache or several rows come with `cu_seqlens`.
            DataError: When placeholders and visual tokens of an ordinary batch differ in number; who makes packs checks
                them beforehand.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise UsageError("neither input_ids nor inputs_embeds were passed")
            if vision_features is None and pixel_values is not None:
                vision_features = self.encode_images(pixel_values)
            inputs_embeds = self._embed(input_ids, vision_features, is_checked=cu_seqlens is not None)
        mask: Any = attention_mask
        if cu_seqlens is not None:
            self._check_packed(inputs_embeds, attention_mask, position_ids, past_key_values, use_cache)
            # The decoder builds no mask when it gets one per kind of layer, and packs need none.
            mask = dict.fromkeys(self.config.text_config.layer_types)
            use_cache = False
            kwargs |= {"cu_seqlens": cu_seqlens, "max_seqlen": max_seqlen}
        outputs = self.text(
            inputs_embeds=inputs_embeds,
            attention_mask=mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            labels=labels,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )
        return OqvlOutput(**outputs)

    def _embed(self, input_ids: Tensor, vision_features: Tensor | None, *, is_checked: bool) -> Tensor:
        """Embed tokens and put the images' embeddings at their placeholders, [B, T, width]."""
        embeds_BTD = self.get_input_embeddings()(input_ids)
        if vision_features is None:
            return embeds_BTD
        images_NVD = self.project(vision_features)
        is_image_BT = input_ids == self.config.image_token_id
        # Counting waits for the device, which a training step must not do; its batches are checked when they are made.
        if not is_checked and int(is_image_BT.sum()) != images_NVD.shape[0] * images_NVD.shape[1]:
            raise DataError(
                f"input_ids hold {int(is_image_BT.sum())} image placeholders, but {images_NVD.shape[0]} images of "
                f"{images_NVD.shape[1]} visual tokens were passed",
                hint="prepare the images with the number of visual tokens that the model is set to",
            )
        return embeds_BTD.masked_scatter(is_image_BT.unsqueeze(-1), images_NVD.to(embeds_BTD.dtype))

    def _check_packed(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        past_key_values: Any,
        use_cache: bool | None,
    ) -> None:
        implementation = self.config.text_config._attn_implementation
        problems = {
            "an attention_mask": attention_mask is not None,
            "past_key_values": past_key_values is not None,
            "use_cache=True": bool(use_cache),
            "no position_ids": position_ids is None,
            f"{inputs_embeds.shape[0]} rows": inputs_embeds.shape[0] != 1,
            f"attention implementation {implementation!r}": implementation != DOCUMENT_ATTENTION,
        }
        for problem, found in problems.items():
            if found:
                raise UsageError(
                    f"a packed forward (cu_seqlens) was called with {problem}",
                    hint="packs take one row, position_ids that restart with every document, no mask, no cache, "
                    f"and the attention implementation {DOCUMENT_ATTENTION!r}",
                )
