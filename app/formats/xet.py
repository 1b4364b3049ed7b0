"""What Xet clients send: chunks packed in xorbs, and shards that say how files are put together from them.

A chunk is a piece of a file, compressed or not; a xorb is chunks one after another; a shard lists files as runs of chunks.
Whether a file is what it is said to be is decided by its SHA-256 alone, computed from the bytes themselves. The hashes by which
xorbs are named are their clients' affair.
Source: the Xet protocol's specification, huggingface/xet-core; as hf_xet 1.8.0 sends it.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import lz4.frame

from app.domain.digest import Digest
from app.errors import InvalidXet

largest_chunk_bytes = 128 * 1024
largest_packed_bytes = 2 * largest_chunk_bytes
"""A chunk that does not get smaller is sent raw: a compressed one is never much larger."""
largest_xorb_bytes = 80 * 1024 * 1024
most_chunks = 16_384
"""In one xorb."""
largest_shard_bytes = 64 * 1024 * 1024
most_files = 10_000
"""In one shard, and no more than one statement of the database may name; a commit has fewer."""
most_segments = 250_000
"""In one shard: of its files together. 64 MiB of entries would be a million and a half."""
largest_rebuilt_bytes = 1024**4
"""Of a shard's files together: a few bytes may name one chunk many times."""
header_bytes = 8
footer_mark = b"XETBLOB"
shard_mark = b"HFRepoMetaData"
shard_header_bytes = 48
entry_bytes = 48
has_verification = 1 << 31
has_metadata = 1 << 30


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of chunks of one xorb, as part of a file."""

    xorb: str
    size_bytes: int
    first: int
    end: int
    """Of the first chunk that is no longer part of it."""


@dataclass(frozen=True, slots=True)
class ShardFile:
    digest: Digest
    """The sha256 that the client says the file has."""
    segments: tuple[Segment, ...]

    @property
    def size_bytes(self) -> int:
        return sum(segment.size_bytes for segment in self.segments)


class ChunkReader:
    """Reads chunks as they stream in, in pieces whose borders mean nothing. Memory: a chunk and a piece."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self.ends: list[int] = []
        """Where each chunk ended, in bytes from the beginning."""
        self.position = 0
        self.is_over = False
        """A footer has begun."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The chunks, unpacked, that are complete. Raises: InvalidXet."""
        if self.is_over:
            return
        self.rest += piece
        start = 0
        while len(self.rest) - start >= header_bytes:
            if self.rest.startswith(footer_mark, start):
                self.is_over = True
                break
            packed, scheme, size = read_chunk_header(self.rest[start : start + header_bytes])
            stop = start + header_bytes + packed
            if len(self.rest) < stop:
                break
            yield unpacked(scheme, bytes(self.rest[start + header_bytes : stop]), size)
            self.position += stop - start
            self.ends.append(self.position)
            if len(self.ends) > most_chunks:
                raise InvalidXet(f"a xorb has at most {most_chunks} chunks")
            start = stop
        del self.rest[:start]

    def finish(self) -> None:
        """Raises: InvalidXet if a chunk is incomplete."""
        if self.rest and not self.is_over:
            raise InvalidXet("the last chunk is incomplete")


def read_chunk_header(header: bytes | bytearray) -> tuple[int, int, int]:
    """(packed bytes, scheme, raw bytes). Raises: InvalidXet."""
    packed, size = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
    if header[0] != 0:
        raise InvalidXet(f"a chunk has the version {header[0]}, which is not known here")
    if not 0 < size <= largest_chunk_bytes or not 0 < packed <= largest_packed_bytes:
        raise InvalidXet(f"a chunk has 1 to {largest_chunk_bytes} bytes")
    return packed, header[4], size


def unpacked(scheme: int, data: bytes, size: int) -> bytes:
    """A chunk's own bytes, `size` of them. Raises: InvalidXet."""
    if scheme == 0:
        raw = data
    elif scheme == 1:
        raw = decompressed(data, size)
    elif scheme == 2:
        raw = ungrouped(decompressed(data, size))
    else:
        raise InvalidXet(f"a chunk is compressed in a way that is not known here: {scheme}")
    if len(raw) != size:
        raise InvalidXet(f"a chunk has {len(raw)} bytes, not {size}")
    return raw


def decompressed(data: bytes, size: int) -> bytes:
    try:
        # one byte more than it may have: never more memory than was announced
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1))
    except (RuntimeError, EOFError, ValueError) as error:
        raise InvalidXet("a chunk is no LZ4 frame") from error


def ungrouped(planes: bytes) -> bytes:
    """All first bytes of four, then all second ones, and so on: put back in order."""
    raw = bytearray(len(planes))
    start = 0
    for place in range(4):
        count = len(range(place, len(planes), 4))
        raw[place::4] = planes[start : start + count]
        start += count
    return bytes(raw)


def chunks_of(pieces: Iterable[bytes], segment: Segment) -> Iterator[bytes]:
    """A segment's bytes, chunk by chunk, from the packed ones. Raises: InvalidXet."""
    reader = ChunkReader()
    size = 0
    for piece in pieces:
        for chunk in reader.feed(piece):
            size += len(chunk)
            if size > segment.size_bytes:
                raise InvalidXet(f"a run of chunks has more than {segment.size_bytes} bytes")
            yield chunk
    reader.finish()
    if size != segment.size_bytes or len(reader.ends) != segment.end - segment.first:
        raise InvalidXet(f"a run of chunks has {size} bytes, not {segment.size_bytes}")


def read_shard(data: bytes) -> list[ShardFile]:
    """The files that a shard lists, each digest once: two ways to put one together make the same bytes, or none.

    Raises: InvalidXet.
    """
    if len(data) < shard_header_bytes or not data.startswith(shard_mark):
        raise InvalidXet("this is no shard")
    version = struct.unpack_from("<Q", data, 32)[0]
    if version != 2:
        raise InvalidXet(f"a shard of version {version} is not known here")
    files: dict[Digest, ShardFile] = {}
    names: dict[str, str] = {}
    listed = segment_count = rebuilt_bytes = 0
    at = shard_header_bytes
    while True:
        header = entry_at(data, at)
        if header[:32] == b"\xff" * 32:
            return list(files.values())
        flags, count = struct.unpack_from("<II", header, 32)
        listed += 1
        segment_count += count
        if listed > most_files or segment_count > most_segments:
            raise InvalidXet(f"a shard lists at most {most_files} files of {most_segments} runs of chunks")
        wanted = 1 + count * (2 if flags & has_verification else 1) + (1 if flags & has_metadata else 0)
        if at + wanted * entry_bytes > len(data):
            raise InvalidXet("the shard ends early")
        if not flags & has_metadata:
            raise InvalidXet("a file is listed without its sha256")
        segments = tuple(segment_of(entry_at(data, at + (1 + index) * entry_bytes), names) for index in range(count))
        named = entry_at(data, at + (wanted - 1) * entry_bytes)
        digest = Digest("sha256:" + hex_of_hash(named[:32]))
        if digest not in files:
            files[digest] = ShardFile(digest, segments)
            rebuilt_bytes += files[digest].size_bytes
        if rebuilt_bytes > largest_rebuilt_bytes:
            raise InvalidXet(f"a shard's files have at most {largest_rebuilt_bytes} bytes")
        at += wanted * entry_bytes


def entry_at(data: bytes, at: int) -> bytes:
    entry = data[at : at + entry_bytes]
    if len(entry) < entry_bytes:
        raise InvalidXet("the shard ends early")
    return entry


def segment_of(entry: bytes, names: dict[str, str]) -> Segment:
    """`names`: those that were read before; each is kept once."""
    _, size_bytes, first, end = struct.unpack_from("<IIII", entry, 32)
    if not first < end <= most_chunks:
        raise InvalidXet("a run of chunks is empty, or longer than a xorb")
    name = hex_of_hash(entry[:32])
    return Segment(names.setdefault(name, name), size_bytes, first, end)


def hex_of_hash(data: bytes) -> str:
    """As it is written: each group of eight bytes is one little-endian number."""
    return "".join(data[start : start + 8][::-1].hex() for start in range(0, 32, 8))
