from __future__ import annotations

from pathlib import Path

from oqvl_model.report import GenerateReport, InitReport, PartReport, ShowReport


def test_tables_hold_the_figures():
    init = InitReport(output=Path("model"), digest="d" * 64, num_parameters=1_234_567, num_bytes=89)
    assert "1,234,567" in init.table()
    assert init.digest in init.table()
    show = ShowReport(
        checkpoint=Path("model"),
        parts=(PartReport(name="vision", num_parameters=250, share=0.25),),
        num_parameters=1000,
        image_size=96,
        grid_size=6,
        visual_tokens_per_image=36,
        vocab_size=320,
        context_length=512,
        vision_gflops_per_image=0.0894,
        training_gflops_per_token=0.00423,
        document_tokens=56,
    )
    assert all(figure in show.table() for figure in ("250", "25.00%", "1,000", "6 x 6", "36", "0.0894", "0.00423"))
    assert GenerateReport(answer="a cat").table() == "a cat"
