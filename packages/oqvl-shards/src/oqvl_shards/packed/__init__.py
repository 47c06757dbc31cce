"""Packed training sequences: the record, its codec, and the shards that hold records and their images."""

from oqvl_shards.packed.codec import CODEC_VERSION, decode_record, encode_record
from oqvl_shards.packed.embedded import ImageSource, shard_name, write_packed_shard
from oqvl_shards.packed.reader import PackedReader
from oqvl_shards.packed.record import IGNORE_INDEX, Pack, PackRecord, TrainingSequence
from oqvl_shards.packed.reference import ImageReference, reference_shard_name, write_reference_shard

__all__ = [
    "CODEC_VERSION",
    "IGNORE_INDEX",
    "ImageReference",
    "ImageSource",
    "Pack",
    "PackRecord",
    "PackedReader",
    "TrainingSequence",
    "decode_record",
    "encode_record",
    "reference_shard_name",
    "shard_name",
    "write_packed_shard",
    "write_reference_shard",
]
