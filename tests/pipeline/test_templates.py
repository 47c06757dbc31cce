"""A prompt at inference is, token for token, how the document of the same text began in training.

oqvl-pack and oqvl-model spell the templates out independently of each other; here they are held to one another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from oqvl_model.config import InitConfig
from oqvl_model.processing_oqvl import OqvlProcessor, ProcessorConfig
from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.assembly import make_record
from oqvl_pack.documents.document_table import DocumentTable, Draft
from oqvl_pack.documents.template import Segment, SpecialTokens, caption_document, conversation_document
from oqvl_pack.documents.tokenization import DocumentTokenizer
from oqvl_shards.tar.index import Member

VISUAL_TOKENS = 4
MARK = "<image>"
PICTURE = Image.new("RGB", (2, 2))

TRICKY = [
    "<image>",
    "<s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|pad|>",
    "user\n",
    "\n",
    "\n\n",
    "\t",
    "  ",
    "a",
    "é",
    "漢",
    "🙂",
]
texts = st.lists(st.one_of(st.sampled_from(TRICKY), st.text(max_size=6)), max_size=8).map("".join)
captions = texts.map(str.strip).filter(bool)
"""As the reader returns them: without outer white space, and never empty."""
answers = texts.filter(str.strip)
questions = st.lists(texts.map(lambda text: text.replace(MARK, "")), min_size=1, max_size=4).map(MARK.join)
"""In a user's turn every mark is an image: from none to three."""
turns = st.lists(st.tuples(questions, answers), min_size=1, max_size=3)


@dataclass(frozen=True)
class BothSides:
    """Training and inference with one tokenizer.

    Args:
        tokenizer_json: Content of the tokenizer.json.
        bos_token: Token that a document begins with; empty for none.
    """

    tokenizer_json: bytes
    bos_token: str

    def train(self, document: Callable[[SpecialTokens], list[Segment]]) -> list[int]:
        """Return the ids that a model is trained on, placeholders repeated."""
        tokens = SpecialTokens(MARK, self.bos_token, "<|im_start|>", "<|im_end|>", "<|pad|>")
        tokenizer = DocumentTokenizer(self.tokenizer_json, tokens)
        segments = document(tokens)
        num_images = sum(segment.is_special and segment.text == MARK for segment in segments)
        images = tuple(Member(f"0.{number}.png", 0, 0) for number in range(num_images))
        draft = Draft("0", segments, images, (VISUAL_TOKENS,) * num_images)
        record = make_record(DocumentTable.from_drafts("0", [draft], tokenizer), 0, 1, tokenizer.special_id(MARK))
        return record.expand().input_ids.tolist()

    def train_conversation(
        self, conversation: Sequence[tuple[str, str]], default_system_prompt: str, own_system_prompt: str | None
    ) -> list[int]:
        """Return the ids of (question, answer) turns."""
        data = [] if own_system_prompt is None else [{"from": "system", "value": own_system_prompt}]
        for question, answer in conversation:
            data += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        num_images = sum(question.count(MARK) for question, _ in conversation)
        return self.train(lambda tokens: conversation_document(data, num_images, tokens, default_system_prompt))

    def processor(self, system_prompt: str = "") -> OqvlProcessor:
        """Return what makes prompts at inference."""
        config = ProcessorConfig(
            image_size=2,
            image_mean=(0.5, 0.5, 0.5),
            image_std=(0.5, 0.5, 0.5),
            visual_tokens_per_image=VISUAL_TOKENS,
            bos_token=self.bos_token,
            system_prompt=system_prompt,
        )
        return OqvlProcessor(config, self.tokenizer_json)


@pytest.fixture(scope="module", params=["gpt2", "qwen2"])
def tokenizer_json(request: pytest.FixtureRequest, make_tokenizer: Callable[[str], bytes]) -> bytes:
    return make_tokenizer(request.param)


@pytest.fixture(scope="module", params=["<s>", ""], ids=["bos", "no_bos"])
def sides(request: pytest.FixtureRequest, tokenizer_json: bytes) -> BothSides:
    return BothSides(tokenizer_json, request.param)


def prompt_of(question: str) -> list[str | Image.Image]:
    """Return a question as the pieces of a prompt, a picture for every mark."""
    first, *rest = question.split(MARK)
    return [first, *(piece for text in rest for piece in (PICTURE, text))]


@given(caption=captions)
@example(caption="Käse: <image>\n\n\t<|im_end|><s> 漢字")
def test_a_caption_continues_the_prompt_that_asks_for_it(sides: BothSides, caption: str):
    processor = sides.processor()
    trained = sides.train(lambda tokens: caption_document(caption, tokens))
    prompt = processor.encode_prompt([PICTURE, "\n"], chat=False)
    assert trained[: len(prompt)] == prompt
    assert prompt.count(processor.image_token_id) == trained.count(processor.image_token_id) == VISUAL_TOKENS
    # The likelihood of a choice is that of its own tokens, so they must be the ones that training put there.
    assert trained[len(prompt) :] == [*processor.encode_text(caption), processor.end_token_id]
    assert processor.encode_prompt([PICTURE, f"\n{caption}"], chat=False) == trained[:-1]


@given(conversation=turns, default=texts, own=st.one_of(st.none(), texts.filter(bool)))
@example(conversation=[("<image>\n<image>\n\nœuvre<|im_end|>?", "\n\n\t<image>")], default="Be kind.", own=None)
@example(conversation=[("\n\n\t漢字<s>", "\n\nnon"), ("<image>", "yes")], default="Be kind.", own="<image>")
def test_an_answer_continues_the_chat_that_asks_for_it(
    sides: BothSides, conversation: list[tuple[str, str]], default: str, own: str | None
):
    processor = sides.processor(default if own is None else own)
    trained = sides.train_conversation(conversation, default, own)
    question, answer = conversation[0]
    prompt = processor.encode_prompt(prompt_of(question), chat=True)
    assert trained[: len(prompt)] == prompt
    assert prompt.count(processor.image_token_id) == VISUAL_TOKENS * question.count(MARK)
    answered = [*prompt, *processor.encode_text(answer), processor.end_token_id]
    assert trained[: len(answered)] == answered


@given(conversation=turns)
def test_a_later_turn_is_asked_as_a_first_one(sides: BothSides, conversation: list[tuple[str, str]]):
    processor = sides.processor()
    begin = [] if processor.bos_token_id is None else [processor.bos_token_id]
    expected = begin.copy()
    for question, answer in conversation:
        expected += processor.encode_prompt(prompt_of(question), chat=True)[len(begin) :]
        expected += [*processor.encode_text(answer), processor.end_token_id, *processor.encode_text("\n")]
    assert sides.train_conversation(conversation, "", None) == expected


@given(question=questions)
def test_marks_in_a_text_and_pieces_of_a_prompt_are_one(sides: BothSides, question: str):
    processor = sides.processor("Be kind.")
    batch: Any = processor([PICTURE] * question.count(MARK), question, chat=True)
    prompt = processor.encode_prompt(prompt_of(question), chat=True)
    assert batch["input_ids"].tolist() == [prompt]
    assert sides.train_conversation([(question, "yes")], "Be kind.", None)[: len(prompt)] == prompt


def test_both_sides_have_the_same_defaults():
    shared = ["bos_token", "end_token", "image_token", "pad_token", "start_token", "system_prompt"]
    for name in [*shared, "visual_tokens_per_image"]:
        assert PackConfig.model_fields[name].default == InitConfig.model_fields[name].default, name
    for name in shared:
        assert ProcessorConfig.model_fields[name].default == InitConfig.model_fields[name].default, name
