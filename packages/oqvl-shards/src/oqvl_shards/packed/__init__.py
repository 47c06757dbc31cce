"""Packed training sequences: the record, its codec, and the shards that hold records beside their images."""

from oqvl_shards.packed.codec import CODEC_VERSION, decode_record, encode_record
from oqvl_shards.packed.record import IGNORE_INDEX, Pack, PackRecord, TrainingSequence

__all__ = [
    "CODEC_VERSION",
    "IGNORE_INDEX",
    "Pack",
    "PackRecord",
    "TrainingSequence",
    "decode_record",
    "encode_record",
]
