from __future__ import annotations

import dataclasses
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint as checkpoint_function

from oqvl_model.feature_cache import FeatureCache
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_model.trainee import PackedTrainee
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.packed.record import IGNORE_INDEX, Pack

DOCUMENTS = [[None, "\na red apple"], ["a blue car"], [None, "\nwhat is this?", None, "a green tree"], ["x"]]


def gradients(trainee, packs):
    trainee.model.zero_grad(set_to_none=True)
    loss, count = trainee.loss(trainee.model, trainee.collate(packs))
    loss.backward()
    named = trainee.model.named_parameters()
    return loss.detach(), count, {name: p.grad.clone() for name, p in named if p.requires_grad}


def relative_error(found, expected):
    return max(
        (found[name] - expected[name]).norm() / expected[name].norm().clamp(min=1e-12) for name in expected
    ).item()


def split_documents(pack):
    """Each document of a pack as a pack of its own."""
    record, bounds = pack.record, np.cumsum([0, *pack.record.document_lengths])
    for index, (start, end) in enumerate(itertools.pairwise(bounds)):
        inside = (record.image_positions >= start) & (record.image_positions < end)
        part = dataclasses.replace(
            record,
            input_ids=record.input_ids[start:end],
            is_target=record.is_target[start:end],
            document_lengths=record.document_lengths[index : index + 1],
            image_positions=record.image_positions[inside] - start,
            image_tokens=record.image_tokens[inside],
            document_keys=record.document_keys[index : index + 1],
            image_types=("png",) * int(inside.sum()),
        )
        yield Pack(index, part, tuple(np.array(pack.images, object)[inside]))


@pytest.fixture
def trainee(checkpoint, packed):
    return PackedTrainee(checkpoint, packed)


def test_packed_loss_and_gradients_equal_those_of_single_documents(trainee, make_pack):
    pack = make_pack(DOCUMENTS)
    loss, count, packed_gradients = gradients(trainee, [pack])
    singles = [gradients(trainee, [document]) for document in split_documents(pack)]
    assert count == sum(single[1] for single in singles)
    torch.testing.assert_close(loss, sum(single[0] for single in singles), rtol=1e-6, atol=0)
    summed = {name: sum(single[2][name] for single in singles) for name in packed_gradients}
    assert relative_error(packed_gradients, summed) <= 5e-6


def test_the_loss_is_that_of_transformers_on_each_document(trainee, make_pack):
    pack = make_pack(DOCUMENTS)
    loss, count = trainee.loss(trainee.model, trainee.collate([pack]))
    expected, num_targets = 0.0, 0
    for document in split_documents(pack):
        sequence, pixels = document.record.expand(), trainee.collate([document]).pixel_values
        labels = torch.from_numpy(sequence.labels)[None]
        document_targets = int((labels != IGNORE_INDEX).sum())
        output = trainee.model(input_ids=torch.from_numpy(sequence.input_ids)[None], pixel_values=pixels, labels=labels)
        expected += output.loss.item() * document_targets
        num_targets += document_targets
    assert count == num_targets
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_packed_logits_equal_an_ordinary_forward_of_each_document(trainee, make_pack):
    pack = make_pack(DOCUMENTS)
    batch = trainee.collate([pack])
    model = trainee.model.eval()
    with torch.no_grad():
        packed_logits = model(
            input_ids=batch.input_ids,
            pixel_values=batch.pixel_values,
            position_ids=batch.position_ids,
            cu_seqlens=batch.cu_seqlens,
            max_seqlen=batch.max_seqlen,
        ).logits[0]
        parts = packed_logits.split(batch.document_lengths)
        for part, document in zip(parts, split_documents(pack), strict=True):
            single = trainee.collate([document])
            pixels = single.pixel_values if len(single.pixel_values) else None
            expected = model(input_ids=single.input_ids, pixel_values=pixels).logits[0]
            assert (part - expected).norm() / expected.norm() <= 1e-6


def test_a_change_in_one_document_leaves_the_others_bit_identical(trainee, make_pack):
    def logits(documents, seed):
        batch = trainee.collate([make_pack(documents, seed=seed)])
        with torch.no_grad():
            out = trainee.model(
                input_ids=batch.input_ids,
                pixel_values=batch.pixel_values,
                position_ids=batch.position_ids,
                cu_seqlens=batch.cu_seqlens,
                max_seqlen=batch.max_seqlen,
            ).logits[0]
        return out.split(batch.document_lengths)

    first = logits([[None, "\na red apple"], ["a blue car"], ["a green tree"]], seed=0)
    second = logits([[None, "\na red table"], ["a blue car"], ["a green tree"]], seed=9)
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(first[2], second[2])


def test_several_packs_are_one_row_with_the_sum_of_their_losses(trainee, make_pack):
    packs = [make_pack(DOCUMENTS[:2]), make_pack(DOCUMENTS[2:], seed=5, pack_id=1)]
    loss, count, joined = gradients(trainee, packs)
    singles = [gradients(trainee, [pack]) for pack in packs]
    assert count == sum(single[1] for single in singles)
    torch.testing.assert_close(loss, sum(single[0] for single in singles), rtol=1e-6, atol=0)
    assert relative_error(joined, {name: sum(single[2][name] for single in singles) for name in joined}) <= 5e-6


def test_cached_features_are_those_of_the_tower_whatever_the_micro_batch(checkpoint, packed, make_pack):
    packs = [make_pack(DOCUMENTS[:2]), make_pack(DOCUMENTS[2:], seed=5, pack_id=1), make_pack([["x"]], pack_id=2)]
    cached = PackedTrainee(checkpoint, packed, feature_cache_mib=1)
    first = gradients(cached, packs)
    assert cached.collate(packs).pixel_values.shape[0] == 0
    later = gradients(cached, packs)
    assert torch.equal(first[0], later[0])
    assert all(torch.equal(first[2][name], later[2][name]) for name in first[2])

    resumed = PackedTrainee(checkpoint, packed, feature_cache_mib=1)
    gradients(resumed, packs[:1])
    assert torch.equal(gradients(resumed, packs)[0], first[0])
    uncached = gradients(PackedTrainee(checkpoint, packed), packs)
    torch.testing.assert_close(first[0], uncached[0], rtol=1e-6, atol=0)
    assert relative_error(first[2], uncached[2]) <= 5e-6


def test_a_full_cache_computes_anew(checkpoint, packed, make_pack):
    trainee = PackedTrainee(checkpoint, packed, feature_cache_mib=1)
    trainee._feature_cache = FeatureCache(1)
    packs = [make_pack(DOCUMENTS)]
    first = gradients(trainee, packs)
    assert trainee.collate(packs).pixel_values.shape[0] > 0
    assert torch.equal(gradients(trainee, packs)[0], first[0])


def test_a_tower_that_trains_is_not_cached(checkpoint, packed):
    with pytest.raises(ConfigError, match="feature_cache_mib is 1, but trainable includes vision"):
        PackedTrainee(checkpoint, packed, trainable=("vision",), feature_cache_mib=1)


def test_the_image_matters(trainee, make_pack):
    losses = [gradients(trainee, [make_pack([[None, "\na red apple"]], seed=seed)])[0] for seed in (0, 50)]
    assert abs(losses[0] - losses[1]) > 1e-3


def test_a_batch_without_images_gives_the_projector_a_gradient_of_zero(trainee, make_pack):
    _, _, found = gradients(trainee, [make_pack([["a blue car"]])])
    projector = {name: gradient for name, gradient in found.items() if name.startswith("projector.")}
    assert len(projector) == 4
    assert all(not gradient.any() for gradient in projector.values())


def test_a_batch_without_targets_has_a_loss_of_zero_and_gradients_of_zero(trainee, make_pack):
    pack = make_pack([[None, "\na red apple"]])
    silent = dataclasses.replace(pack.record, is_target=np.zeros_like(pack.record.is_target))
    loss, count, found = gradients(trainee, [dataclasses.replace(pack, record=silent)])
    assert (loss, count) == (0, 0)
    assert loss.dtype == torch.float32
    assert count.dtype == torch.int64
    assert all(not gradient.any() for gradient in found.values())


def test_only_the_trainable_parts_train_and_the_tower_is_never_touched(checkpoint, packed, make_pack):
    trainee = PackedTrainee(checkpoint, packed, trainable=("projector",))
    trainee.model.train()
    _, _, found = gradients(trainee, [make_pack(DOCUMENTS)])
    assert {name.split(".")[0] for name in found} == {"projector"}
    assert not trainee.model.vision.training
    assert trainee.replicated_modules(trainee.model) == [trainee.model.vision]
    assert trainee.shard_units(trainee.model) == list(trainee.model.text.model.layers)


def test_a_single_part_may_train(checkpoint, packed):
    assert PackedTrainee(checkpoint, packed, trainable="text").trainable == ("text",)


def test_a_trainable_tower_gets_gradients(checkpoint, packed, make_pack):
    trainee = PackedTrainee(checkpoint, packed, trainable=("vision", "projector", "text"))
    _, _, found = gradients(trainee, [make_pack(DOCUMENTS)])
    # A bias of the keys shifts all scores alike, so its gradient is zero.
    tower = {
        name: gradient for name, gradient in found.items() if name.startswith("vision.") and "k_proj.bias" not in name
    }
    assert tower
    assert all(gradient.any() for gradient in tower.values())
    _, _, found = gradients(trainee, [make_pack([["a blue car"]])])
    assert all(not gradient.any() for name, gradient in found.items() if name.startswith("vision."))
    assert trainee.replicated_modules(trainee.model) == []


def test_layers_that_are_recomputed_have_the_same_gradients(trainee, make_pack):
    pack = make_pack(DOCUMENTS)
    expected = gradients(trainee, [pack])[2]
    for unit in trainee.shard_units(trainee.model):
        unit.forward = partial(checkpoint_function, unit.forward, use_reentrant=False)
    assert relative_error(gradients(trainee, [pack])[2], expected) == 0


def test_the_data_sets_the_number_of_visual_tokens(checkpoint, packed):
    trainee = PackedTrainee(checkpoint, packed.model_copy(update={"visual_tokens_per_image": 16}))
    assert trainee.model.config.visual_tokens_per_image == 16


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tokenizer_sha256", "0" * 64, "tokenizer"),
        ("image_token_id", 9, "image_token_id"),
        ("vocab_size", 10_000, "vocab_size"),
        ("bin_capacity", 4096, "longest document"),
        ("visual_tokens_per_image", 5, "square"),
    ],
)
def test_data_of_another_model_is_refused(checkpoint, packed, field, value, message):
    with pytest.raises(ConfigError, match=message):
        PackedTrainee(checkpoint, packed.model_copy(update={field: value}))


def test_an_unknown_part_is_refused(checkpoint, packed):
    with pytest.raises(ConfigError, match="trainable"):
        PackedTrainee(checkpoint, packed, trainable=("head",))


def test_a_pack_that_does_not_fit_is_refused(trainee, make_pack):
    pack = make_pack([[None, "\na red apple"]])
    wrong_tokens = dataclasses.replace(pack.record, image_tokens=np.array([9], np.int32))
    no_images = dataclasses.replace(pack, images=())
    broken = dataclasses.replace(pack, images=(b"no picture",))
    unknown_id = dataclasses.replace(pack.record, input_ids=np.append(pack.record.input_ids[:-1], np.int32(5000)))
    stray = dataclasses.replace(
        pack.record, image_positions=np.array([2], np.int32)
    )  # the placeholder itself is elsewhere
    for bad, message in [
        (dataclasses.replace(pack, record=wrong_tokens), "visual tokens"),
        (no_images, "differ in number"),
        (broken, "image 0"),
        (dataclasses.replace(pack, record=unknown_id), "vocabulary"),
        (dataclasses.replace(pack, record=stray), "image token"),
    ]:
        with pytest.raises(DataError, match=message):
            trainee.collate([bad])


def test_a_saved_model_is_the_trained_one(trainee, make_pack, tmp_path):
    gradients(trainee, [make_pack(DOCUMENTS)])
    with torch.no_grad():
        for parameter in trainee.model.parameters():
            if parameter.requires_grad:
                parameter -= 0.1 * parameter.grad
    trainee.save(tmp_path / "trained", trainee.model.state_dict())
    loaded = OqvlForConditionalGeneration.from_pretrained(tmp_path / "trained")
    expected = trainee.model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    assert loaded.text.lm_head.weight is loaded.text.model.embed_tokens.weight
    assert loaded.config.visual_tokens_per_image == 4
    assert OqvlProcessor.from_pretrained(tmp_path / "trained").tokenizer_json == trainee.processor.tokenizer_json


def test_a_batch_moves_as_a_whole(trainee, make_pack):
    batch = trainee.collate([make_pack(DOCUMENTS)]).to("meta")
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6
    assert all(tensor.device.type == "meta" for tensor in tensors)
