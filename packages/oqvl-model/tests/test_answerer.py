from __future__ import annotations

import pytest
import torch
from tiny_parts import DECODERS, WINDOWED

from oqvl_model.answerer import VlmAnswerer
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_shards.errors import DataError, HardwareError, UsageError


@pytest.fixture
def prompts(picture):
    return [
        [picture(0), "\n"],
        [picture(1), "\nwhat is this? a green tree on a table"],
        ["a red apple"],
        [picture(2), "a", picture(3), "b"],
    ]


CHOICES = [["a red apple", "x"], ["a blue car"], ["a", "on", " a table what"], ["tree", "car"]]


@pytest.mark.parametrize("chat", [False, True])
def test_a_batch_is_answered_like_single_prompts(checkpoint, prompts, chat):
    together = VlmAnswerer(checkpoint, batch_size=4, device="cpu")
    alone = VlmAnswerer(checkpoint, batch_size=1, device="cpu")
    answers = together.generate(prompts, chat=chat, max_new_tokens=6)
    assert answers == [alone.generate([prompt], chat=chat, max_new_tokens=6)[0] for prompt in prompts]
    assert len(set(answers)) > 1


def test_the_answer_depends_on_the_image(checkpoint, picture):
    answerer = VlmAnswerer(checkpoint, device="cpu")
    answers = answerer.generate([[picture(seed), "\n"] for seed in range(6)], chat=False, max_new_tokens=6)
    assert len(set(answers)) > 1


def test_generation_equals_greedy_search_without_a_cache(checkpoint, prompts):
    answerer = VlmAnswerer(checkpoint, device="cpu")
    processor, model = answerer.processor, answerer.model
    inputs = processor.batch([prompts[1]], chat=False)
    ids = inputs["input_ids"]
    with torch.no_grad():
        for _ in range(6):
            logits = model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    expected = ids[0, inputs["input_ids"].shape[1] :].tolist()
    if processor.end_token_id in expected:
        expected = expected[: expected.index(processor.end_token_id)]
    (answer,) = answerer.generate([prompts[1]], chat=False, max_new_tokens=6)
    assert answer == processor.decode(expected)


def test_an_answer_ends_at_the_end_token(checkpoint, prompts, monkeypatch):
    answerer = VlmAnswerer(checkpoint, device="cpu")
    words, end = answerer.processor.encode_text("a red apple"), answerer.processor.end_token_id
    rows = [[*words, end, *words], [end, *words, end], [*words, *words, words[0]]]

    def generate(input_ids, **options):
        assert (options["eos_token_id"], options["max_new_tokens"]) == (end, 9)
        length = max(map(len, rows))
        ids = torch.tensor([[*row, *[end] * (length - len(row))] for row in rows])
        return torch.cat([input_ids, ids], dim=1)

    monkeypatch.setattr(answerer.model, "generate", generate)
    answers = answerer.generate([["a"]] * 3, chat=False, max_new_tokens=9)
    assert answers == ["a red apple", "", answerer.processor.decode(rows[2])]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_choices_score_like_a_forward_pass_over_prompt_and_choice(checkpoint, prompts, chat, batch_size):
    answerer = VlmAnswerer(checkpoint, batch_size=batch_size, device="cpu")
    assert_scores(answerer, prompts, chat=chat)


@pytest.mark.parametrize("decoder", WINDOWED)
def test_choices_score_alike_with_prompts_longer_than_a_window(
    make_config, enliven, processor, tmp_path, prompts, decoder
):
    config = make_config(text_config=dict(DECODERS[decoder]))
    enliven(OqvlForConditionalGeneration(config)).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert_scores(VlmAnswerer(tmp_path, batch_size=3, device="cpu"), prompts, chat=False)


def assert_scores(answerer, prompts, *, chat):
    scores = answerer.choice_logprobs(prompts, CHOICES, chat=chat)
    processor, model = answerer.processor, answerer.model
    for prompt, choices, item in zip(prompts, CHOICES, scores, strict=True):
        assert len(item) == len(choices)
        inputs = processor.batch([prompt], chat=chat)
        for choice, (logprob, num_tokens) in zip(choices, item, strict=True):
            ids = processor.encode_text(choice)
            row = torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)
            with torch.no_grad():
                logits = model(input_ids=row, pixel_values=inputs.get("pixel_values")).logits[0]
            logprobs = logits.log_softmax(-1)[-len(ids) - 1 : -1]
            expected = logprobs.gather(-1, torch.tensor(ids)[:, None]).sum()
            assert num_tokens == len(ids)
            assert logprob == pytest.approx(expected.item(), abs=1e-4)


def test_the_number_of_visual_tokens_can_be_chosen(checkpoint, prompts):
    answerer = VlmAnswerer(checkpoint, device="cpu", visual_tokens=16)
    assert answerer.model.config.visual_tokens_per_image == 16
    assert len(answerer.processor.encode_prompt(prompts[0], chat=False)) == 1 + 16 + 1
    assert answerer.generate(prompts, chat=False, max_new_tokens=2)


def test_what_cannot_be_scored_is_refused(checkpoint, prompts):
    answerer = VlmAnswerer(checkpoint, device="cpu")
    with pytest.raises(UsageError, match="4 prompts"):
        answerer.choice_logprobs(prompts, CHOICES[:1], chat=False)
    with pytest.raises(DataError, match="no token"):
        answerer.choice_logprobs(prompts[:1], [["a", ""]], chat=False)


def test_a_missing_cuda_device_is_named(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HardwareError, match="CUDA"):
        VlmAnswerer(checkpoint, device="cuda")


@pytest.mark.parametrize(("device", "dtype", "expected"), [("cpu", "auto", "float32"), ("cpu", "bfloat16", "bfloat16")])
def test_the_precision_follows_the_device_unless_it_is_named(checkpoint, device, dtype, expected):
    model = VlmAnswerer(checkpoint, device=device, dtype=dtype).model
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{expected}"}
    assert not model.training


def test_auto_is_the_cpu_where_there_is_no_cuda(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert VlmAnswerer(checkpoint).device == torch.device("cpu")


def test_prompts_of_similar_length_share_a_batch(checkpoint, monkeypatch, picture):
    answerer = VlmAnswerer(checkpoint, batch_size=2, device="cpu")
    lengths = []
    generate = answerer.model.generate
    monkeypatch.setattr(
        answerer.model, "generate", lambda **inputs: lengths.append(inputs["input_ids"].shape) or generate(**inputs)
    )
    prompts = [["a" * 60], [picture(0), "a"], ["a"], ["a" * 61], ["b"]]
    answers = answerer.generate(prompts, chat=False, max_new_tokens=2)
    assert len(answers) == len(prompts)
    assert [rows for rows, _ in lengths] == [2, 2, 1]
    assert lengths[0][1] < lengths[1][1]
    assert answers[4] == answerer.generate([["b"]], chat=False, max_new_tokens=2)[0]
