"""Packs equal their documents one by one, whatever the decoder and the tower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_trainee import gradients, relative_error, split_documents
from tiny_parts import DECODERS, TOWERS

from oqvl_model.flops import training_flops
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.trainee import PackedTrainee
from oqvl_shards.errors import DataError

DOCUMENTS = [[None, "\na red apple"], ["a blue car"], [None, "\nwhat is this?", None, "a green tree"], ["x"]]
PAIRS = [(decoder, tower) for decoder in DECODERS for tower in ("siglip", "clip")]
PAIRS += [("qwen2", tower) for tower in TOWERS if tower not in ("siglip", "clip")]


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def trainee(request, make_config, enliven, processor, packed_details, tmp_path_factory):
    decoder, tower = request.param
    config = make_config(text_config=dict(DECODERS[decoder]), vision_config=dict(TOWERS[tower]))
    directory = tmp_path_factory.mktemp("checkpoint")
    enliven(OqvlForConditionalGeneration(config)).save_pretrained(directory)
    processor.save_pretrained(directory)
    return PackedTrainee(directory, packed_details)


def test_packed_loss_and_gradients_equal_those_of_single_documents(trainee, make_pack):
    pack = make_pack(DOCUMENTS)
    loss, _, packed_gradients = gradients(trainee, [pack])
    singles = [gradients(trainee, [document]) for document in split_documents(pack)]
    torch.testing.assert_close(loss, sum(single[0] for single in singles), rtol=2e-6, atol=0)
    summed = {name: sum(single[2][name] for single in singles) for name in packed_gradients}
    assert relative_error(packed_gradients, summed) <= 1e-5


def packed_logits(trainee, pack):
    batch = trainee.collate([pack])
    with torch.no_grad():
        logits = trainee.model(
            input_ids=batch.input_ids,
            **trainee._image_arguments(trainee.model, batch),
            position_ids=batch.position_ids,
            cu_seqlens=batch.cu_seqlens,
            max_seqlen=batch.max_seqlen,
        ).logits[0]
    return logits.split(batch.document_lengths)


def test_logits_of_a_pack_are_those_of_an_ordinary_forward_pass(trainee, make_pack):
    pack = make_pack(DOCUMENTS)
    for found, document in zip(packed_logits(trainee, pack), split_documents(pack), strict=True):
        batch = trainee.collate([document])
        pixels = batch.pixel_values if len(batch.pixel_values) else None
        with torch.no_grad():
            expected = trainee.model(input_ids=batch.input_ids, pixel_values=pixels).logits[0]
        assert (found - expected).norm() / expected.norm() <= 3e-6


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_change_in_one_document_leaves_the_others_bit_identical(trainee, make_pack, changed):
    """A document of other words, and one of another image."""
    documents = [[None, "\na red apple on"], ["a blue car"], [None, "\nwhat is this?"]]
    pack = make_pack(documents)
    before = packed_logits(trainee, pack)
    start = int(pack.record.document_lengths[:changed].sum())
    words = np.array(pack.record.input_ids)
    words[start + 3] += 1
    probes = [replace(pack, record=replace(pack.record, input_ids=words))]
    if changed != 1:
        images = list(pack.images)
        images[changed // 2] = make_pack([[None]], seed=50).images[0]
        probes.append(replace(pack, images=tuple(images)))
    for probe in probes:
        after = packed_logits(trainee, probe)
        same = [torch.equal(left, right) for left, right in zip(before, after, strict=True)]
        assert same == [document != changed for document in range(3)]


def test_a_saved_model_comes_back_to_the_last_bit(trainee, make_pack, tmp_path):
    expected = trainee.model.state_dict()
    # Copies, as gathered from several processes: nothing but its name says that a tied head is the embedding.
    trainee.save(tmp_path, {name: tensor.clone() for name, tensor in expected.items()})
    stored = load_file(tmp_path / "model.safetensors").keys()
    assert expected.keys() - stored == set(trainee.model.all_tied_weights_keys)
    loaded = OqvlForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    for part in ("text_config", "vision_config"):
        found, wanted = (getattr(model.config, part).to_dict() for model in (loaded, trainee.model))
        assert found | {"_name_or_path": ""} == wanted | {"_name_or_path": ""}
    batch = trainee.collate([make_pack(DOCUMENTS[:1])])
    inputs = {"input_ids": batch.input_ids, "pixel_values": batch.pixel_values}
    with torch.no_grad():
        assert torch.equal(loaded.eval()(**inputs).logits, trainee.model.eval()(**inputs).logits)


def with_tokens(pack, image_tokens):
    return replace(pack, record=replace(pack.record, image_tokens=np.array(image_tokens, np.int32)))


@pytest.fixture
def mixed(checkpoint, packed):
    return PackedTrainee(checkpoint, packed.model_copy(update={"visual_tokens_per_image": 0}))


def test_packs_of_different_numbers_of_visual_tokens_equal_their_documents(mixed, make_pack):
    pack = with_tokens(make_pack(DOCUMENTS), [1, 9, 4])
    loss, _, packed_gradients = gradients(mixed, [pack])
    documents = list(split_documents(pack))
    assert [document.record.image_tokens.tolist() for document in documents] == [[1], [], [9, 4], []]
    singles = [gradients(mixed, [document]) for document in documents]
    torch.testing.assert_close(loss, sum(single[0] for single in singles), rtol=1e-6, atol=0)
    summed = {name: sum(single[2][name] for single in singles) for name in packed_gradients}
    assert relative_error(packed_gradients, summed) <= 5e-6
    assert loss != gradients(mixed, [with_tokens(pack, [1, 4, 9])])[0]


def test_an_image_of_its_own_number_is_that_of_a_model_with_that_number(mixed, checkpoint, packed, make_pack):
    for number in (1, 4, 9, 16):
        pack = with_tokens(make_pack(DOCUMENTS), [number] * 3)
        uniform = PackedTrainee(checkpoint, packed.model_copy(update={"visual_tokens_per_image": number}))
        torch.testing.assert_close(gradients(mixed, [pack])[0], gradients(uniform, [pack])[0], rtol=1e-6, atol=0)
    assert mixed.model.config.visual_tokens_per_image == 4


def test_another_image_of_another_number_leaves_other_documents_bit_identical(mixed, make_pack):
    pack = with_tokens(make_pack(DOCUMENTS), [1, 9, 4])
    other = replace(pack, images=(*pack.images[:1], make_pack([[None]], seed=50).images[0], *pack.images[2:]))
    before, after = packed_logits(mixed, pack), packed_logits(mixed, other)
    assert [torch.equal(left, right) for left, right in zip(before, after, strict=True)] == [True, True, False, True]


def test_cached_features_are_pooled_to_the_number_of_each_image(checkpoint, packed, make_pack):
    details = packed.model_copy(update={"visual_tokens_per_image": 0})
    trainee = PackedTrainee(checkpoint, details, feature_cache_mib=1)
    pack = with_tokens(make_pack(DOCUMENTS), [1, 9, 4])
    first, later = gradients(trainee, [pack]), gradients(trainee, [pack])
    assert torch.equal(first[0], later[0])
    assert trainee.collate([pack]).image_tokens == (1, 9, 4)


def test_the_operations_follow_the_number_of_each_image(mixed, make_pack):
    batch = mixed.collate([with_tokens(make_pack(DOCUMENTS), [1, 9, 16])])
    config = mixed.model.config
    flops = training_flops(
        config,
        document_lengths=batch.document_lengths,
        num_images=3,
        num_logits=len(batch.targets),
        trainable=("projector", "text"),
        image_tokens=(1, 9, 16),
    )
    assert mixed.num_flops(batch) == flops.total
    # Pooling to 1 and to 9 of 16 features of 16 channels; a number that the map has already is not pooled. Both layers
    # train, and the second passes a gradient back to the first.
    assert flops.projector == 2 * (1 + 9) * 16 * 16 + 2 * 26 * (2 * 16 * 32 + 3 * 32 * 32)


def test_numbers_that_no_map_can_be_pooled_to_are_refused(mixed, make_pack):
    for numbers in ([1, 9, 5], [1, 9, 25]):
        with pytest.raises(DataError, match="pack 0: an image does not have a square number from 1 to 16 of visual"):
            mixed.collate([with_tokens(make_pack(DOCUMENTS), numbers)])
