"""Open-Qwen2VL as a transformers model.

    pixel_values [N, 3, H, W] -> vision tower -> average pool -> Linear, GELU, Linear -> visual tokens [N, V, D]
    input_ids [B, T] -> embedding, with the visual tokens in place of the image placeholders -> decoder -> logits

There are two ways to call it:

- Ordinary: a padded batch with `attention_mask`, or `generate`, as with any transformers model.
- Packed: one row of documents with `cu_seqlens`. Attention stays inside each document (see `attention.py`).

Shape suffixes: B rows, T tokens per row, D width of the decoder, N images, V visual tokens per image, X visual tokens
of all images, P features of the tower's map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast

from oqvl_model.attention import DOCUMENT_ATTENTION, NO_MASK_SHAPE
from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.decoder import build_decoder
from oqvl_model.projector import AveragePool, Projector
from oqvl_model.vision import build_tower
from oqvl_shards.errors import DataError, UsageError


@dataclass
class OqvlOutput(CausalLMOutputWithPast):
    """Output of `OqvlForConditionalGeneration`.

    Args:
        loss: Mean cross entropy over the targets, if `labels` were given.
        logits: [B, kept positions, vocabulary].
        past_key_values: The cache, if one is used.
    """


class OqvlForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A vision tower, a projector and a decoder.

    The tower is frozen. Call `model.vision.requires_grad_()` to train it. transformers collects from the parts which
    parameters are tied, and which modules stay on one device.

    Args:
        config: The model's configuration.
    """

    config: OqvlConfig  # pyrefly: ignore[bad-override-mutable-attribute]
    config_class = OqvlConfig
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
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
        self.text = build_decoder(config.text_config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        # The pooling matrix is not a saved weight. Loading leaves unsaved buffers undefined, so it is rebuilt here.
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
        return self.text.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the decoder's head."""
        self.text.set_output_embeddings(new_embeddings)

    def set_visual_tokens(self, num_tokens: int) -> None:
        """Change the number of visual tokens per image. No weight changes.

        Raises:
            ConfigError: If `num_tokens` is not a square number, or exceeds the number of features of the tower's map.
        """
        pool = AveragePool(self.config.grid_size, num_tokens)
        self.projector.pool = pool.to(self.projector.linear_1.weight.device)
        self.config.visual_tokens_per_image = num_tokens

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Return the visual tokens [N, V, D] of normalised pixels [N, 3, H, W]."""
        return self.project(self.encode_images(pixel_values))

    def project(self, vision_features: Tensor, image_tokens: Sequence[int] | None = None) -> Tensor:
        """Return the visual tokens of the tower's features [N, P, tower width].

        Args:
            vision_features: [N, P, tower width].
            image_tokens: Number of visual tokens of each image, square numbers. None means the model's own number for
                all.

        Returns:
            [N, V, D], or [X, D] if `image_tokens` is given.

        Raises:
            UsageError: If images and `image_tokens` differ in number.
            ConfigError: If the map cannot be pooled to one of the numbers.
        """
        if image_tokens is not None and len(image_tokens) != vision_features.shape[0]:
            raise UsageError(
                f"image_tokens has {len(image_tokens)} numbers, but there are {vision_features.shape[0]} images",
                hint="pass one number of visual tokens per image",
            )
        return self.projector(vision_features.to(self.projector.linear_1.weight.dtype), image_tokens)

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Return the tower's features [N, P, tower width] of normalised pixels [N, 3, H, W].

        A frozen tower builds no autograd graph.
        """
        is_frozen = not any(parameter.requires_grad for parameter in self.vision.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_frozen):
            if pixel_values.shape[0]:
                return self.vision(pixel_values)
            if is_frozen:
                return pixel_values.new_empty(0, self.config.grid_size**2, self.config.vision_config.hidden_size)
            # Run one dummy image and drop its features. The tower's gradients are then zero instead of missing.
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
        image_tokens: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> OqvlOutput:
        """Run the model on an ordinary batch, or on packs.

        1. Encode the images with the vision tower, unless `vision_features` has their features already.
        2. Embed the tokens, and put the projected features in place of the image placeholders.
        3. For packs, check the arguments, and pass the document boundaries to the attention in place of a mask.
        4. Run the decoder.

        Args:
            input_ids: int64 [B, T]. Every visual token is a placeholder `config.image_token_id`.
            pixel_values: [N, 3, H, W], the images in the order of their placeholders. With N = 0 the projector is still
                part of the graph, so every process of a training run reduces the same parameters.
            attention_mask: [B, T], 0 at padding. Must be None with `cu_seqlens`.
            position_ids: int64 [B, T]. In a pack, the positions restart at 0 with every document.
            past_key_values: A cache. Must be None with `cu_seqlens`.
            inputs_embeds: [B, T, D], used in place of `input_ids`. No visual tokens are inserted then.
            labels: int64 [B, T], -100 where no loss is wanted. They are shifted inside the decoder.
            use_cache: Whether to return a cache.
            logits_to_keep: Number of final positions to compute logits for, or the indices of positions. 0 keeps all.
            cu_seqlens: int32 [documents + 1]. If given, the batch is one row (B = 1) of packed documents.
            max_seqlen: Tokens of the longest document. Required with `cu_seqlens`.
            vision_features: [N, P, tower width] as returned by `encode_images`, used in place of `pixel_values`.
            image_tokens: [N], number of visual tokens of each image: square numbers, at most the features of the
                tower's map. None means `config.visual_tokens_per_image` for all.
            **kwargs: Passed to the decoder.

        Raises:
            UsageError: If `cu_seqlens` comes with a mask, a cache or more than one row.
            DataError: If the placeholders and the visual tokens of an ordinary batch differ in number. Packs are not
                counted here; code that makes packs checks them.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise UsageError("forward got neither input_ids nor inputs_embeds", hint="pass one of the two")
            if vision_features is None and pixel_values is not None:
                vision_features = self.encode_images(pixel_values)
            inputs_embeds = self._embed(input_ids, vision_features, image_tokens, is_checked=cu_seqlens is not None)
        mask: Any = attention_mask
        if cu_seqlens is not None:
            self._check_packed(inputs_embeds, attention_mask, position_ids, past_key_values, use_cache)
            mask = torch.empty(NO_MASK_SHAPE, dtype=torch.bool, device=inputs_embeds.device)
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

    def _embed(
        self,
        input_ids: Tensor,
        vision_features: Tensor | None,
        image_tokens: Sequence[int] | None,
        *,
        is_checked: bool,
    ) -> Tensor:
        """Embed the tokens, and put the images' visual tokens in place of their placeholders.

        A decoder that scales its embeddings (Gemma: by the square root of its width) does so in the embedding module.
        Text is therefore scaled here, and visual tokens are not: they reach the first layer as the projector gives
        them.

        Args:
            input_ids: int64 [B, T].
            vision_features: [N, P, tower width], or None if there are no images.
            image_tokens: [N], number of visual tokens of each image. None means the model's own number for all.
            is_checked: Whether the caller has made sure that placeholders and visual tokens are equal in number.

        Returns:
            The embeddings [B, T, D].

        Raises:
            DataError: If placeholders and visual tokens differ in number.
        """
        embeds_BTD = self.get_input_embeddings()(input_ids)
        if vision_features is None:
            return embeds_BTD
        images_XD = self.project(vision_features, image_tokens).flatten(0, -2)
        is_image_BT = input_ids == self.config.image_token_id
        # Counting makes the CPU wait for the device, which a training step must avoid. Packs are checked when collated.
        if not is_checked and int(is_image_BT.sum()) != images_XD.shape[0]:
            num_images, per_image = vision_features.shape[0], image_tokens or self.config.visual_tokens_per_image
            raise DataError(
                f"input_ids has {int(is_image_BT.sum())} image placeholders, expected {num_images} images x "
                f"{per_image} visual tokens",
                hint="the processor and the model must be set to the same number of visual tokens per image",
            )
        return embeds_BTD.masked_scatter(is_image_BT.unsqueeze(-1), images_XD.to(embeds_BTD.dtype))

    def _check_packed(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        past_key_values: Any,
        use_cache: bool | None,
    ) -> None:
        """Raise `UsageError` for arguments that do not go with packs, or would let documents see each other."""
        implementation = self.config.text_config._attn_implementation
        problems = {
            "an attention_mask": attention_mask is not None,
            "past_key_values": past_key_values is not None,
            "use_cache=True": bool(use_cache),
            "no position_ids": position_ids is None,
            f"{inputs_embeds.shape[0]} rows": inputs_embeds.shape[0] != 1,
            f"attention implementation {implementation!r}": implementation != DOCUMENT_ATTENTION,
        }
        for problem, is_present in problems.items():
            if is_present:
                raise UsageError(
                    f"a packed forward pass (with cu_seqlens) got {problem}",
                    hint="packs need one row, position_ids that restart with every document, no mask, no cache, "
                    f"and the attention implementation {DOCUMENT_ATTENTION!r}",
                )
