"""The configurations of the filter's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from oqvl_shards.config import MappedConfig, Names, Paths, StageConfig
from oqvl_shards.tar.sample import ReadLimits


class RulesScorerConfig(StageConfig):
    """The scorer `rules`: sizes, lengths and exact repetitions; needs no model."""

    name: Literal["rules"] = Field(default="rules", description="which scorer: rules")


class PhashScorerConfig(StageConfig):
    """The scorer `phash`: a perceptual hash of every image, for `dedup`; needs no model."""

    name: Literal["phash"] = Field(description="which scorer: phash")


class MetadataScorerConfig(StageConfig):
    """The scorer `metadata`: which entries of a list every caption holds, for `select balance.column=...`."""

    name: Literal["metadata"] = Field(description="which scorer: metadata")
    entries: Path = Field(
        description="the list: a .json array of strings, or text with an entry a line",
        json_schema_extra={"lineage": False},
    )


class EncoderConfig(StageConfig):
    """A network that embeds images, and how it is run."""

    # Where the weights lie does not decide the scores; what they are does, and the fingerprint records that.
    model: str = Field(
        description="directory of the model with its processor, or its name on a hub",
        json_schema_extra={"lineage": False},
    )
    precision: Literal["fp32", "fp16", "bf16"] = Field(default="fp32", description="number format of the model")
    batch_size: int = Field(default=64, gt=0, description="pairs a forward pass; moves a score by rounding error alone")
    device: str = Field(
        default="cpu", description="torch device, e.g. cpu or cuda", json_schema_extra={"lineage": False}
    )
    decoder: Literal["exact", "fast"] = Field(
        default="exact", description="exact: the model's own pre-processing; fast: resized by torch on 8-bit integers"
    )
    decode_threads: int = Field(
        default=2,
        ge=0,
        description="threads that decode and resize ahead of the model; 0: in between",
        json_schema_extra={"lineage": False},
    )


class PairScorerConfig(EncoderConfig):
    """What the scorers `clip` and `siglip` have in common."""

    image_embedding: Literal["none", "float16", "float32"] = Field(
        default="none",
        description="number format in which to store the image's embedding (of length 1), too, for dedup "
        "method=embedding and the scorer aesthetic",
    )


class OpenClipConfig(EncoderConfig):
    """An open_clip model, and how it is run."""

    model: str = Field(
        description="open_clip model: a name (ViT-B-32), hf-hub:ORGANISATION/NAME, or local-dir:PATH",
        json_schema_extra={"lineage": False},
    )
    pretrained: str = Field(
        default="",
        description="open_clip tag or weights file for a model given by name; empty for hf-hub: and local-dir:",
        json_schema_extra={"lineage": False},
    )


class ClipScorerConfig(OpenClipConfig, PairScorerConfig):
    """The scorer `clip`: cosine of image and caption under an open_clip model."""

    name: Literal["clip"] = Field(description="which scorer: clip")


class AestheticScorerConfig(OpenClipConfig):
    """The scorer `aesthetic`: a linear head on the image embedding of an open_clip model."""

    name: Literal["aesthetic"] = Field(description="which scorer: aesthetic")
    head: Path = Field(
        description="the head: a safetensors file of one matrix (1, D) and one vector (1,)",
        json_schema_extra={"lineage": False},
    )
    model: str = Field(
        default="",
        description="open_clip model: a name, hf-hub:ORGANISATION/NAME, or local-dir:PATH; empty: give embeddings",
        json_schema_extra={"lineage": False},
    )
    embeddings: Path | None = Field(
        default=None,
        description="scores of the same pool, made with scorer.image_embedding, in place of a model: no image is read",
        json_schema_extra={"lineage": False},
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.model) == (self.embeddings is not None):
            raise ValueError("give model, to embed the images, or embeddings that are stored")
        return self


class SiglipScorerConfig(PairScorerConfig):
    """The scorer `siglip`: cosine of image and caption under a SigLIP model of transformers."""

    name: Literal["siglip"] = Field(description="which scorer: siglip")


class TextScorerConfig(StageConfig):
    """The scorer `text`: the language of a caption, and what its words are. No image is read."""

    name: Literal["text"] = Field(description="which scorer: text")
    # The files do not decide the scores by where they lie; the fingerprint records what they hold.
    language: str = Field(
        default="",
        description="dotted path of a factory of a language identifier, "
        "e.g. oqvl_filter.scorers.language:FasttextIdentifier",
        json_schema_extra={"lineage": False},
    )
    language_options: dict[str, Any] = Field(
        default_factory=dict,
        description="what that factory is called with, e.g. scorer.language_options.model=lid.176.bin",
        json_schema_extra={"lineage": False},
    )
    wordnet: Path | None = Field(
        default=None, description="folder of WordNet's index.noun and noun.exc", json_schema_extra={"lineage": False}
    )
    synsets: Path | None = Field(
        default=None,
        description="text file of noun synsets, one n######## a line, e.g. those of ImageNet-21k",
        json_schema_extra={"lineage": False},
    )
    boilerplate: Path | None = Field(
        default=None,
        description="text file of regular expressions, one a line, in place of the shipped ones",
        json_schema_extra={"lineage": False},
    )

    @model_validator(mode="after")
    def _has_both_word_lists(self) -> Self:
        if (self.wordnet is None) != (self.synsets is None):
            raise ValueError("wordnet and synsets belong together: give both or none")
        return self


class ImageScorerConfig(StageConfig):
    """The scorer `image`: size, aspect and entropy of the decoded picture."""

    name: Literal["image"] = Field(description="which scorer: image")
    decode_threads: int = Field(
        default=2, ge=0, description="threads that decode; 0: none beside", json_schema_extra={"lineage": False}
    )


class MlmScorerConfig(StageConfig):
    """The scorer `mlm`: a vision-language model says how good a pair is, one number a metric."""

    name: Literal["mlm"] = Field(description="which scorer: mlm")
    # Which judge it is and where it runs does not decide the scores; its fingerprint records what does.
    judge: str = Field(
        default="oqvl_filter.judges.transformers:TransformersJudge",
        description="dotted path of the judge's factory: this one, oqvl_filter.judges.endpoint:EndpointJudge, or yours",
        json_schema_extra={"lineage": False},
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="what the factory is called with, e.g. scorer.options.model=PATH",
        json_schema_extra={"lineage": False},
    )
    prompts: str = Field(
        default="general",
        description="prompt set: general (0 to 100), digit (0 to 9), or the path of a TOML file",
        json_schema_extra={"lineage": False},
    )
    metrics: Names = Field(default=(), description="metrics of the prompt set to ask for; all when empty")
    reading: Literal["text", "expected"] = Field(
        default="text", description="text: the number that is written; expected: the mean over the first token"
    )
    max_caption_chars: int = Field(default=4000, gt=0, description="characters of a caption that the judge reads")
    max_new_tokens: int = Field(default=6, gt=0, description="tokens of an answer; 100 and an end take up to five")
    batch_size: int = Field(default=8, gt=0, description="images the judge is asked about at once")


class CustomScorerConfig(StageConfig):
    """The scorer `custom`: one of your own, an `oqvl_filter.Scorer`."""

    name: Literal["custom"] = Field(description="which scorer: custom")
    # Where its code and files lie does not decide the scores; its fingerprint records what does.
    factory: str = Field(
        description="dotted path of the scorer's factory, e.g. my_package.my_module:MyScorer",
        json_schema_extra={"lineage": False},
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="what the factory is called with, e.g. scorer.options.model=PATH",
        json_schema_extra={"lineage": False},
    )


def _as_scorer(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"expected the scorer's name in a field of its own: scorer.name={value}")
    return value


ScorerConfig = Annotated[
    RulesScorerConfig
    | TextScorerConfig
    | ImageScorerConfig
    | PhashScorerConfig
    | MetadataScorerConfig
    | ClipScorerConfig
    | SiglipScorerConfig
    | AestheticScorerConfig
    | MlmScorerConfig
    | CustomScorerConfig,
    Field(discriminator="name"),
    BeforeValidator(_as_scorer),
]


class ScoreConfig(MappedConfig):
    """Configuration of `score`."""

    pool: Path = Field(description="dataset of kind image_text to score", json_schema_extra={"lineage": False})
    output: Path = Field(description="directory of the scores", json_schema_extra={"lineage": False})
    scorer: ScorerConfig = Field(
        default=RulesScorerConfig(),
        description="which scorer, and its fields: scorer.name=NAME scorer.FIELD=VALUE",
    )
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")


class TokenCount(StageConfig):
    """How many tokens a pair is taken to have: `fixed` + ceil(`per_value` x the column's value)."""

    column: str = Field(default="caption_chars", description="column that the length of the text is taken from")
    # English captions have about four characters a token under the vocabularies of today's language models.
    per_value: float = Field(
        default=0.25,
        ge=0,
        description="tokens for each unit of the column: 1 when it counts tokens, 0.25 for characters",
    )
    fixed: int = Field(
        default=147, ge=0, description="tokens that every pair has beside its text: 144 visual ones and three marks"
    )


class Balance(StageConfig):
    """MetaCLIP's balancing (Xu et al., 2023, arXiv 2309.16671): no entry of a list of metadata prevails."""

    column: str = Field(
        default="", description="column with the entries that each caption holds, from the scorer metadata; empty: none"
    )
    cap: int = Field(
        default=20_000, gt=0, description="a pair is kept with probability cap / count of one of its entries, at most 1"
    )


def _as_labelled(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str | Path | list | tuple):
        raise ValueError(f"expected a label of your choice for every path: {info.field_name}.LABEL=PATH")
    return value


LabelledPath = Annotated[dict[str, Path], BeforeValidator(_as_labelled)]
"""A path under each label."""

LabelledPaths = Annotated[dict[str, Paths], BeforeValidator(_as_labelled)]
"""One or more paths under each label."""


class SelectConfig(StageConfig):
    """Configuration of `select`. Its lineage is `oqvl_filter.run.SelectStep`, which resolves what is named here."""

    keep: str = Field(
        default="all",
        description="the rule, e.g. clip >= 0.28 and su >= 85 or uid in 'dfn.npy' then one per rules.content_sha; "
        "docs/selecting.md has the language",
    )
    pools: Paths = Field(
        default=(),
        description="datasets of kind image_text to select from; none: the uids that scores, or else subsets, name",
        json_schema_extra={"lineage": False},
    )
    scores: LabelledPaths = Field(
        default={},
        description="datasets of kind scores, each under a label of your choice: scores.LABEL=PATH; several are one "
        "label's when they score several pools",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the subset", json_schema_extra={"lineage": False})
    balance: Balance = Field(default=Balance(), description="applied to what the rule keeps")
    quotas: dict[str, int] = Field(
        default={}, description="most pairs to keep of a source (a pool's name): quotas.NAME=COUNT"
    )
    weights: dict[str, float] = Field(
        default={}, description="share of the budget that each source gets, in any unit: weights.NAME=WEIGHT"
    )
    pairs: int | None = Field(default=None, gt=0, description="keep exactly so many pairs, or all when there are fewer")
    tokens: float | None = Field(default=None, gt=0, description="keep as many pairs as fit into so many tokens")
    token_count: TokenCount = Field(default=TokenCount(), description="how the tokens of a pair are counted")
    prefer: str = Field(
        default="", description="column whose highest values quotas and budgets take; empty: by hash of the uid"
    )
    seed: int = Field(default=0, ge=0, description="seed of the hash that orders equal values")
    cache: Path | None = Field(
        default=None,
        description="directory that keeps the columns of scores for the next selection, which then takes a fraction of "
        "the time; may be deleted at any time; unset: none",
        json_schema_extra={"lineage": False},
    )

    @model_validator(mode="after")
    def _has_one_budget(self) -> Self:
        if self.pairs is not None and self.tokens is not None:
            raise ValueError("found pairs and tokens, expected one budget at most")
        if self.weights and self.pairs is None and self.tokens is None:
            raise ValueError("weights divide a budget: give pairs or tokens, or use quotas")
        if any(quota < 0 for quota in self.quotas.values()) or any(not 0 <= w < 1e18 for w in self.weights.values()):
            raise ValueError("quotas and weights are numbers from 0 up")
        return self


class ImportLimits(StageConfig):
    """Caps on what is read from foreign files of scores."""

    max_file_bytes: int = Field(default=4 << 30, gt=0, description="largest file that is read, in bytes")
    max_unpacked_bytes: int = Field(
        default=8 << 30, gt=0, description="most that a compressed file, or one matrix in it, may unpack to, in bytes"
    )


class ImportConfig(MappedConfig):
    """What all imports of scores have in common."""

    source: Path = Field(description="the file, or the folder with the files", json_schema_extra={"lineage": False})
    output: Path = Field(description="directory of the scores", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the score dataset")
    columns: dict[str, str] = Field(
        default={}, description="columns to import and what to call them: columns.THEIRS=OURS; none: all that fit"
    )
    pool: Path | None = Field(
        default=None,
        description="dataset of kind image_text whose keys the rows name, for rows without a uid of their own; "
        "00000012_su.parquet and 12.json are about 00000012.tar",
        json_schema_extra={"lineage": False},
    )
    identity: str = Field(default="", description="column of the uid, or with pool of the key; empty: uid, or key")
    limits: ImportLimits = Field(default=ImportLimits(), description="caps on what is read")

    layout: ClassVar[str]
    """What the files are; the command is `import LAYOUT`."""

    @model_validator(mode="after")
    def _has_new_names(self) -> Self:
        names = list(self.columns.values())
        if taken := [name for name in names if name in ("", "uid", "uid_derived", "key", "reject")]:
            raise ValueError(f"columns are to be called {taken}, which every score file has or is no name")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several columns are to be called {twice}: give each a name of its own")
        return self

    @property
    def identity_column(self) -> str:
        """The column that tells which sample a row is of."""
        return self.identity or ("uid" if self.pool is None else "key")


class ImportDatacompConfig(ImportConfig):
    """Configuration of `import datacomp`."""

    layout: ClassVar[str] = "datacomp"

    columns: dict[str, str] = Field(
        default={},
        description="columns to import and what to call them: columns.THEIRS=OURS; none: width, height, clip_b32, "
        "clip_l14 and content_sha of the published ones",
    )
    embeddings: Names = Field(
        default=(), description="matrices of the .npz beside each file to import as columns, e.g. l14_img"
    )


class ImportMlmFilterConfig(ImportConfig):
    """Configuration of `import mlm-filter`."""

    layout: ClassVar[str] = "mlm-filter"


class ImportAnnotationsConfig(ImportConfig):
    """Configuration of `import annotations`."""

    layout: ClassVar[str] = "annotations"


class ImportCsvConfig(ImportConfig):
    """Configuration of `import csv`."""

    layout: ClassVar[str] = "csv"


class ImportUidsConfig(StageConfig):
    """Configuration of `import uids`."""

    source: Path = Field(
        description="a .npy of dtype u8,u8, or a text file with a uid a line",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the subset", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the subset")


class ImportPicturesConfig(StageConfig):
    """Configuration of `import pictures`."""

    source: Path = Field(
        description="a dataset of kind benchmark, or a folder with image files", json_schema_extra={"lineage": False}
    )
    output: Path = Field(description="directory of the pool", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the pool")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is taken for a picture")


class DedupConfig(StageConfig):
    """Configuration of `dedup`: duplicates among samples, or with `against` pictures of benchmarks among them."""

    pools: Paths = Field(
        default=(),
        description="datasets of kind image_text, those first whose copies stand; none: the uids that scores name",
        json_schema_extra={"lineage": False},
    )
    scores: LabelledPaths = Field(
        min_length=1,
        description="datasets of kind scores, each under a label of your choice: scores.LABEL=PATH",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the scores to make", json_schema_extra={"lineage": False})
    method: Literal["exact", "perceptual", "embedding"] = Field(
        description="what is compared: digests, perceptual hashes, or vectors"
    )
    column: str = Field(
        default="",
        description="column to compare, named as in a rule; empty: content_sha for exact, phash for perceptual, "
        "image_embedding for embedding",
    )
    max_distance: int = Field(
        default=4, ge=0, le=16, description="perceptual: most bits of 64 in which two hashes of one picture differ"
    )
    min_cosine: float = Field(
        default=0.95, gt=0, le=1, description="embedding: least cosine of two vectors of one picture"
    )
    search: str = Field(
        default="oqvl_filter.dedup.cosine:ExactSearch",
        description="embedding: dotted path of the factory of a NeighbourSearch: this one compares all pairs, or yours",
    )
    search_options: dict[str, Any] = Field(
        default_factory=dict, description="what that factory is called with, e.g. search_options.block_size=4096"
    )
    prefer: str = Field(default="", description="column whose highest value stands for a cluster; empty: none")
    against: LabelledPath = Field(
        default={},
        description="pictures to look for, each under a label of your choice: datasets of kind benchmark, or of kind "
        "scores with the column",
        json_schema_extra={"lineage": False},
    )
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read of a benchmark's picture")
    seed: int = Field(default=0, ge=0, description="seed of the hash that decides between equals")


class ReshardConfig(MappedConfig):
    """Configuration of `reshard`."""

    pools: Paths = Field(
        min_length=1,
        description="datasets of kind image_text, in the order of the output",
        json_schema_extra={"lineage": False},
    )
    subset: Path = Field(
        description="what to keep: a dataset of kind subset, or a .npy of dtype u8,u8",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the new shards", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the new dataset")
    samples_per_shard: int = Field(default=10_000, gt=0, description="most samples of a shard")
    bytes_per_shard: int | None = Field(
        default=None, gt=0, description="most bytes of a shard's samples, headers included; unset: no bound"
    )
    shuffle_seed: int | None = Field(
        default=None,
        ge=0,
        description="seed of a shuffle of all samples over all shards; unset: the order of the pools",
    )
    keys: Literal["uid", "original"] = Field(
        default="uid", description="names of the samples: uid for {uid}-0 as DataComp has it, or their original keys"
    )


class TrainDfnConfig(StageConfig):
    """Configuration of `train-dfn`."""

    clean: Path = Field(
        description="dataset of kind image_text whose captions are true", json_schema_extra={"lineage": False}
    )
    output: Path = Field(description="directory of the network", json_schema_extra={"lineage": False})
    name: str = Field(default="dfn", min_length=1, description="name of the network")
    image_trunk: str = Field(default="tf_efficientnet_lite0", description="timm model that turns images into features")
    image_trunk_weights: Path = Field(
        description="its pretrained weights: a .safetensors or .pth file of tensors in the order of timm's model",
        json_schema_extra={"lineage": False},
    )
    image_size: int = Field(default=96, gt=0, description="images are squashed to this many pixels square")
    image_mean: tuple[float, float, float] = Field(default=(0.5, 0.5, 0.5), description="subtracted from RGB in 0 to 1")
    image_std: tuple[float, float, float] = Field(
        default=(0.5, 0.5, 0.5), description="RGB is divided by it after that"
    )
    embed_dim: int = Field(default=126, gt=0, description="dimensions of the common embedding")
    context_length: int = Field(
        default=32, ge=3, description="tokens of a caption that are read, start and end included"
    )
    max_vocabulary: int = Field(default=8192, gt=0, description="tokens that get a meaning, the most frequent ones")
    image_ridge: float = Field(default=10.0, gt=0, description="regularisation of the image head, in feature variances")
    text_ridge: float = Field(
        default=0.01, gt=0, description="regularisation of the word vectors, in caption variances"
    )
    class_pairs: float = Field(
        default=1.0, ge=0, description="weight of a pair (ImageNet class name, classifier row) of the trunk; 0: none"
    )
    held_out_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="fraction of the pairs on which the network is measured before the final fit",
    )
    batch_size: int = Field(default=64, gt=0, description="images a forward pass of the trunk")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")


class CheckConfig(StageConfig):
    """Configuration of `check`."""

    dataset: Path = Field(description="what a command of the filter has written")
    num_workers: int = Field(default=1, ge=1, description="processes that read files")


class ShowConfig(StageConfig):
    """Configuration of `show`."""

    dataset: Path = Field(description="what a command of the filter has written")


def _ending_in(suffix: str) -> AfterValidator:
    """Return a check of a path that is written over: a slip must not cost a shard or a manifest."""

    def check(path: Path) -> Path:
        if path.suffix != suffix:
            raise ValueError(f"expected a file that ends in {suffix}")
        return path

    return AfterValidator(check)


class ReportConfig(StageConfig):
    """Configuration of `report`."""

    pools: Paths = Field(
        default=(),
        description="datasets of kind image_text; none: the samples that scores name, without pictures",
        json_schema_extra={"lineage": False},
    )
    scores: LabelledPaths = Field(
        min_length=1,
        description="datasets of kind scores, as for select: scores.LABEL=PATH; what dedup has written is pictured",
        json_schema_extra={"lineage": False},
    )
    subset: Path | None = Field(
        default=None,
        description="what is selected: a dataset of kind subset, or a .npy of dtype u8,u8",
        json_schema_extra={"lineage": False},
    )
    against: Path | None = Field(
        default=None,
        description="another subset: the page shows which samples the two treat differently",
        json_schema_extra={"lineage": False},
    )
    benchmarks: LabelledPath = Field(
        default={},
        description="what dedup was given as against.LABEL, for a picture beside every match: benchmarks.LABEL=PATH; "
        "for scores, the pool that they are of",
        json_schema_extra={"lineage": False},
    )
    output: Annotated[Path, _ending_in(".html")] = Field(
        description="HTML file to write, over an older one", json_schema_extra={"lineage": False}
    )
    columns: Names = Field(
        default=(), description="columns whose deciles are pictured, named as in a rule; all graded ones when empty"
    )
    top_fraction: float = Field(
        default=0.3, gt=0, lt=1, description="share of the samples on whose choice the columns are compared"
    )
    pictures_per_row: int = Field(default=8, gt=0, description="pictures of each decile; twice as many of a difference")
    num_clusters: int = Field(
        default=5,
        ge=0,
        description="largest groups of every text column to show, and clusters of dedup: the largest, the loosest",
    )
    seed: int = Field(default=0, ge=0, description="seed of the hash that picks the samples to show")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")

    @model_validator(mode="after")
    def _compares_with_something(self) -> Self:
        if self.against is not None and self.subset is None:
            raise ValueError("against is compared with subset: give both")
        return self


class ImportPromptsConfig(StageConfig):
    """Configuration of `import-prompts`."""

    source: Path = Field(description="scoring script of an MLM-Filter checkout, or a folder whose scripts agree")
    output: Annotated[Path, _ending_in(".toml")] = Field(
        description="prompt set to write, a TOML file", json_schema_extra={"lineage": False}
    )
    name: str = Field(default="mlm_filter", min_length=1, description="name of the prompt set")


class EstimateConfig(StageConfig):
    """Configuration of `estimate`."""

    pool: Path = Field(description="dataset of kind image_text that is to be scored")
    scorer: ScorerConfig = Field(default=RulesScorerConfig(), description="the scorer, as for score")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")
    num_samples: int = Field(default=200, ge=8, description="samples to time, beside a batch of each shard they are of")
    num_workers: int = Field(default=1, ge=1, description="processes, or devices, that will score at this pace")
    price_per_hour: float = Field(default=0.0, ge=0, description="price of one of them for an hour")
    seed: int = Field(default=0, ge=0, description="seed of the hash that picks the samples")


class CalibrateConfig(StageConfig):
    """Configuration of `calibrate`."""

    pools: Paths = Field(min_length=1, description="datasets of kind image_text")
    scores: LabelledPaths = Field(min_length=1, description="datasets of kind scores, as for select: scores.LABEL=PATH")
    column: str = Field(description="column of numbers, named as in a rule, e.g. clip or clip.clip_score")
    output: Path = Field(description="directory of labels.csv and page.html")
    per_decile: int = Field(default=20, gt=0, description="samples to judge of every tenth of the column")
    labels: Path | None = Field(default=None, description="the filled-in labels.csv; without it a sample is drawn")
    seed: int = Field(default=0, ge=0, description="seed of the hash that picks the samples")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")
