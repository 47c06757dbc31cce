"""The stages end to end on small pools: accounts close, resumes and reruns give the same bytes."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oqvl_filter import run
from oqvl_filter.config import (
    ClipScorerConfig,
    ReshardConfig,
    ScoreConfig,
    SelectConfig,
    ShowConfig,
)
from oqvl_filter.resharding.report import ReshardReport
from oqvl_filter.selection.report import SelectReport
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError, DataError, ManifestError
from oqvl_shards.uid import array_to_uids, uids_to_array


@pytest.fixture
def pool(make_pool, pair, picture, plain_pairs, uid_of) -> Dataset:
    """Two shards: nine good pairs, an exact copy, a repeated uid, a broken image, a pair whose uid is derived."""
    good = plain_pairs(9)
    copy = pair("copy", good[0].image, "a copy", uid_of(100))
    repeated = pair("repeated", picture((1, 1, 1)), "again", uid_of(3))
    broken = pair("broken", picture()[:20], "broken", uid_of(101))
    nameless = pair("nameless", picture((7, 7, 7)), "a pair without a uid")
    return make_pool([[*good[:5], copy], [repeated, *good[5:], broken, nameless]])


def contents(directory: Path) -> dict[str, str]:
    """Digest of every file below `directory`."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def members_of(directory: Path) -> dict[str, bytes]:
    """Content of every member of the tars in `directory`, as the standard library reads them."""
    members = {}
    for tar in sorted(directory.glob("*.tar")):
        with tarfile.open(tar) as archive:
            for info in archive:
                file = archive.extractfile(info)
                assert file is not None
                members[info.name] = file.read()
    return members


def score_rules(pool: Dataset, output: Path) -> Path:
    run.score(ScoreConfig(pool=pool.path, output=output))
    return output


def test_scores_account_for_every_sample(pool: Dataset, tmp_path: Path):
    report = run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    assert report.account.model_dump() == {"num_in": 13, "num_kept": 12, "rejected": {"image_broken": 1}}
    assert report.deciles["image_count"][-1] == 2
    assert sorted(contents(tmp_path / "rules")) == ["00000.parquet", "00001.parquet", "manifest.json"]
    assert str(tmp_path) not in (tmp_path / "rules" / "manifest.json").read_text()


def test_a_killed_scoring_resumes_to_the_same_bytes(pool: Dataset, tmp_path: Path, tiny_clip, monkeypatch):
    from oqvl_filter.scorers import scoring

    def config(name: str) -> ScoreConfig:
        scorer = ClipScorerConfig(name="clip", model=tiny_clip, batch_size=4)
        return ScoreConfig(pool=pool.path, output=tmp_path / name, scorer=scorer)

    run.score(config("whole"))
    write, written = scoring.write_score_file, []

    def write_one_then_die(table, job):
        if written:
            raise KeyboardInterrupt
        written.append(job.file_name)
        return write(table, job)

    monkeypatch.setattr(scoring, "write_score_file", write_one_then_die)
    with pytest.raises(KeyboardInterrupt):
        run.score(config("killed"))
    assert not (tmp_path / "killed" / "manifest.json").exists()
    monkeypatch.setattr(scoring, "write_score_file", write)
    run.score(config("killed"))
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_workers_do_not_change_a_byte(pool: Dataset, tmp_path: Path):
    score_rules(pool, tmp_path / "one")
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "two", num_workers=2))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_finished_stage_answers_without_work(pool: Dataset, tmp_path: Path):
    first = run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    for shard in pool.manifest.shards:
        pool.shard_path(shard).unlink()
    assert run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules")) == first
    with pytest.raises(ConfigError, match="already holds"):
        run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules", limits={"min_image_side": 5}))


def select(pool: Dataset, rules: Path, output: Path, keep: str, **rest) -> SelectReport:
    return run.select(SelectConfig(pools=(pool.path,), scores={"rules": (rules,)}, output=output, keep=keep, **rest))


def uids_of(subset: Path) -> set[str]:
    return set(array_to_uids(np.load(subset / "subset.npy")))


def test_selection_removes_exact_copies(pool: Dataset, tmp_path: Path, uid_of):
    rules = score_rules(pool, tmp_path / "rules")
    report = select(pool, rules, tmp_path / "subset", "one per content_sha")
    assert report.account.rejected == {
        "duplicate_uid": 1,
        "one per rules.content_sha": 1,
        "rules rejected it: image_broken": 1,
    }
    assert report.conditions == (("one per rules.content_sha", 10, 1),)
    uids = np.load(tmp_path / "subset" / "subset.npy")
    assert np.array_equal(uids, uids_to_array(array_to_uids(uids)))
    assert len({uid_of(0), uid_of(100)} & uids_of(tmp_path / "subset")) == 1


def test_a_published_list_joins_a_selection(pool: Dataset, tmp_path: Path, uid_of):
    rules = score_rules(pool, tmp_path / "rules")
    np.save(tmp_path / "list.npy", uids_to_array([uid_of(2), uid_of(4), uid_of(555)]))
    keep = f"width in top(1) or uid in '{tmp_path}/list.npy'"
    select(pool, rules, tmp_path / "a", keep)
    assert {uid_of(2), uid_of(4)} <= uids_of(tmp_path / "a")
    report = select(pool, rules, tmp_path / "b", f'uid in "{tmp_path}/a"')
    assert uids_of(tmp_path / "a") == uids_of(tmp_path / "b")
    lineage = open_dataset(tmp_path / "b").manifest.lineage
    assert lineage.parents[-1] == open_dataset(tmp_path / "a").manifest.digest()
    assert lineage.config["config"]["keep"] == report.rule == 'uid in "a"'
    assert str(tmp_path) not in (tmp_path / "b" / "manifest.json").read_text()
    np.save(tmp_path / "list.npy", uids_to_array([uid_of(2)]))
    with pytest.raises(ConfigError, match="already holds"):
        select(pool, rules, tmp_path / "a", keep)


def test_the_same_rule_in_other_words_is_the_same_step(pool: Dataset, tmp_path: Path):
    rules = score_rules(pool, tmp_path / "rules")
    first = select(pool, rules, tmp_path / "a", "width >= 21 and (height > 3)")
    assert select(pool, rules, tmp_path / "a", "rules.width>=21 and rules.height>3") == first


def test_several_pools_are_sources(pool: Dataset, make_pool, plain_pairs, tmp_path: Path, uid_of):
    other = make_pool([plain_pairs(4, start=200), plain_pairs(3, start=7)], name="other")  # 7 and 8 are in both
    rules = (score_rules(pool, tmp_path / "rules"), score_rules(other, tmp_path / "other-rules"))

    def kept(output: str, keep: str, **rest) -> set[str]:
        config = SelectConfig(
            pools=(pool.path, other.path), scores={"rules": rules}, output=tmp_path / output, keep=keep, **rest
        )
        report = run.select(config)
        assert (report.account.num_in, report.account.rejected["duplicate_uid"]) == (20, 3)
        return uids_of(tmp_path / output)

    others = {uid_of(n) for n in (200, 201, 202, 203, 9)}
    assert kept("a", "source == 'other'") == others
    assert len(kept("b", "width in top(2) per source") & others) == 2
    assert len(kept("c", "all", pairs=6, weights={"pool": 1, "other": 1}) & others) == 3
    assert len(kept("d", "width is not null", quotas={"other": 1}) & others) == 1
    with pytest.raises(ConfigError, match="quotas names"):
        kept("e", "all", quotas={"nobody": 1})


def test_subsets_alone_can_be_combined(tmp_path: Path, uid_of):
    np.save(tmp_path / "a.npy", uids_to_array([uid_of(n) for n in range(6)])[::-1])
    np.save(tmp_path / "b.npy", uids_to_array([uid_of(n) for n in range(4, 9)]))
    keep = f"uid in '{tmp_path}/a.npy' and not uid in '{tmp_path}/b.npy'"
    report = run.select(SelectConfig(output=tmp_path / "out", keep=keep))
    assert uids_of(tmp_path / "out") == {uid_of(n) for n in range(4)}
    assert (report.account.num_in, report.account.num_kept) == (9, 4)
    assert run.select(SelectConfig(output=tmp_path / "out", keep=keep)) == report


def test_subsets_of_one_file_name_are_told_apart(tmp_path: Path, uid_of):
    for name, numbers in {"one": range(3), "other": range(2, 5)}.items():
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "subset.npy", uids_to_array([uid_of(n) for n in numbers]))
    keep = f"uid in '{tmp_path}/one/subset.npy' and not uid in '{tmp_path}/other/subset.npy'"
    report = run.select(SelectConfig(output=tmp_path / "out", keep=keep))
    assert report.rule == 'uid in "one/subset.npy" and not uid in "other/subset.npy"'
    assert [text for text, *_ in report.conditions] == ['uid in "one/subset.npy"', 'uid in "other/subset.npy"']


def test_a_budget_that_is_not_met_and_a_subset_of_nothing_are_told(pool: Dataset, tmp_path: Path):
    rules = score_rules(pool, tmp_path / "rules")
    report = select(pool, rules, tmp_path / "few", "width >= 21", pairs=1000)
    assert f"asked for 1,000 pairs, {report.account.num_kept} match" in report.table()
    tokens = select(pool, rules, tmp_path / "tokens", "width >= 21", tokens=1e6)
    assert "asked for 1,000,000 tokens, all" in tokens.table()
    assert "asked for" not in select(pool, rules, tmp_path / "met", "width >= 21", pairs=2).table()
    nothing = select(pool, rules, tmp_path / "nothing", "width >= 5000")
    assert "nothing is kept; reshard refuses such a subset" in nothing.table()
    assert run.show(ShowConfig(dataset=tmp_path / "few")) == report


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"keep": "rules.with >= 3"}, r"found 'rules.with', expected a column\n  rules.with >= 3\n  \^"),
        ({"keep": "width >= 3", "scores": {}}, "expected a column"),
        ({"keep": "width >= 'x'"}, "is of type int32, expected numbers"),
        ({"keep": "content_sha >= 3"}, "is of type string, expected =="),
        ({"keep": "uid in 'nothing.npy'"}, "no subset file at nothing.npy"),
        ({"prefer": "beauty", "pairs": 3}, "prefer: found 'beauty'"),
        ({"scores": {}}, "no scores of the pool"),
    ],
)
def test_a_selection_that_does_not_fit_its_scores_is_refused(pool: Dataset, tmp_path: Path, changes, problem: str):
    rules = score_rules(pool, tmp_path / "rules")
    values = {"pools": [pool.path], "scores": {"rules": rules}, "output": tmp_path / "subset", **changes}
    with pytest.raises(ConfigError, match=problem):
        run.select(SelectConfig.model_validate(values))
    assert not (tmp_path / "subset" / "manifest.json").exists()


def test_scores_of_another_pool_are_refused(pool: Dataset, make_pool, plain_pairs, tmp_path: Path):
    rules = score_rules(make_pool([plain_pairs(2)], name="other"), tmp_path / "rules")
    with pytest.raises(ConfigError, match="of another pool"):
        select(pool, rules, tmp_path / "subset", "width >= 1")


@pytest.fixture
def subset(pool: Dataset, tmp_path: Path) -> Path:
    rules = score_rules(pool, tmp_path / "rules")
    select(pool, rules, tmp_path / "subset", "width >= 21")
    return tmp_path / "subset"


def reshard(pool: Dataset, subset: Path, output: Path, **changes) -> ReshardReport:
    values: dict[str, Any] = {"name": "kept", "samples_per_shard": 3} | changes
    return run.reshard(ReshardConfig(pools=(pool.path,), subset=subset, output=output, **values))


def test_resharding_copies_every_byte(pool: Dataset, subset: Path, tmp_path: Path, uid_of):
    report = reshard(pool, subset, tmp_path / "kept", keys="original")
    kept = array_to_uids(np.load(subset / "subset.npy"))
    assert report.account.num_in == 13
    assert report.account.num_kept == len(kept)
    before, after = members_of(pool.path), members_of(tmp_path / "kept")
    assert len(after) == 3 * len(kept) - 1  # the derived uid stands in no json
    assert after.items() <= before.items()
    parents = open_dataset(tmp_path / "kept").manifest.lineage.parents
    assert parents == (pool.manifest.digest(), open_dataset(subset).manifest.digest())


def test_keys_can_be_uids(pool: Dataset, subset: Path, tmp_path: Path):
    reshard(pool, subset, tmp_path / "kept")
    names = members_of(tmp_path / "kept")
    keys = {name.partition(".")[0] for name in names}
    assert keys == {f"{uid}-0" for uid in array_to_uids(np.load(subset / "subset.npy"))}
    assert len(names) == 3 * len(keys) - 1


def test_webdataset_reads_what_was_resharded(pool: Dataset, subset: Path, tmp_path: Path):
    import webdataset

    report = reshard(pool, subset, tmp_path / "kept")
    tars = [str(path) for path in sorted((tmp_path / "kept").glob("*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert len(samples) == report.account.num_kept
    assert all({"png", "txt"} <= sample.keys() for sample in samples)


def test_a_killed_resharding_resumes_to_the_same_bytes(pool: Dataset, subset: Path, tmp_path: Path):
    reshard(pool, subset, tmp_path / "whole", num_workers=2)
    reshard(pool, subset, tmp_path / "killed")
    manifest = open_dataset(tmp_path / "killed").manifest
    (tmp_path / "killed" / "manifest.json").unlink()
    (tmp_path / "killed" / "unfinished.json").write_text(manifest.lineage.model_dump_json())
    (tmp_path / "killed" / "00001.tar").unlink()
    (tmp_path / "killed" / "00002.tar.partial").write_bytes(b"half")
    reshard(pool, subset, tmp_path / "killed")
    (tmp_path / "killed" / "00002.tar.partial").unlink(missing_ok=True)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_shuffle_and_shards_of_bytes(pool: Dataset, subset: Path, tmp_path: Path):
    reshard(pool, subset, tmp_path / "plain", samples_per_shard=100)
    report = reshard(pool, subset, tmp_path / "mixed", samples_per_shard=100, bytes_per_shard=6000, shuffle_seed=1)
    assert report.num_shards > 1
    assert all(path.stat().st_size <= 6000 + 1024 for path in (tmp_path / "mixed").glob("*.tar"))
    plain, mixed = members_of(tmp_path / "plain"), members_of(tmp_path / "mixed")
    assert plain == mixed
    assert list(plain) != list(mixed)


def test_missing_uids_are_counted_and_nothing_at_all_is_an_error(
    pool: Dataset, subset: Path, make_pool, plain_pairs, tmp_path: Path
):
    part = make_pool([plain_pairs(3)], name="part")
    report = reshard(part, subset, tmp_path / "part-kept")
    assert report.account.num_kept + report.num_missing == len(np.load(subset / "subset.npy"))
    nothing = make_pool([plain_pairs(3, start=500)], name="nothing")
    with pytest.raises(DataError, match="none of the"):
        reshard(nothing, subset, tmp_path / "nothing-kept")


def test_a_bare_list_of_uids_is_a_subset_too(pool: Dataset, subset: Path, tmp_path: Path):
    np.save(tmp_path / "list.npy", np.load(subset / "subset.npy"))
    reshard(pool, subset, tmp_path / "one")
    report = reshard(pool, tmp_path / "list.npy", tmp_path / "other")
    assert members_of(tmp_path / "one") == members_of(tmp_path / "other")
    assert reshard(pool, tmp_path / "list.npy", tmp_path / "other") == report
    np.save(tmp_path / "list.npy", np.load(subset / "subset.npy")[1:])
    with pytest.raises(ConfigError, match="already holds"):
        reshard(pool, tmp_path / "list.npy", tmp_path / "other")
    np.save(tmp_path / "list.npy", np.load(subset / "subset.npy")[:0])
    with pytest.raises(DataError, match=r"list\.npy holds no uid"):
        reshard(pool, tmp_path / "list.npy", tmp_path / "none")


def test_show_reports_what_a_stage_reported(pool: Dataset, subset: Path, tmp_path: Path):
    resharded = reshard(pool, subset, tmp_path / "kept")
    assert run.show(ShowConfig(dataset=tmp_path / "kept")) == resharded
    assert run.show(ShowConfig(dataset=pool.path)).account == pool.manifest.account
    assert "rules.width >= 21" in run.show(ShowConfig(dataset=subset)).table()
    assert "percentile" in run.show(ShowConfig(dataset=tmp_path / "rules")).table()
    with pytest.raises(ManifestError):
        run.show(ShowConfig(dataset=tmp_path))
