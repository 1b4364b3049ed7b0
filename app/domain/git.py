"""What git says of files: the clients of the Hub name small files by git's SHA-1 and large ones by an LFS pointer.

Source: git-hash-object(1), and the Git LFS specification, version 1 (docs/spec.md in git-lfs).
"""

import hashlib

from app.domain.digest import Digest, hex_of

largest_regular_bytes = 1 << 20
"""A larger file is always kept by LFS, so that its bytes never have to be named by SHA-1."""
lfs_suffixes = (
    *(
        ".7z",
        ".arrow",
        ".bin",
        ".bz2",
        ".ckpt",
        ".ftz",
        ".gguf",
        ".gz",
        ".h5",
        ".joblib",
        ".mlmodel",
        ".model",
        ".msgpack",
    ),
    *(
        ".npy",
        ".npz",
        ".onnx",
        ".ot",
        ".parquet",
        ".pb",
        ".pickle",
        ".pkl",
        ".pt",
        ".pth",
        ".rar",
        ".safetensors",
        ".tar",
    ),
    *(".tflite", ".tgz", ".wasm", ".xz", ".zip", ".zst"),
)
"""As in the `.gitattributes` with which the Hub begins a repository."""


def is_lfs(path: str, size_bytes: int) -> bool:
    """Whether a file is kept by LFS: by its name and size alone, so that a commit's listing never changes."""
    if size_bytes == 0:
        # clients send an empty file as a regular one, whatever its name
        return False
    return size_bytes > largest_regular_bytes or path.lower().endswith(lfs_suffixes)


def blob_sha1(data: bytes | bytearray) -> str:
    """The object id that git gives a file with these bytes: 40 hex digits."""
    hashed = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    hashed.update(data)
    return hashed.hexdigest()


def pointer(digest: Digest, size_bytes: int) -> bytes:
    """The text that stands in a git tree for a file that LFS keeps."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{hex_of(digest)}\nsize {size_bytes}\n".encode()
