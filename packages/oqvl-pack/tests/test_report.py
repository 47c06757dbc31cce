"""Reports as text."""

from __future__ import annotations

from oqvl_pack.report import CheckReport, PackReport, PlanReport, ShowReport, TokenBudget, TrainingForecast
from oqvl_shards.manifest import Account, PackedSource


def test_tables_name_the_figures() -> None:
    counts = {"num_samples": 12, "rejected": {"overlong": 2}, "num_documents": 10, "num_tokens": 150, "num_packs": 2}
    bounds = {"bound_volume": 2, "bound_martello_toth": 1, "bound_cardinality": 1, "bound_max_documents": 0}
    plan = PlanReport(
        **counts,
        **bounds,
        num_leftovers=3,
        bin_capacity=100,
        seconds_tokenizing=1.0,
        seconds_packing=0.5,
        seconds_writing_embedded=12.25,
        seconds_writing_reference=0.75,
        num_timed_packs=2,
        timing_directory="/scratch",
        bytes_embedded=3 << 20,
        bytes_reference=2048,
        num_sequences_ffd=3,
        num_slots_padded=300,
        training=TrainingForecast(num_gpus=4, gpu_hours=2, gpu_hours_saved_to_ffd=1.25, gpu_hours_saved_to_padding=7.5),
    )
    packed = PackReport(
        **counts, output="out", digest="d" * 64, num_images=9, num_target_tokens=70, lower_bound=2, bin_capacity=100
    )
    assert plan.utilization == packed.utilization == 0.75
    assert plan.lower_bound == 2
    for table in (plan.table(), packed.table()):
        assert "75.000%" in table
        assert "2 left out" in table
    assert "70 of them targets" in packed.table()
    assert "about 12.25 s embedded, 0.75 s reference, predicted from 2 packs" in plan.table()
    for figure in (
        "3.0 MiB embedded, 2.0 KiB reference",
        "50.00% filled",
        "0.50 hours on 4 GPUs",
        "7.50 fewer than pad",
    ):
        assert figure in plan.table()


def test_show_and_check() -> None:
    show = ShowReport(pack=1, image="a.png", num_tokens=5, bin_capacity=9, num_targets=2, documents=("a/b",))
    assert "decoded" not in show.table()
    assert "3 cannot be decoded" in show.model_copy(update={"num_broken_images": 3}).table()
    check = CheckReport(packed="dir", num_packs=1, num_documents=2, num_images=3, rejected={"empty_text": 1})
    assert "5 of 9" in show.table()
    assert "1 left out" in check.table()


def test_a_budget_reads_what_it_wrote() -> None:
    budget = TokenBudget.of("web", asked=1000, reached=997)
    assert budget.statistics() == {"tokens_asked_web": 1000, "tokens_reached_web": 997, "tokens_gap_web": 3}
    account = Account(num_in=5, num_kept=5)
    source = PackedSource(name="web", sha256="0" * 64, num_tokens=997, account=account)
    assert TokenBudget.from_statistics(source, budget.statistics()) == (budget,)
    assert TokenBudget.from_statistics(source, {}) == ()
    assert budget.line() == ("budget", "web: 1,000 tokens asked, 997 reached, 3 missing")


def test_hours_are_shared_by_the_gpus() -> None:
    training = TrainingForecast(num_gpus=8, gpu_hours=12, gpu_hours_saved_to_ffd=0, gpu_hours_saved_to_padding=3)
    assert training.hours == 1.5
    [(name, cost), (_, saved)] = training.lines()
    assert (name, cost) == ("training", "12.00 GPU hours per epoch, 1.50 hours on 8 GPUs")
    assert saved == "0.00 fewer than first-fit decreasing, 3.00 fewer than padding"


def test_columns_of_a_table_are_aligned() -> None:
    check = CheckReport(packed="dir", num_packs=1, num_documents=2, num_images=3, rejected={"image_mark_mismatch": 1})
    width = len("  image_mark_mismatch") + 2
    for line in check.table().splitlines():
        assert line[width - 2 : width] == "  "
        assert line[width] != " "
