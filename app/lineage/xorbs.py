"""Xorbs: what Xet clients sent to a repository, and refer to in later uploads."""

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Text, any_, delete, literal, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.digest import Digest
from app.lineage import tables as t


@dataclass(frozen=True, slots=True)
class XorbRecord:
    name: str
    digest: Digest
    ends: tuple[int, ...]
    """Where each chunk ends, in bytes."""


def record(tx: Connection, repository: UUID, generation: int, xorb: XorbRecord) -> bool:
    """False if one of this name is there; the first one stays. Its blob has its row already."""
    statement = (
        insert(t.Xorb)
        .values(
            repository_id=repository,
            generation=generation,
            name=xorb.name,
            digest=xorb.digest,
            ends=packed(xorb.ends),
        )
        .on_conflict_do_nothing()
        .returning(t.Xorb.name)
    )
    return tx.execute(statement).first() is not None


def find(tx: Connection, repository: UUID, generation: int, names: Collection[str]) -> dict[str, XorbRecord]:
    x = t.Xorb
    # one array: a statement has room for 65,535 parameters
    statement = select(x.name, x.digest, x.ends).where(
        x.repository_id == repository, x.generation == generation, x.name == any_(literal(list(names), ARRAY(Text)))
    )
    return {row.name: XorbRecord(row.name, row.digest, unpacked(row.ends)) for row in tx.execute(statement)}


def expire(tx: Connection, oldest: int) -> int:
    """Those of generations before this one: clients have forgotten them.

    Not before, not even those of a deleted repository: it may be opened again, and to its clients their address is the same.
    """
    return tx.execute(delete(t.Xorb).where(t.Xorb.generation < oldest)).rowcount


def packed(ends: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(ends)}I", *ends)


def unpacked(ends: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(ends) // 4}I", ends)
