"""Packed training sequences: the record, its codec, and the shards that hold records beside their images."""

from oqvl_shards.packed.codec import CODEC_VERSION, decode_record, encode_record
from oqvl_shards.packed.embedded import ImageSource, PackedReader, shard_name, write_packed_shard
from oqvl_shards.packed.record import IGNORE_INDEX, Pack, PackRecord, TrainingSequence

__all__ = [
    "CODEC_VERSION",
    "IGNORE_INDEX",
    "ImageSource",
    "Pack",
    "PackRecord",
    "PackedReader",
    "TrainingSequence",
    "decode_record",
    "encode_record",
    "shard_name",
    "write_packed_shard",
]
