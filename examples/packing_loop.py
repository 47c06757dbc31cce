"""Packing inside a loop of your own, with nothing but `oqvl_pack.pack` and plain PyTorch.

    uv run examples/packing_loop.py

Trains a one-layer transformer on the same documents twice: padded to the longest of a batch, and packed. Prints how
many positions each epoch computes and where the loss ends. Packed documents share a sequence but never see each other:
attention is masked to the document, positions restart with every document, and its first token is not predicted from
the document before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from oqvl_pack import pack

CAPACITY, VOCAB_SIZE, WIDTH, NUM_HEADS, IGNORE_INDEX = 128, 32, 32, 4, -100
NUM_DOCUMENTS, DOCUMENTS_PER_STEP, NUM_EPOCHS = 400, 32, 4


def documents(seed: int = 0) -> list[Tensor]:
    """Return documents that count upwards from a random number, with lengths like those of captions."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(3, 0.6, NUM_DOCUMENTS), 4, CAPACITY).astype(int)
    return [torch.arange(length).add(int(rng.integers(VOCAB_SIZE))) % VOCAB_SIZE for length in lengths]


def as_sequence(members: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Join documents into one sequence: input ids, positions, labels, and the number of each token's document."""
    input_ids = torch.cat(list(members))
    positions = torch.cat([torch.arange(len(member)) for member in members])
    labels = input_ids.masked_fill(positions == 0, IGNORE_INDEX)
    owners = torch.repeat_interleave(torch.arange(len(members)), torch.tensor([len(member) for member in members]))
    return input_ids, positions, labels, owners


class Model(nn.Module):
    """Embeddings, one attention layer, a head. One sequence at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCAB_SIZE, WIDTH), nn.Embedding(CAPACITY, WIDTH)
        self.qkv, self.out, self.head = (
            nn.Linear(WIDTH, 3 * WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Linear(WIDTH, VOCAB_SIZE),
        )

    def forward(self, input_ids: Tensor, positions: Tensor, owners: Tensor) -> Tensor:
        """Return the logits of every token. Each token sees only its own document, up to itself."""
        x = self.tokens(input_ids) + self.positions(positions)
        query, key, value = self.qkv(x).view(len(x), 3, NUM_HEADS, -1).permute(1, 2, 0, 3)
        visible = torch.tril(owners[:, None] == owners[None, :])
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return self.head(x + self.out(mixed.transpose(0, 1).flatten(1)))


def train(steps: Sequence[Sequence[Sequence[Tensor]]]) -> Iterator[float]:
    """Train over `steps`, each a list of sequences of documents; yield the mean loss per target of every epoch."""
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(NUM_EPOCHS):
        total, num_total = 0.0, 0
        for step in steps:
            sequences = [as_sequence(members) for members in step]
            num_targets = sum(int((labels != IGNORE_INDEX).sum()) for _, _, labels, _ in sequences)
            for input_ids, positions, labels, owners in sequences:
                logits = model(input_ids, positions, owners)[:-1]
                loss = cross_entropy(logits, labels[1:], ignore_index=IGNORE_INDEX, reduction="sum")
                (loss / num_targets).backward()  # a mean over the targets of the whole step, not a mean of means
                total += loss.item()
            num_total += num_targets
            optimizer.step()
            optimizer.zero_grad()
        yield total / num_total


def main() -> None:
    """Compare padded batches with packed ones."""
    corpus = documents()
    lengths = [len(document) for document in corpus]

    batches = [
        range(start, min(start + DOCUMENTS_PER_STEP, len(corpus)))
        for start in range(0, len(corpus), DOCUMENTS_PER_STEP)
    ]
    padded_positions = sum(len(batch) * max(lengths[item] for item in batch) for batch in batches)
    padded = [[[corpus[item]] for item in batch] for batch in batches]  # the loop itself skips the padding

    plan = pack(lengths, capacity=CAPACITY).shuffled(seed=7)  # unshuffled bins come sorted by length
    packed_positions = len(plan) * CAPACITY
    sequences = [[corpus[item] for item in plan[number]] for number in range(len(plan))]
    per_step = max(1, round(len(plan) / len(batches)))
    packed = [sequences[start : start + per_step] for start in range(0, len(plan), per_step)]

    print(f"{len(corpus)} documents, {sum(lengths)} tokens")
    for name, steps, num_positions in (("padded", padded, padded_positions), ("packed", packed, packed_positions)):
        losses = list(train(steps))
        print(
            f"{name}: {num_positions} positions per epoch, {sum(lengths) / num_positions:.1%} of them tokens; "
            f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(steps) * NUM_EPOCHS} steps"
        )
    print(f"{len(plan)} sequences; no packing has fewer than {plan.lower_bound}")


if __name__ == "__main__":
    main()
