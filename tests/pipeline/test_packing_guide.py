"""The guide on packing for one's own trainer: its code runs, and packed training is unpacked training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from code_blocks import blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "packing-for-your-own-trainer.md"
TOLERANCE = 1e-5
"""Largest relative difference of a loss or a gradient in fp32."""


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """What the page's Python defines, after it ran from the first line to the last."""
    namespace: dict[str, Any] = {}
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, str(PAGE), "exec"), namespace)
    return namespace


def gradients(model: Any) -> dict[str, Any]:
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.fixture(scope="module")
def unpacked(guide) -> tuple[float, dict[str, Any]]:
    """Loss and gradients of all documents, each in a sequence of its own."""
    torch, model = guide["torch"], guide["model"]
    model.zero_grad()
    total = 0.0
    for document in guide["documents"]:
        input_ids = torch.tensor(document)[None]
        loss = model(input_ids=input_ids, labels=input_ids, use_cache=False).loss * (len(document) - 1)
        loss.backward()
        total += loss.item()
    return total, gradients(model)


def assert_equal(found: tuple[float, dict[str, Any]], expected: tuple[float, dict[str, Any]]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=TOLERANCE)
    for name, gradient in found[1].items():
        assert (gradient - expected[1][name]).norm() <= TOLERANCE * expected[1][name].norm(), name


def test_the_plan_holds_every_document_once(guide):
    plan = guide["plan"]
    assert sorted(item for items in plan for item in items) == list(range(len(guide["documents"])))
    assert len(plan) == plan.lower_bound


def test_the_plain_loop_computes_the_unpacked_loss_and_gradients(guide, unpacked):
    model = guide["model"]
    packs = guide["Packs"](guide["documents"], guide["plan"])
    total = 0.0
    for index in range(len(packs)):
        loss = guide["loss_sum"](model, packs[index])
        loss.backward()
        total += loss.item()
    assert_equal((total, gradients(model)), unpacked)


def test_the_rows_give_the_unpacked_loss_and_gradients(guide, unpacked):
    model = guide["model"]
    rows = list(guide["rows"](guide["documents"], guide["plan"]))
    total = 0.0
    for start in range(0, len(rows), 3):
        batch = guide["collate"](rows[start : start + 3])
        # The model's own loss is a mean; the sum over the targets is what adds up over batches.
        loss = model(**batch, use_cache=False).loss * int((batch["labels"] != guide["IGNORE_INDEX"]).sum())
        loss.backward()
        total += loss.item()
    assert_equal((total, gradients(model)), unpacked)


def test_packs_without_the_documents_bounds_compute_something_else(guide, unpacked):
    model = guide["model"]
    pack = guide["Packs"](guide["documents"], guide["plan"])[0]
    torch = guide["torch"]
    right = guide["loss_sum"](model, pack).item()
    leaking = guide["loss_sum"](model, {**pack, "position_ids": torch.arange(len(pack["input_ids"]))}).item()
    assert abs(leaking - right) > 100 * TOLERANCE * right
